//! The standard streams of a process, as a request names them: opened so that nothing ever waits.
//!
//! Whole paths enter here. They are the caller's own: only our own user reaches a shim.

use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, Uid, fchown, fcntl_getfl, fcntl_setfl, fstat, open, openat};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

/// A stream that was opened.
#[derive(Debug)]
pub struct Stream {
    /// The end that the process gets.
    pub end: OwnedFd,
    /// The other end, if it is a FIFO.
    pub other: Option<OwnedFd>,
}

/// The user and group that a FIFO or a pipe is given to, so that the container's user can open
/// `/dev/stdin` or `/dev/stdout` again.
pub type Owner = Option<(u32, u32)>;

/// Opens what a process reads. The other end of a FIFO is one for writing.
pub fn open_input(path: &Path) -> rustix::io::Result<Stream> {
    let handle = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let end = reopen(&handle, OFlags::RDONLY)?;
    if !is_fifo(&handle)? {
        return Ok(Stream { end, other: None });
    }
    let other = reopen(&handle, OFlags::WRONLY)?;
    Ok(Stream { end, other: Some(other) })
}

/// A pipe for what a process reads: its end, and ours, which does not block.
pub fn input_pipe(owner: Owner) -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let (end, feed) = pipe_with(PipeFlags::CLOEXEC)?;
    give(&end, owner)?;
    set_blocking(&feed, false)?;
    Ok((end, feed))
}

/// Opens what a process writes to; a file that is missing is made if `may_make` says so. The other
/// end of a FIFO is one for reading.
pub fn open_output(path: &Path, may_make: bool, owner: Owner) -> rustix::io::Result<Stream> {
    let handle = match open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) if may_make => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::APPEND | OFlags::CLOEXEC;
            let end = openat(CWD, path, flags, Mode::RUSR | Mode::WUSR)?;
            return Ok(Stream { end, other: None });
        }
        handle => handle?,
    };
    if !is_fifo(&handle)? {
        let end = reopen(&handle, OFlags::WRONLY | OFlags::APPEND)?;
        return Ok(Stream { end, other: None });
    }
    // A FIFO must have a reader before it can be opened for writing without blocking.
    let other = reopen(&handle, OFlags::RDONLY)?;
    let end = reopen(&handle, OFlags::WRONLY)?;
    give(&end, owner)?;
    Ok(Stream { end, other: Some(other) })
}

/// A duplicate of a descriptor of ours by its number, taken through pidfd_getfd(2): a wrong number
/// then harms no descriptor that something else in this process owns.
pub fn own_descriptor(number: i32) -> rustix::io::Result<OwnedFd> {
    let ourselves = pidfd_open(getpid(), PidfdFlags::empty())?;
    pidfd_getfd(&ourselves, number, PidfdGetfdFlags::empty())
}

/// Sets whether reading and writing block.
pub fn set_blocking(fd: impl AsFd, blocking: bool) -> rustix::io::Result<()> {
    let mut flags = fcntl_getfl(&fd)?;
    if flags.contains(OFlags::NONBLOCK) != blocking {
        return Ok(());
    }
    flags.set(OFlags::NONBLOCK, !blocking);
    fcntl_setfl(fd, flags)
}

/// Whether reading and writing block.
pub fn is_blocking(fd: impl AsFd) -> rustix::io::Result<bool> {
    Ok(!fcntl_getfl(fd)?.contains(OFlags::NONBLOCK))
}

fn is_fifo(handle: &OwnedFd) -> rustix::io::Result<bool> {
    Ok(FileType::from_raw_mode(fstat(handle)?.st_mode) == FileType::Fifo)
}

/// Opens what a handle leads to, without blocking.
fn reopen(handle: &OwnedFd, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    open(format!("/proc/self/fd/{}", handle.as_raw_fd()), flags, Mode::empty())
}

fn give(fifo: &OwnedFd, owner: Owner) -> rustix::io::Result<()> {
    match owner {
        Some((uid, gid)) => fchown(fifo, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))),
        None => Ok(()),
    }
}
