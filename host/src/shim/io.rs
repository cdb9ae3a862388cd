//! FIFOs for the standard streams of a container's process.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bundle::BundleId;
use crate::bundles::{Inner, KeptShim, Locked};
use crate::error::{AtStep, Result, Step};
use crate::name::Name;

/// The ends of a container's standard streams that a client holds, and the paths of the other ends.
///
/// All are open before the shim opens its own: one that has to wait for a reader fails after 30 s.
/// Each end is open for reading and writing and does not block, so that neither side ever gets an
/// end-of-file or a broken pipe that nobody meant: who reads until the process has ended and
/// [`ShimClient::delete`](super::ShimClient::delete) has answered has read everything.
#[derive(Debug)]
#[non_exhaustive]
pub struct TaskStreams {
    /// What is written here the process reads.
    pub stdin: OwnedFd,
    /// What the process writes is read here.
    pub stdout: OwnedFd,
    /// What the process writes to standard error is read here; with a terminal there is none.
    pub stderr: Option<OwnedFd>,
    directory: PathBuf,
    /// As long as no shim is on record, this tells recovery that somebody is at it.
    _lock: Locked,
}

impl TaskStreams {
    pub(super) fn make(inner: &Arc<Inner>, id: &BundleId, terminal: bool) -> Result<Self> {
        let (kept, lock) = loop {
            let kept = KeptShim::make(inner, id)?;
            if let Some(lock) = kept.lock_patiently()? {
                break (kept, lock);
            }
        };
        let open = |name: &Name| kept.directory.open_or_make_fifo(name).at_step(Step::RunTask);
        Ok(Self {
            stdin: open(&Name::STDIN)?,
            stdout: open(&Name::STDOUT)?,
            stderr: if terminal { None } else { Some(open(&Name::STDERR)?) },
            directory: kept.directory.path().to_owned(),
            _lock: lock,
        })
    }

    /// The paths of the FIFOs for standard input, output and error, as requests have them; the
    /// last is empty with a terminal.
    #[must_use]
    pub fn paths(&self) -> [String; 3] {
        let path = |name: &Name| self.directory.join(name.as_path()).to_string_lossy().into_owned();
        let stderr = self.stderr.as_ref().map_or_else(String::new, |_| path(&Name::STDERR));
        [path(&Name::STDIN), path(&Name::STDOUT), stderr]
    }

    /// The directory that they lie in.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}
