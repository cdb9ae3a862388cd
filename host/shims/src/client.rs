//! The client of a shim: all sixteen methods, each with a deadline. Dropping a call cancels it.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use dunnage_core::{Error, ErrorKind, Result, Step, printable_line};
use dunnage_shim_proto::{shim, shim_ttrpc};
use protobuf::well_known_types::any::Any;
use protobuf::well_known_types::empty::Empty;
use protobuf::well_known_types::timestamp::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use ttrpc::context::{Context, with_duration};

use crate::options::Callback;

/// How long an answer may take that needs nothing of the runtime.
const SHIM_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may take that runs the runtime. The deadline travels to the shim, and a short
/// one would stop runc half-way.
const RUNTIME_TIMEOUT: Duration = Duration::from_secs(120);

/// A client of a shim, wherever that runs. Cheap to clone; the connection closes with the last one.
#[derive(Clone)]
pub struct ShimClient {
    service: shim_ttrpc::ShimClient,
    timeout: Option<Duration>,
}

impl ShimClient {
    fn new(client: ttrpc::r#async::Client) -> Self {
        Self { service: shim_ttrpc::ShimClient::new(client), timeout: None }
    }

    /// A client on a connected socket of the caller's own, such as a [`UnixStream`](StdStream):
    /// whatever answers there is taken for a shim. Needs a tokio runtime with I/O and time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Shim`] if it is not a socket that can be waited for.
    pub fn on(socket: impl Into<OwnedFd>) -> Result<Self> {
        let socket = StdStream::from(socket.into());
        socket.set_nonblocking(true).map_err(|error| {
            Error::new(ErrorKind::Shim, Step::ConnectShim, format!("cannot use the socket: {error}"))
        })?;
        client_on(socket.into(), None)
    }

