//! Which bundles are of an earlier boot: `.dunnage/earlier.jsonl` in the state directory, written
//! by the first call of a boot, before it makes anything.
//!
//! A bundle does not show it, and clocks that are set back after a boot make timestamps useless.

use std::collections::HashMap;

use dunnage_core::{AtStep, Error, ErrorKind, Result, Step, names};
use dunnage_sys::{Crossing, Directory, FileKind, Metadata, Name};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::unusable;
use crate::BaseDir;

/// The largest list that is read, in bytes: millions of bundles.
const MAX_SIZE: u64 = 1 << 30;

/// A bundle on the list. The inode may be reused; with the time of its creation it identifies the
/// bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    namespace: String,
    id: String,
    inode: u64,
    created: u128,
}

/// The bundles of earlier boots.
#[derive(Clone, Debug, Default)]
pub struct PreviousBoot(HashMap<(String, String), (u64, u128)>);

impl PreviousBoot {
    /// Writes the list of all bundles that are there now.
    pub(super) fn note(state: &BaseDir, records: &Directory) -> Result<()> {
        Self::all(state)?.write(records)
    }

    /// All that is there now.
    pub fn all(state: &BaseDir) -> Result<Self> {
        let mut all = Self::default();
        let Some(state) = state.open()? else { return Ok(all) };
        for (namespace, _) in directories(&state)? {
            let directory = match state.open_directory(&namespace, Crossing::Allowed) {
                Err(failure) if failure.errno() == Errno::NOENT => continue,
                directory => directory.at_step(Step::Pair)?,
            };
            for (id, metadata) in directories(&directory)? {
                all.0.insert((namespace.to_string(), id.to_string()), identity(&metadata));
            }
        }
        Ok(all)
    }

    /// The list on record; empty if there is none.
    pub fn read(records: &Directory) -> Result<Self> {
        let content = match records.read_file(&names::EARLIER, MAX_SIZE) {
            Err(failure) if failure.errno() == Errno::NOENT => return Ok(Self::default()),
            content => content.at_step(Step::Pair)?,
        };
        let mut earlier = Self::default();
        for line in content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line: Line = serde_json::from_slice(line).map_err(|error| unusable(records, &names::EARLIER, error))?;
            earlier.0.insert((line.namespace, line.id), (line.inode, line.created));
        }
        Ok(earlier)
    }

    /// Writes the list, or removes it if it is empty.
    pub fn write(&self, records: &Directory) -> Result<()> {
        if self.0.is_empty() {
            return records.unlink_if_there(&names::EARLIER).at_step(Step::Pair);
        }
        let mut content = Vec::new();
        for ((namespace, id), (inode, created)) in &self.0 {
            let line = Line { namespace: namespace.clone(), id: id.clone(), inode: *inode, created: *created };
            serde_json::to_writer(&mut content, &line)
                .map_err(|error| Error::new(ErrorKind::Filesystem, Step::Pair, error.to_string()))?;
            content.push(b'\n');
        }
        records.write_file(&names::EARLIER, &content, 0o600).at_step(Step::Pair)
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this very bundle is on the list.
    pub fn contains(&self, namespace: &str, id: &str, found: &Metadata) -> bool {
        self.0.get(&(namespace.to_owned(), id.to_owned())).is_some_and(|noted| *noted == identity(found))
    }

    /// Forgets what is no longer there.
    pub fn retain_existing(&mut self, state: &BaseDir) -> Result<()> {
        let now = Self::all(state)?;
        self.0.retain(|bundle, noted| now.0.get(bundle) == Some(noted));
        Ok(())
    }
}

fn identity(metadata: &Metadata) -> (u64, u128) {
    let created = metadata.created.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    (metadata.inode, created)
}

/// The directories in a directory that are not hidden.
fn directories(parent: &Directory) -> Result<Vec<(Name, Metadata)>> {
    let mut found = Vec::new();
    for entry in parent.reopen().and_then(|own| own.entries()).at_step(Step::Pair)? {
        match parent.metadata_at(&entry.name) {
            Ok(metadata) if metadata.kind == FileKind::Directory && !entry.name.is_hidden() => {
                found.push((entry.name, metadata));
            }
            Err(failure) if failure.errno() != Errno::NOENT => {
                return Err(Error::from_failure(Step::Pair, &failure));
            }
            Ok(_) | Err(_) => {}
        }
    }
    Ok(found)
}
