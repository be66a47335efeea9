//! Times as labels write them, into nanoseconds since 1970, UTC.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{self, TimeZone};

/// The local time of CIC-IDS-2017's published flow tables: Atlantic Daylight Time, hours from UTC.
const LOCAL_HOURS: i8 = -3;
/// The published tables write hours from 1 to 12 without AM or PM, and the captures run from before 9 to 5 in the afternoon: these hours are
/// past noon.
const AFTERNOON_HOURS: std::ops::RangeInclusive<i8> = 1..=7;

const SECOND_NS: u64 = 1_000_000_000;

/// A moment and how finely it is given: it lies in `[start_ns, start_ns + resolution_ns)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) start_ns: u64,
    pub(super) resolution_ns: u64,
}

/// RFC 3339, or seconds since 1970 with up to nine digits after the point. `None` for anything else and for times before 1970 or after 2554.
pub(super) fn instant(text: &str) -> Option<u64> {
    seconds(text).or_else(|| nanoseconds(text.parse::<Timestamp>().ok()?))
}

fn nanoseconds(time: Timestamp) -> Option<u64> {
    u64::try_from(time.as_nanosecond()).ok()
}

fn seconds(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || fraction.len() > 9 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let fraction: u64 = format!("{fraction:0<9}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(SECOND_NS)?.checked_add(fraction)
}

/// The time of a flow table's row: the corrected table's `2017-07-07 12:59:21.088203` in UTC, or the published `7/7/2017 3:30`,
/// `03/07/2017 08:55:58` in local time, day first.
pub(super) fn table(text: &str) -> Option<Moment> {
    if text.contains('/') { published(text) } else { corrected(text) }
}

fn corrected(text: &str) -> Option<Moment> {
    let time: DateTime = text.parse().ok()?;
    let start_ns = nanoseconds(TimeZone::UTC.to_timestamp(time).ok()?)?;
    Some(Moment { start_ns, resolution_ns: if text.contains('.') { 1000 } else { SECOND_NS } })
}

fn published(text: &str) -> Option<Moment> {
    let mut words = text.split_ascii_whitespace();
    let (date, clock, half) = (words.next()?, words.next()?, words.next());
    if words.next().is_some() {
        return None;
    }
    let [day, month, year] = parts(date, '/')?;
    let (clock, resolution_ns) =
        if clock.matches(':').count() == 1 { (format!("{clock}:0"), 60 * SECOND_NS) } else { (clock.to_owned(), SECOND_NS) };
    let [hour, minute, second] = parts(&clock, ':')?;
    let date = Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    let hour = hour_of_day(i8::try_from(hour).ok()?, half)?;
    let time = Time::new(hour, i8::try_from(minute).ok()?, i8::try_from(second).ok()?, 0).ok()?;
    let start_ns = nanoseconds(tz::offset(LOCAL_HOURS).to_timestamp(date.to_datetime(time)).ok()?)?;
    Some(Moment { start_ns, resolution_ns })
}

fn hour_of_day(hour: i8, half: Option<&str>) -> Option<i8> {
    match half.map(str::to_ascii_uppercase).as_deref() {
        None if AFTERNOON_HOURS.contains(&hour) => Some(hour + 12),
        None => Some(hour),
        Some("AM") if (1..=12).contains(&hour) => Some(hour % 12),
        Some("PM") if (1..=12).contains(&hour) => Some(hour % 12 + 12),
        Some(_) => None,
    }
}

fn parts(text: &str, separator: char) -> Option<[i16; 3]> {
    let mut parts = text.split(separator).map(|part| part.parse::<i16>().ok());
    let three = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(three)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> u64 {
        instant(text).expect("a time")
    }

    #[test]
    fn rules_take_rfc_3339_and_seconds() {
        assert_eq!(instant("2017-07-06T13:15:00Z"), Some(1_499_346_900_000_000_000));
        assert_eq!(instant("2017-07-06T10:15:00-03:00"), Some(1_499_346_900_000_000_000));
        assert_eq!(instant("1499346900"), Some(1_499_346_900_000_000_000));
        assert_eq!(instant("1499346900.000000001"), Some(1_499_346_900_000_000_001));
        assert_eq!(instant("2017-07-06T13:15:00.5Z"), instant("1499346900.5"));
        for text in ["", "-1", "1e9", ".5", "1.0000000001", "99999999999", "2017-07-06T13:15:00", "1960-01-01T00:00:00Z", "13:15"] {
            assert_eq!(instant(text), None, "{text}");
        }
    }

    #[test]
    fn published_hours_from_1_to_7_are_in_the_afternoon() {
        for (text, expected) in [
            ("7/7/2017 3:30", "2017-07-07T18:30:00Z"),
            ("5/7/2017 9:48", "2017-07-05T12:48:00Z"),
            ("5/7/2017 12:00", "2017-07-05T15:00:00Z"),
            ("03/07/2017 08:55:58", "2017-07-03T11:55:58Z"),
            ("03/07/2017 01:00:01", "2017-07-03T16:00:01Z"),
            ("03/07/2017 7:59", "2017-07-03T22:59:00Z"),
            ("03/07/2017 16:00", "2017-07-03T19:00:00Z"),
            ("03/07/2017 12:30 PM", "2017-07-03T15:30:00Z"),
            ("03/07/2017 12:30 am", "2017-07-03T03:30:00Z"),
        ] {
            assert_eq!(table(text).map(|moment| moment.start_ns), Some(utc(expected)), "{text}");
        }
    }

    #[test]
    fn a_time_covers_its_resolution() {
        let resolution = |text| table(text).expect("a time").resolution_ns;
        assert_eq!(resolution("7/7/2017 3:30"), 60_000_000_000);
        assert_eq!(resolution("03/07/2017 08:55:58"), 1_000_000_000);
        assert_eq!(resolution("2017-07-07 12:59:21"), 1_000_000_000);
        assert_eq!(resolution("2017-07-07 12:59:21.088203"), 1000);
    }

    #[test]
    fn corrected_times_are_utc_microseconds() {
        assert_eq!(table("2017-07-07 12:59:21.088203").map(|moment| moment.start_ns), Some(utc("2017-07-07T12:59:21.088203Z")));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "/", "//", "7/7/2017", "31/2/2017 3:30", "7/13/2017 3:30", "7/7/2017 25:00", "7/7/2017 3:61", "7/7/2017 3:30 XM"] {
            assert_eq!(table(text), None, "{text}");
        }
        for text in
            ["7/7/2017 13:30 PM", "7/7/2017 3:30:00:00", "7/7/99999 3:30", "1/1/-1 3:30", "2017-07-07", "a 1:2", "7/7/2017 3:30 PM x"]
        {
            assert!(table(text).is_none_or(|moment| moment.resolution_ns == SECOND_NS && !text.contains('/')), "{text}");
        }
    }
}
