//! A series of kernels: text -> which of Debian's packages belong to it, and which of them is the newest.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use super::GuestError;

/// A line: `6.1`, or `7.x` for all that begin with 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Line {
    major: u32,
    /// None: any.
    minor: Option<u32>,
}

/// The lines of the matrix, oldest first: one for each Debian release that is maintained, and what is newest.
pub const LINES: [Line; 5] = [Line::of(5, 10), Line::of(6, 1), Line::of(6, 12), Line::of(6, 18), Line { major: 7, minor: None }];

/// So many of the matrix there must be: an archive that lost more is an error, not a skip.
pub const LINES_MIN: usize = 4;

impl Line {
    const fn of(major: u32, minor: u32) -> Self {
        Self { major, minor: Some(minor) }
    }

    /// The newest of the archive's packages that holds an image of this line.
    pub(crate) fn newest<'a>(self, packages: impl Iterator<Item = &'a str>) -> Option<&'a str> {
        packages.filter(|package| self.holds(package)).max_by(|left, right| order(left, right))
    }

    /// Whether the package is a cloud kernel of this line for x86-64. A package without a third number is an empty one that depends on others.
    fn holds(self, package: &str) -> bool {
        let Some((_, version)) = release(package) else { return false };
        let prefix = match self.minor {
            Some(minor) => format!("{}.{minor}.", self.major),
            None => format!("{}.", self.major),
        };
        version.starts_with(&prefix) && version.split(['.', '-', '+']).nth(2).is_some_and(|third| third.parse::<u32>().is_ok())
    }
}

/// Whether a package is the one with the bytes (from 6.19 on `linux-image` only depends on `linux-binary`), and the kernel's release.
fn release(package: &str) -> Option<(bool, &str)> {
    let (binary, rest) = match package.strip_prefix("linux-binary-") {
        Some(rest) => (true, rest),
        None => (false, package.strip_prefix("linux-image-")?),
    };
    Some((binary, rest.strip_suffix("-cloud-amd64")?))
}

/// By the numbers in the release, then images behind binaries.
fn order(left: &str, right: &str) -> Ordering {
    let key = |package| {
        let (binary, release) = release(package).unwrap_or_default();
        let numbers: Vec<u64> = release.split(|letter: char| !letter.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
        (numbers, binary)
    };
    key(left).cmp(&key(right))
}

impl FromStr for Line {
    type Err = GuestError;

    fn from_str(text: &str) -> Result<Self, GuestError> {
        let wrong = || GuestError::Line { text: text.to_owned() };
        let (major, minor) = text.split_once('.').ok_or_else(wrong)?;
        let number = |digits: &str| digits.parse::<u32>().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let minor = if minor == "x" { None } else { Some(number(minor).ok_or_else(wrong)?) };
        Ok(Self { major: number(major).ok_or_else(wrong)?, minor })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.minor {
            Some(minor) => write!(formatter, "{}.{minor}", self.major),
            None => write!(formatter, "{}.x", self.major),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newest(line: &str) -> Option<&'static str> {
        let packages = [
            "linux-image-6.1-cloud-amd64",
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-0.deb11.52-cloud-amd64",
            "linux-image-6.1.0-56-cloud-amd64",
            "linux-image-6.1.0-56-cloud-amd64-unsigned",
            "linux-image-6.1.0-56-cloud-arm64",
            "linux-image-6.12.9+deb13-cloud-amd64",
            "linux-image-6.12.118+deb13-cloud-amd64",
            "linux-image-7.2.12+deb13-cloud-amd64",
            "linux-binary-7.2.12+deb13-cloud-amd64",
            "linux-image-7.10.1+deb13-cloud-amd64",
            "linux-binary-7.10.1+deb13-cloud-amd64",
            "linux-image-7.10.1+deb13-cloud-amd64",
        ];
        line.parse::<Line>().expect("a line").newest(packages.into_iter())
    }

    #[test]
    fn the_newest_of_a_line_is_found_by_its_numbers() {
        assert_eq!(newest("6.1"), Some("linux-image-6.1.0-56-cloud-amd64"));
        assert_eq!(newest("6.12"), Some("linux-image-6.12.118+deb13-cloud-amd64"));
        assert_eq!(newest("7.2"), Some("linux-binary-7.2.12+deb13-cloud-amd64"));
        assert_eq!(newest("7.x"), Some("linux-binary-7.10.1+deb13-cloud-amd64"));
        assert_eq!(newest("5.15"), None);
    }

    #[test]
    fn a_line_reads_as_it_is_written() {
        for line in LINES {
            assert_eq!(line.to_string().parse::<Line>().expect("a line"), line);
        }
        for text in ["", "6", "6.", "6.1.2", "x.1", "6.+1", "kernel"] {
            assert_eq!(
                text.parse::<Line>().expect_err(text).to_string(),
                format!("{text}: not a series of kernels; one is like 6.1, or 7.x for the newest of all 7")
            );
        }
    }
}
