//! A replay's summary as text, as JSON, and its packets as JSON lines.

use std::fmt::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde_json::{Map, Value, json};
use treeline_ebpf::{Counter, Outcome, Skip, feature};
use treeline_lab::capture::Unsupported;
use treeline_sim::conversation::Conversation;
use treeline_sim::replay::{Seen, Summary};
use treeline_sim::suspect::Suspect;

/// What the vm and the kernel ran.
pub struct Programs {
    /// The hook.
    pub hook: &'static str,
    /// How they held the tree.
    pub tree: &'static str,
}

impl fmt::Display for Programs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "hook {}, tree {}", self.hook, self.tree)
    }
}

/// The report for people.
pub fn text(path: &Path, summary: &Summary, notes: &[String], programs: &Programs, classes: &[String], list: usize) -> String {
    let counted = |counter: Counter| summary.counters[counter as usize];
    let mut text = format!("{}\n", path.display());
    let mut line = |label: &str, value: String| {
        let _ = writeln!(text, "  {label:<11}{value}");
    };
    line("frames", number(summary.frames));
    line("classified", number(summary.judged()));
    line("skipped", skipped(Skip::ALL.map(|skip| counted(skip.counter())), &summary.unsupported));
    let ended = [Counter::EndedIdle, Counter::EndedActive, Counter::EndedLimit, Counter::EndedClosed];
    let ended = listed(ended.map(|counter| (counter.name(), counted(counter))));
    let opened = number(counted(Counter::Opened));
    line("flows", if ended.is_empty() { opened } else { format!("{opened} ({ended})") });
    if counted(Counter::ClockBack) > 0 {
        line("clock-back", number(counted(Counter::ClockBack)));
    }
    line("malicious", format!("{} packets in {} flows", number(counted(Counter::Malicious)), number(summary.flows_malicious)));
    if !summary.suspects.is_empty() && list > 0 {
        let _ = write!(text, "\n{}\n", suspects(&summary.suspects, classes, list));
        let more = summary.flows_malicious.saturating_sub(list as u64);
        if more > 0 {
            let _ = writeln!(text, "  and {} more (--list N shows more)", number(more));
        }
    }
    let _ = write!(text, "\n{}\n", engines(summary));
    for note in notes {
        let _ = writeln!(text, "  {note}");
    }
    for engine in &summary.engines {
        for (reason, count) in &engine.untaken {
            let _ = writeln!(text, "  {} did not take {} frames: {reason}", engine.name, number(*count));
        }
        if let Some(retired) = &engine.retired {
            let _ = writeln!(text, "  {} {retired}", engine.name);
        }
    }
    let _ = writeln!(text, "\n{}", conclusion(summary, programs));
    text
}

/// What another replay of the same capture adds.
pub fn again(summary: &Summary, programs: &Programs) -> String {
    let retired = summary.engines.iter().filter_map(|engine| Some(format!("  {} {}\n", engine.name, engine.retired.as_ref()?)));
    retired.chain([format!("{}\n", conclusion(summary, programs))]).collect()
}

/// The one line that matters, or the divergence in full.
fn conclusion(summary: &Summary, programs: &Programs) -> String {
    let names: Vec<_> = summary.engines.iter().map(|engine| engine.name).collect();
    match (&summary.divergence, names.as_slice()) {
        (Some(divergence), _) => {
            format!("DIVERGENCE ({programs}) after {} frames: {divergence}", number(summary.agreed + summary.incomplete))
        }
        (None, [_]) => agreement(&names, summary.frames - summary.unsupported.count()),
        (None, [_, ..]) => {
            let mut line = format!("{} ({programs})", agreement(&names, summary.agreed));
            if summary.incomplete > 0 {
                let _ = write!(line, "; on {} more at least one engine was left out (see above)", number(summary.incomplete));
            }
            line
        }
        (None, []) => String::new(),
    }
}

