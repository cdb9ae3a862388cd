//! Where a bundle's shim listens.

use alloc::format;
use alloc::string::String;
use core::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::directory::Directory;
use crate::identifier;
use crate::records::{self, ABSTRACT, Fault, UNIX};

pub mod path;

/// Where shims of a node listen. Both are text.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    /// The daemon's address, which is hashed.
    pub daemon: &'a str,
    /// The directory of the shims' sockets.
    pub socket_root: &'a str,
}

/// The address of a bundle's shim. Similar to `shimAddress` of containerd.
///
/// # Errors
///
/// If the namespace or the id is refused.
pub fn shim(namespace: &str, id: &str, node: Node<'_>) -> Result<String, identifier::Error> {
    identifier::check_both(namespace, id)?;
    let digest = Sha256::digest(path::join(&[node.daemon, namespace, id]));
    let mut name = String::with_capacity(64);
    for byte in digest {
        // Writing to a string does not fail.
        let _ = write!(name, "{byte:02x}");
    }
    Ok(format!("{UNIX}{}", path::join(&[node.socket_root, &name])))
}

/// The abstract address that shims of old containerd versions had. Similar to `legacyShimAddress`
/// of containerd.
///
/// # Errors
///
/// If the namespace or the id is refused.
pub fn legacy(namespace: &str, id: &str) -> Result<String, identifier::Error> {
    identifier::check_both(namespace, id)?;
    Ok(path::join(&[ABSTRACT, namespace, id, "shim.sock"]))
}

/// An address to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `unix://` and a path below the socket root.
    Path(String),
    /// An abstract name, without its leading NUL.
    Abstract(String),
}

/// Why there is no address to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectError<E> {
    /// The namespace or the id is refused.
    Identifier(identifier::Error),
    /// None is on file, and the legacy one is not allowed.
    NoAddress,
    /// An abstract name is on file, and those are not allowed.
    LegacyRefused(String),
    /// What is on file cannot be used.
    Record(Fault<E>),
}

/// The address to connect to. Similar to `decideShimAddress` of containerd.
///
/// The legacy name is taken only if there is no file: an attacker who can spoil the file could
/// otherwise choose an address that any process in the network namespace can hold (defect D11).
///
/// # Errors
///
/// See [`ConnectError`].
pub fn connect<D: Directory>(
    bundle: &D,
    namespace: &str,
    id: &str,
    node: Node<'_>,
    allow_legacy: bool,
) -> Result<Endpoint, ConnectError<D::Error>> {
    identifier::check_both(namespace, id).map_err(ConnectError::Identifier)?;
    let Some(address) = records::address(bundle).map_err(ConnectError::Record)? else {
        if !allow_legacy {
            return Err(ConnectError::NoAddress);
        }
        return legacy(namespace, id).map(Endpoint::Abstract).map_err(ConnectError::Identifier);
    };
    match address.strip_prefix(UNIX) {
        Some(socket) if !lies_in(socket, node.socket_root) => {
            let (socket, root) = (socket.escape_default(), node.socket_root.escape_default());
            let why = format!("its path {socket} is not in the socket directory {root}");
            Err(ConnectError::Record(Fault::Malformed(why)))
        }
        Some(_) => Ok(Endpoint::Path(address)),
        None if allow_legacy => Ok(Endpoint::Abstract(address)),
        None => Err(ConnectError::LegacyRefused(address)),
    }
}

/// Whether a clean path is a direct entry of a directory.
fn lies_in(socket: &str, directory: &str) -> bool {
    socket.rsplit_once('/').is_some_and(|(parent, name)| {
        let parent = if parent.is_empty() { "/" } else { parent };
        !name.is_empty() && parent == path::clean(directory)
    })
}

#[cfg(test)]
mod tests;
