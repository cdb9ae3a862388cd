//! FIFOs for the standard streams of a container's process.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dunnage_bundles::Node;
use dunnage_core::{AtStep, BundleId, Result, Step, names};
use dunnage_store::{DirLock, RecordDir};
use dunnage_sys::Name;

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
    directory: PathBuf,
    /// As long as no shim is on record, this tells recovery that it is in use.
    _lock: DirLock,
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
        let open = |name: &Name| record_dir.directory.open_or_make_fifo(name).at_step(Step::RunTask);
        Ok(Self {
            stdin: open(&names::STDIN)?,
            stdout: open(&names::STDOUT)?,
            stderr: if terminal { None } else { Some(open(&names::STDERR)?) },
            directory: record_dir.directory.path().to_owned(),
            _lock: lock,
        })
    }

    /// The paths of the FIFOs for standard input, output and error, as requests have them; the
    /// last is empty with a terminal.
    #[must_use]
    pub fn paths(&self) -> [String; 3] {
        let path = |name: &Name| self.directory.join(name.as_path()).to_string_lossy().into_owned();
        let stderr = self.stderr.as_ref().map_or_else(String::new, |_| path(&names::STDERR));
        [path(&names::STDIN), path(&names::STDOUT), stderr]
    }

    /// The directory that they lie in.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}