/// Which engines agree on so many packets, or that there was one alone.
pub fn agreement(engines: &[&str], packets: u64) -> String {
    match engines {
        [] => String::new(),
        [name] => format!("{} packets through {name} alone: nothing to compare", number(packets)),
        [names @ .., last] => format!("{} and {last} agree on {} packets", names.join(", "), number(packets)),
    }
}

fn suspects(suspects: &[Suspect], classes: &[String], list: usize) -> Table {
    let mut table = plain();
    table.set_header(["originator", "responder", "protocol", "packets", "malicious", "first", "verdict"]);
    for suspect in suspects.iter().take(list) {
        let Conversation { originator, responder, protocol } = suspect.conversation;
        table.add_row([
            endpoint(originator, protocol),
            endpoint(responder, protocol),
            protocol_name(protocol),
            number(suspect.packets),
            number(suspect.packets_malicious),
            number(suspect.first_malicious),
            class(classes, suspect.class).to_owned(),
        ]);
    }
    right(&mut table, 3..6);
    table
}

fn engines(summary: &Summary) -> Table {
    let mut table = plain();
    table.set_header(["engine", "packets", "ns/packet", "Mpps"]);
    for engine in &summary.engines {
        let ns = engine.timing.ns_per_packet();
        let rate = if ns > 0.0 { format!("{:.2}", 1000.0 / ns) } else { "-".to_owned() };
        table.add_row([engine.name.to_owned(), number(engine.timing.packets), format!("{ns:.0}"), rate]);
    }
    right(&mut table, 1..4);
    table
}

/// A table without lines.
pub fn plain() -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table
}

/// A plain table whose columns `numbers` stand to the right.
pub fn headed<T: Into<String>>(head: impl IntoIterator<Item = T>, numbers: std::ops::Range<usize>) -> Table {
    let head: Vec<String> = head.into_iter().map(Into::into).collect();
    let mut table = plain();
    table.set_header(head);
    right(&mut table, numbers);
    table
}

/// Aligns columns of numbers.
pub fn right(table: &mut Table, columns: std::ops::Range<usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// `name count` of those that are not 0.
pub fn listed<const N: usize>(counts: [(&str, u64); N]) -> String {
    let parts: Vec<_> = counts.iter().filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name} {}", number(*count))).collect();
    parts.join(", ")
}

/// Frames without a verdict, by reason, in the order of [`Skip::ALL`], and those that no engine saw.
pub fn skipped(counts: [u64; Skip::ALL.len()], unsupported: &Unsupported) -> String {
    let counts = Skip::ALL.iter().zip(counts).filter(|(_, count)| *count > 0).map(|(skip, count)| (skip.name().to_owned(), count));
    let unsupported = unsupported.iter().map(|(_, name, count)| (name, count));
    let parts: Vec<_> = counts.chain(unsupported).map(|(name, count)| format!("{name} {}", number(count))).collect();
    if parts.is_empty() { "0".to_owned() } else { parts.join(", ") }
}

/// The same for machines.
pub fn skipped_json(counts: [u64; Skip::ALL.len()], unsupported: &Unsupported) -> Value {
    let counts = Skip::ALL.iter().zip(counts).map(|(skip, count)| (skip.name(), count));
    let counts = counts.chain([("unsupported-link-type", unsupported.count())]);
    Value::Object(counts.map(|(name, count)| (name.to_owned(), json!(count))).collect())
}

/// A line that says which frames have no record.
pub fn left_out(path: &Path, unsupported: &Unsupported) -> Option<String> {
    let parts: Vec<_> = unsupported.iter().map(|(_, name, count)| format!("{} of {name}", number(count))).collect();
    (!parts.is_empty()).then(|| format!("{}: frames not read: {}", path.display(), parts.join(", ")))
}

/// The frames of each unsupported link type, for machines.
pub fn link_types(unsupported: &Unsupported) -> Value {
    Value::Object(unsupported.iter().map(|(number, _, count)| (number.to_string(), json!(count))).collect())
}

/// The number with a comma between groups of three digits.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The name of a model's class.
pub fn class(classes: &[String], class: u16) -> &str {
    classes.get(usize::from(class)).map_or("unknown", String::as_str)
}

