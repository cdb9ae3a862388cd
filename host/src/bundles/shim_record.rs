//! What is on record about a shim that we start: `<state>/.dunnage/shims/<namespace>/<id>/`.
//!
//! The record is there before the shim is, so that a crash at any instant leaves no shim that
//! nobody knows of (defect D7), and it is gone only after the bundle is.

use std::path::PathBuf;
use std::sync::Arc;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::Inner;
use super::create::names;
use super::lock::{Locked, Waiting};
use super::places::Places;
use crate::bundle::BundleId;
use crate::error::{AtStep, Error, ErrorKind, Result, Step};
use crate::name::Name;
use crate::sys::{Crossing, Directory, FileIdentity, SocketIdentity, boot_id};

/// The largest record that is read, in bytes.
const MOST: u64 = 64 << 10;
/// How often a directory that fills again is emptied.
const ATTEMPTS: u32 = 8;

/// Where the shim service runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// In a process of its own.
    Remote,
    /// In the process that started it, which has more to do than that.
    Local,
}

/// A process for good: no other one of this boot is it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// Clock ticks since the machine was started.
    pub(crate) started: u64,
}

/// What is on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShimRecord {
    pub(crate) kind: Kind,
    pub(crate) boot: String,
    /// The bundle that the shim was started for.
    pub(crate) bundle: FileIdentity,
    pub(crate) address: String,
    /// The socket that was bound for it; `None` as long as it is only intended.
    pub(crate) socket: Option<SocketIdentity>,
    /// The runtime's binary, and where it keeps its state.
    pub(crate) runtime: PathBuf,
    pub(crate) runtime_root: PathBuf,
    /// `None` as long as it is only intended.
    pub(crate) process: Option<Process>,
    /// When the shim was seen to have ended, in seconds since 1970.
    pub(crate) exited: Option<u64>,
}

impl ShimRecord {
    /// The process that serves, or served until it ended on its own; `None` once it was seen to
    /// have stopped.
    pub(crate) fn serving(&self) -> Option<Process> {
        self.process.filter(|_| self.exited.is_none())
    }

    /// Writes the record, in the place of an older one.
    #[cfg(feature = "shim")]
    pub(crate) fn write(&self, directory: &Directory) -> Result<()> {
        let content = serde_json::to_vec(self)
            .map_err(|error| Error::new(ErrorKind::Filesystem, Step::RecordShim, error.to_string()))?;
        directory.write_file(&Name::RECORD, &content, 0o600).at_step(Step::RecordShim)
    }

    /// The record of the shim of this very bundle.
    pub(crate) fn of(inner: &Inner, id: &BundleId, bundle: &Directory) -> Result<Option<Self>> {
        Self::find(&inner.places, id, bundle)
    }

    /// The same, whatever the policy.
    pub(crate) fn find(places: &Places, id: &BundleId, bundle: &Directory) -> Result<Option<Self>> {
        Kept::open(places, id)?.map_or(Ok(None), |kept| kept.record_of(bundle))
    }

    /// Reads a record; `None` if there is none of this boot.
    pub(crate) fn read(directory: &Directory) -> Result<Option<Self>> {
        let content = match directory.read_file(&Name::RECORD, MOST) {
            Err(failure) if failure.errno() == Errno::NOENT => return Ok(None),
            content => content.at_step(Step::ReadRecords)?,
        };
        let record: Self = serde_json::from_slice(&content).map_err(|error| {
            let path = directory.path_of(&Name::RECORD);
            let message = format!("the record {} cannot be used: {error}", path.display());
            Error::new(ErrorKind::BadRecord, Step::ReadRecords, message).at(path)
        })?;
        // The pids of another boot are somebody else's.
        let boot = boot_id().at_step(Step::ReadRecords)?;
        Ok(Some(record).filter(|record| boot == record.boot))
    }
}

/// The directory of what is on record about a shim.
pub(crate) struct Kept {
    pub(crate) directory: Arc<Directory>,
    parent: Arc<Directory>,
    name: Name,
}

impl Kept {
    /// `None` if there is none.
    pub(crate) fn open(places: &Places, id: &BundleId) -> Result<Option<Self>> {
        let (namespace, name) = names(id)?;
        let Some(parent) = places.state.records(&[Name::SHIMS, namespace])? else { return Ok(None) };
        match parent.open_directory(&name, Crossing::Refused) {
            Err(failure) if failure.errno() == Errno::NOENT => Ok(None),
            directory => Ok(Some(Self { directory: Arc::new(directory.at_step(Step::ReadRecords)?), parent, name })),
        }
    }

    /// The same, made if it is missing.
    #[cfg(feature = "shim")]
    pub(crate) fn make(inner: &Inner, id: &BundleId) -> Result<Self> {
        let (namespace, name) = names(id)?;
        let parent = inner.places.state.records_or_make(&[Name::SHIMS, namespace.clone()])?;
        let directory = inner.places.state.records_or_make(&[Name::SHIMS, namespace, name.clone()])?;
        Ok(Self { directory, parent, name })
    }

    /// The record, if it is that of the shim of this very bundle.
    pub(crate) fn record_of(&self, bundle: &Directory) -> Result<Option<ShimRecord>> {
        let record = ShimRecord::read(&self.directory)?;
        Ok(record.filter(|record| Some(record.bundle) == bundle.identity()))
    }

    /// The lock of whoever has yet to start what the directory was made for; `None` if somebody
    /// has it, or the directory is gone.
    pub(super) fn lock(&self) -> Result<Option<Locked>> {
        match Locked::open(&self.parent, &self.name, Waiting::Never, Step::RecordShim) {
            Err(error) if error.kind() == ErrorKind::Locked => Ok(None),
            locked => locked,
        }
    }

    /// The same, waiting for whoever has it; `None` if the directory is gone.
    #[cfg(feature = "shim")]
    pub(crate) fn lock_patiently(&self) -> Result<Option<Locked>> {
        Locked::open(&self.parent, &self.name, Waiting::patiently(), Step::RecordShim)
    }

    /// Forgets the shim.
    pub(crate) fn remove(&self) -> Result<()> {
        // Whoever looks after the shim may just be writing down that it has ended.
        for _ in 0..ATTEMPTS {
            match self.parent.remove_tree(&self.name, &self.directory) {
                Err(failure) if matches!(failure.errno(), Errno::NOTEMPTY | Errno::EXIST) => {}
                result => return result.at_step(Step::RecordShim),
            }
        }
        self.parent.remove_tree(&self.name, &self.directory).at_step(Step::RecordShim)
    }
}