    /// The same client with one deadline for every call, counted from its start. By default calls
    /// that run the runtime have 120 s, others 10 s, and [`ShimClient::wait`] has none.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self.clone() }
    }

    fn within(&self, usual: Duration) -> Context {
        with_duration(self.timeout.unwrap_or(usual))
    }

    /// `State`: what a process is doing. The container's id stands for its init process.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoTask`] if there is no such process; otherwise, as for every call,
    /// [`ErrorKind::Shim`] if the shim fails or is gone, [`ErrorKind::Timeout`] if it is late.
    pub async fn state(&self, id: &str) -> Result<shim::StateResponse> {
        let request = shim::StateRequest { id: id.to_owned(), ..Default::default() };
        answer("State", self.service.state(self.within(SHIM_TIMEOUT), &request).await)
    }

    /// `Create`: makes the container, with its init process waiting to be started. Returns the id
    /// of the process.
    ///
    /// # Errors
    ///
    /// As for [`ShimClient::state`].
    pub async fn create(&self, request: &shim::CreateTaskRequest) -> Result<u32> {
        answer("Create", self.service.create(self.within(RUNTIME_TIMEOUT), request).await).map(|response| response.pid)
    }

    /// `Start`: starts init, or a process that [`ShimClient::exec`] has made. Returns its process
    /// id.
    ///
    /// # Errors
    ///
    /// As for [`ShimClient::state`].
    pub async fn start(&self, id: &str) -> Result<u32> {
        let request = shim::StartRequest { id: id.to_owned(), ..Default::default() };
        answer("Start", self.service.start(self.within(RUNTIME_TIMEOUT), &request).await).map(|response| response.pid)
    }

    /// `Delete`: removes the container, which must have ended.
    ///
    /// # Errors
    ///
    /// As for [`ShimClient::state`].
    pub async fn delete(&self) -> Result<shim::DeleteResponse> {
        answer("Delete", self.service.delete(self.within(RUNTIME_TIMEOUT), &Empty::new()).await)
    }

    /// `DeleteProcess`: forgets a process other than init, which must have ended.
    ///
    /// # Errors
    ///
    /// As for [`ShimClient::state`].
    pub async fn delete_process(&self, id: &str) -> Result<shim::DeleteResponse> {
        let request = shim::DeleteProcessRequest { id: id.to_owned(), ..Default::default() };
        answer("DeleteProcess", self.service.delete_process(self.within(RUNTIME_TIMEOUT), &request).await)
    }

    /// `ListPids`: the host's ids of all processes of the container.
    ///
    /// # Errors
    ///
    /// As for [`ShimClient::state`].
    pub async fn list_pids(&self, id: &str) -> Result<Vec<u32>> {
        let request = shim::ListPidsRequest { id: id.to_owned(), ..Default::default() };
        let response = answer("ListPids", self.service.list_pids(self.within(SHIM_TIMEOUT), &request).await)?;
        Ok(response.processes.iter().map(|process| process.pid).collect())
    }

    /// `Pause`: freezes the container.
    ///
    /// # Errors
    ///
    /// As for [`ShimClient::state`].
    pub async fn pause(&self) -> Result<()> {
        answer("Pause", self.service.pause(self.within(RUNTIME_TIMEOUT), &Empty::new()).await).map(drop)
    }

    /// `Resume`: ends a pause.
    ///
    /// # Errors
    ///
    /// As for [`ShimClient::state`].
    pub async fn resume(&self) -> Result<()> {
        answer("Resume", self.service.resume(self.within(RUNTIME_TIMEOUT), &Empty::new()).await).map(drop)
    }

    /// `Checkpoint`: writes the container's state to a directory, where runc and criu can.
    ///
    /// # Errors
    ///
    /// As for [`ShimClient::state`].
    pub async fn checkpoint(&self, path: &str) -> Result<()> {
        let request = shim::CheckpointTaskRequest { path: path.to_owned(), ..Default::default() };
        answer("Checkpoint", self.service.checkpoint(self.within(RUNTIME_TIMEOUT), &request).await).map(drop)
    }

    /// `Kill`: sends a signal to a process, or to all processes of the container.
    ///
    /// # Errors
    ///
    /// As for [`ShimClient::state`].
    pub async fn kill(&self, id: &str, signal: u32, all: bool) -> Result<()> {
        let request = shim::KillRequest { id: id.to_owned(), signal, all, ..Default::default() };
        answer("Kill", self.service.kill(self.within(SHIM_TIMEOUT), &request).await).map(drop)
    }

    /// `Exec`: adds a process to the container, to be started with [`ShimClient::start`].
    /// `request.spec` is replaced by `spec`: the process of the OCI spec, as JSON.
    ///
    /// # Errors
    ///
    /// As for [`ShimClient::state`].
    pub async fn exec(&self, mut request: shim::ExecProcessRequest, spec: &[u8]) -> Result<()> {
        // Without a spec the original shim panics, and its container is an orphan.
        request.spec = Some(json("Exec", "types.containerd.io/opencontainers/runtime-spec/1/Process", spec)?).into();
        answer("Exec", self.service.exec(self.within(RUNTIME_TIMEOUT), &request).await).map(drop)
    }

    /// `ResizePty`: sets the size of a process's terminal, in characters.
    ///
    /// # Errors
    ///
    /// As for [`ShimClient::state`].
    pub async fn resize_pty(&self, id: &str, width: u32, height: u32) -> Result<()> {
        let request = shim::ResizePtyRequest { id: id.to_owned(), width, height, ..Default::default() };
        answer("ResizePty", self.service.resize_pty(self.within(SHIM_TIMEOUT), &request).await).map(drop)
    }

    /// `CloseIO`: ends the standard input of a process, once its writers have closed it too.
    ///
    /// # Errors
    ///
    /// As for [`ShimClient::state`].
    pub async fn close_stdin(&self, id: &str) -> Result<()> {
        let request = shim::CloseIORequest { id: id.to_owned(), stdin: true, ..Default::default() };
        answer("CloseIO", self.service.close_io(self.within(SHIM_TIMEOUT), &request).await).map(drop)
    }

    /// `ShimInfo`: the process id of the shim.
    ///
    /// # Errors
    ///
    /// As for [`ShimClient::state`].
    pub async fn shim_info(&self) -> Result<u32> {
        answer("ShimInfo", self.service.shim_info(self.within(SHIM_TIMEOUT), &Empty::new()).await)
            .map(|response| response.shim_pid)
    }

    /// `Update`: changes the container's limits; `resources` is `linux.resources` of the OCI spec,
    /// as JSON.
    ///
    /// # Errors
    ///
    /// As for [`ShimClient::state`].
    pub async fn update(&self, resources: &[u8]) -> Result<()> {
        let resources = json("Update", "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources", resources)?;
        let request = shim::UpdateTaskRequest { resources: Some(resources).into(), ..Default::default() };
        answer("Update", self.service.update(self.within(RUNTIME_TIMEOUT), &request).await).map(drop)
    }

    /// `Wait`: waits until a process has ended; 128 + n if signal n ended it. May be repeated.
    ///
    /// # Errors
    ///
    /// As for [`ShimClient::state`].
    pub async fn wait(&self, id: &str) -> Result<shim::WaitResponse> {
        let request = shim::WaitRequest { id: id.to_owned(), ..Default::default() };
        // Zero means no timeout.
        answer("Wait", self.service.wait(self.within(Duration::ZERO), &request).await)
    }
}

