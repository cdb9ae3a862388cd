//! The parts of `process` that a further process of the container keeps.

use alloc::borrow::Cow;
use alloc::format;
use core::fmt;
use core::ops::Range;

use dunnage_go_json::equal_folded;
use serde::Deserialize;
use serde::de::{self, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::reader;
use super::{Error, Fault};

/// How many parts there are.
const COUNT: usize = 11;
/// The members of `process` that are kept, in the order of [`ProcessParts`].
const NAMES: [&str; COUNT] = [
    "user",
    "cwd",
    "env",
    "capabilities",
    "rlimits",
    "noNewPrivileges",
    "apparmorProfile",
    "oomScoreAdj",
    "selinuxLabel",
    "scheduler",
    "ioPriority",
];

/// Where the values of these members lie in the spec; `None` for one that is missing or null. In the order
/// `user`, `cwd`, `env`, `capabilities`, `rlimits`, `noNewPrivileges`, `apparmorProfile`, `oomScoreAdj`,
/// `selinuxLabel`, `scheduler`, `ioPriority`.
pub type ProcessParts = [Option<Range<usize>>; COUNT];

/// Where the parts of `process` lie that a further process of the container keeps.
///
/// # Errors
///
/// If the spec is not what Go would read, or could be read in two ways.
pub fn process_parts(spec: &[u8]) -> Result<ProcessParts, Error> {
    let text = dunnage_go_json::check(spec)?;
    // Places in a text that had to be changed would be others.
    if let Cow::Owned(_) = text {
        return Err(refuse(Fault::Encoding, "", "the text is not UTF-8".into()));
    }
    reader::process(&text)?;
    let document: Document<'_> = serde_json::from_str(&text).map_err(|error| unreadable(&error))?;
    let Some(process) = document.process else { return Ok(ProcessParts::default()) };
    let parts: Parts<'_> = serde_json::from_str(process.get()).map_err(|error| unreadable(&error))?;
    if let Some(error) = parts.refused {
        return Err(error);
    }
    let start = text.as_ptr() as usize;
    Ok(parts.found.map(|part| {
        let value = part.map(RawValue::get).filter(|value| *value != "null")?;
        let offset = (value.as_ptr() as usize).checked_sub(start)?;
        Some(offset..offset + value.len())
    }))
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    process: Option<&'a RawValue>,
}

/// The members of `process` that are kept.
#[derive(Default)]
struct Parts<'a> {
    found: [Option<&'a RawValue>; COUNT],
    refused: Option<Error>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Parts<'a> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Parts<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Parts::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut parts = Parts::default();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let value: &'de RawValue = map.next_value()?;
            let known = NAMES.iter().zip(&mut parts.found).find(|(name, _)| equal_folded(name, &key));
            let Some((name, found)) = known else { continue };
            let place = format!("process.{name}");
            if key != *name {
                let shown = key.escape_default();
                let message = format!(
                    "the key \"{shown}\" means {place} to Go, which ignores case, but is unknown to other parsers"
                );
                parts.refused.get_or_insert(refuse(Fault::FoldedKey, &place, message));
            } else if found.replace(value).is_some() {
                let message =
                    format!("{place} appears twice: Go merges the two, other parsers take the first or the last");
                parts.refused.get_or_insert(refuse(Fault::DuplicateKey, &place, message));
            }
        }
        Ok(parts)
    }
}

fn refuse(fault: Fault, place: &str, message: alloc::string::String) -> Error {
    Error { fault, place: place.into(), line: 0, column: 0, message }
}

/// The reader has gone over all of it, so that this does not happen.
fn unreadable(error: &serde_json::Error) -> Error {
    refuse(Fault::Syntax, "process", format!("process cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(spec: &str) -> Result<[Option<&str>; COUNT], Fault> {
        let parts = process_parts(spec.as_bytes()).map_err(|error| error.fault)?;
        Ok(parts.map(|part| part.map(|range| &spec[range])))
    }

    #[test]
    fn parts_are_found_where_they_lie() {
        let spec = r#"{"a":1, "process": {"args":["x"], "env" : [ "A=b" ],"cwd":"/", "user":{"uid":7},
            "noNewPrivileges":true,"rlimits":null,"x":{"cwd":"/no"}}, "linux":{}}"#;
        let found = values(spec).unwrap();
        assert_eq!(found[..3], [Some(r#"{"uid":7}"#), Some(r#""/""#), Some(r#"[ "A=b" ]"#)]);
        assert_eq!(found[5], Some("true"));
        assert!([3, 4, 6, 7, 8, 9, 10].iter().all(|at| found[*at].is_none()), "{found:?}");
        assert_eq!(values("{}").unwrap(), [None; COUNT]);
        assert_eq!(values(r#"{"process":null}"#).unwrap(), [None; COUNT]);
    }

    #[test]
    fn what_two_readers_would_find_elsewhere_is_refused() {
        assert_eq!(values(r#"{"process":{"cwd":"/a","cwd":"/b"}}"#), Err(Fault::DuplicateKey));
        assert_eq!(values(r#"{"process":{"Cwd":"/a"}}"#), Err(Fault::FoldedKey));
        assert_eq!(values(r#"{"process":{"uſer":{}}}"#), Err(Fault::FoldedKey));
        assert_eq!(values(r#"{"process":{},"process":{}}"#), Err(Fault::DuplicateKey));
        assert_eq!(values(r#"{"Process":{}}"#), Err(Fault::FoldedKey));
        assert_eq!(values(r#"{"process":[]}"#), Err(Fault::WrongType));
        assert_eq!(values("{"), Err(Fault::Syntax));
    }
}
