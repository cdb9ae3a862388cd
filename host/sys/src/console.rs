//! The socket through which a runtime hands over the terminal that it has made (`--console-socket`).

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, chmod, open, unlinkat};

use crate::{random, scm_rights};

/// A socket in a work directory, which goes when this is dropped.
#[derive(Debug)]
pub struct ConsoleSocket {
    directory: OwnedFd,
    name: String,
}

impl ConsoleSocket {
    /// Listens on a new socket, for ourselves only.
    ///
    /// # Errors
    ///
    /// If the directory cannot be opened or the socket cannot be bound.
    pub fn listen(work_dir: &Path) -> io::Result<(Self, UnixListener)> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open(work_dir, flags, Mode::empty())?;
        let name = format!(".console.{:016x}", u64::from_ne_bytes(random()?));
        let path = format!("/proc/self/fd/{}/{name}", directory.as_raw_fd());
        let listener = UnixListener::bind(&path)?;
        let socket = Self { directory, name };
        listener.set_nonblocking(true)?;
        chmod(&path, Mode::RUSR | Mode::WUSR)?;
        Ok((socket, listener))
    }

    /// Its path for the runtime: through our descriptor, since the path of the work directory may
    /// exceed the limit for sockets (108 bytes).
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}/{}", std::process::id(), self.directory.as_raw_fd(), self.name)
    }
}

impl Drop for ConsoleSocket {
    fn drop(&mut self) {
        if let Err(errno) = unlinkat(&self.directory, &self.name, AtFlags::empty()) {
            tracing::warn!(%errno, name = self.name, "cannot remove the socket of a terminal");
        }
    }
}

/// Receives the terminal: a single descriptor.
pub fn receive_terminal(stream: impl AsFd) -> io::Result<OwnedFd> {
    // The message itself is the path of the other side.
    let mut name = [0; 4096];
    let mut message = scm_rights::receive(stream, &mut name)?;
    if message.descriptors.len() > 1 {
        return Err(io::Error::other("the runtime has sent several descriptors"));
    }
    message.descriptors.pop().ok_or_else(|| io::Error::other("the runtime has sent something else"))
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;

    fn received(count: usize) -> io::Result<OwnedFd> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        let null = std::fs::File::open("/dev/null")?;
        scm_rights::send(&theirs, b"/dev/pts/ptmx", &vec![null.as_fd(); count])?;
        receive_terminal(&ours)
    }

    #[test]
    fn a_runtime_sends_one_terminal() {
        received(1).unwrap();
        assert!(received(0).unwrap_err().to_string().contains("something else"));
        assert!(received(2).unwrap_err().to_string().contains("several descriptors"));
    }
}
