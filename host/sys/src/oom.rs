//! Learning that a cgroup has run out of memory and the kernel has killed one of its processes.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};

use crate::cgroup::{Controller, hierarchies_of};

/// A watch over the memory cgroup of a process: readable when there may be something.
#[derive(Debug)]
pub struct OomWatch {
    fd: OwnedFd,
    kills: File,
    seen: u64,
}

impl OomWatch {
    /// Watches from now on; `None` if the process is gone or has no memory cgroup.
    #[must_use]
    pub fn of_process(pid: u32) -> Option<Self> {
        let cgroups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let table = std::fs::read("/proc/self/mountinfo").ok()?;
        Self::version_1(&cgroups, &table).or_else(|| Self::version_2(&cgroups, &table))
    }

    /// An event descriptor that the kernel counts up (memory.oom_control of cgroup v1).
    fn version_1(cgroups: &str, table: &[u8]) -> Option<Self> {
        let below = cgroups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            fields.next()?.split(',').any(|controller| controller == "memory").then(|| fields.next())?
        })?;
        let directory = joined(hierarchies_of(table, Controller::Memory).next()?, below);
        let kills = File::open(directory.join("memory.oom_control")).ok()?;
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()?;
        let request = format!("{} {}", fd.as_raw_fd(), kills.as_raw_fd());
        std::fs::write(directory.join("cgroup.event_control"), request).ok()?;
        Some(Self::new(fd, kills))
    }

    /// A file that changes (memory.events of cgroup v2).
    fn version_2(cgroups: &str, table: &[u8]) -> Option<Self> {
        let below = cgroups.lines().find_map(|line| line.strip_prefix("0::"))?;
        let file = joined(hierarchies_of(table, Controller::Unified).next()?, below).join("memory.events");
        let kills = File::open(&file).ok()?;
        let fd = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        add_watch(&fd, &file, WatchFlags::MODIFY).ok()?;
        Some(Self::new(fd, kills))
    }

    fn new(fd: OwnedFd, kills: File) -> Self {
        let mut watch = Self { fd, kills, seen: 0 };
        watch.seen = watch.count().unwrap_or(0);
        watch
    }

    /// Whether a process was killed since the last time. The kernel also reports that the cgroup was removed,
    /// which is nothing.
    pub fn has_happened(&mut self) -> bool {
        let mut ready = [0_u8; 4096];
        // Taken off, so that it is readable for the next time only.
        let _ = rustix::io::read(&self.fd, &mut ready);
        let before = self.seen;
        match self.count() {
            Some(now) => {
                self.seen = now;
                now > before
            }
            None => false,
        }
    }

    /// How many processes were killed so far.
    fn count(&mut self) -> Option<u64> {
        let mut text = String::new();
        self.kills.seek(SeekFrom::Start(0)).ok()?;
        self.kills.read_to_string(&mut text).ok()?;
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
    }
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn joined(hierarchy: PathBuf, below: &str) -> PathBuf {
    hierarchy.join(Path::new(below).strip_prefix("/").unwrap_or(Path::new(below)))
}
