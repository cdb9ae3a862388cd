//! Listening where a shim will answer.

use std::sync::Arc;

use dunnage_bundles::Node;
use dunnage_core::{AtStep, Error, ErrorKind, Result, Step};
use dunnage_sys::trusted_path::{CreatedDirectory, open_or_make_trusted};
use dunnage_sys::{Directory, Listening, Name, SocketFate, listen, remove_dead_socket};
use rustix::io::Errno;

/// The mode of the socket directory when we make it, and of what is made on the way there.
const SOCKETS: u32 = 0o700;
const ON_THE_WAY: u32 = 0o711;

/// Opens the socket directory, or makes it for us alone. One that others may traverse, as
/// containerd leaves it, is accepted: the sockets in it are closed to them (defect D9 was a
/// directory without the right to pass).
pub(super) fn open_sockets(node: &Node) -> Result<Arc<Directory>> {
    let mut made = Vec::new();
    let directory = open_or_make_trusted(&node.paths.socket_root, ON_THE_WAY, &mut made).at_step(Step::Listen)?;
    let is_new = made.last().is_some_and(|CreatedDirectory { name, .. }| {
        node.paths.socket_root.file_name() == Some(name.as_path().as_os_str())
    });
    if is_new {
        directory.set_mode(SOCKETS).at_step(Step::Listen)?;
    }
    Ok(Arc::new(directory))
}

/// Listens where the shim will answer. A socket that no process serves is taken over; one that is
/// served is not (defect D4).
pub(super) fn bind(sockets: &Directory, name: &Name) -> Result<Listening> {
    match listen(sockets, name) {
        Err(failure) if failure.errno() == Errno::ADDRINUSE => {}
        listening => return listening.at_step(Step::Listen),
    }
    if let SocketFate::Kept(why) = remove_dead_socket(sockets, name).at_step(Step::Listen)? {
        let path = sockets.path_of(name);
        let message = format!("{} is in use: {why}", path.display());
        return Err(Error::new(ErrorKind::ShimAlive, Step::Listen, message).at(path));
    }
    listen(sockets, name).at_step(Step::Listen)
}
