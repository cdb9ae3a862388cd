//! Locks: who changes a bundle holds `flock` on its directory and on its work directory.
//!
//! Always in this order: first the work directory, then the bundle. The work directory's lock is
//! what keeps two calls for one id apart even while there is no bundle of that name.

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::error::{AtStep, Error, ErrorKind, Result, Step};
use crate::name::Name;
use crate::sys::{Crossing, Directory};

/// How long to wait for somebody else. Longer than a deletion waits for a busy mount.
const PATIENCE: Duration = Duration::from_secs(10);

/// A directory whose lock we hold, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Locked(Arc<Directory>);

impl Locked {
    /// Takes the lock of a directory if it is free.
    pub(crate) fn try_new(directory: Directory) -> Result<Option<Self>> {
        Ok(directory.try_lock().at_step(Step::Lock)?.then(|| Self(Arc::new(directory))))
    }

    /// Opens and locks what has a name, and makes sure that the name still leads there: whoever
    /// had the lock before may have renamed or removed it. `None` if there is nothing.
    pub(crate) fn open(parent: &Directory, name: &Name, step: Step) -> Result<Option<Self>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let directory = match parent.open_directory(name, Crossing::Refused) {
                Err(failure) if failure.errno() == Errno::NOENT => return Ok(None),
                Err(failure) => return Err(not_ours(Error::from_failure(step, &failure), failure.errno())),
                Ok(directory) => directory,
            };
            let locked = Self::wait(directory, deadline)?;
            if locked.is_at(parent, name).at_step(step)? {
                return Ok(Some(locked));
            }
        }
    }

    /// Waits by asking again: a blocking `flock` could not be given up.
    fn wait(directory: Directory, deadline: Instant) -> Result<Self> {
        let mut pause = Duration::from_micros(100);
        while !directory.try_lock().at_step(Step::Lock)? {
            if Instant::now() >= deadline {
                let message = format!(
                    "somebody else is changing {} and has not finished in {} s",
                    directory.path().display(),
                    PATIENCE.as_secs()
                );
                return Err(Error::new(ErrorKind::Locked, Step::Lock, message).at(directory.path()));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(5));
        }
        Ok(Self(Arc::new(directory)))
    }

    pub(crate) fn share(&self) -> Arc<Directory> {
        Arc::clone(&self.0)
    }
}

/// Says what it means that a directory of ours cannot be opened in a particular way.
fn not_ours(error: Error, errno: Errno) -> Error {
    match errno {
        Errno::XDEV => error.with_kind(ErrorKind::Mounted).note("something is mounted there"),
        Errno::LOOP | Errno::NOTDIR => {
            error.with_kind(ErrorKind::Untrusted).note("it is no directory; links are never followed")
        }
        _ => error,
    }
}

impl Deref for Locked {
    type Target = Directory;

    fn deref(&self) -> &Directory {
        &self.0
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.0.unlock();
    }
}