/// A time that a shim has answered; `None` for Go's zero time and others before 1970.
pub(crate) fn time_of(time: &Timestamp) -> Option<SystemTime> {
    let since = Duration::new(u64::try_from(time.seconds).ok()?, u32::try_from(time.nanos).ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since)
}

/// A client on a connected socket, which is called back when the connection is lost. Needs a tokio
/// runtime.
///
/// # Errors
///
/// [`ErrorKind::Shim`] if the runtime cannot wait for the socket.
pub fn client_on(socket: OwnedFd, on_close: Option<Callback>) -> Result<ShimClient> {
    let stream = UnixStream::from_std(StdStream::from(socket))
        .map_err(|error| Error::new(ErrorKind::Shim, Step::ConnectShim, error.to_string()))?;
    let stream = Watched { stream, on_close: Mutex::new(on_close) };
    Ok(ShimClient::new(ttrpc::r#async::Client::new(ttrpc::r#async::transport::Socket::new(stream))))
}

fn json(method: &str, name: &str, value: &[u8]) -> Result<Any> {
    if value.is_empty() {
        let message = format!("{method} needs a JSON document, but got none");
        return Err(Error::new(ErrorKind::InvalidConfig, Step::CallShim, message));
    }
    Ok(Any { type_url: name.to_owned(), value: value.to_owned(), ..Default::default() })
}

/// Turns what a call ended with into an error that a caller can act on.
fn answer<T>(method: &str, result: ttrpc::Result<T>) -> Result<T> {
    result.map_err(|error| {
        let late = || (ErrorKind::Timeout, format!("the shim did not answer {method} in time"));
        let (kind, why) = if let ttrpc::Error::RpcStatus(status) = &error {
            let message = printable_line(cause(&status.message)).into_owned();
            let code = status.code();
            if code == ttrpc::Code::DEADLINE_EXCEEDED {
                late()
            } else if message.is_empty() {
                (ErrorKind::Shim, format!("the shim answered {method} with {code:?}"))
            } else if code == ttrpc::Code::NOT_FOUND {
                (ErrorKind::NoTask, message)
            } else {
                (ErrorKind::Shim, message)
            }
        } else if error.to_string().contains("deadline") {
            // A deadline that passes on this side is reported in words only.
            late()
        } else {
            (ErrorKind::Shim, format!("the connection to the shim was lost during {method}: {error}"))
        };
        Error::new(kind, Step::CallShim, why)
    })
}

/// What a runtime says without its own prefixes, of which containerd's shim and runc each add some.
fn cause(message: &str) -> &str {
    const PHRASES: [&str; 3] = ["exec failed", "unable to start container process", "error during container init"];
    let mut cause = message;
    while let Some((prefix, rest)) = cause.split_once(": ") {
        let mut words = prefix.split(' ');
        let is_runtime = match [words.next(), words.next(), words.next(), words.next(), words.next()] {
            [Some("OCI"), Some("runtime"), Some(_), Some("failed"), None] => true,
            [Some("runc" | "crun"), Some(_), Some("failed"), None, None] => true,
            _ => PHRASES.contains(&prefix),
        };
        if !is_runtime {
            break;
        }
        cause = rest;
    }
    cause
}

/// A connection that reports when it is lost.
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
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
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
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_is_heard_without_its_prefixes() {
        for (message, expected) in [
            (
                "OCI runtime create failed: runc create failed: unable to start container process: exec: \"x\": no",
                "exec: \"x\": no",
            ),
            ("runc create failed: unable to start container process: error during container init: a: b", "a: b"),
            (
                "OCI runtime exec failed: exec failed: unable to start container process: chdir to cwd: no",
                "chdir to cwd: no",
            ),
            ("process x: not found", "process x: not found"),
            (
                "OCI runtime did not terminate successfully: exit status 1",
                "OCI runtime did not terminate successfully: exit status 1",
            ),
            ("exec failed: ", ""),
            ("", ""),
        ] {
            assert_eq!(cause(message), expected);
        }
    }
}