/// Address and port, or the address alone for a protocol without ports.
pub fn endpoint((address, port): (IpAddr, u16), protocol: u8) -> String {
    if matches!(protocol, treeline_ebpf::packet::TCP | treeline_ebpf::packet::UDP) {
        SocketAddr::new(address, port).to_string()
    } else {
        address.to_string()
    }
}

/// The usual name of an IP protocol.
pub fn protocol_name(protocol: u8) -> String {
    match protocol {
        1 => "icmp".to_owned(),
        2 => "igmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        47 => "gre".to_owned(),
        50 => "esp".to_owned(),
        58 => "icmpv6".to_owned(),
        132 => "sctp".to_owned(),
        other => other.to_string(),
    }
}

/// The summary for machines.
pub fn json(path: &Path, summary: &Summary, notes: &[String], programs: &Programs, classes: &[String]) -> Value {
    let counters: Map<_, _> =
        Counter::ALL.iter().map(|counter| (counter.name().to_owned(), json!(summary.counters[*counter as usize]))).collect();
    let suspects: Vec<_> = summary
        .suspects
        .iter()
        .map(|suspect| {
            let Conversation { originator, responder, protocol } = suspect.conversation;
            json!({
                "originator": { "address": originator.0, "port": originator.1 },
                "responder": { "address": responder.0, "port": responder.1 },
                "protocol": protocol,
                "first_ns": suspect.first_ns,
                "packets": suspect.packets,
                "packets_malicious": suspect.packets_malicious,
                "first_malicious_packet": suspect.first_malicious,
                "first_malicious_frame": suspect.first_malicious_frame,
                "verdict": class(classes, suspect.class),
            })
        })
        .collect();
    let engines: Vec<_> = summary
        .engines
        .iter()
        .map(|engine| {
            json!({
                "name": engine.name,
                "packets": engine.timing.packets,
                "ns_per_packet": engine.timing.ns_per_packet(),
                "untaken": engine.untaken,
                "retired": engine.retired,
            })
        })
        .collect();
    let divergence = summary.divergence.as_ref().map(|divergence| {
        let differences: Vec<_> = divergence
            .differences
            .iter()
            .map(|difference| json!({ "what": difference.what, "first": difference.first, "second": difference.second }))
            .collect();
        json!({ "engines": divergence.engines, "frame": divergence.frame.index, "time_ns": divergence.frame.time_ns, "differences": differences })
    });
    json!({
        "capture": path.display().to_string(),
        "hook": programs.hook,
        "tree": programs.tree,
        "frames": summary.frames,
        "judged": summary.judged(),
        "counters": counters,
        "unsupported_link_types": link_types(&summary.unsupported),
        "flows_malicious": summary.flows_malicious,
        "malicious_flows": suspects,
        "engines": engines,
        "unavailable": notes,
        "agreed": summary.agreed,
        "incomplete": summary.incomplete,
        "divergence": divergence,
        "damage": summary.damage,
        "warning": summary.warning,
    })
}

/// A packet for machines. Features come exact, as integers with 16 fractional bits, and as numbers.
pub fn record(path: &Path, seen: &Seen<'_>, classes: &[String]) -> Value {
    let (verdict, skip) = match seen.outcome {
        Outcome::Judged(judged) => (Some(class(classes, judged)), None),
        Outcome::Skipped(skip) => (None, Some(skip.name())),
    };
    let fixed = seen.observation.and_then(|observation| observation.features);
    #[expect(clippy::cast_precision_loss, reason = "the exact value stands beside it")]
    let features: Option<Map<_, _>> = fixed.map(|fixed| {
        feature::NAMES.iter().zip(fixed).map(|((name, _), value)| ((*name).to_owned(), json!(value as f64 / 65536.0))).collect()
    });
    json!({
        "capture": path.display().to_string(),
        "index": seen.frame.index,
        "time_ns": seen.frame.time_ns,
        "verdict": verdict,
        "skip": skip,
        "features": features,
        "features_fixed": fixed,
    })
}
