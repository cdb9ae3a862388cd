//! Waiting for changes in a directory: inotify(7).

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use rustix::io::Errno;

use crate::{Directory, Failure, Result, retry};

/// A watch over the entries of a directory.
#[derive(Debug)]
pub struct DirectoryWatch {
    fd: OwnedFd,
    path: PathBuf,
}

impl DirectoryWatch {
    /// Watches a directory from now on.
    pub fn new(directory: &Directory) -> Result<Self> {
        let fail = |call, errno| Failure::new(call, directory.path(), errno);
        let fd = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(|errno| fail("inotify_init1", errno))?;
        let changes = WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF;
        // inotify takes no handles, and by name it could be another directory.
        let handle = format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd());
        add_watch(&fd, handle, changes | WatchFlags::ONLYDIR).map_err(|errno| fail("inotify_add_watch", errno))?;
        Ok(Self { fd, path: directory.path().to_owned() })
    }

    /// Waits until something changes or the time is over; a signal may end it early.
    pub fn wait(&self, timeout: Duration) -> Result<()> {
        let fail = |call, errno| Failure::new(call, &self.path, errno);
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        match poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => return Ok(()),
            Ok(_) => {}
            Err(errno) => return Err(fail("poll", errno)),
        }
        // The caller finds out what has changed.
        let mut buffer = [0_u8; 4096];
        loop {
            match retry(|| rustix::io::read(&self.fd, &mut buffer)) {
                Ok(0) | Err(Errno::AGAIN) => return Ok(()),
                Ok(_) => {}
                Err(errno) => return Err(fail("read", errno)),
            }
        }
    }
}

impl AsFd for DirectoryWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
