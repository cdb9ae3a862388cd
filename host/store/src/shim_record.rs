//! The record of a shim that we start: `<state>/.dunnage/shims/<namespace>/<id>/`.
//!
//! The record is there before the shim is, so that a crash at any instant leaves no unrecorded shim
//! (defect D7), and it is gone only after the bundle is.

use std::path::PathBuf;
use std::sync::Arc;

use dunnage_core::{AtStep, BundleId, Error, ErrorKind, Result, Step, names};
use dunnage_sys::{Crossing, Directory, FileIdentity, Name, ProcessId, SocketIdentity, boot_id};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::{DirLock, Layout, LockWait, names_of};

/// The largest record that is read, in bytes.
const MAX_SIZE: u64 = 64 << 10;
/// How often a directory that fills again is emptied.
const ATTEMPTS: u32 = 8;

/// Where the shim service runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShimKind {
    /// In a process of its own.
    Remote,
    /// In the process that started it, beside its other work.
    Local,
}

/// The record of a shim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShimRecord {
    /// Where the shim service runs.
    pub kind: ShimKind,
    /// The boot that the process ids are of.
    pub boot: String,
    /// The bundle that the shim was started for.
    pub bundle: FileIdentity,
    /// Where the shim listens.
    pub address: String,
    /// The socket that was bound for it; `None` until it is bound.
    pub socket: Option<SocketIdentity>,
    /// The runtime's binary, and where it keeps its state.
    pub runtime: PathBuf,
    /// Where the runtime keeps its state, without the namespace.
    pub runtime_root: PathBuf,
    /// The file in which the output of the container is kept; `None` if it is not, or in the work directory.
    #[serde(default)]
    pub log: Option<PathBuf>,
    /// `None` until it is started.
    pub process: Option<ProcessId>,
    /// When the shim was seen to have ended, in seconds since 1970.
    pub exited: Option<u64>,
}

impl ShimRecord {
    /// The process that serves, or served until it ended on its own; `None` once it was seen to
    /// have stopped.
    pub fn serving(&self) -> Option<ProcessId> {
        self.process.filter(|_| self.exited.is_none())
    }

    /// Writes the record, in the place of an older one.
    pub fn write(&self, directory: &Directory) -> Result<()> {
        let content = serde_json::to_vec(self)
            .map_err(|error| Error::new(ErrorKind::Filesystem, Step::RecordShim, error.to_string()))?;
        directory.write_file(&names::RECORD, &content, 0o600).at_step(Step::RecordShim)
    }

    /// The record of the shim of this very bundle.
    pub fn find(layout: &Layout, id: &BundleId, bundle: &Directory) -> Result<Option<Self>> {
        RecordDir::open(layout, id)?.map_or(Ok(None), |record_dir| record_dir.record_of(bundle))
    }

    /// Reads a record; `None` if there is none of this boot.
    pub fn read(directory: &Directory) -> Result<Option<Self>> {
        let content = match directory.read_file(&names::RECORD, MAX_SIZE) {
            Err(failure) if failure.errno() == Errno::NOENT => return Ok(None),
            content => content.at_step(Step::ReadRecords)?,
        };
        let record: Self = serde_json::from_slice(&content).map_err(|error| {
            let path = directory.path_of(&names::RECORD);
            let message = format!("the record {} cannot be used: {error}", path.display());
            Error::new(ErrorKind::BadRecord, Step::ReadRecords, message).at(path)
        })?;
        // Process ids of another boot are other processes by now.
        let boot = boot_id().at_step(Step::ReadRecords)?;
        Ok(Some(record).filter(|record| boot == record.boot))
    }
}

/// The directory of what is on record about a shim.
pub struct RecordDir {
    /// The directory itself.
    pub directory: Arc<Directory>,
    parent: Arc<Directory>,
    name: Name,
}

impl RecordDir {
    /// `None` if there is none.
    pub fn open(layout: &Layout, id: &BundleId) -> Result<Option<Self>> {
        let (namespace, name) = names_of(id)?;
        let Some(parent) = layout.state.records(&[names::SHIMS, namespace])? else { return Ok(None) };
        match parent.open_directory(&name, Crossing::Refused) {
            Err(failure) if failure.errno() == Errno::NOENT => Ok(None),
            directory => Ok(Some(Self { directory: Arc::new(directory.at_step(Step::ReadRecords)?), parent, name })),
        }
    }

    /// The same, made if it is missing.
    pub fn make(layout: &Layout, id: &BundleId) -> Result<Self> {
        let (namespace, name) = names_of(id)?;
        let parent = layout.state.records_or_make(&[names::SHIMS, namespace.clone()])?;
        let directory = layout.state.records_or_make(&[names::SHIMS, namespace, name.clone()])?;
        Ok(Self { directory, parent, name })
    }

    /// The record, if it is that of the shim of this very bundle.
    pub fn record_of(&self, bundle: &Directory) -> Result<Option<ShimRecord>> {
        let record = ShimRecord::read(&self.directory)?;
        Ok(record.filter(|record| Some(record.bundle) == bundle.identity()))
    }

    /// The lock for preparing what the directory was made for; `None` if another call has it, or
    /// the directory is gone.
    pub fn lock(&self) -> Result<Option<DirLock>> {
        match DirLock::open(&self.parent, &self.name, LockWait::Never, Step::RecordShim) {
            Err(error) if error.kind() == ErrorKind::Locked => Ok(None),
            locked => locked,
        }
    }

    /// The same, but waits for the lock; `None` if the directory is gone.
    pub fn lock_patiently(&self) -> Result<Option<DirLock>> {
        DirLock::open(&self.parent, &self.name, LockWait::patiently(), Step::RecordShim)
    }

    /// Forgets the shim, and keeps how its container has ended.
    pub fn remove_but_exit(&self) -> Result<()> {
        if self.directory.metadata_at(&names::EXIT).is_err() {
            return self.remove();
        }
        let kept = [names::EXIT];
        for entry in self.directory.entries().at_step(Step::RecordShim)? {
            if !kept.contains(&entry.name) {
                self.directory.unlink_if_there(&entry.name).at_step(Step::RecordShim)?;
            }
        }
        Ok(())
    }

    /// Forgets the shim.
    pub fn remove(&self) -> Result<()> {
        // The shim's supervisor may be recording its end just now.
        for _ in 0..ATTEMPTS {
            match self.parent.remove_tree(&self.name, &self.directory) {
                Err(failure) if matches!(failure.errno(), Errno::NOTEMPTY | Errno::EXIST) => {}
                result => return result.at_step(Step::RecordShim),
            }
        }
        self.parent.remove_tree(&self.name, &self.directory).at_step(Step::RecordShim)
    }
}
