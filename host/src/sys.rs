//! The privileged calls, one file per kind. Everything acts on directory handles and on names of a
//! single component; whole paths of an operator enter in [`ambient`] only. (Paths below `/proc/self`, made of handles,
//! stand in where a call takes no handle.)

mod acl;
pub(crate) mod ambient;
mod create;
#[cfg(feature = "shim")]
pub(crate) mod descriptors;
mod directory;
#[cfg(feature = "shim")]
mod fifo;
mod files;
mod fork;
#[cfg(feature = "shim")]
mod listen;
#[cfg(feature = "shim")]
mod log;
#[cfg(feature = "shim")]
mod mount;
mod mounts;
mod open;
mod process;
mod remove;
mod socket;
#[cfg(feature = "shim")]
mod spawn;
#[cfg(feature = "shim")]
mod watch;

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

pub(crate) use directory::{Directory, Entry, FileIdentity, Kind, Metadata, path_identity};
pub(crate) use fork::{Side, close_all_but, fork, survive_signals};
#[cfg(feature = "shim")]
pub(crate) use listen::{Listening, dial_abstract, listen, peer_uid};
#[cfg(feature = "shim")]
pub(crate) use log::LogFile;
#[cfg(feature = "shim")]
pub(crate) use mount::{Mounting, mount_below};
pub(crate) use mounts::{Mounts, unmount_below};
pub(crate) use open::Crossing;
pub(crate) use process::{End, ShimProcess, boot_id, effective_ids, is_rooted_at, is_there};
#[cfg(feature = "shim")]
pub(crate) use process::{MARK, has_children, start_time};
#[cfg(feature = "shim")]
pub(crate) use socket::dial;
pub(crate) use socket::{SocketFate, SocketIdentity, remove_dead_socket, remove_own_socket, remove_recorded_socket};
#[cfg(feature = "shim")]
pub(crate) use spawn::{Apart, hand_over, persistently};
#[cfg(feature = "shim")]
pub(crate) use watch::Watch;

/// A system call that failed, with what it was called on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The call, as its manual page names it.
    call: &'static str,
    /// What it was called on.
    path: PathBuf,
    /// Further arguments worth telling.
    detail: Option<String>,
    errno: Errno,
}

impl Failure {
    pub(crate) fn new(call: &'static str, path: impl Into<PathBuf>, errno: Errno) -> Self {
        Self { call, path: path.into(), detail: None, errno }
    }

    pub(crate) fn with(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub(crate) fn errno(&self) -> Errno {
        self.errno
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The call, what it was called on, further arguments, and why it failed.
    pub(crate) fn into_parts(self) -> (&'static str, PathBuf, Option<String>, Errno) {
        (self.call, self.path, self.detail, self.errno)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({:?}", self.call, self.path)?;
        if let Some(detail) = &self.detail {
            write!(f, ", {detail}")?;
        }
        write!(f, "): {}", self.errno)
    }
}

impl std::error::Error for Failure {}

/// What the calls of this module return.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// Repeats a call that a signal interrupted.
pub(crate) fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}
