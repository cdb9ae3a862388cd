//! Which known key a key is, to Go.

use alloc::format;
use core::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, Visitor};

use crate::Fault;
use crate::track::Track;

/// A key of a struct: the known one it is, or `None` for an unknown one.
pub(crate) struct KnownKey<'t> {
    pub(crate) track: &'t Track,
    pub(crate) known: &'static [&'static str],
}

impl<'de> DeserializeSeed<'de> for KnownKey<'_> {
    type Value = Option<(usize, &'static str)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KnownKey<'_> {
    type Value = Option<(usize, &'static str)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Self::Value, E> {
        let known = || (0..).zip(self.known.iter().copied());
        if let Some(exact) = known().find(|(_, name)| *name == key) {
            return Ok(Some(exact));
        }
        let Some((_, name)) = known().find(|(_, name)| equal_folded(name, key)) else { return Ok(None) };
        self.track.enter_member(name);
        // A terminal would show `ſ` much like an `f`, and act on control characters.
        let shown = key.escape_default();
        let message = format!(
            "the key \"{shown}\" means {} to Go, which ignores case, but is unknown to other parsers",
            self.track.place()
        );
        Err(self.track.refuse(Fault::FoldedKey, message))
    }
}

/// Whether Go takes a key for a known one of ASCII letters: without regard to their case, and by
/// Unicode's simple folding, which adds `ſ` for `s` and the Kelvin sign for `k`.
#[must_use]
pub fn equal_folded(known: &str, key: &str) -> bool {
    let mut key = key.chars().map(|character| match character {
        'ſ' => 's',
        '\u{212a}' => 'k',
        _ => character,
    });
    known.chars().all(|expected| key.next().is_some_and(|found| found.eq_ignore_ascii_case(&expected)))
        && key.next().is_none()
}
