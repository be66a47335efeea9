//! Rows -> SVG: bars of packets inspected a second with their standard deviation, goodput beside them.

use super::row::{Row, Spread};

const WIDTH: f64 = 900.0;
const BAR: f64 = 22.0;
const LABEL: f64 = 205.0;
/// Of either kind of bar at its longest, its deviation included.
const SPAN: f64 = 270.0;

/// A plot of all rows.
pub fn svg(rows: &[Row]) -> String {
    let longest = |of: &dyn Fn(&Row) -> f64| rows.iter().map(of).fold(f64::MIN_POSITIVE, f64::max);
    let end = |Spread { mean, deviation }| mean + deviation;
    let (rate_max, goodput_max) = (longest(&|row| end(row.rate())), longest(&|row| end(row.goodput())));
    let mut body = String::new();
    let mut y = 24.0;
    for (offload, title) in [(true, "segmentation offload on"), (false, "segmentation offload off")] {
        let rows: Vec<_> = rows.iter().filter(|row| row.offload == offload).collect();
        if rows.is_empty() {
            continue;
        }
        let (rates, goodputs) = (LABEL, LABEL + SPAN + 90.0);
        body.push_str(&text(8.0, y, &format!("font-weight=\"bold\">{title}")));
        body.push_str(&text(rates, y, ">packets inspected a second"));
        body.push_str(&text(goodputs, y, ">goodput, Gbit/s"));
        y += 10.0;
        for row in rows {
            let middle = y + BAR * 0.68;
            body.push_str(&text(8.0, middle, &format!(">{}", row.alternative.name)));
            if row.not_available.is_some() {
                body.push_str(&text(rates, middle, "fill=\"#888\">not available"));
            } else {
                let (rate, goodput) = (row.rate(), row.goodput());
                body.push_str(&bar(
                    rates,
                    y,
                    [rate.mean, rate.deviation].map(|value| value / rate_max * SPAN),
                    "#2a6f97",
                    &thousands(rate.mean),
                ));
                let lengths = [goodput.mean, goodput.deviation].map(|value| value / goodput_max * SPAN);
                body.push_str(&bar(goodputs, y, lengths, "#8ab17d", &format!("{:.2}", goodput.mean / 1e9)));
            }
            y += BAR;
        }
        y += 30.0;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{y:.0}\" viewBox=\"0 0 {WIDTH} {y:.0}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{body}</svg>\n"
    )
}

/// `rest` is further attributes, `>` and the text.
fn text(x: f64, y: f64, rest: &str) -> String {
    format!("<text x=\"{x:.0}\" y=\"{y:.1}\" {rest}</text>\n")
}

/// A bar with its standard deviation as a line, and its value behind both.
fn bar(x: f64, y: f64, [length, deviation]: [f64; 2], colour: &str, value: &str) -> String {
    let (end, middle, height) = (x + length, y + BAR / 2.0, BAR - 6.0);
    format!(
        "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>\n\
         <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\" stroke=\"#222\"/>\n{}",
        y + 3.0,
        (end - deviation).max(x),
        end + deviation,
        text(end + deviation + 6.0, middle + 4.5, &format!(">{value}"))
    )
}

fn thousands(value: f64) -> String {
    if value >= 1e6 { format!("{:.2}M", value / 1e6) } else { format!("{:.0}k", value / 1e3) }
}
