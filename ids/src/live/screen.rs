//! What a person watches: a table redrawn in place on a terminal, plain lines elsewhere, and the summary at the end.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use console::Term;
use serde_json::{Value, json};
use treeline_ebpf::alert::Alert;
use treeline_ebpf::{Counter, Skip};

use super::eve::flow_id;
use super::instance::names;
use super::listing::Row;
use super::request::{self, Request};
use super::state::State;
use super::survey::Query;
use super::tap::{ENDED, Numbers};
use crate::figure::plain;
use crate::output::say;
use crate::report::{endpoint, listed, number, protocol_name};

/// Flagged flows whose class is remembered. Beyond it the table shows none; they are counted and alerted all the same.
const FLAGGED_MAX: usize = 65_536;
/// Flagged flows that the table shows.
const SHOWN: usize = 8;
/// Columns of a terminal that does not say.
const COLUMNS: usize = 80;
/// No table is narrower.
const COLUMNS_MIN: usize = 40;
/// Between two tables on a terminal.
const TABLE_INTERVAL: Duration = Duration::from_secs(1);
/// Between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// A terminal that does not take a view is not waited for any longer.
const END_MAX: Duration = Duration::from_secs(1);

/// Flows that raised alerts: their classes, and how many they are.
#[derive(Debug, Default)]
pub struct Flagged {
    classes: HashMap<u64, String>,
    total: u64,
}

impl Flagged {
    /// Remembers an alert's flow.
    pub fn see(&mut self, alert: &Alert, class: &str) {
        let id = flow_id(&alert.key, alert.first_ns);
        if let Some(known) = self.classes.get_mut(&id) {
            class.clone_into(known);
            return;
        }
        self.total += 1;
        if self.classes.len() < FLAGGED_MAX {
            self.classes.insert(id, class.to_owned());
        }
    }

    fn class(&self, row: &Row) -> String {
        self.classes.get(&row.flow_id).map_or_else(|| "-".to_owned(), |class| plain(class))
    }
}

/// How many packets and bytes a second, between one view and the next.
#[derive(Debug, Default)]
pub struct Pace {
    before: Option<(Instant, u64, u64)>,
}

impl Pace {
    fn step(&mut self, packets: u64, bytes: u64) -> [f64; 2] {
        let before = self.before.replace((Instant::now(), packets, bytes));
        before.map_or([0.0; 2], |(then, packets_then, bytes_then)| {
            let seconds = then.elapsed().as_secs_f64().max(1e-3);
            #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
            [(packets - packets_then) as f64 / seconds, (bytes - bytes_then) as f64 / seconds]
        })
    }
}

/// The view: a table no wider than `columns`, with the flagged flows `top`, which stand in the flow table; or a line.
pub fn view(state: &State, numbers: &Numbers, flagged: &Flagged, top: &[Row], pace: &mut Pace, columns: Option<usize>) -> String {
    let rate = pace.step(numbers.packets(), numbers.live.bytes);
    let Some(columns) = columns else { return line(state, numbers, rate[0]) };
    let mut text = table(state, numbers, rate, columns);
    flagged_rows(&mut text, flagged, &top[..top.len().min(SHOWN)], columns);
    text
}

/// Shows the view while a run goes on. It has a thread of its own: a terminal may be stopped, and the flow table large.
#[derive(Debug)]
pub struct Screen {
    ended: Arc<Mutex<bool>>,
}

impl Screen {
    /// On standard output if that is a terminal and `free`, else lines on standard error.
    pub fn start(free: bool, client: request::Client) -> Result<Self, String> {
        let ended = Arc::new(Mutex::new(false));
        let terminal = Term::stdout();
        let terminal = (free && terminal.is_term()).then_some(terminal);
        let thread = thread::Builder::new().name("screen".to_owned());
        let shared = Arc::clone(&ended);
        thread.spawn(move || show(terminal.as_ref(), &client, &shared)).map_err(|error| format!("no thread for the screen: {error}"))?;
        Ok(Self { ended })
    }

