//! Files that are written bit by bit, and FIFOs.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, mknodat};
use rustix::io::Errno;

use crate::open::open_below;
use crate::{Crossing, Directory, Failure, Name, Result, effective_ids, retry};

impl Directory {
    /// Makes a file that is written bit by bit.
    pub fn open_new_file(&self, name: &Name, mode: u32) -> Result<OwnedFd> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::APPEND;
        open_below(self.as_fd(), name, flags, Mode::from_raw_mode(mode), Crossing::Refused)
            .map_err(|errno| Failure::new("openat2", self.path_of(name), errno).with("O_CREAT | O_EXCL"))
    }

    /// Makes a FIFO for ourselves if there is none, and opens it so that neither side ever waits:
    /// for reading and writing.
    pub fn open_or_make_fifo(&self, name: &Name) -> Result<OwnedFd> {
        let fail = |call, errno| Failure::new(call, self.path_of(name), errno);
        match retry(|| mknodat(self.as_fd(), name.as_c_str(), FileType::Fifo, Mode::RWXU, 0)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(fail("mknodat", errno).with("S_IFIFO")),
        }
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = open_below(self.as_fd(), name, flags, Mode::empty(), Crossing::Refused)
            .map_err(|errno| fail("openat2", errno))?;
        let found = rustix::fs::fstat(&fd).map_err(|errno| fail("fstat", errno))?;
        if FileType::from_raw_mode(found.st_mode) != FileType::Fifo || found.st_uid != effective_ids().0 {
            return Err(fail("openat2", Errno::INVAL).with("not a FIFO of this user"));
        }
        Ok(fd)
    }
}
