//! Connecting to a shim: the address on file, a peer of our own, and an answer that names the
//! process on file.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use dunnage_bundles::{Node, RecordedShim};
use dunnage_core::{AtStep as _, BundleId, Endpoint, Error, ErrorKind, Result, Step};
use dunnage_store::socket_name;
use dunnage_sys::trusted_path::open_trusted;
use dunnage_sys::{FileKind, ProcessHandle, dial, dial_abstract, effective_ids, peer_uid};
use rustix::io::Errno;
use tokio::time::Instant;

use crate::client::{ShimClient, client_on};
use crate::options::ConnectOptions;
use crate::shim::{Shim, blocking};

/// Connects to the shim of a bundle. "Alive" means that it has answered.
///
/// # Errors
///
/// If no address is on file, nothing answers there, or what answers is not the shim on file.
pub async fn connect(node: &Arc<Node>, id: &BundleId, options: ConnectOptions) -> Result<Shim> {
    let deadline = Instant::now() + options.timeout;
    let on_file = {
        let (node, id) = (Arc::clone(node), id.clone());
        blocking(move || RecordedShim::read(&node, &id, options.allow_legacy)).await?
    };
    let on_file = Arc::new(on_file);
    let socket = {
        let (node, on_file) = (Arc::clone(node), Arc::clone(&on_file));
        let patience = options.timeout;
        blocking(move || dial_patiently(&node, &on_file.endpoint, patience)).await?
    };
    let left = deadline.saturating_duration_since(Instant::now());
    let client = client_on(socket, options.on_close)?;
    let pid = ask_who(&client, left, &on_file.endpoint.address).await?;
    let address = on_file.endpoint.address.clone();
    let (is_guest, incarnation) = (on_file.is_guest(), on_file.incarnation()?);
    let process = blocking(move || identify(pid, &on_file)).await?;
    Ok(Shim {
        client,
        process: Arc::new(process),
        pid,
        address,
        id: id.clone(),
        incarnation,
        node: Arc::clone(node),
        served: None,
        is_guest,
    })
}

/// Asks the shim for its process id. A connection alone proves nothing: any process that holds the
/// listener open accepts it.
pub(super) async fn ask_who(client: &ShimClient, patience: Duration, address: &str) -> Result<u32> {
    let patience = patience.max(Duration::from_millis(1));
    let asked = tokio::time::timeout(patience, client.with_timeout(patience).shim_info()).await;
    let late = || {
        let message = format!("no answer at {address:?}, although a process is listening there");
        Error::new(ErrorKind::Timeout, Step::ConnectShim, message)
    };
    match asked {
        Ok(Ok(pid)) => Ok(pid),
        Ok(Err(error)) if error.kind() == ErrorKind::Timeout => Err(late()),
        Ok(Err(error)) => Err(failed(format!("the shim at {address:?} does not answer: {}", error.message()))),
        Err(_) => Err(late()),
    }
}

/// Dials without ever waiting in the kernel: a full backlog is asked again until the time is up.
pub(super) fn dial_patiently(node: &Node, endpoint: &Endpoint, patience: Duration) -> Result<OwnedFd> {
    let address = &endpoint.address;
    let deadline = std::time::Instant::now() + patience;
    let socket = loop {
        match dial_once(node, endpoint)? {
            Ok(socket) => break socket,
            Err(Errno::AGAIN | Errno::INTR) if std::time::Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(Errno::AGAIN) => {
                let message = format!("the process that listens at {address:?} does not accept connections");
                return Err(Error::new(ErrorKind::Timeout, Step::ConnectShim, message));
            }
            Err(errno) => {
                let why = match errno {
                    Errno::CONNREFUSED => "no process is listening there; the shim is gone".to_owned(),
                    Errno::NOENT => "the socket does not exist; the shim is gone".to_owned(),
                    errno => errno.to_string(),
                };
                return Err(failed(format!("cannot connect to {address:?}: {why}")));
            }
        }
    };
    let peer = peer_uid(&socket).map_err(|errno| failed(format!("cannot tell who listens at {address:?}: {errno}")))?;
    if peer != effective_ids().0 {
        let message = format!("user {peer} listens at {address:?}, not user {}", effective_ids().0);
        return Err(Error::new(ErrorKind::Untrusted, Step::ConnectShim, message));
    }
    Ok(socket)
}

fn dial_once(node: &Node, endpoint: &Endpoint) -> Result<rustix::io::Result<OwnedFd>> {
    if endpoint.is_abstract {
        return Ok(dial_abstract(&endpoint.address));
    }
    let name = socket_name(&node.paths.socket_root, &endpoint.address)
        .ok_or_else(|| failed(format!("{:?} is not in the socket directory", endpoint.address)))?;
    let directory = open_trusted(&node.paths.socket_root).at_step(Step::ConnectShim)?;
    match directory.metadata_at(&name) {
        Ok(found) if found.kind != FileKind::Socket => {
            let path = directory.path_of(&name);
            let message = format!("the address on file leads to {}, which is not a socket", path.display());
            Err(Error::new(ErrorKind::BadRecord, Step::ConnectShim, message).at(path))
        }
        _ => Ok(dial(&directory, &name)),
    }
}

/// The process that answered, if it is the one on file: the same pid, and either the recorded
/// start time or the bundle as its working directory.
fn identify(pid: u32, on_file: &RecordedShim) -> Result<ProcessHandle> {
    let foreign = |why: String| Error::new(ErrorKind::Untrusted, Step::ConnectShim, why);
    if let Some(expected) = on_file.pid
        && expected != pid
    {
        return Err(foreign(format!("process {pid} answered, but the recorded shim is process {expected}")));
    }
    on_file.find(pid)?.ok_or_else(|| foreign(format!("process {pid} answered, but it is not the shim of this bundle")))
}

fn failed(message: String) -> Error {
    Error::new(ErrorKind::Shim, Step::ConnectShim, message)
}