    /// Nothing is shown any more. A terminal that is stopped in the middle of a view is not waited for.
    pub fn end(&self) {
        let deadline = Instant::now() + END_MAX;
        while Instant::now() < deadline {
            if let Ok(mut ended) = self.ended.try_lock() {
                *ended = true;
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn show(terminal: Option<&Term>, client: &request::Client, ended: &Mutex<bool>) {
    let mut lines = 0;
    loop {
        thread::sleep(if terminal.is_some() { TABLE_INTERVAL } else { LINE_INTERVAL });
        let columns =
            terminal.map(|terminal| terminal.size_checked().map_or(COLUMNS, |(_, columns)| usize::from(columns)).max(COLUMNS_MIN));
        let survey = client.surveyor.ask(Query { flagged: if columns.is_some() { SHOWN } else { 0 }, ..Query::default() });
        let view = survey.map(|survey| client.ask(Request::View(survey, columns)).map(|answer| answer.text));
        let Ok(ended) = ended.lock() else { return };
        match (*ended, view, terminal) {
            (true, _, _) => return,
            (false, Err(error), _) => say(&error),
            // The run loop is busy, or ends.
            (false, Ok(None), _) => {}
            (false, Ok(Some(text)), None) => say(&text),
            (false, Ok(Some(text)), Some(terminal)) => {
                // A terminal that does not take it is no reason to stop.
                let _ = terminal.clear_last_lines(lines);
                let _ = terminal.write_str(&text);
                lines = text.lines().count();
            }
        }
    }
}

/// One line for a log.
fn line(state: &State, numbers: &Numbers, rate: f64) -> String {
    let count = |counter| numbers.count(counter);
    format!(
        "{} packets ({}/s), {} flows, {} malicious, {} dropped, {} skipped, {} uninspected, {} alerts, {} lost",
        number(numbers.packets()),
        short(rate),
        number(numbers.census.active),
        number(count(Counter::Malicious)),
        number(count(Counter::Dropped)),
        number(numbers.packets() - numbers.judged()),
        number(numbers.uninspected),
        number(numbers.live.alerts_sent),
        number(numbers.live.alerts_lost + state.alerts_lost),
    )
}

/// The table, no line wider than `columns`.
fn table(state: &State, numbers: &Numbers, [packets, bytes]: [f64; 2], columns: usize) -> String {
    let mut text = String::new();
    let mut row = |label: &str, value: &str| {
        let _ = writeln!(text, "{}", cut(&format!(" {label:<10}{value}"), columns));
    };
    let places: Vec<_> = state.places.iter().map(|place| format!("{} ({})", place.name, place.how)).collect();
    row("treeline", &format!("{} on {}", state.mode, if places.is_empty() { "no interface".to_owned() } else { places.join(", ") }));
    row("model", &format!("{} {} ({}){}", state.model_id(), plain(&state.model.source), state.tree, swapped(state)));
    row("packets", &format!("{} ({}/s, {}B/s){}", number(numbers.packets()), short(packets), short(bytes), uninspected(numbers)));
    row("verdicts", &verdicts(state, numbers));
    let skips = listed(Skip::ALL.map(|skip| (skip.name(), numbers.count(skip.counter()))));
    row("skipped", if skips.is_empty() { "0" } else { &skips });
    let ended = listed(ENDED.map(|counter| (counter.name(), numbers.count(counter))));
    let census = &numbers.census;
    let room = number(numbers.flows_max.into());
    let flows = format!("{} active, {} idle of {room}, evicted {}", number(census.active), number(census.idle), number(numbers.evictions));
    row("flows", &if ended.is_empty() { flows } else { format!("{flows}, {ended}") });
    row("alerts", &alerts(state, numbers));
    let _ = writeln!(text);
    text
}

fn uninspected(numbers: &Numbers) -> String {
    if numbers.uninspected == 0 { String::new() } else { format!(", and {} passed uninspected", number(numbers.uninspected)) }
}

fn swapped(state: &State) -> String {
    if state.swaps == 0 { String::new() } else { format!(", swapped {}", state.swaps) }
}

fn verdicts(state: &State, numbers: &Numbers) -> String {
    let counts = (0_u16..).zip(numbers.verdicts()).filter(|(class, count)| *class == 0 || *count > 0);
    let mut parts: Vec<_> = counts.map(|(class, count)| format!("{} {}", plain(state.model.class(class)), number(count))).collect();
    let dropped = numbers.count(Counter::Dropped);
    if dropped > 0 {
        parts.push(format!("dropped {}", number(dropped)));
    }
    parts.join(", ")
}

fn alerts(state: &State, numbers: &Numbers) -> String {
    let live = &numbers.live;
    let mut text = number(live.alerts_sent);
    for (word, count) in
        [("held back", live.alerts_held), ("lost in the ring", live.alerts_lost), ("lost at the output", state.alerts_lost)]
    {
        if count > 0 {
            let _ = write!(text, ", {} {word}", number(count));
        }
    }
    text
}

/// Flagged flows, their endpoints as wide as the terminal leaves room for.
fn flagged_rows(text: &mut String, flagged: &Flagged, top: &[Row], columns: usize) {
    if top.is_empty() {
        let _ = writeln!(text, " no flow in the table has raised an alert");
        return;
    }
    let cells = |row: &Row| {
        let [one, other] = [(row.originator, row.originator_port), (row.responder, row.responder_port)];
        [endpoint(one, row.protocol), endpoint(other, row.protocol), protocol_name(row.protocol), number(row.packets), flagged.class(row)]
    };
    let rows: Vec<_> = top.iter().map(cells).collect();
    // Protocol, packets and class with the spaces between take 34 columns.
    let most = (columns.saturating_sub(34) / 2).max(12);
    let widths = [0, 1].map(|side| rows.iter().map(|row| row[side].chars().count()).max().unwrap_or(0).clamp(10, most));
    let mut row = |cells: [&str; 5]| {
        let [originator, responder] = [0, 1].map(|side| cut(cells[side], widths[side]));
        let line = format!(" {originator:<0$} {responder:<1$} {2:<7} {3:>10} {4}", widths[0], widths[1], cells[2], cells[3], cells[4]);
        let _ = writeln!(text, "{}", cut(line.trim_end(), columns));
    };
    row(["originator", "responder", "proto", "packets", "class"]);
    for cells in &rows {
        row(cells.each_ref().map(String::as_str));
    }
    let more = flagged.total.saturating_sub(rows.len() as u64);
    if more > 0 {
        let _ = writeln!(text, " and {} more flows", number(more));
    }
}

/// The text, its end left out where it is too wide.
fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(columns.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Three digits and a power of thousand.
fn short(value: f64) -> String {
    let (scale, unit) = match value {
        size if size >= 1e9 => (1e9, "G"),
        size if size >= 1e6 => (1e6, "M"),
        size if size >= 1e3 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let scaled = value / scale;
    if scaled >= 100.0 || unit.is_empty() { format!("{scaled:.0}{unit}") } else { format!("{scaled:.1}{unit}") }
}

/// The summary at the end, for people.
pub fn farewell(state: &State, numbers: &Numbers) -> String {
    let mut text = String::new();
    let mut row = |label: &str, value: &str| {
        let _ = writeln!(text, "  {label:<10}{value}");
    };
    let seconds = state.started.elapsed().as_secs_f64();
    row(
        "ran",
        &format!("{seconds:.1} s on {} at hook {}, engine {}, {}", names(&state.interfaces), state.hook.name(), state.engine, state.mode),
    );
    row("packets", &format!("{} ({}B){}", number(numbers.packets()), short_count(numbers.live.bytes), uninspected(numbers)));
    row("verdicts", &verdicts(state, numbers));
    let skips = listed(Skip::ALL.map(|skip| (skip.name(), numbers.count(skip.counter()))));
    row("skipped", if skips.is_empty() { "0" } else { &skips });
    row("flows", &format!("{} opened, {} evicted", number(numbers.count(Counter::Opened)), number(numbers.evictions)));
    row("alerts", &alerts(state, numbers));
    text
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn short_count(count: u64) -> String {
    short(count as f64)
}

/// The same for machines.
pub fn farewell_json(state: &State, numbers: &Numbers, flagged: &Flagged) -> Value {
    let mut summary = state.to_json(numbers);
    summary["flows"]["flagged"] = json!(flagged.total);
    // So that it can be told from alerts in one stream.
    let mut named = json!({ "event_type": "summary" });
    if let (Some(named), Value::Object(fields)) = (named.as_object_mut(), summary) {
        named.extend(fields);
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_three_digits() {
        let shown = [0.0, 7.4, 999.0, 1500.0, 123_456.0, 2.5e6, 3e9].map(short);
        assert_eq!(shown, ["0", "7", "999", "1.5k", "123k", "2.5M", "3.0G"]);
    }

    #[test]
    fn what_is_too_wide_is_cut_with_a_mark() {
        assert_eq!((cut("abcdef", 6), cut("abcdef", 5)), ("abcdef".to_owned(), "abcd…".to_owned()));
    }
}
