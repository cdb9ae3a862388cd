//! The OCI fields that matter, read as runtimes written in Go read them, or refused.
//!
//! containerd and runc read `config.json` with Go's `encoding/json`: keys match without regard to
//! case, duplicates merge, null is taken for anything. A policy with other rules could give a
//! bundle to one group while runc maps another. So for every input the answer here is Go's answer
//! or a refusal, and what two readers could understand differently is refused.
//!
//! `dunnage-go-json` reads; before it, a quick reader goes over the spec, which may only accept.

mod process_parts;
mod quick;
mod reader;
mod task;

use alloc::format;
use alloc::string::String;

pub use dunnage_go_json::MAX_DEPTH;

pub use self::process_parts::{ProcessParts, process_parts};
use self::reader::{Collect, List, Mapping};
pub use self::task::{TaskSettings, quick_task_settings, task_settings, thorough_task_settings};

/// The class of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not one JSON document.
    Syntax,
    /// A value of the wrong type where one is read.
    WrongType,
    /// A number that is not a `uint32` in plain digits.
    Number,
    /// Nested deeper than 10,000 levels.
    Depth,
    /// A key that equals a known one only after case folding.
    FoldedKey,
    /// A known key that stands twice in its object.
    DuplicateKey,
    /// Text that is not UTF-8, but for strings that are values.
    Encoding,
    /// An escape of half a surrogate pair.
    Surrogate,
    /// A remapped GID of 4294967295.
    ReservedGroup,
    /// The process's user or group has no id on the host.
    UnmappedUser,
}

/// A spec that is refused, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The class of the refusal.
    pub fault: Fault,
    /// The value or key it is about, for example `linux.gidMappings[0].hostID`; empty for the
    /// document itself and where only line and column are known.
    pub place: String,
    /// The line, counted from 1; 0 if it is not known.
    pub line: u32,
    /// The column in bytes, counted from 1; 0 if it is not known.
    pub column: u32,
    /// One sentence for a person.
    pub message: String,
}

impl From<dunnage_go_json::Error> for Error {
    fn from(error: dunnage_go_json::Error) -> Self {
        let dunnage_go_json::Error { fault, place, line, column, message, .. } = error;
        Self { fault: fault.into(), place, line, column, message }
    }
}

impl From<dunnage_go_json::Fault> for Fault {
    fn from(fault: dunnage_go_json::Fault) -> Self {
        match fault {
            dunnage_go_json::Fault::Syntax => Self::Syntax,
            dunnage_go_json::Fault::WrongType => Self::WrongType,
            dunnage_go_json::Fault::Number => Self::Number,
            dunnage_go_json::Fault::Depth => Self::Depth,
            dunnage_go_json::Fault::FoldedKey => Self::FoldedKey,
            dunnage_go_json::Fault::DuplicateKey => Self::DuplicateKey,
            dunnage_go_json::Fault::Encoding => Self::Encoding,
            dunnage_go_json::Fault::Surrogate => Self::Surrogate,
        }
    }
}

/// The host's group id that GID 0 of the container is mapped to: `hostID` of the first entry of
/// `linux.gidMappings` whose `containerID` is 0; 0 if there is none. Similar to `remappedGID` of
/// containerd.
///
/// # Errors
///
/// If the spec is not what Go would read, or could be read in two ways.
pub fn remapped_gid(spec: &[u8]) -> Result<u32, Error> {
    quick_remapped_gid(spec).map_or_else(|| thorough_remapped_gid(spec), Ok)
}

/// The answer of [`remapped_gid`], if the quick reader finds one.
#[must_use]
pub fn quick_remapped_gid(spec: &[u8]) -> Option<u32> {
    let mut root = Root::default();
    quick::mappings(spec, &mut root)?;
    let host = root.0.map_or(0, |(host, _)| host);
    (host != u32::MAX).then_some(host)
}

/// The same as [`remapped_gid`] without the quick reader.
///
/// # Errors
///
/// The same.
pub fn thorough_remapped_gid(spec: &[u8]) -> Result<u32, Error> {
    let text = dunnage_go_json::check(spec)?;
    let mut root = Root::default();
    reader::mappings(&text, &mut root)?;
    let Some((host, entry)) = root.0 else { return Ok(0) };
    // The original's `chown` did nothing then, and its `chmod` opened the bundle all the same (D8).
    if host == u32::MAX {
        let place = format!("linux.gidMappings[{entry}].hostID");
        let message = format!("{place} is 4294967295, which stands for \"no group\" and cannot own a bundle");
        return Err(Error { fault: Fault::ReservedGroup, place, line: 0, column: 0, message });
    }
    Ok(host)
}

/// The host's id of the container's GID 0, and the entry that says so.
#[derive(Default)]
struct Root(Option<(u32, usize)>);

impl Collect for Root {
    const LISTS: &'static [&'static str] = &[List::Groups.name()];

    /// The first match wins, and the size is not looked at.
    fn take(&mut self, _: List, entry: usize, mapping: Mapping) {
        if self.0.is_none() && mapping.container == 0 {
            self.0 = Some((mapping.host, entry));
        }
    }
}

#[cfg(test)]
mod tests;
