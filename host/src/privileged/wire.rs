//! What goes over the socket between a confined process and its broker: one datagram for a
//! request, one for its answer, and descriptors beside them.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::bundles::{Process, RuntimeAction};
use crate::error::ErrorKind;
use crate::sys::Failure;

/// The largest request: the arguments of a shim.
pub(super) const REQUEST: usize = 32 << 10;
/// The largest answer: a message with a path, or the ids of many processes.
pub(super) const ANSWER: usize = 32 << 10;
/// The most descriptors that go with one message: a bundle, and two streams or a socket.
const DESCRIPTORS: usize = 3;

/// All that a broker can be asked for. The first descriptor is always the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) enum Request {
    /// Unmount what is mounted at or under its `rootfs`.
    Unmount,
    /// Find a process that runs in the bundle.
    Find { pid: u32 },
    /// Find a process that was started at a time.
    FindStarted { pid: u32, started: u64 },
    /// Find all that run in the bundle and carry its mark.
    FindMarked,
    /// End a process that runs in the bundle.
    End { pid: u32, kill: bool },
    /// Have the runtime on record do something with the bundle's container, which prints to the
    /// second and the third descriptor.
    Run { action: RuntimeAction },
    /// Start the shim of the bundle, which is to listen on the second descriptor.
    StartShim { arguments: Vec<String> },
    /// Tell whether the root directory of a process is the bundle's `rootfs`.
    IsRooted { pid: u32 },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    Done,
    /// Whether the process is there; then a pidfd comes with it.
    Found(bool),
    Processes(Vec<u32>),
    /// Whether the runtime succeeded.
    Ran(bool),
    /// The shim.
    Started(Process),
    Rooted(bool),
    /// A system call failed.
    Failed {
        call: String,
        path: PathBuf,
        detail: Option<String>,
        errno: i32,
    },
    /// Something else failed.
    Trouble {
        kind: String,
        message: String,
    },
    /// It is not among what may be asked for.
    Refused(String),
}

/// The kinds of trouble that are told apart.
const KINDS: [ErrorKind; 6] = [
    ErrorKind::BadRecord,
    ErrorKind::Filesystem,
    ErrorKind::InvalidConfig,
    ErrorKind::PolicyBroken,
    ErrorKind::Timeout,
    ErrorKind::Untrusted,
];

impl Answer {
    pub(super) fn trouble(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::Trouble { kind: kind.as_str().to_owned(), message: message.into() }
    }
}

/// The kind of that name.
pub(super) fn kind_of(name: &str) -> ErrorKind {
    KINDS.into_iter().find(|kind| kind.as_str() == name).unwrap_or(ErrorKind::Shim)
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Self {
        let (call, path, detail, errno) = failure.into_parts();
        Self::Failed { call: call.to_owned(), path, detail, errno: errno.raw_os_error() }
    }
}

/// Sends a message with descriptors.
pub(super) fn send(socket: impl AsFd, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> rustix::io::Result<()> {
    let text = serde_json::to_vec(message).map_err(|_| Errno::INVAL)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::INVAL);
    }
    // If the other side is gone that is an error, and no signal that ends us.
    let sent = crate::sys::retry(|| sendmsg(&socket, &[IoSlice::new(&text)], &mut control, SendFlags::NOSIGNAL))?;
    if sent == text.len() { Ok(()) } else { Err(Errno::MSGSIZE) }
}

/// A message with its descriptors, or why it is none.
pub(super) type Received<T> = Result<(T, Vec<OwnedFd>), &'static str>;

/// What came: `None` at the end of the connection. A message that is too long, has too many
/// descriptors, or makes no sense is an error that the next message does not share.
pub(super) fn receive<T: DeserializeOwned>(socket: impl AsFd, limit: usize) -> rustix::io::Result<Option<Received<T>>> {
    let mut text = vec![0_u8; limit];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = crate::sys::retry(|| recvmsg(&socket, &mut [IoSliceMut::new(&mut text)], &mut control, flags))?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    if received.bytes == 0 && fds.is_empty() {
        return Ok(None);
    }
    // The kernel closes what has no room.
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Ok(Some(Err("it is too long, or has too many descriptors")));
    }
    let message = text.get(..received.bytes).and_then(|text| serde_json::from_slice(text).ok());
    Ok(Some(message.map(|message| (message, fds)).ok_or("it makes no sense")))
}
