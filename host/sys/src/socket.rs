//! Unix sockets below a directory handle: dialling, and removing the one that a dead shim left
//! behind, and no other.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::SystemTime;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use serde::{Deserialize, Serialize};

use crate::{Directory, Failure, FileIdentity, FileKind, Metadata, Name, Result, effective_ids, retry};

/// The outcome of removing a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketFate {
    /// It is gone.
    Removed,
    /// There was none.
    Missing,
    /// It was kept, and why.
    Kept(&'static str),
}

/// Which socket it is. The inode alone is not enough: its number is reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketIdentity {
    #[serde(flatten)]
    file: FileIdentity,
    created: Option<SystemTime>,
}

impl SocketIdentity {
    /// The socket that was found.
    pub fn of(found: &Metadata) -> Self {
        Self { file: found.identity(), created: Some(found.created) }
    }
}

/// Removes a socket if it is one, if it is ours, and if nothing listens there any more.
///
/// The original removes whatever path stands in `address` (defect D12).
pub fn remove_dead_socket(directory: &Directory, name: &Name) -> Result<SocketFate> {
    let found = match directory.metadata_at(name) {
        Err(failure) if failure.errno() == Errno::NOENT => return Ok(SocketFate::Missing),
        found => found?,
    };
    if found.kind != FileKind::Socket {
        return Ok(SocketFate::Kept("it is not a socket"));
    }
    if found.uid != effective_ids().0 {
        return Ok(SocketFate::Kept("it belongs to another user"));
    }
    match dial(directory, name) {
        Err(Errno::CONNREFUSED) => {}
        Err(Errno::NOENT) => return Ok(SocketFate::Missing),
        // A full backlog (EAGAIN) has a listener too.
        Ok(_) | Err(Errno::AGAIN) => return Ok(SocketFate::Kept("a process is listening there")),
        Err(errno) => return Err(Failure::new("connect", directory.path_of(name), errno)),
    }
    // A new shim may have bound the name meanwhile (defect D3).
    if directory.metadata_at(name).is_ok_and(|now| now.identity() != found.identity()) {
        return Ok(SocketFate::Kept("another process has just created it"));
    }
    unlink(directory, name)
}

/// Removes a socket that we have bound ourselves, if its name still leads to it.
pub fn remove_own_socket(directory: &Directory, name: &Name, identity: SocketIdentity) -> Result<SocketFate> {
    match directory.metadata_at(name) {
        Err(failure) if failure.errno() == Errno::NOENT => Ok(SocketFate::Missing),
        Ok(found) if SocketIdentity::of(&found) == identity && found.kind == FileKind::Socket => {
            unlink(directory, name)
        }
        Ok(_) => Ok(SocketFate::Kept("another file has its name now")),
        Err(failure) => Err(failure),
    }
}

/// Removes the socket that is on record for a shim that does not run, or else a dead one that has
/// its name. A process that is killed while it starts a shim leaves a monitor that holds the socket
/// open until it sees that there is nothing to do: a check for refused connections would leave the
/// socket for ever.
pub fn remove_recorded_socket(
    directory: &Directory,
    name: &Name,
    recorded: Option<SocketIdentity>,
) -> Result<SocketFate> {
    match recorded.map(|identity| remove_own_socket(directory, name, identity)) {
        None | Some(Ok(SocketFate::Kept(_))) => remove_dead_socket(directory, name),
        Some(removed) => removed,
    }
}

pub(crate) fn unlink(directory: &Directory, name: &Name) -> Result<SocketFate> {
    match directory.unlink(name) {
        Ok(()) => Ok(SocketFate::Removed),
        Err(failure) if failure.errno() == Errno::NOENT => Ok(SocketFate::Missing),
        Err(failure) => Err(failure),
    }
}

/// Connects to a socket in a directory; `EAGAIN` if its backlog is full.
pub fn dial(directory: &Directory, name: &Name) -> rustix::io::Result<OwnedFd> {
    dial_address(&address_at(directory, name)?)
}

pub(crate) fn dial_address(address: &SocketAddrUnix) -> rustix::io::Result<OwnedFd> {
    let socket = new_socket()?;
    retry(|| connect(&socket, address))?;
    Ok(socket)
}

/// A socket is dialled and bound by path; the handle keeps the path from being redirected, and
/// short enough for `sun_path`.
pub(crate) fn address_at(directory: &Directory, name: &Name) -> rustix::io::Result<SocketAddrUnix> {
    SocketAddrUnix::new(format!("/proc/self/fd/{}/{name}", directory.as_fd().as_raw_fd()))
}

pub(crate) fn new_socket() -> rustix::io::Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}
