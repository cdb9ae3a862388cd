//! Listening on a unix socket below a directory handle, and finding out who listens elsewhere.

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, bind, listen as start_listening, sockopt};

use crate::create::change_mode;
use crate::socket::{address_at, dial_address, new_socket};
use crate::{Directory, Failure, FileKind, Name, Result, SocketIdentity};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;

/// What listens under a name.
#[derive(Debug)]
pub struct Listening {
    /// The socket.
    pub socket: OwnedFd,
    /// Which file it is: a later cleanup removes this one and no other (defect D3).
    pub identity: SocketIdentity,
}

/// Listens under an unused name, for our own user only.
pub fn listen(directory: &Directory, name: &Name) -> Result<Listening> {
    let fail = |call, errno| Failure::new(call, directory.path_of(name), errno);
    let socket = new_socket().map_err(|errno| fail("socket", errno))?;
    // A bound socket takes its mode from the descriptor, so it is never open to others.
    change_mode(socket.as_fd(), 0o600).map_err(|errno| fail("fchmod", errno))?;
    let address = address_at(directory, name).map_err(|errno| fail("bind", errno))?;
    bind(&socket, &address).map_err(|errno| fail("bind", errno))?;
    let bound = (|| {
        let found = directory.metadata_at(name)?;
        if found.kind != FileKind::Socket || found.mode & 0o177 != 0 {
            return Err(fail("bind", Errno::INVAL).with(format!("it has mode {:04o}", found.mode)));
        }
        start_listening(&socket, BACKLOG).map_err(|errno| fail("listen", errno))?;
        Ok(SocketIdentity::of(&found))
    })();
    match bound {
        Ok(identity) => Ok(Listening { socket, identity }),
        Err(failure) => {
            let _ = directory.unlink(name);
            Err(failure)
        }
    }
}

/// Connects to an abstract name.
///
/// Programs built by Go before 1.21 count a trailing NUL as part of the name, as shims of that age
/// do.
pub fn dial_abstract(name: &str) -> rustix::io::Result<OwnedFd> {
    let dial = |name: &[u8]| dial_address(&SocketAddrUnix::new_abstract_name(name)?);
    match dial(&[name.as_bytes(), b"\0"].concat()) {
        Err(Errno::CONNREFUSED | Errno::NAMETOOLONG) => dial(name.as_bytes()),
        dialled => dialled,
    }
}

/// The user who called `listen` on the other side (`SO_PEERCRED` of unix(7)).
pub fn peer_uid(socket: &OwnedFd) -> rustix::io::Result<u32> {
    sockopt::socket_peercred(socket).map(|peer| peer.uid.as_raw())
}

/// Whether a descriptor is a unix socket that listens.
#[must_use]
pub fn is_listening_unix_socket(socket: &OwnedFd) -> bool {
    sockopt::socket_domain(socket) == Ok(AddressFamily::UNIX) && sockopt::socket_acceptconn(socket) == Ok(true)
}
