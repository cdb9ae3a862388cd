//! Copying between descriptors without blocking, whatever they are.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use dunnage_async::waitable;
use dunnage_sys::retry;
use dunnage_sys::streams::is_blocking;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::answer::{RpcResult, failed};

/// What can be written to a pipe that has room without waiting (pipe(7)).
const PIPE_BUF: usize = 4096;

/// A descriptor to copy from or to.
pub(super) enum Channel {
    /// One that is waited for. A process that shares it may want it blocking.
    Waited { fd: AsyncFd<OwnedFd>, blocking: bool },
    /// A file or a device that is always ready.
    Ready(OwnedFd),
}

impl Channel {
    pub(super) fn new(fd: OwnedFd, interest: Interest) -> RpcResult<Self> {
        let blocking = is_blocking(&fd).map_err(failed)?;
        match waitable(fd, interest) {
            Ok(fd) => Ok(Self::Waited { fd, blocking }),
            Err((fd, error)) if Errno::from_io_error(&error) == Some(Errno::PERM) => Ok(Self::Ready(fd)),
            Err((_, error)) => Err(failed(error)),
        }
    }

    pub(super) fn fd(&self) -> &OwnedFd {
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
pub(super) async fn copy(from: &Channel, to: &Channel, copied: &AtomicU64) {
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
