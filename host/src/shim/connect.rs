//! Connecting to a shim: the address on file, a peer of our own, and an answer that names the
//! process on file.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::client::ShimClient;
use super::options::{Callback, ConnectOptions};
use super::{Shim, blocking};
use crate::bundle::BundleId;
use crate::bundles::{Inner, OnFile, socket_name};
use crate::error::{AtStep, Error, ErrorKind, Result, Step};
use crate::shims::Endpoint;
use crate::sys::ambient::open_trusted;
use crate::sys::{Kind, ShimProcess, dial, dial_abstract, effective_ids, peer_uid};

/// Connects to the shim of a bundle. "Alive" means that it has answered.
pub(super) async fn connect(inner: &Arc<Inner>, id: &BundleId, options: ConnectOptions) -> Result<Shim> {
    let deadline = Instant::now() + options.timeout;
    let on_file = {
        let (inner, id) = (Arc::clone(inner), id.clone());
        blocking(move || OnFile::read(&inner, &id, options.allow_legacy)).await?
    };
    let on_file = Arc::new(on_file);
    let socket = {
        let (inner, on_file) = (Arc::clone(inner), Arc::clone(&on_file));
        let patience = options.timeout;
        blocking(move || dial_patiently(&inner, &on_file.endpoint, patience)).await?
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
        inner: Arc::clone(inner),
        served: None,
        is_guest,
    })
}

/// A client on a connected socket.
pub(crate) fn client_on(socket: OwnedFd, on_close: Option<Callback>) -> Result<ShimClient> {
    let stream = UnixStream::from_std(StdStream::from(socket)).map_err(|error| failed(error.to_string()))?;
    let stream = Watched { stream, on_close: Mutex::new(on_close) };
    Ok(ShimClient::new(ttrpc::r#async::Client::new(ttrpc::r#async::transport::Socket::new(stream))))
}

/// Asks the shim for its process id. A connection alone proves nothing: whoever holds the listener
/// open answers it.
pub(super) async fn ask_who(client: &ShimClient, patience: Duration, address: &str) -> Result<u32> {
    let patience = patience.max(Duration::from_millis(1));
    let asked = tokio::time::timeout(patience, client.with_timeout(patience).shim_info()).await;
    let late = || {
        let message = format!("nobody answers at {address:?}, although somebody listens there");
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
pub(super) fn dial_patiently(inner: &Inner, endpoint: &Endpoint, patience: Duration) -> Result<OwnedFd> {
    let address = &endpoint.address;
    let deadline = std::time::Instant::now() + patience;
    let socket = loop {
        match dial_once(inner, endpoint)? {
            Ok(socket) => break socket,
            Err(Errno::AGAIN | Errno::INTR) if std::time::Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(Errno::AGAIN) => {
                let message = format!("nobody accepts connections at {address:?}");
                return Err(Error::new(ErrorKind::Timeout, Step::ConnectShim, message));
            }
            Err(errno) => {
                let why = match errno {
                    Errno::CONNREFUSED => "nobody listens there, the shim is gone".to_owned(),
                    Errno::NOENT => "there is no such socket, the shim is gone".to_owned(),
                    errno => errno.to_string(),
                };
                return Err(failed(format!("cannot connect to {address:?}: {why}")));
            }
        }
    };
    let peer = peer_uid(&socket).map_err(|errno| failed(format!("cannot ask who listens at {address:?}: {errno}")))?;
    if peer != effective_ids().0 {
        let message = format!("user {peer} listens at {address:?}, not user {}", effective_ids().0);
        return Err(Error::new(ErrorKind::Untrusted, Step::ConnectShim, message));
    }
    Ok(socket)
}

fn dial_once(inner: &Inner, endpoint: &Endpoint) -> Result<rustix::io::Result<OwnedFd>> {
    if endpoint.is_abstract {
        return Ok(dial_abstract(&endpoint.address));
    }
    let name = socket_name(inner.socket_root(), &endpoint.address)
        .ok_or_else(|| failed(format!("{:?} is not in the socket directory", endpoint.address)))?;
    let directory = open_trusted(inner.socket_root()).at_step(Step::ConnectShim)?;
    match directory.metadata_at(&name) {
        Ok(found) if found.kind != Kind::Socket => {
            let path = directory.path_of(&name);
            let message = format!("the address on file leads to {}, which is no socket", path.display());
            Err(Error::new(ErrorKind::BadRecord, Step::ConnectShim, message).at(path))
        }
        _ => Ok(dial(&directory, &name)),
    }
}

/// The process that answered, if it is the one on file: the same pid, and either the recorded
/// start time or the bundle as its working directory.
fn identify(pid: u32, on_file: &OnFile) -> Result<ShimProcess> {
    let foreign = |why: String| Error::new(ErrorKind::Untrusted, Step::ConnectShim, why);
    if let Some(expected) = on_file.pid
        && expected != pid
    {
        return Err(foreign(format!("process {pid} answers, and the shim on file is process {expected}")));
    }
    on_file.find(pid)?.ok_or_else(|| foreign(format!("process {pid} answers, which is not the shim of this bundle")))
}

fn failed(message: String) -> Error {
    Error::new(ErrorKind::Shim, Step::ConnectShim, message)
}

/// A connection that tells when it is lost.
struct Watched {
    stream: UnixStream,
    on_close: Mutex<Option<Callback>>,
}

impl Watched {
    fn closed(&self) {
        let callback = self.on_close.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(callback) = callback {
            callback();
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let ended = match &result {
            Poll::Ready(Ok(())) => buffer.filled().len() == before && buffer.remaining() > 0,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        if ended {
            self.closed();
        }
        result
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
