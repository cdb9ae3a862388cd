//! Terminals: taking the master side over from the runtime, and copying between it and the client.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dunnage_sys::console::{self, receive_terminal};
use dunnage_sys::effective_ids;
use dunnage_sys::streams::set_blocking;
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::io::Interest;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::answer::{RpcResult, failed, invalid};
use crate::copy::{Channel, copy};

/// How long the runtime, which has succeeded already, may take to hand over a terminal.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long output of a process that has ended is waited for while none comes or the client takes
/// none.
const OUTPUT_IDLE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long it is waited for at all: another process may hold the terminal and never fall silent.
const OUTPUT_DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// The socket that the runtime hands a terminal over through.
pub(super) struct ConsoleSocket {
    socket: console::ConsoleSocket,
    listener: tokio::net::UnixListener,
}

impl ConsoleSocket {
    /// Listens on a new socket in the work directory.
    pub(super) fn listen(work_dir: &Path) -> RpcResult<Self> {
        let fail = |error: io::Error| failed(format_args!("cannot listen for a terminal in {work_dir:?}: {error}"));
        let (socket, listener) = console::ConsoleSocket::listen(work_dir).map_err(fail)?;
        let listener = tokio::net::UnixListener::from_std(listener).map_err(fail)?;
        Ok(Self { socket, listener })
    }

    /// Its path for the runtime.
    pub(super) fn path(&self) -> String {
        self.socket.path()
    }

    /// Takes the terminal that the runtime has sent.
    pub(super) async fn receive(self) -> RpcResult<OwnedFd> {
        let received = timeout(HANDOVER_TIMEOUT, self.accept()).await;
        let missing = || io::Error::other("the runtime has not sent one");
        received
            .unwrap_or_else(|_| Err(missing()))
            .map_err(|error| failed(format_args!("cannot receive the terminal: {error}")))
    }

    async fn accept(&self) -> io::Result<OwnedFd> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            if stream.peer_cred()?.uid() != effective_ids().0 {
                continue;
            }
            loop {
                stream.readable().await?;
                match stream.try_io(Interest::READABLE, || receive_terminal(&stream)) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    received => return received,
                }
            }
        }
    }
}

/// The terminal of a process, while it lives.
pub(super) struct Terminal {
    master: Arc<Channel>,
    input: JoinHandle<()>,
    output: JoinHandle<()>,
    copied: Arc<AtomicU64>,
}

impl Terminal {
    /// Starts copying between a terminal and the client's streams.
    pub(super) fn start(master: OwnedFd, stdin: OwnedFd, stdout: OwnedFd) -> RpcResult<Self> {
        set_blocking(&master, false).map_err(failed)?;
        let master = Arc::new(Channel::new(master, Interest::READABLE | Interest::WRITABLE)?);
        let (stdin, stdout) = (Channel::new(stdin, Interest::READABLE)?, Channel::new(stdout, Interest::WRITABLE)?);
        let copied = Arc::new(AtomicU64::new(0));
        let to = Arc::clone(&master);
        let input = tokio::spawn(async move { copy(&stdin, &to, &AtomicU64::new(0)).await });
        let (from, count) = (Arc::clone(&master), Arc::clone(&copied));
        let output = tokio::spawn(async move { copy(&from, &stdout, &count).await });
        Ok(Self { master, input, output, copied })
    }

    /// Sets the size of the window.
    pub(super) fn resize(&self, width: u32, height: u32) -> RpcResult<()> {
        let size = |size| u16::try_from(size).map_err(|_| invalid("the terminal size is too large"));
        let size = Winsize { ws_row: size(height)?, ws_col: size(width)?, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(self.master.fd(), size).map_err(failed)
    }

    /// Waits until all the output has been copied, within bounds.
    pub(super) async fn finish(mut self) {
        self.input.abort();
        let deadline = Instant::now() + OUTPUT_DRAIN_TIMEOUT;
        let mut before = self.copied.load(Ordering::Relaxed);
        while timeout(OUTPUT_IDLE_TIMEOUT, &mut self.output).await.is_err() {
            let copied = self.copied.load(Ordering::Relaxed);
            if copied == before || Instant::now() >= deadline {
                tracing::warn!("the output of a terminal does not end");
                self.output.abort();
                // Until then it holds the client's FIFO. It was aborted on purpose.
                let _aborted = self.output.await;
                return;
            }
            before = copied;
        }
    }
}
