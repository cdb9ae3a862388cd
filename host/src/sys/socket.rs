//! Unix sockets below a directory handle: listening, dialling, and removing the one that a dead
//! shim left behind, and no other.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{Mode, fchmod};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen as start_listening, socket_with,
    sockopt,
};

use super::directory::{Directory, FileIdentity, Kind};
use super::process::effective_ids;
use super::{Failure, Result, retry};
use crate::name::Name;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;

/// What became of a socket that was to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SocketFate {
    Removed,
    Missing,
    /// It stays, and why.
    Kept(&'static str),
}

/// What listens under a name.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) socket: OwnedFd,
    /// Which file it is: who cleans up later removes this one and no other (defect D3).
    pub(crate) identity: FileIdentity,
}

/// Listens under a name that nothing has, for ourselves only.
pub(crate) fn listen(directory: &Directory, name: &Name) -> Result<Listening> {
    let fail = |call, errno| Failure::new(call, directory.path_of(name), errno);
    let socket = new_socket().map_err(|errno| fail("socket", errno))?;
    // A bound socket takes its mode from the descriptor, so it is never open to others.
    fchmod(&socket, Mode::RUSR | Mode::WUSR).map_err(|errno| fail("fchmod", errno))?;
    let address = address_at(directory, name).map_err(|errno| fail("bind", errno))?;
    bind(&socket, &address).map_err(|errno| fail("bind", errno))?;
    let bound = (|| {
        let found = directory.metadata_at(name)?;
        if found.kind != Kind::Socket || found.mode & 0o177 != 0 {
            return Err(fail("bind", Errno::INVAL).with(format!("it has mode {:04o}", found.mode)));
        }
        start_listening(&socket, BACKLOG).map_err(|errno| fail("listen", errno))?;
        Ok(found.identity())
    })();
    match bound {
        Ok(identity) => Ok(Listening { socket, identity }),
        Err(failure) => {
            let _ = directory.unlink(name);
            Err(failure)
        }
    }
}

/// Removes a socket if it is one, if it is ours, and if nobody listens there any more.
///
/// The original removes whatever path stands in `address` (defect D12).
pub(crate) fn remove_dead_socket(directory: &Directory, name: &Name) -> Result<SocketFate> {
    let found = match directory.metadata_at(name) {
        Err(failure) if failure.errno() == Errno::NOENT => return Ok(SocketFate::Missing),
        found => found?,
    };
    if found.kind != Kind::Socket {
        return Ok(SocketFate::Kept("it is no socket"));
    }
    if found.uid != effective_ids().0 {
        return Ok(SocketFate::Kept("it belongs to another user"));
    }
    match dial(directory, name) {
        Err(Errno::CONNREFUSED) => {}
        Err(Errno::NOENT) => return Ok(SocketFate::Missing),
        // A full backlog (EAGAIN) has a listener too.
        Ok(_) | Err(Errno::AGAIN) => return Ok(SocketFate::Kept("somebody listens there")),
        Err(errno) => return Err(Failure::new("connect", directory.path_of(name), errno)),
    }
    // A new shim may have bound the name meanwhile (defect D3).
    if directory.metadata_at(name).is_ok_and(|now| now.identity() != found.identity()) {
        return Ok(SocketFate::Kept("somebody has just made it"));
    }
    unlink(directory, name)
}

/// Removes a socket that we have bound ourselves, if its name still leads to it.
pub(crate) fn remove_own_socket(directory: &Directory, name: &Name, identity: FileIdentity) -> Result<SocketFate> {
    match directory.metadata_at(name) {
        Err(failure) if failure.errno() == Errno::NOENT => Ok(SocketFate::Missing),
        Ok(found) if found.identity() == identity && found.kind == Kind::Socket => unlink(directory, name),
        Ok(_) => Ok(SocketFate::Kept("somebody else has its name now")),
        Err(failure) => Err(failure),
    }
}

fn unlink(directory: &Directory, name: &Name) -> Result<SocketFate> {
    match directory.unlink(name) {
        Ok(()) => Ok(SocketFate::Removed),
        Err(failure) if failure.errno() == Errno::NOENT => Ok(SocketFate::Missing),
        Err(failure) => Err(failure),
    }
}

/// Connects to a socket in a directory; `EAGAIN` if more wait there than it takes.
pub(crate) fn dial(directory: &Directory, name: &Name) -> rustix::io::Result<OwnedFd> {
    dial_address(&address_at(directory, name)?)
}

/// Connects to an abstract name.
pub(crate) fn dial_abstract(name: &str) -> rustix::io::Result<OwnedFd> {
    dial_address(&SocketAddrUnix::new_abstract_name(name.as_bytes())?)
}

fn dial_address(address: &SocketAddrUnix) -> rustix::io::Result<OwnedFd> {
    let socket = new_socket()?;
    retry(|| connect(&socket, address))?;
    Ok(socket)
}

/// The user who called `listen` on the other side (`SO_PEERCRED` of unix(7)).
pub(crate) fn peer_uid(socket: &OwnedFd) -> rustix::io::Result<u32> {
    sockopt::socket_peercred(socket).map(|peer| peer.uid.as_raw())
}

/// A socket is dialled and bound by path; the handle keeps it from being bent, and short enough
/// for `sun_path`.
fn address_at(directory: &Directory, name: &Name) -> rustix::io::Result<SocketAddrUnix> {
    SocketAddrUnix::new(format!("/proc/self/fd/{}/{name}", directory.as_fd().as_raw_fd()))
}

fn new_socket() -> rustix::io::Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}
