//! The groups that bundles may be given to.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::{Error, ErrorKind, Result, Step};

/// The groups that bundles may be given to. Empty means any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupRanges(Vec<RangeInclusive<u32>>);

impl GroupRanges {
    /// Allows a range of group ids. Groups outside all allowed ranges are refused.
    pub fn allow(&mut self, range: RangeInclusive<u32>) {
        self.0.push(range);
    }

    /// Refuses a group outside the ranges. 0 stands for "not remapped" and is always allowed.
    #[doc(hidden)]
    pub fn check(&self, group: u32) -> Result<()> {
        if group == 0 || self.0.is_empty() || self.0.iter().any(|range| range.contains(&group)) {
            return Ok(());
        }
        let message = format!("the spec gives the bundle to group {group}, which is not in the allowed ranges {self}");
        Err(Error::new(ErrorKind::GroupNotAllowed, Step::Decide, message))
    }
}

impl fmt::Display for GroupRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(f, "{separator}{}-{}", range.start(), range.end())?;
        }
        Ok(())
    }
}

impl FromStr for GroupRanges {
    type Err = String;

    /// Reads `A-B`, `A`, or several of them separated by commas.
    fn from_str(text: &str) -> Result<Self, String> {
        let number =
            |part: &str| part.trim().parse::<u32>().map_err(|error| format!("`{part}` is not a group id: {error}"));
        let mut ranges = Self::default();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let range = number(first)?..=number(last)?;
            if range.is_empty() {
                return Err(format!("`{part}` is an empty range"));
            }
            ranges.allow(range);
        }
        Ok(ranges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_ranges_are_read_and_checked() {
        let ranges: GroupRanges = "100000-165535,7".parse().unwrap();
        assert_eq!(ranges.to_string(), "100000-165535,7-7");
        for allowed in [0, 7, 100_000, 165_535] {
            ranges.check(allowed).unwrap();
        }
        for refused in [1, 8, 99_999, 165_536] {
            assert_eq!(ranges.check(refused).unwrap_err().kind(), ErrorKind::GroupNotAllowed);
        }
        GroupRanges::default().check(1).unwrap();
        for bad in ["", "5-4", "x", "1-", "-1", "1-4294967296", "1,,2"] {
            assert!(bad.parse::<GroupRanges>().is_err(), "{bad:?}");
        }
    }
}
