//! JSON as containerd and runc read it, or refused.
//!
//! Engines and runtimes written in Go read `config.json` with Go's `encoding/json`: keys match without
//! regard to case, what stands twice merges, null is taken for anything. Whoever decides about a
//! container with a reader of other rules can be shown one container while another one runs. So what
//! is read here is what Go reads, or an error; and what two readers could understand differently is an
//! error.
//!
//! [`check`] looks at the bytes, [`read`] fills any type that has serde's `Deserialize`:
//!
//! ```
//! # fn main() -> Result<(), dunnage_go_json::Error> {
//! #[derive(Default, serde::Deserialize)]
//! #[serde(default, rename_all = "camelCase")]
//! struct Spec<'a> {
//!     hostname: &'a str,
//! }
//!
//! let text = dunnage_go_json::check(br#"{"hostname": "web", "domainname": null}"#)?;
//! assert_eq!(dunnage_go_json::read::<Spec>(&text)?.hostname, "web");
//!
//! // Go would take this for the same key, others would not.
//! let text = dunnage_go_json::check(br#"{"hostName": "web"}"#)?;
//! assert_eq!(dunnage_go_json::read::<Spec>(&text).map(drop).unwrap_err().place, "hostname");
//! # Ok(())
//! # }
//! ```
//!
//! Types should have `#[serde(default)]`, since Go leaves at its zero value what is missing or null.
//! What is not named in a type is skipped, and only has to be JSON. It must not contain types that
//! serde buffers (untagged enums, `flatten`): those are read by other rules.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod key;
mod reading;
mod scan;
mod track;

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

use serde::de::{Deserialize, DeserializeSeed};

pub use self::key::equal_folded;
use self::reading::Seeded;
use self::track::Track;

/// As deep as Go reads (`maxNestingDepth` of `encoding/json`).
pub const MAX_DEPTH: usize = 10_000;

/// The class of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not one JSON document.
    Syntax,
    /// A value of the wrong type where one is read.
    WrongType,
    /// A number that is out of its range or not in plain digits.
    Number,
    /// Nested deeper than [`MAX_DEPTH`].
    Depth,
    /// A key that equals a known one only after case folding.
    FoldedKey,
    /// A key that stands twice in its object, where that is read.
    DuplicateKey,
    /// Text that is not UTF-8, but for strings that are values.
    Encoding,
    /// An escape of half a surrogate pair.
    Surrogate,
}

/// Why a document is refused, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The class of the error.
    pub fault: Fault,
    /// The value or key it is about, for example `linux.gidMappings[0].hostID`; empty for the
    /// document itself and where only line and column are known.
    pub place: String,
    /// The same as a JSON pointer (RFC 6901).
    pub pointer: String,
    /// The line, counted from 1; 0 if it is not known.
    pub line: u32,
    /// The column in bytes, counted from 1; 0 if it is not known.
    pub column: u32,
    /// One sentence for a person.
    pub message: String,
}

impl Error {
    fn new(fault: Fault, message: String) -> Self {
        Self { fault, place: String::new(), pointer: String::new(), line: 0, column: 0, message }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.line > 0 {
            write!(f, " (line {}, column {})", self.line, self.column)?;
        }
        Ok(())
    }
}

impl core::error::Error for Error {}

/// Makes text of a document: refuses a byte order mark, keys that are not UTF-8, escapes of half a
/// surrogate pair, and nesting deeper than [`MAX_DEPTH`]. Values that are not UTF-8 are read as Go
/// reads them, with U+FFFD. It need not be JSON yet.
///
/// # Errors
///
/// If it is refused.
pub fn check(document: &[u8]) -> Result<Cow<'_, str>, Error> {
    scan::check(document)
}

/// Reads a document that was checked.
///
/// # Errors
///
/// If it is not JSON, not of this type, or could be read in two ways.
pub fn read<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, Error> {
    read_seed(text, core::marker::PhantomData)
}

/// The same with a seed, which says what to do with what is read.
///
/// # Errors
///
/// The same.
pub fn read_seed<'de, S: DeserializeSeed<'de>>(text: &'de str, seed: S) -> Result<S::Value, Error> {
    let track = Track::default();
    let mut json = serde_json::Deserializer::from_str(text);
    let read = Seeded::new(seed, &track).deserialize(&mut json);
    read.and_then(|value| json.end().map(|()| value)).map_err(|error| track.explain(&error))
}

#[cfg(test)]
mod tests;
