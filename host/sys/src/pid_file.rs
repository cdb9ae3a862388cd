//! The file in a bundle that a runtime writes the id of a process to (`--pid-file`).

use std::io::{self, ErrorKind};
use std::path::Path;

/// Removes the file of an earlier process, which must not be taken for the next one's.
///
/// # Errors
///
/// If it is there and cannot be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The process that the runtime has started.
///
/// # Errors
///
/// If there is no such file, or no number in it.
pub fn read(path: &Path) -> io::Result<u32> {
    let failed = |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    text.trim().parse().map_err(|_| failed(&"it does not contain a process id"))
}
