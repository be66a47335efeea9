//! `snapshots/verifier` -> `docs/kernels.svg`: verified instructions of the XDP program over the leaves of its compiled tree, one line per kernel.
//!
//! `cargo run -p treeline-sim --example cost_plot`

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 380.0;
/// Room left of, above, right of and below the plot.
const MARGINS: [f64; 4] = [64.0, 24.0, 150.0, 44.0];
const COLOURS: [&str; 6] = ["#9d4edd", "#2a6f97", "#2a9d8f", "#8ab17d", "#e9a03b", "#d1495b"];

/// A kernel's package, and leaves with verified instructions.
type Line = (String, Vec<(f64, f64)>);

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut paths: Vec<_> =
        fs::read_dir(root.join("snapshots/verifier"))?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    paths.sort_by_key(|path| number(path));
    let lines = paths.iter().map(|path| read(&fs::read_to_string(path)?)).collect::<Result<Vec<_>, _>>()?;
    fs::write(root.join("docs/kernels.svg"), svg(&lines)?)?;
    Ok(())
}

/// `6.12` as major and minor number.
fn number(path: &Path) -> (u32, u32) {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let (major, minor) = stem.split_once('.').unwrap_or_default();
    (major.parse().unwrap_or_default(), minor.parse().unwrap_or(u32::MAX))
}

fn read(text: &str) -> Result<Line, Box<dyn Error>> {
    let package = text.lines().next().and_then(|line| line.rsplit(' ').next()).ok_or("an empty snapshot")?;
    let mut points = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("treeline_xdp ") && line.contains("compiled,")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let (Some(leaves), Some(instructions)) = (words.get(2), words.get(4)) {
            points.push((leaves.parse()?, instructions.parse()?));
        }
    }
    Ok((package.to_owned(), points))
}

fn svg(lines: &[Line]) -> Result<String, Box<dyn Error>> {
    let [left, top, right, bottom] = MARGINS;
    let points = || lines.iter().flat_map(|(_, points)| points);
    let leaves_max = points().map(|(leaves, _)| *leaves).fold(10.0, f64::max);
    let most = (points().map(|(_, instructions)| *instructions).fold(1.0, f64::max) / 10_000.0).ceil() * 10_000.0;
    // Leaves in powers of ten from 10 on, instructions as they are.
    let x = |leaves: f64| left + (leaves.log10() - 1.0) / (leaves_max.log10() - 1.0) * (WIDTH - left - right);
    let y = |instructions: f64| HEIGHT - bottom - instructions / most * (HEIGHT - top - bottom);
    let mut body = String::new();
    for step in 0..=4 {
        let value = most * f64::from(step) / 4.0;
        writeln!(
            body,
            "<path d=\"M{left} {0:.1}H{1}\" stroke=\"#ddd\"/><text x=\"{2}\" y=\"{3:.1}\" text-anchor=\"end\">{value:.0}</text>",
            y(value),
            WIDTH - right,
            left - 6.0,
            y(value) + 4.0
        )?;
    }
    for leaves in [10.0, 100.0, 1000.0, leaves_max] {
        writeln!(body, "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{leaves}</text>", x(leaves), HEIGHT - bottom + 18.0)?;
    }
    writeln!(
        body,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">leaves of the compiled tree</text>",
        (left + WIDTH - right) / 2.0,
        HEIGHT - 6.0
    )?;
    writeln!(body, "<text x=\"8\" y=\"14\">instructions verified (the kernel's limit: 1,000,000)</text>")?;
    // Names that would lie upon each other move down.
    let mut labels: Vec<(f64, usize)> =
        lines.iter().enumerate().filter_map(|(index, (_, points))| Some((y(points.last()?.1), index))).collect();
    labels.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut lowest = 0.0;
    for (place, index) in labels {
        lowest = f64::max(place + 4.0, lowest + 15.0);
        writeln!(
            body,
            "<text x=\"{}\" y=\"{lowest:.1}\" fill=\"{}\">{}</text>",
            WIDTH - right + 8.0,
            COLOURS[index % COLOURS.len()],
            lines[index].0
        )?;
    }
    for ((_, points), colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let path: Vec<String> = points.iter().map(|(leaves, instructions)| format!("{:.1} {:.1}", x(*leaves), y(*instructions))).collect();
        writeln!(body, "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>", path.join("L"))?;
    }
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{body}</svg>\n"
    ))
}
