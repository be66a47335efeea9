//! The flow table, counted and listed on a thread of its own: with many flows that takes seconds, which neither alerts nor packets may wait.
//!
//! One walk at a time goes through the table. What is asked for while one is on its way waits for its end, and all that waited share the next:
//! so nobody waits for more than two walks, and no answer is older than its question.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use treeline_ebpf::Flow;

use super::eve::now_ns;
use super::listing::{Row, Top};
use super::table::Census;

/// A flow table that can be read while packets come.
pub trait Table: Send + Sync {
    /// Flows that were put in so far, less those that were taken out for another reason than want of room.
    fn inserted(&self) -> Result<u64, String>;

    /// Calls `each` for every flow.
    fn visit(&self, each: &mut dyn FnMut(&Flow)) -> Result<(), String>;
}

/// What is wanted beside the count.
#[derive(Debug, Clone, Copy, Default)]
pub struct Query {
    /// Flows with the most packets.
    pub top: usize,
    /// Of those that raised an alert.
    pub flagged: usize,
}

/// What a walk found.
#[derive(Debug, Default)]
pub struct Survey {
    /// How many flows.
    pub census: Census,
    /// Flows that were evicted from the full table.
    pub evictions: u64,
    /// The flows with the most packets first: as many as the largest query that was met together.
    pub top: Vec<Row>,
    /// The same of those that raised an alert.
    pub flagged: Vec<Row>,
}

/// A survey, or why there is none.
pub type Answer = Result<Arc<Survey>, String>;

/// Walks through the table.
pub fn walk(table: &dyn Table, idle_timeout_ns: u64, query: Query) -> Result<Survey, String> {
    let (inserted, now_ns) = (table.inserted()?, now_ns());
    let (mut census, mut top, mut flagged) = (Census::default(), Top::new(query.top), Top::new(query.flagged));
    table.visit(&mut |flow| {
        census.see(flow, now_ns, idle_timeout_ns);
        top.see(flow);
        if flow.alerted_ns != 0 {
            flagged.see(flow);
        }
    })?;
    // What is missing from the table at this moment.
    let evictions = inserted.saturating_sub(census.entries());
    Ok(Survey { census, evictions, top: top.rows(), flagged: flagged.rows() })
}

/// Asks the thread that walks.
#[derive(Debug, Clone)]
pub struct Surveyor {
    queries: Sender<(Query, SyncSender<Answer>)>,
}

impl Surveyor {
    /// Starts the thread, which ends with its last asker.
    pub fn start(table: Arc<dyn Table>, idle_timeout_ns: u64) -> Result<Self, String> {
        let (queries, queue) = channel();
        let serve = move || serve(&*table, idle_timeout_ns, &queue);
        thread::Builder::new().name("survey".to_owned()).spawn(serve).map_err(|error| format!("no thread for the flow table: {error}"))?;
        Ok(Self { queries })
    }

    /// Asks and waits.
    pub fn ask(&self, query: Query) -> Answer {
        let ended = || "the thread of the flow table has ended, which is a fault of treeline".to_owned();
        let (reply, answer) = sync_channel(1);
        self.queries.send((query, reply)).map_err(|_| ended())?;
        answer.recv().map_err(|_| ended())?
    }
}

fn serve(table: &dyn Table, idle_timeout_ns: u64, queue: &Receiver<(Query, SyncSender<Answer>)>) {
    let mut evictions = 0;
    while let Ok(first) = queue.recv() {
        let waiting: Vec<_> = std::iter::once(first).chain(queue.try_iter()).collect();
        let query = waiting
            .iter()
            .fold(Query::default(), |all, (one, _)| Query { top: all.top.max(one.top), flagged: all.flagged.max(one.flagged) });
        let answer = walk(table, idle_timeout_ns, query).map(|mut survey| {
            // Entries move while they are counted: the difference may step back, the number does not.
            evictions = survey.evictions.max(evictions);
            survey.evictions = evictions;
            Arc::new(survey)
        });
        for (_, reply) in waiting {
            // Whoever asked may be gone.
            let _ = reply.send(answer.clone());
        }
    }
}

#[cfg(test)]
pub mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::*;

    /// A table without flows.
    pub struct Empty;

    impl Table for Empty {
        fn inserted(&self) -> Result<u64, String> {
            Ok(0)
        }

        fn visit(&self, _each: &mut dyn FnMut(&Flow)) -> Result<(), String> {
            Ok(())
        }
    }

    /// A table of as many flows as walks have begun, whose walks each wait for a permit.
    struct Slow {
        walks: AtomicU64,
        permits: Mutex<Receiver<()>>,
    }

    impl Table for Slow {
        fn inserted(&self) -> Result<u64, String> {
            Ok(10)
        }

        fn visit(&self, each: &mut dyn FnMut(&Flow)) -> Result<(), String> {
            let walk = self.walks.fetch_add(1, Relaxed) + 1;
            self.permits.lock().expect("no panic").recv().map_err(|_| "no permit".to_owned())?;
            (1..=walk).for_each(|packets| each(&Flow { packets, alerted_ns: packets % 2, ..Flow::EMPTY }));
            Ok(())
        }
    }

    #[test]
    fn those_who_ask_during_a_walk_share_the_next_and_get_what_they_asked_for() {
        let (permit, permits) = channel();
        let table = Arc::new(Slow { walks: AtomicU64::new(0), permits: Mutex::new(permits) });
        let surveyor = Surveyor::start(table.clone(), 1).expect("a thread");
        let ask = |query: Query| {
            let surveyor = surveyor.clone();
            thread::spawn(move || surveyor.ask(query).expect("a survey"))
        };
        let first = ask(Query::default());
        while table.walks.load(Relaxed) == 0 {
            thread::yield_now();
        }
        let (reply, answer) = sync_channel(1);
        let waiting: Vec<_> = (0..9)
            .map(|top| {
                let (reply, answer) = sync_channel(1);
                surveyor.queries.send((Query { top, flagged: 1 }, reply)).expect("waits");
                answer
            })
            .collect();
        surveyor.queries.send((Query { top: 1, flagged: 0 }, reply)).expect("waits");
        permit.send(()).expect("a walk");
        let survey = first.join().expect("no panic");
        assert_eq!((survey.census.entries(), survey.evictions, survey.top.len()), (1, 9, 0));
        permit.send(()).expect("a walk");
        for answer in waiting.into_iter().chain([answer]) {
            let survey = answer.recv().expect("an answer").expect("a survey");
            // A place that became free is no eviction taken back.
            assert_eq!((survey.census.entries(), survey.evictions), (2, 9));
            let packets = |rows: &[Row]| rows.iter().map(|row| row.packets).collect::<Vec<_>>();
            assert_eq!((packets(&survey.top), packets(&survey.flagged)), (vec![2, 1], vec![1]));
        }
        assert_eq!(table.walks.load(Relaxed), 2);
        drop(permit);
        assert_eq!(surveyor.ask(Query::default()).expect_err("no walk"), "no permit");
    }
}
