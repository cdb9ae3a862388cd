//! Terminals: taking the master side over from the runtime, and copying between it and the client.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dunnage_async::waitable;
use dunnage_sys::console::{self, receive_terminal};
use dunnage_sys::streams::{is_blocking, set_blocking};
use dunnage_sys::{effective_ids, retry};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::answer::{Answer, failed, invalid};

/// How long the runtime, which has succeeded already, may take to hand over a terminal.
const HANDOVER: Duration = Duration::from_secs(5);
/// How long output of a process that has ended is waited for while none comes or the client takes
/// none.
const SILENCE: Duration = Duration::from_secs(1);
/// How long it is waited for at all: another process may hold the terminal and never fall silent.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// What can be written to a pipe that has room without waiting (pipe(7)).
const PIPE_BUF: usize = 4096;

/// The socket that the runtime hands a terminal over through.
pub(super) struct ConsoleSocket {
    socket: console::ConsoleSocket,
    listener: tokio::net::UnixListener,
}

impl ConsoleSocket {
    /// Listens on a new socket in the work directory.
    pub(super) fn listen(work_dir: &Path) -> Answer<Self> {
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
    pub(super) async fn receive(self) -> Answer<OwnedFd> {
        let received = timeout(HANDOVER, self.accept()).await;
        let missing = || io::Error::other("the runtime has not sent any");
        received
            .unwrap_or_else(|_| Err(missing()))
            .map_err(|error| failed(format_args!("cannot take the terminal: {error}")))
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
    pub(super) fn start(master: OwnedFd, stdin: OwnedFd, stdout: OwnedFd) -> Answer<Self> {
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
    pub(super) fn resize(&self, width: u32, height: u32) -> Answer<()> {
        let size = |size| u16::try_from(size).map_err(|_| invalid("no terminal is that large"));
        let size = Winsize { ws_row: size(height)?, ws_col: size(width)?, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(self.master.fd(), size).map_err(failed)
    }

    /// Waits until all the output has been copied, within bounds.
    pub(super) async fn finish(mut self) {
        self.input.abort();
        let deadline = Instant::now() + LAST_WORDS;
        let mut before = self.copied.load(Ordering::Relaxed);
        while timeout(SILENCE, &mut self.output).await.is_err() {
            let copied = self.copied.load(Ordering::Relaxed);
            if copied == before || Instant::now() >= deadline {
                tracing::warn!("the output of a terminal does not come to an end");
                self.output.abort();
                // Until then it holds the client's FIFO. It was aborted on purpose.
                let _aborted = self.output.await;
                return;
            }
            before = copied;
        }
    }
}

/// A descriptor to copy from or to.
enum Channel {
    /// One that is waited for. A process that shares it may want it blocking.
    Waited { fd: AsyncFd<OwnedFd>, blocking: bool },
    /// A file or a device that is always ready.
    Ready(OwnedFd),
}

impl Channel {
    fn new(fd: OwnedFd, interest: Interest) -> Answer<Self> {
        let blocking = is_blocking(&fd).map_err(failed)?;
        match waitable(fd, interest) {
            Ok(fd) => Ok(Self::Waited { fd, blocking }),
            Err((fd, error)) if Errno::from_io_error(&error) == Some(Errno::PERM) => Ok(Self::Ready(fd)),
            Err((_, error)) => Err(failed(error)),
        }
    }

    fn fd(&self) -> &OwnedFd {
        match self {
            Self::Waited { fd, .. } => fd.get_ref(),
            Self::Ready(fd) => fd,
        }
    }

    async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Ready(fd) => Ok(retry(|| rustix::io::read(fd, &mut *buffer))?),
            Self::Waited { fd, .. } => {
                fd.async_io(Interest::READABLE, |fd| {
                    poll_now(fd, PollFlags::IN)?;
                    Ok(retry(|| rustix::io::read(fd, &mut *buffer))?)
                })
                .await
            }
        }
    }

    async fn write_all(&self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let written = match self {
                Self::Ready(fd) => retry(|| rustix::io::write(fd, data))?,
                Self::Waited { fd, blocking } => {
                    let chunk = if *blocking { data.get(..PIPE_BUF).unwrap_or(data) } else { data };
                    fd.async_io(Interest::WRITABLE, |fd| {
                        poll_now(fd, PollFlags::OUT)?;
                        Ok(retry(|| rustix::io::write(fd, chunk))?)
                    })
                    .await?
                }
            };
            data = data.get(written..).unwrap_or_default();
        }
        Ok(())
    }
}

/// Fails with "would block" if a call would: the descriptor may be a blocking one.
fn poll_now(fd: impl AsFd, flags: PollFlags) -> rustix::io::Result<()> {
    match retry(|| poll(&mut [PollFd::new(&fd, flags)], Some(&Timespec { tv_sec: 0, tv_nsec: 0 })))? {
        0 => Err(Errno::AGAIN),
        _ => Ok(()),
    }
}

/// Copies until there is no more data, or no reader.
async fn copy(from: &Channel, to: &Channel, copied: &AtomicU64) {
    let mut buffer = vec![0; 32 * 1024];
    loop {
        let count = match from.read(&mut buffer).await {
            // EIO: no process holds the other side of the terminal any more.
            Ok(0) => return,
            Ok(count) => count,
            Err(_) => return,
        };
        if to.write_all(buffer.get(..count).unwrap_or_default()).await.is_err() {
            return;
        }
        copied.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}
