//! Times as people write and read them.

use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};

/// A time, or how long ago: `2026-01-31T12:00:00Z`, `10m`, `1h30m`, `90s`.
pub(super) fn since(text: &str) -> Result<SystemTime, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.into());
    }
    let ago: Option<SignedDuration> = text.parse().ok();
    let ago = ago.and_then(|ago| Duration::try_from(ago).ok());
    ago.and_then(|ago| SystemTime::now().checked_sub(ago))
        .ok_or_else(|| format!("{text:?} is neither a time such as 2026-01-31T12:00:00Z nor a while such as 10m"))
}

/// A time as RFC 3339 has it, in UTC, to the second.
pub(super) fn time(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .map_or_else(String::new, |time| time.to_string())
}

/// How long ago that was, as a person says it: `3 s`, `5 min`, `2 h`, `12 d`.
pub(super) fn age(time: SystemTime) -> String {
    let seconds = SystemTime::now().duration_since(time).map_or(0, |since| since.as_secs());
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(since("1970-01-01T00:01:00Z"), Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(60)));
        for (text, seconds) in [("90s", 90), ("10m", 600), ("1h30m", 5400), ("2h", 7200)] {
            let then = since(text).unwrap();
            let ago = SystemTime::now().duration_since(then).unwrap().as_secs();
            assert!((seconds..seconds + 5).contains(&ago), "{text}: {ago}");
        }
        for text in ["", "soon", "-5m", "10", "2026-13-01T00:00:00Z"] {
            assert!(since(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ages_have_one_unit() {
        let ago = |seconds| age(SystemTime::now() - Duration::from_secs(seconds));
        assert_eq!([ago(5), ago(65), ago(7300), ago(260_000)], ["5 s", "1 min", "2 h", "3 d"]);
    }
}
