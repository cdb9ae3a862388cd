//! What goes over the socket between a confined process and its broker: one datagram for a
//! request, one for its answer, and descriptors beside them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use dunnage_core::ErrorKind;
use dunnage_sys::{Failure, ProcessId, scm_rights};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Action;

/// The largest request: the arguments of a shim.
pub(crate) const MAX_REQUEST_SIZE: usize = 32 << 10;
/// The largest answer: a message with a path, or the ids of many processes.
pub const MAX_REPLY_SIZE: usize = 32 << 10;

/// All that a broker can be asked for. The first descriptor is always the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Request {
    /// Unmount what is mounted at or under its `rootfs`.
    Unmount,
    /// Find a process that runs in the bundle.
    Find {
        /// Its number.
        pid: u32,
    },
    /// Find a process that was started at a time.
    FindStarted {
        /// Its number.
        pid: u32,
        /// Clock ticks since the machine was started.
        started: u64,
    },
    /// Find all that run in the bundle and carry its mark.
    FindMarked,
    /// End a process that runs in the bundle.
    End {
        /// Its number.
        pid: u32,
        /// Whether with `SIGKILL`; else with `SIGTERM`.
        kill: bool,
    },
    /// Have the runtime on record do something with the bundle's container, which prints to the
    /// second and the third descriptor.
    Run {
        /// What it is to do.
        action: Action,
    },
    /// Start the shim of the bundle, which is to listen on the second descriptor.
    StartShim {
        /// Its arguments, without its name.
        arguments: Vec<String>,
    },
    /// Report whether the root directory of a process is the bundle's `rootfs`.
    IsRooted {
        /// Its number.
        pid: u32,
    },
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// It is done.
    Done,
    /// Whether the process is there; then a pidfd comes with it.
    Found(bool),
    /// These processes.
    Processes(Vec<u32>),
    /// Whether the runtime succeeded.
    Ran(bool),
    /// The shim.
    Started(ProcessId),
    /// Whether it has its root there.
    Rooted(bool),
    /// A system call failed.
    Failed {
        /// The call.
        call: String,
        /// What it was called on.
        path: PathBuf,
        /// Further arguments.
        detail: Option<String>,
        /// Why it failed.
        errno: i32,
    },
    /// Something else failed.
    Trouble {
        /// The kind of the error.
        kind: String,
        /// What it says.
        message: String,
    },
    /// The request is not allowed.
    Refused(String),
}

/// The kinds of errors that keep their kind.
const KINDS: [ErrorKind; 6] = [
    ErrorKind::BadRecord,
    ErrorKind::Filesystem,
    ErrorKind::InvalidConfig,
    ErrorKind::PolicyBroken,
    ErrorKind::Timeout,
    ErrorKind::Untrusted,
];

impl Reply {
    pub(crate) fn trouble(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::Trouble { kind: kind.as_str().to_owned(), message: message.into() }
    }
}

/// The kind of that name.
pub(crate) fn kind_of(name: &str) -> ErrorKind {
    KINDS.into_iter().find(|kind| kind.as_str() == name).unwrap_or(ErrorKind::Shim)
}

impl From<Failure> for Reply {
    fn from(failure: Failure) -> Self {
        let (call, path, detail, errno) = failure.into_parts();
        Self::Failed { call: call.to_owned(), path, detail, errno: errno.raw_os_error() }
    }
}

/// Sends a message with descriptors.
///
/// # Errors
///
/// If it does not fit, or the other side is gone.
pub fn send(socket: impl AsFd, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> rustix::io::Result<()> {
    let text = serde_json::to_vec(message).map_err(|_| Errno::INVAL)?;
    scm_rights::send(socket, &text, fds)
}

/// A message with its descriptors, or why it is not one.
pub type Received<T> = Result<(T, Vec<OwnedFd>), &'static str>;

/// The next message: `None` at the end of the connection. A message that is too long, has too many
/// descriptors, or is malformed is an error that the next message does not share.
///
/// # Errors
///
/// If the connection is lost.
pub fn receive<T: DeserializeOwned>(socket: impl AsFd, limit: usize) -> rustix::io::Result<Option<Received<T>>> {
    let mut text = vec![0_u8; limit];
    let received = scm_rights::receive(socket, &mut text)?;
    if received.bytes == 0 && received.descriptors.is_empty() {
        return Ok(None);
    }
    if received.is_cut {
        return Ok(Some(Err("it is too long, or has too many descriptors")));
    }
    let message = text.get(..received.bytes).and_then(|text| serde_json::from_slice(text).ok());
    Ok(Some(message.map(|message| (message, received.descriptors)).ok_or("it is malformed")))
}
