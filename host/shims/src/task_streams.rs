//! FIFOs for the standard streams of a container's process.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use dunnage_bundles::Node;
use dunnage_core::{AtStep, BundleId, Error, ErrorKind, Result, Step, names};
use dunnage_store::{DirLock, RecordDir};
use dunnage_sys::{Directory, Name};

/// The ends of a container's standard streams that a client holds, and the paths of the other ends.
///
/// All are open before the shim opens its own: one that must wait for a reader fails after 30 s.
/// Each end is open for reading and writing and does not block, so that neither side ever gets an
/// unintended end-of-file or broken pipe: a client that reads until the process has ended and
/// [`ShimClient::delete`](crate::ShimClient::delete) has answered has read everything.
#[derive(Debug)]
#[non_exhaustive]
pub struct TaskStreams {
    /// The process reads what is written here.
    pub stdin: OwnedFd,
    /// What the process writes is read here.
    pub stdout: OwnedFd,
    /// What the process writes to standard error is read here; with a terminal there is none.
    pub stderr: Option<OwnedFd>,
    directory: Arc<Directory>,
    names: [Name; 3],
    /// As long as no shim is on record, this tells recovery that it is in use.
    lock: Option<DirLock>,
}

impl TaskStreams {
    /// Makes the FIFOs, and holds the directory that they lie in.
    ///
    /// # Errors
    ///
    /// If they cannot be made.
    #[doc(hidden)]
    pub fn make(node: &Arc<Node>, id: &BundleId, terminal: bool) -> Result<Self> {
        let (record_dir, lock) = loop {
            let record_dir = RecordDir::make(&node.layout, id)?;
            if let Some(lock) = record_dir.lock_patiently()? {
                break (record_dir, lock);
            }
        };
        Self::open(record_dir.directory, [names::STDIN, names::STDOUT, names::STDERR], terminal, Some(lock))
    }

    /// The same for a further process of a container that has a shim, by its id. They are to be removed when
    /// both sides have opened them.
    ///
    /// # Errors
    ///
    /// If they cannot be made.
    #[doc(hidden)]
    pub fn make_for_exec(node: &Arc<Node>, id: &BundleId, exec_id: &str, terminal: bool) -> Result<Self> {
        let name = |stream: &str| {
            Name::new(format!("{exec_id}.{stream}")).map_err(|error| {
                let message = format!("{exec_id:?} cannot be the id of a process: {error}");
                Error::new(ErrorKind::InvalidIdentifier, Step::RunTask, message)
            })
        };
        let names = [name("stdin")?, name("stdout")?, name("stderr")?];
        Self::open(records(node, id)?, names, terminal, None)
    }

    fn open(directory: Arc<Directory>, names: [Name; 3], terminal: bool, lock: Option<DirLock>) -> Result<Self> {
        let open = |name: &Name| directory.open_or_make_fifo(name).at_step(Step::RunTask);
        let [stdin, stdout, stderr] = &names;
        Ok(Self {
            stdin: open(stdin)?,
            stdout: open(stdout)?,
            stderr: if terminal { None } else { Some(open(stderr)?) },
            directory,
            names,
            lock,
        })
    }

    /// The paths of the FIFOs for standard input, output and error, as requests have them; the
    /// last is empty with a terminal.
    #[must_use]
    pub fn paths(&self) -> [String; 3] {
        let path = |name: &Name| self.directory.path_of(name).to_string_lossy().into_owned();
        let [stdin, stdout, stderr] = &self.names;
        [path(stdin), path(stdout), self.stderr.as_ref().map_or_else(String::new, |_| path(stderr))]
    }

    /// Removes the names of the FIFOs when it is dropped. Both sides keep what they have opened.
    #[doc(hidden)]
    #[must_use]
    pub fn names(&self) -> FifoNames {
        FifoNames { directory: Arc::clone(&self.directory), names: self.names.clone() }
    }

    /// The paths for a container whose output a monitor keeps, which has made the FIFOs of that; input that
    /// can be attached to gets one here.
    ///
    /// # Errors
    ///
    /// If there is no record of its shim, or the FIFO cannot be made.
    #[doc(hidden)]
    pub fn kept(node: &Arc<Node>, id: &BundleId, terminal: bool, interactive: bool) -> Result<[String; 3]> {
        let directory = records(node, id)?;
        let path = |name: &Name| directory.path_of(name).to_string_lossy().into_owned();
        let stderr = if terminal { String::new() } else { path(&names::STDERR) };
        let mut stdin = String::new();
        if interactive {
            // The shim opens it, and holds it open.
            directory.open_or_make_fifo(&names::STDIN).at_step(Step::RunTask)?;
            stdin = path(&names::STDIN);
        }
        Ok([stdin, path(&names::STDOUT), stderr])
    }

    /// The input of a container that can be attached to.
    ///
    /// # Errors
    ///
    /// If there is no record of its shim.
    #[doc(hidden)]
    pub fn input(node: &Arc<Node>, id: &BundleId) -> Result<Option<OwnedFd>> {
        let directory = records(node, id)?;
        if directory.metadata_at(&names::STDIN).is_err() {
            return Ok(None);
        }
        directory.open_or_make_fifo(&names::STDIN).map(Some).at_step(Step::RunTask)
    }

    /// As long as it is kept, the container is not removed without force: somebody waits for it.
    #[doc(hidden)]
    pub fn attend(&mut self) -> Attendance {
        Attendance(self.lock.take())
    }

    /// The directory that they lie in.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// Says that a command waits for a container.
#[derive(Debug)]
pub struct Attendance(#[expect(dead_code, reason = "a lock is held, not read")] Option<DirLock>);

/// The names of FIFOs, which go when this is dropped.
#[derive(Debug)]
pub struct FifoNames {
    directory: Arc<Directory>,
    names: [Name; 3],
}

impl Drop for FifoNames {
    fn drop(&mut self) {
        for name in &self.names {
            if let Err(failure) = self.directory.unlink_if_there(name) {
                tracing::debug!(%failure, "cannot remove the name of a FIFO");
            }
        }
    }
}

fn records(node: &Arc<Node>, id: &BundleId) -> Result<Arc<Directory>> {
    let missing = || Error::new(ErrorKind::Shim, Step::RunTask, "its shim is not on record".to_owned());
    Ok(RecordDir::open(&node.layout, id)?.ok_or_else(missing)?.directory)
}
