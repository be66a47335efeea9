//! The page's charts: flows found by packet number, and bars for the features.

use std::fmt::Write;

use treeline_data::evaluate::Detection;
use treeline_data::evaluate::matrix::ratio;

use super::markup::escape;
use super::subject::Subject;
use crate::figure::percent;
use crate::report::number;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 330.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 46.0;
/// Classes with a line of their own: as many as there are colours that can be told apart. Those with the most flows get one.
const LINES_MAX: usize = 7;
/// The axis ends here or at the last detection, whichever comes first, but shows at least 100 packets.
const PACKET_MAX: u64 = 100_000;

/// A line of the chart.
struct Line {
    name: String,
    class: String,
    flows: Detection,
}

/// The share of each class's flows found by packet number, on a logarithmic axis.
pub fn detection(subject: &Subject<'_>) -> String {
    let lines = lines(subject);
    if lines.is_empty() {
        return "<p>No flow has a label.</p>\n".to_owned();
    }
    let last = lines.iter().filter_map(|line| line.flows.quantile(100)).max().unwrap_or(1).clamp(100, PACKET_MAX);
    let mut svg = format!(
        "<figure><div class=\"wide\"><svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"detection-title\">\n\
         <title id=\"detection-title\">Share of flows found by packet number, one line per class</title>\n"
    );
    axes(&mut svg, last);
    for line in &lines {
        let title = format!("{}: {} of {} flows found", line.name, number(line.flows.found_by(u64::MAX)), number(line.flows.flows()));
        let _ = writeln!(
            svg,
            "<path class=\"line {}\" d=\"{}\"><title>{}</title></path>",
            line.class,
            steps(&line.flows, last),
            escape(&title)
        );
    }
    svg.push_str("</svg></div>\n<figcaption><ul class=\"legend\">");
    for line in &lines {
        let _ = write!(
            svg,
            "<li><svg viewBox=\"0 0 24 10\" aria-hidden=\"true\"><title>line</title><path class=\"line {}\" d=\"M0 5H24\"/></svg>{} ({} flows)</li>",
            line.class,
            escape(&line.name),
            number(line.flows.flows())
        );
    }
    svg.push_str("</ul></figcaption></figure>\n");
    svg
}

fn lines(subject: &Subject<'_>) -> Vec<Line> {
    let classes = subject.classes();
    let (benign, mut malicious): (Vec<_>, Vec<_>) = classes.into_iter().partition(|class| class.is_benign);
    malicious.sort_by_key(|class| std::cmp::Reverse(class.flows.flows()));
    let mut lines = Vec::new();
    if malicious.len() > 1 {
        lines.push(Line { name: "all malicious".to_owned(), class: "all".to_owned(), flows: subject.evaluation.total.malicious() });
    }
    for (position, class) in malicious.into_iter().take(LINES_MAX).enumerate() {
        lines.push(Line { name: class.name.to_owned(), class: format!("hue-{position}"), flows: class.flows });
    }
    for class in benign {
        lines.push(Line { name: "benign, false alarms".to_owned(), class: "benign".to_owned(), flows: class.flows });
    }
    lines
}

/// Position of a packet number; 1 stands a little off the axis.
#[expect(clippy::cast_precision_loss, reason = "a picture")]
fn x(packet: u64, last: u64) -> f64 {
    LEFT + 8.0 + (WIDTH - LEFT - RIGHT - 16.0) * (packet as f64).ln() / (last as f64).ln()
}

fn y(share: f64) -> f64 {
    HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share
}

fn axes(svg: &mut String, last: u64) {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for quarter in 0..=4_u8 {
        let y = y(f64::from(quarter) / 4.0);
        let _ = writeln!(
            svg,
            "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/><text class=\"end\" x=\"{}\" y=\"{:.1}\">{} %</text>",
            LEFT - 6.0,
            y + 4.0,
            quarter * 25
        );
    }
    let decades = std::iter::successors(Some(1_u64), |packet| packet.checked_mul(10)).take_while(|&packet| packet <= last);
    let ticks: Vec<u64> =
        if last <= 1_000 { decades.flat_map(|packet| [1, 2, 5].map(|lead| lead * packet)).collect() } else { decades.collect() };
    for packet in ticks.into_iter().filter(|&packet| packet <= last) {
        let x = x(packet, last);
        let _ = writeln!(
            svg,
            "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\"/><text class=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
            bottom + 18.0,
            number(packet)
        );
    }
    let _ = writeln!(
        svg,
        "<text class=\"middle\" x=\"{}\" y=\"{}\">number of packets in the flow so far</text>",
        f64::midpoint(LEFT, right),
        HEIGHT - 8.0
    );
}

/// The share as a line of steps; steps of the same half pixel are drawn as one.
fn steps(flows: &Detection, last: u64) -> String {
    let share = |packet| y(ratio(flows.found_by(packet), flows.flows()).unwrap_or_default());
    let mut path = format!("M{:.1} {:.1}", x(1, last), share(1));
    let mut drawn = x(1, last);
    let mut open = None;
    for (packet, _) in flows.found().skip_while(|&(packet, _)| packet <= 1).take_while(|&(packet, _)| packet <= last) {
        open = Some(packet);
        if x(packet, last) - drawn >= 0.5 {
            drawn = x(packet, last);
            let _ = write!(path, "H{drawn:.1}V{:.1}", share(packet));
            open = None;
        }
    }
    if let Some(packet) = open {
        let _ = write!(path, "H{:.1}V{:.1}", x(packet, last), share(packet));
    }
    let _ = write!(path, "H{:.1}", x(last, last));
    path
}

/// A bar a feature: name, importance, share of questions.
pub fn importances(features: &[(&str, f64, f64)]) -> String {
    const ROW: f64 = 26.0;
    const NAME: f64 = 150.0;
    const BAR: f64 = 260.0;
    let rows = u32::try_from(features.len()).map_or(0.0, f64::from);
    let mut svg = format!(
        "<div class=\"wide\"><svg class=\"bars\" viewBox=\"0 0 {} {}\" role=\"img\" aria-labelledby=\"importance-title\">\n\
         <title id=\"importance-title\">Importance of each feature</title>\n",
        NAME + BAR + 70.0,
        rows * ROW
    );
    for (position, &(name, gini, _)) in (0_u32..).zip(features) {
        let top = f64::from(position) * ROW;
        let _ = writeln!(
            svg,
            "<text class=\"end\" x=\"{}\" y=\"{}\">{}</text><rect class=\"bar\" x=\"{NAME}\" y=\"{}\" width=\"{:.1}\" height=\"16\"/><text x=\"{:.1}\" y=\"{}\">{}</text>",
            NAME - 8.0,
            top + 17.0,
            escape(name),
            top + 5.0,
            (gini * BAR).max(1.0),
            NAME + gini * BAR + 6.0,
            top + 17.0,
            escape(&percent(Some(gini)))
        );
    }
    svg.push_str("</svg></div>\n");
    svg
}
