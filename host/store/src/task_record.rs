//! What is on record about the container of a bundle, beside the record of its shim: its init, and how
//! that has ended.

use std::time::SystemTime;

use dunnage_core::{AtStep, Error, ErrorKind, Result, Step, names};
use dunnage_sys::{Directory, Name};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The largest record that is read, in bytes.
const MAX_SIZE: u64 = 4 << 10;
/// What is said of a process that was killed, or ended unseen: 128 and the number of `SIGKILL`.
pub const KILLED_STATUS: u32 = 137;

/// A container that was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// The host's id of its init.
    pub pid: u32,
    /// When that process was started, in clock ticks since the machine was: with its pid it is no other.
    #[serde(default)]
    pub ticks: Option<u64>,
    /// When it was created.
    pub created: SystemTime,
    /// When it was started; `None` until then.
    pub started: Option<SystemTime>,
}

/// The end of a container's init. Whoever learns of it first writes this, and tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// The host's id that it had.
    pub pid: u32,
    /// Its exit status, or 128 and the number of the signal that ended it.
    pub status: u32,
    /// When it ended, or was seen to have.
    pub time: SystemTime,
}

impl TaskRecord {
    /// The record in the directory of a shim's records; `None` if there is none, or it is no record.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn read(directory: &Directory) -> Result<Option<Self>> {
        read(directory, &names::TASK)
    }

    /// Writes the record, in the place of an older one.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn write(&self, directory: &Directory) -> Result<()> {
        write(directory, &names::TASK, self)
    }
}

impl ExitRecord {
    /// An end of which only this much is known.
    #[must_use]
    pub fn unseen(pid: u32) -> Self {
        Self { pid, status: KILLED_STATUS, time: SystemTime::now() }
    }

    /// The record in the directory of a shim's records; `None` if there is none, or it is no record.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn read(directory: &Directory) -> Result<Option<Self>> {
        read(directory, &names::EXIT)
    }

    /// Writes the record, in the place of an older one.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn write(&self, directory: &Directory) -> Result<()> {
        write(directory, &names::EXIT, self)
    }

    /// Takes it upon this process to tell of the end of a container that was created, if nobody has told of
    /// it; `None` if there is nothing to tell.
    ///
    /// # Errors
    ///
    /// If the records cannot be read or written.
    pub fn claim(directory: &Directory) -> Result<Option<Self>> {
        let Some(task) = TaskRecord::read(directory)? else { return Ok(None) };
        if Self::read(directory)?.is_some_and(|told| told.pid == task.pid) {
            return Ok(None);
        }
        let exit = Self::unseen(task.pid);
        exit.write(directory)?;
        Ok(Some(exit))
    }
}

/// What cannot be understood is as good as missing: these records are for telling people, and nothing is
/// decided by them.
fn read<T: DeserializeOwned>(directory: &Directory, name: &Name) -> Result<Option<T>> {
    let content = match directory.read_file(name, MAX_SIZE) {
        Err(failure) if failure.errno() == Errno::NOENT => return Ok(None),
        content => content.at_step(Step::ReadRecords)?,
    };
    Ok(serde_json::from_slice(&content)
        .inspect_err(|error| tracing::warn!(%error, "{} is not a record", directory.path_of(name).display()))
        .ok())
}

fn write(directory: &Directory, name: &Name, record: &impl Serialize) -> Result<()> {
    let content = serde_json::to_vec(record)
        .map_err(|error| Error::new(ErrorKind::Filesystem, Step::RecordShim, error.to_string()))?;
    directory.write_file(name, &content, 0o600).at_step(Step::RecordShim)
}

#[cfg(test)]
mod tests {
    use dunnage_sys::trusted_path::open_trusted;

    use super::*;

    #[test]
    fn the_end_of_a_container_is_claimed_once() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = open_trusted(scratch.path()).unwrap();
        assert_eq!(ExitRecord::claim(&directory).unwrap(), None);
        let task = TaskRecord { pid: 7, ticks: None, created: SystemTime::now(), started: None };
        task.write(&directory).unwrap();
        assert_eq!(TaskRecord::read(&directory).unwrap(), Some(task));
        let claimed = ExitRecord::claim(&directory).unwrap().unwrap();
        assert_eq!((claimed.pid, claimed.status), (7, 137));
        assert_eq!(ExitRecord::claim(&directory).unwrap(), None);
        // The end of an earlier container of the bundle is another one.
        TaskRecord { pid: 8, ..task }.write(&directory).unwrap();
        assert_eq!(ExitRecord::claim(&directory).unwrap().unwrap().pid, 8);
        std::fs::write(scratch.path().join("exit.json"), "{").unwrap();
        assert_eq!(ExitRecord::read(&directory).unwrap(), None);
    }
}
