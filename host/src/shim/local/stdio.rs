//! The standard streams of a process: opened so that nothing ever blocks, and handed on as they are.

use std::borrow::Cow;
use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, Uid, fchown, fcntl_getfl, fcntl_setfl, fstat, open, openat};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use super::answer::{Answer, failed, invalid};
use super::runc::Streams;

/// Where the standard streams of a process lead, as a request names them: the path of a FIFO or of
/// a file that exists, `file://` and a path, `fd:` and a descriptor of ours (for who calls from
/// inside our process), or nothing at all.
#[derive(Clone, Debug, Default)]
pub(super) struct Stdio {
    pub(super) stdin: String,
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) terminal: bool,
}

/// Who owns the FIFOs: the container's root, if it is not ours.
pub(super) type Owner = Option<(u32, u32)>;

/// The ends that are kept until the process has ended.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Without it, a container would see the end of its input when a client goes away; `CloseIO` drops it.
    pub(super) stdin: Option<OwnedFd>,
    /// Without them, a client that goes away would end the container with `SIGPIPE`.
    readers: Vec<OwnedFd>,
}

impl Stdio {
    /// Opens the streams of a process without a terminal.
    pub(super) fn open(&self, owner: Owner) -> Answer<(Streams, Kept)> {
        let mut kept = Kept::default();
        let stdin = self.open_stdin(&mut kept, owner)?;
        let stdout = open_output(&self.stdout, &mut kept, owner)?;
        let stderr = open_output(&self.stderr, &mut kept, owner)?;
        let hand_on = |fd: OwnedFd, stream: &str| {
            // What is shared with its owner stays as it is.
            let inherited = stream.starts_with("fd:");
            let ready = if inherited { Ok(()) } else { set_blocking(&fd, true).map_err(failed) };
            ready.map(|()| std::process::Stdio::from(fd))
        };
        let streams = Streams {
            stdin: hand_on(stdin, &self.stdin)?,
            stdout: hand_on(stdout, &self.stdout)?,
            stderr: hand_on(stderr, &self.stderr)?,
        };
        Ok((streams, kept))
    }

    /// Opens what a terminal's input comes from and its output goes to; neither blocks.
    pub(super) fn open_for_terminal(&self) -> Answer<(OwnedFd, OwnedFd, Kept)> {
        let mut kept = Kept::default();
        let stdin = self.open_stdin(&mut kept, None)?;
        let stdout = open_output(&self.stdout, &mut kept, None)?;
        Ok((stdin, stdout, kept))
    }

    fn open_stdin(&self, kept: &mut Kept, owner: Owner) -> Answer<OwnedFd> {
        if let Some(number) = self.stdin.strip_prefix("fd:") {
            return own_descriptor(number);
        }
        let (path, _) = path_of(&self.stdin)?;
        let fail = |errno| cannot_open(&path, errno);
        let handle = open(&*path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(fail)?;
        let stdin = reopen(&handle, OFlags::RDONLY).map_err(fail)?;
        if is_fifo(&handle).map_err(fail)? {
            give(&stdin, owner).map_err(fail)?;
            kept.stdin = Some(reopen(&handle, OFlags::WRONLY).map_err(fail)?);
        }
        Ok(stdin)
    }
}

fn open_output(output: &str, kept: &mut Kept, owner: Owner) -> Answer<OwnedFd> {
    if let Some(number) = output.strip_prefix("fd:") {
        return own_descriptor(number);
    }
    let (path, may_make) = path_of(output)?;
    let fail = |errno| cannot_open(&path, errno);
    let handle = match open(&*path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) if may_make => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::APPEND | OFlags::CLOEXEC;
            return openat(CWD, &*path, flags, Mode::RUSR | Mode::WUSR).map_err(fail);
        }
        handle => handle.map_err(fail)?,
    };
    if !is_fifo(&handle).map_err(fail)? {
        return reopen(&handle, OFlags::WRONLY | OFlags::APPEND).map_err(fail);
    }
    // A FIFO has to have a reader before it can be opened for writing without blocking.
    kept.readers.push(reopen(&handle, OFlags::RDONLY).map_err(fail)?);
    let output = reopen(&handle, OFlags::WRONLY).map_err(fail)?;
    give(&output, owner).map_err(fail)?;
    Ok(output)
}

/// The path that a request means, and whether it may be made. Nothing is `/dev/null`.
fn path_of(stream: &str) -> Answer<(Cow<'_, Path>, bool)> {
    let path = match stream.strip_prefix("file://") {
        None if stream.is_empty() => return Ok((Path::new("/dev/null").into(), false)),
        None if stream.contains("://") => return Err(invalid(format_args!("cannot log to {stream:?}"))),
        None => return Ok((Path::new(stream).into(), false)),
        Some(encoded) => decode(encoded).ok_or_else(|| invalid(format_args!("malformed address {stream:?}")))?,
    };
    Ok((path.into(), true))
}

/// Takes the percent signs out of the path of an address.
fn decode(encoded: &str) -> Option<PathBuf> {
    let mut pieces = encoded.as_bytes().split(|byte| *byte == b'%');
    let mut path = pieces.next()?.to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2)?;
        path.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        path.extend_from_slice(rest);
    }
    Some(PathBuf::from(OsString::from_vec(path)))
}

/// A duplicate of a descriptor of ours. Taking it as another process would needs no trust in the number.
fn own_descriptor(number: &str) -> Answer<OwnedFd> {
    let refused = |why: &dyn std::fmt::Display| invalid(format_args!("cannot use the descriptor {number:?}: {why}"));
    let descriptor = number.parse().map_err(|error| refused(&error))?;
    let ourselves = pidfd_open(getpid(), PidfdFlags::empty()).map_err(failed)?;
    pidfd_getfd(&ourselves, descriptor, PidfdGetfdFlags::empty()).map_err(|errno| refused(&errno))
}

fn is_fifo(handle: &OwnedFd) -> rustix::io::Result<bool> {
    Ok(FileType::from_raw_mode(fstat(handle)?.st_mode) == FileType::Fifo)
}

/// Opens what a handle leads to, without waiting for anybody.
fn reopen(handle: &OwnedFd, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    open(format!("/proc/self/fd/{}", handle.as_raw_fd()), flags, Mode::empty())
}

/// Gives a FIFO to the container's root, so that it can open `/dev/stdout` again.
fn give(fifo: &OwnedFd, owner: Owner) -> rustix::io::Result<()> {
    match owner {
        Some((uid, gid)) => fchown(fifo, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))),
        None => Ok(()),
    }
}

/// Whether reading and writing wait.
pub(super) fn set_blocking(fd: impl AsFd, blocking: bool) -> rustix::io::Result<()> {
    let mut flags = fcntl_getfl(&fd)?;
    if flags.contains(OFlags::NONBLOCK) != blocking {
        return Ok(());
    }
    flags.set(OFlags::NONBLOCK, !blocking);
    fcntl_setfl(fd, flags)
}

fn cannot_open(path: &Path, errno: Errno) -> ttrpc::Error {
    failed(format_args!("cannot open {}: {errno}", path.display()))
}
