//! Numbers as people read them: shares, and values of features with their unit.

use treeline_ebpf::feature::{FRACTION_BITS, NAMES};

/// What stands for a ratio of nothing.
pub const NONE: &str = "-";

/// A share in percent, two decimals. Only 0 and 1 themselves read as such.
pub fn percent(share: Option<f64>) -> String {
    bare(share).map_or_else(|| NONE.to_owned(), |figure| format!("{figure} %"))
}

/// The same without its sign, for columns that have it in their head.
pub fn percentage(share: Option<f64>) -> String {
    bare(share).unwrap_or_else(|| NONE.to_owned())
}

fn bare(share: Option<f64>) -> Option<String> {
    let share = share?;
    let rounded = format!("{:.2}", share * 100.0);
    Some(match rounded.as_str() {
        "0.00" if share > 0.0 => "<0.01".to_owned(),
        "100.00" if share < 1.0 => ">99.99".to_owned(),
        _ => rounded,
    })
}

/// A value of feature `feature` (an index into the schema), fixed point, short and with its unit: for pictures, not exact.
#[expect(clippy::cast_precision_loss, reason = "six digits are shown")]
pub fn quantity(feature: usize, fixed: i64) -> String {
    let value = fixed as f64 / f64::from(1_u32 << FRACTION_BITS);
    match NAMES.get(feature).map_or("", |(_, unit)| unit) {
        "ns" => duration(value),
        "byte" => format!("{} B", short(value)),
        _ => short(value),
    }
}

/// Nanoseconds in the greatest unit of which there is one.
fn duration(ns: f64) -> String {
    let (scale, unit) = match ns.abs() {
        size if size >= 1e9 => (1e9, "s"),
        size if size >= 1e6 => (1e6, "ms"),
        size if size >= 1e3 => (1e3, "µs"),
        _ => (1.0, "ns"),
    };
    format!("{} {unit}", short(ns / scale))
}

/// No zeros at the end. Five decimals below 10, so that a value one step beside a whole number does not read as that.
pub fn short(value: f64) -> String {
    let text = if value.abs() < 10.0 { format!("{value:.5}") } else { format!("{value:.3}") };
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0" } else { text }.to_owned()
}

/// At most six decimals, which tells neighbouring values apart: their steps are 0.000015.
pub fn decimal(value: f64) -> String {
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0" } else { text }.to_owned()
}

/// The name with what could steer a terminal or break a document made visible.
pub fn plain(name: &str) -> String {
    let hides =
        |letter: char| letter.is_control() || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    name.chars().map(|letter| if hides(letter) || matches!(letter, '\u{fffe}' | '\u{ffff}') { '\u{fffd}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nothing_is_zero_and_only_all_is_a_hundred() {
        let shares = [None, Some(0.0), Some(1e-9), Some(0.5), Some(2.0 / 3.0), Some(0.999_999), Some(1.0)];
        assert_eq!(shares.map(percent), ["-", "0.00 %", "<0.01 %", "50.00 %", "66.67 %", ">99.99 %", "100.00 %"]);
    }

    #[test]
    fn a_quantity_has_its_features_unit() {
        let values =
            [(0, 80 << 16), (3, (1500 << 16) + 32_768), (4, 1 << 16), (7, 1_500_000 << 16), (10, 12_000_000_000 << 16), (8, 65_535)];
        assert_eq!(values.map(|(feature, fixed)| quantity(feature, fixed)), ["80", "1500.5 B", "1 ns", "1.5 ms", "12 s", "0.99998"]);
    }

    #[test]
    fn a_decimal_has_no_sign_of_nothing() {
        assert_eq!([-1e-9, -0.5, 0.0].map(decimal), ["0", "-0.5", "0"]);
    }

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        assert_eq!(plain("a\u{1b}[31m\n\u{202e}b"), "a\u{fffd}[31m\u{fffd}\u{fffd}b");
    }
}
