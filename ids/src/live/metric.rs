//! Numbers -> the Prometheus text format, version 0.0.4.

use std::fmt::{Display, Write};

use treeline_ebpf::live::CLASSES;
use treeline_ebpf::{Counter, Skip};

use super::state::State;
use super::tap::{ENDED, Numbers};

/// The format's media type.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The document.
pub fn text(state: &State, numbers: &Numbers) -> String {
    let mut page = Page::default();
    let count = |counter| numbers.count(counter);
    page.counter("packets", "Packets seen; each has a verdict or a reason why not.", [([], numbers.packets())]);
    page.counter("bytes", "Bytes of the frames seen, Ethernet header included.", [([], numbers.live.bytes)]);
    verdicts(&mut page, state, numbers);
    let skips = Skip::ALL.map(|skip| ([("reason", skip.name())], count(skip.counter())));
    page.counter("skipped_packets", "Packets passed without a verdict, by reason.", skips);
    page.counter(
        "uninspected_packets",
        "Packets that passed unseen: a user-space engine's socket had no room.",
        [([], numbers.uninspected)],
    );
    page.counter("dropped_packets", "Packets dropped (enforce).", [([], count(Counter::Dropped))]);
    let census = [([("state", "active")], numbers.census.active), ([("state", "idle")], numbers.census.idle)];
    page.gauge("flows", "Flows in the table: with a packet within the idle timeout, or without.", census);
    page.gauge("flows_max", "Room in the flow table.", [([], numbers.flows_max)]);
    page.counter("flows_opened", "Flows opened, later ones of a key included.", [([], count(Counter::Opened))]);
    let ended = ENDED.map(|counter| ([("kind", counter.name().trim_start_matches("ended-"))], count(counter)));
    page.counter("flows_expired", "Flows that ended and were followed by another of the same key, by what ended them.", ended);
    page.counter("flow_evictions", "Flows evicted from the full table.", [([], numbers.evictions)]);
    page.counter("flow_insert_failures", "Packets passed because the table took no flow.", [([], count(Counter::TableFull))]);
    page.counter("flow_evicted_updates", "Updates of a flow that was evicted meanwhile.", [([], count(Counter::Evicted))]);
    page.counter("clock_back", "Packets earlier than their flow's latest.", [([], count(Counter::ClockBack))]);
    alerts(&mut page, state, numbers);
    if let Some(cost) = numbers.cost {
        #[expect(clippy::cast_precision_loss, reason = "the format's numbers are f64")]
        let seconds = cost.run_ns as f64 / 1e9;
        page.counter("program_run_seconds", "Time in the programs.", [([], seconds)]);
        page.counter("program_runs", "Runs of the programs.", [([], cost.runs)]);
    }
    let model = [
        ("model", state.model_id()),
        ("description", state.model.model.description().to_owned()),
        ("source", state.model.source.clone()),
        ("tree", state.tree.to_owned()),
        ("hook", state.hook.name().to_owned()),
        ("engine", state.engine.to_owned()),
        ("mode", state.mode.to_owned()),
    ];
    page.gauge("model_info", "The model in use.", [(model.each_ref().map(|(name, value)| (*name, value.as_str())), 1)]);
    page.counter("model_swaps", "Models that took over from another one.", [([], state.swaps)]);
    let up: Vec<_> = state.interfaces.iter().map(|one| ([("interface", one.name.as_str())], u8::from(state.is_up(one)))).collect();
    page.gauge("interface_attached", "1 while the interface is there.", up);
    page.text
}

fn verdicts(page: &mut Page, state: &State, numbers: &Numbers) {
    let ids: Vec<_> = (0..CLASSES).map(|id| id.to_string()).collect();
    let known = state.model.model.classes();
    let verdicts: Vec<_> = (0_u16..)
        .zip(numbers.verdicts())
        .filter(|(class, count)| usize::from(*class) < known.len() || *count > 0)
        .map(|(class, count)| ([("class", state.model.class(class)), ("class_id", ids[usize::from(class)].as_str())], count))
        .collect();
    page.counter("verdicts", "Packets classified, by class; 0 is benign. A class keeps its number when a swap renames it.", verdicts);
}

fn alerts(page: &mut Page, state: &State, numbers: &Numbers) {
    let live = &numbers.live;
    page.counter("alerts_sent", "Alerts that the programs handed over.", [([], live.alerts_sent)]);
    let lost = [([("at", "ring")], live.alerts_lost), ([("at", "output")], state.alerts_lost)];
    page.counter("alerts_lost", "Alerts lost: no room in the ring buffer, or the output did not take them.", lost);
    page.counter("alerts_held", "Malicious packets of a flow whose last alert is younger than the interval.", [([], live.alerts_held)]);
    page.counter("alerts_written", "Alerts that the output took.", [([], state.alerts_written)]);
}

#[derive(Debug, Default)]
struct Page {
    text: String,
}

impl Page {
    fn counter<'a, const N: usize, V: Display>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = ([(&'a str, &'a str); N], V)>,
    ) {
        self.metric(&format!("{name}_total"), "counter", help, samples);
    }

    fn gauge<'a, const N: usize, V: Display>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = ([(&'a str, &'a str); N], V)>,
    ) {
        self.metric(name, "gauge", help, samples);
    }

    fn metric<'a, const N: usize, V: Display>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl IntoIterator<Item = ([(&'a str, &'a str); N], V)>,
    ) {
        let _ = write!(self.text, "# HELP treeline_{name} {help}\n# TYPE treeline_{name} {kind}\n");
        for (labels, value) in samples {
            let labels: Vec<_> = labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(self.text, "treeline_{name}{labels} {value}");
        }
    }
}

/// A label's value.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_break_its_line() {
        let mut page = Page::default();
        page.gauge("x", "Help.", [([("a", "one \"two\"\\\nthree")], 1)]);
        assert_eq!(page.text, "# HELP treeline_x Help.\n# TYPE treeline_x gauge\ntreeline_x{a=\"one \\\"two\\\"\\\\\\nthree\"} 1\n");
    }
}
