//! The record in a state or a root directory that names the other one.

use std::path::{Path, PathBuf};

use dunnage_core::{AtStep, Error, ErrorKind, Result, Step, names};
use dunnage_sys::{Directory, random};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::unusable;
use crate::BaseDir;

/// The largest record that is read, in bytes: a path and little else.
const MAX_SIZE: u64 = 16 << 10;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PairRecord {
    /// The name of the pair, the same in both: a copy of a directory does not have the other's path.
    pub(super) pair: String,
    /// The directory that this one belongs together with.
    pub(super) other: PathBuf,
    /// The boot in which this was last looked at.
    pub(super) boot: String,
    /// Whether the call that made the pair has succeeded, or another one has relied on it.
    pub(super) is_settled: bool,
}

impl PairRecord {
    pub(super) fn new(pair: String, other: &Path, boot: &str) -> Self {
        Self { pair, other: other.to_owned(), boot: boot.to_owned(), is_settled: false }
    }

    /// A name that no other pair has.
    pub(super) fn fresh_name() -> Result<String> {
        let random = random::<16>()
            .map_err(|errno| Error::new(ErrorKind::Filesystem, Step::Pair, format!("cannot choose a name: {errno}")))?;
        Ok(format!("{:032x}", u128::from_ne_bytes(random)))
    }

    /// The record in a directory, or `None` if there is none.
    pub(super) fn read(base: &BaseDir) -> Result<Option<Self>> {
        let Some(records) = base.records(&[])? else { return Ok(None) };
        let content = match records.read_file(&names::PAIR, MAX_SIZE) {
            Err(failure) if failure.errno() == Errno::NOENT => return Ok(None),
            content => content.at_step(Step::Pair)?,
        };
        serde_json::from_slice(&content).map(Some).map_err(|error| unusable(&records, &names::PAIR, error))
    }

    pub(super) fn write(&self, records: &Directory) -> Result<()> {
        let content = serde_json::to_vec(self)
            .map_err(|error| Error::new(ErrorKind::Filesystem, Step::Pair, error.to_string()))?;
        records.write_file(&names::PAIR, &content, 0o600).at_step(Step::Pair)
    }
}
