//! The standard streams of a process: which ones a request means, and what is kept of them.

use std::borrow::Cow;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use dunnage_sys::streams::{Owner, Stream, input_pipe, open_input, open_output, own_descriptor, set_blocking};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::task::JoinHandle;

use crate::answer::{RpcResult, failed, invalid};
use crate::copy::{Channel, copy};
use crate::runc::Streams;

/// Where the standard streams of a process lead, as a request names them: the path of a FIFO or of
/// a file that exists, `file://` and a path, `fd:` and a descriptor of ours (for callers inside our
/// process), or nothing at all.
#[derive(Clone, Debug, Default)]
pub(super) struct Stdio {
    pub(super) stdin: String,
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) terminal: bool,
}

/// The ends that are kept until the process has ended.
#[derive(Debug, Default)]
pub(super) struct HeldEnds {
    /// Without it, a container would see the end of its input when a client goes away; `CloseIO` drops it.
    pub(super) stdin: Option<OwnedFd>,
    /// Without them, a client that goes away would end the container with `SIGPIPE`.
    readers: Vec<OwnedFd>,
    /// Copies from the client's FIFO to the process's standard input.
    input: Option<JoinHandle<()>>,
}

impl Drop for HeldEnds {
    fn drop(&mut self) {
        if let Some(input) = &self.input {
            input.abort();
        }
    }
}

impl Stdio {
    /// Opens the streams of a process without a terminal.
    pub(super) fn open(&self, owner: Owner) -> RpcResult<(Streams, HeldEnds)> {
        let mut held_ends = HeldEnds::default();
        let mut stdin = self.open_stdin(&mut held_ends)?;
        if held_ends.stdin.is_some() {
            stdin = held_ends.pipe_from(stdin, owner)?;
        }
        let stdout = open_stdout(&self.stdout, &mut held_ends, owner)?;
        let stderr = open_stdout(&self.stderr, &mut held_ends, owner)?;
        let hand_on = |fd: OwnedFd, stream: &str| {
            // A descriptor that is shared with its owner stays as it is.
            let inherited = stream.starts_with("fd:");
            let ready = if inherited { Ok(()) } else { set_blocking(&fd, true).map_err(failed) };
            ready.map(|()| std::process::Stdio::from(fd))
        };
        let streams = Streams {
            stdin: hand_on(stdin, &self.stdin)?,
            stdout: hand_on(stdout, &self.stdout)?,
            stderr: hand_on(stderr, &self.stderr)?,
        };
        Ok((streams, held_ends))
    }

    /// Opens what a terminal's input comes from and its output goes to; neither blocks.
    pub(super) fn open_for_terminal(&self) -> RpcResult<(OwnedFd, OwnedFd, HeldEnds)> {
        let mut held_ends = HeldEnds::default();
        let stdin = self.open_stdin(&mut held_ends)?;
        let stdout = open_stdout(&self.stdout, &mut held_ends, None)?;
        Ok((stdin, stdout, held_ends))
    }

    /// A FIFO is opened so that it never blocks.
    fn open_stdin(&self, held_ends: &mut HeldEnds) -> RpcResult<OwnedFd> {
        if let Some(number) = self.stdin.strip_prefix("fd:") {
            return shared(number);
        }
        let (path, _) = path_of(&self.stdin)?;
        let Stream { end, other } = open_input(&path).map_err(|errno| cannot_open(&path, errno))?;
        held_ends.stdin = other;
        Ok(end)
    }
}

impl HeldEnds {
    /// A pipe that the content of a FIFO is copied to. To open a FIFO again (as `/dev/stdin`) waits for a
    /// writer, for ever once the last one has closed it; to open a pipe does not.
    fn pipe_from(&mut self, fifo: OwnedFd, owner: Owner) -> RpcResult<OwnedFd> {
        let (end, feed) = input_pipe(owner).map_err(|errno| failed(format_args!("cannot make a pipe: {errno}")))?;
        let (fifo, feed) = (Channel::new(fifo, Interest::READABLE)?, Channel::new(feed, Interest::WRITABLE)?);
        self.input = Some(tokio::spawn(async move { copy(&fifo, &feed, &AtomicU64::new(0)).await }));
        Ok(end)
    }
}

fn open_stdout(output: &str, held_ends: &mut HeldEnds, owner: Owner) -> RpcResult<OwnedFd> {
    if let Some(number) = output.strip_prefix("fd:") {
        return shared(number);
    }
    let (path, may_make) = path_of(output)?;
    let Stream { end, other } = open_output(&path, may_make, owner).map_err(|errno| cannot_open(&path, errno))?;
    held_ends.readers.extend(other);
    Ok(end)
}

/// The path that a request means, and whether it may be made. Nothing is `/dev/null`.
fn path_of(stream: &str) -> RpcResult<(Cow<'_, Path>, bool)> {
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

/// A duplicate of a descriptor of ours.
fn shared(number: &str) -> RpcResult<OwnedFd> {
    let refused = |why: &dyn std::fmt::Display| invalid(format_args!("cannot use the descriptor {number:?}: {why}"));
    let descriptor = number.parse().map_err(|error| refused(&error))?;
    own_descriptor(descriptor).map_err(|errno| refused(&errno))
}

fn cannot_open(path: &Path, errno: Errno) -> ttrpc::Error {
    failed(format_args!("cannot open {}: {errno}", path.display()))
}
