//! Locks: a call that changes a bundle holds `flock` on its directory and on its work directory.
//!
//! Always in this order: first the work directory, then the bundle. The work directory's lock is
//! what keeps two calls for one id apart even while there is no bundle of that name.

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dunnage_core::{AtStep, Error, ErrorKind, Result, Step};
use dunnage_sys::{Crossing, Directory, Metadata, Name};
use rustix::io::Errno;

/// How long to wait for another process: long enough for a deletion that waits for a busy mount.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether to wait for a lock that is held.
#[derive(Clone, Copy, Debug)]
pub enum LockWait {
    /// Not at all.
    Never,
    /// Until this instant.
    Until(Instant),
}

impl LockWait {
    /// For some seconds: long enough for a deletion that waits for a busy mount.
    pub fn patiently() -> Self {
        Self::Until(Instant::now() + LOCK_TIMEOUT)
    }

    fn is_over(self) -> bool {
        match self {
            Self::Never => true,
            Self::Until(deadline) => Instant::now() >= deadline,
        }
    }
}

/// A directory whose lock we hold, given back when it is dropped.
#[derive(Debug)]
pub struct DirLock {
    directory: Arc<Directory>,
    metadata: Metadata,
}

impl DirLock {
    /// Locks a directory that was just made under a name. `None` if another process has locked or
    /// removed it already. One that cannot be locked is removed again.
    pub fn new(directory: Directory, parent: &Directory, name: &Name) -> Result<Option<Self>> {
        let locked = match directory.try_lock().at_step(Step::Lock) {
            Ok(true) => Self::at(directory, parent, name, Step::Lock),
            Ok(false) => Ok(None),
            Err(error) => Err(error),
        };
        locked.map_err(|error| match parent.remove_directory(name) {
            Err(failure) if failure.errno() != Errno::NOENT => {
                error.note(format!("{} is left behind: {failure}", parent.path_of(name).display()))
            }
            _ => error,
        })
    }

    /// A directory whose lock was taken, if a name still leads to it.
    fn at(directory: Directory, parent: &Directory, name: &Name, step: Step) -> Result<Option<Self>> {
        let found = directory.metadata_if_at(parent, name).at_step(step)?;
        Ok(found.map(|metadata| Self { directory: Arc::new(directory), metadata }))
    }

    /// Opens and locks the directory of a name, and makes sure that the name still leads there: the
    /// previous holder of the lock may have renamed or removed it. `None` if there is nothing.
    pub fn open(parent: &Directory, name: &Name, waiting: LockWait, step: Step) -> Result<Option<Self>> {
        loop {
            let directory = match parent.open_directory(name, Crossing::Refused) {
                Err(failure) if failure.errno() == Errno::NOENT => return Ok(None),
                Err(failure) => return Err(not_ours(Error::from_failure(step, &failure), failure.errno())),
                Ok(directory) => directory,
            };
            wait(&directory, waiting)?;
            if let Some(locked) = Self::at(directory, parent, name, step)? {
                return Ok(Some(locked));
            }
        }
    }

    /// Locks a directory through another handle of it, wherever it lies by now: for callers that
    /// cannot open its parent.
    pub fn again(directory: &Directory, waiting: LockWait) -> Result<Self> {
        let directory = directory.reopen().at_step(Step::Lock)?;
        wait(&directory, waiting)?;
        let metadata = directory.metadata().at_step(Step::Lock)?;
        Ok(Self { directory: Arc::new(directory), metadata })
    }

    /// The directory, shared. The lock goes with this value all the same.
    pub fn share(&self) -> Arc<Directory> {
        Arc::clone(&self.directory)
    }

    /// What the directory was when its lock was taken.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

/// Waits for a lock by asking again: a blocking `flock` could not be given up.
fn wait(directory: &Directory, waiting: LockWait) -> Result<()> {
    let mut pause = Duration::from_micros(100);
    while !directory.try_lock().at_step(Step::Lock)? {
        if waiting.is_over() {
            let path = directory.path();
            let waited = match waiting {
                LockWait::Never => String::new(),
                LockWait::Until(_) => format!(" (waited {} s)", LOCK_TIMEOUT.as_secs()),
            };
            let message = format!("{} is locked: another process is changing it{waited}", path.display());
            return Err(Error::new(ErrorKind::Locked, Step::Lock, message).at(path));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(5));
    }
    Ok(())
}

/// Explains why a directory of ours cannot be opened in a particular way.
fn not_ours(error: Error, errno: Errno) -> Error {
    match errno {
        Errno::XDEV => error.with_kind(ErrorKind::Mounted).note("something is mounted there"),
        Errno::LOOP | Errno::NOTDIR => {
            error.with_kind(ErrorKind::Untrusted).note("it is not a directory; links are never followed")
        }
        _ => error,
    }
}

impl Deref for DirLock {
    type Target = Directory;

    fn deref(&self) -> &Directory {
        &self.directory
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        self.directory.unlock();
    }
}
