//! The identity of this process, and whether a recorded process is still the same one.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, getegid, geteuid, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::metadata::metadata_of_target;
use crate::procfs::{children, permitted, read_of, start_time};
use crate::{Directory, Failure, Name, Result};

/// The effective user and group of this process: what it makes belongs to them.
///
/// They are asked for once. A process that changes them later finds its own directories foreign,
/// and is refused.
pub fn effective_ids() -> (u32, u32) {
    static IDS: OnceLock<(u32, u32)> = OnceLock::new();
    *IDS.get_or_init(|| (geteuid().as_raw(), getegid().as_raw()))
}

/// Identifies a process for good: no other process of this boot has both values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its id, which is reused after its end.
    pub pid: u32,
    /// Clock ticks since the machine was started.
    pub started: u64,
}

impl ProcessId {
    /// This very process; `None` if `/proc` does not show it.
    ///
    /// # Errors
    ///
    /// If `/proc` cannot be read.
    pub fn own() -> Result<Option<Self>> {
        let pid = std::process::id();
        Ok(start_time(pid)?.map(|started| Self { pid, started }))
    }
}

/// A running process.
#[derive(Debug)]
pub struct ProcessHandle {
    pid: Pid,
    handle: OwnedFd,
    /// When it was started; with its id this names it for good.
    started: Option<u64>,
    /// What ends it, if we may not.
    other: Option<Box<dyn End>>,
}

/// Ends a process in our place.
pub trait End: std::fmt::Debug + Send + Sync {
    /// Sends it the signal that is to end it.
    fn end(&self, signal: Signal) -> Result<()>;
}

/// The variable that shims and what they start have in their environment: others may happen to run
/// in a bundle too, such as the shell of an operator who looks at it.
pub const MARK: &str = "DUNNAGE_BUNDLE";

/// How long the end of a process may take.
const END_TIMEOUT: Duration = Duration::from_secs(1);

impl ProcessHandle {
    /// Finds the shim of a bundle by the process id on file; `None` if it is gone.
    ///
    /// A number on file proves nothing: pids are reused, and the file may be forged. What can be
    /// relied on is that a shim has its bundle as working directory (containerd starts it there and
    /// it never leaves). The pidfd is opened first, so the process that is looked at is the one
    /// that would be signalled.
    pub fn find(pid: u32, bundle: &Directory) -> Result<Option<Self>> {
        let Some(found) = Self::open(pid)? else { return Ok(None) };
        let directory = format!("/proc/{pid}/cwd");
        match metadata_of_target(Path::new(&directory)) {
            Ok(target) => Ok((Some(target.identity()) == bundle.identity()).then_some(found)),
            // It ended meanwhile, or is about to: its directory goes before the last of its threads.
            Err(Errno::NOENT | Errno::SRCH) if found.has_ended(END_TIMEOUT)? => Ok(None),
            Err(_) if found.has_ended(Duration::ZERO)? => Ok(None),
            Err(Errno::ACCESS | Errno::PERM) if found.cannot_be_ours() => Ok(None),
            // Unknown is not dead.
            Err(errno) => Err(Failure::new("statx", directory, errno).with("cannot tell whether this is the shim")),
        }
    }

    /// Finds a process by its id and the time it was started at, which no other process ever has.
    pub fn find_started(process: ProcessId) -> Result<Option<Self>> {
        let found = Self::open(process.pid)?;
        Ok(found.filter(|found| found.is(process)))
    }

    /// The shim that was started in a bundle and never recorded, and what it has started there
    /// (runc): they carry the mark.
    pub fn all_in(bundle: &Directory) -> Result<Vec<Self>> {
        let fail = |error: std::io::Error| {
            Failure::new("readdir", "/proc", Errno::from_io_error(&error).unwrap_or(Errno::IO))
                .with("is /proc mounted?")
        };
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").map_err(fail)? {
            let pid = entry.map_err(fail)?.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
            let Some(pid) = pid.filter(|pid| *pid != std::process::id()) else { continue };
            let there = metadata_of_target(Path::new(&format!("/proc/{pid}/cwd")));
            if there.is_ok_and(|target| Some(target.identity()) == bundle.identity()) && is_marked(pid)? {
                found.extend(Self::find(pid, bundle)?);
            }
        }
        Ok(found)
    }

    /// The children of a process of ours, which it has not reaped.
    pub fn children_of(pid: u32) -> Vec<Self> {
        children(pid).into_iter().filter_map(|child| Self::open(child).ok().flatten()).collect()
    }

    /// A process that has not ended.
    fn open(pid: u32) -> Result<Option<Self>> {
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            // Not the leader of a thread group (EINVAL, ENOENT since 6.17), or gone.
            Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(Failure::new("pidfd_open", format!("/proc/{}", pid.as_raw_nonzero()), errno)),
        };
        // Read before it is found to live on: it is the time of this very process.
        let started = start_time(pid.as_raw_nonzero().get().unsigned_abs())?;
        let found = Self { pid, handle, started, other: None };
        Ok(if found.has_ended(Duration::ZERO)? { None } else { Some(found) })
    }

    /// A process whose handle another process has passed to us, and which that one ends for us.
    pub fn passed(pid: u32, handle: OwnedFd, other: Box<dyn End>) -> Result<Self> {
        let fail = || Failure::new("pidfd_open", format!("/proc/{pid}"), Errno::SRCH);
        let started = start_time(pid)?;
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(fail)?;
        let mut passed = Self { pid, handle, started, other: Some(other) };
        // If it has ended, the number may have been another process's when its time was read.
        if passed.has_ended(Duration::ZERO)? {
            passed.started = None;
        }
        Ok(passed)
    }

    /// The raw handle: a pidfd.
    #[must_use]
    pub fn into_handle(self) -> OwnedFd {
        self.handle
    }

    /// Whether the process belongs to another user or holds capabilities that we lack: we cannot
    /// have started it, so it is not the shim of a bundle of ours.
    fn cannot_be_ours(&self) -> bool {
        let process = format!("/proc/{}", self.pid());
        let foreign = metadata_of_target(Path::new(&process)).is_ok_and(|process| process.uid != effective_ids().0);
        foreign || permitted(&process).zip(permitted("/proc/self")).is_some_and(|(theirs, ours)| theirs & !ours != 0)
    }

    /// Whether it is the process of that id that was started then.
    pub fn is(&self, process: ProcessId) -> bool {
        self.pid() == process.pid && self.started == Some(process.started)
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Sends a signal and waits until the process has ended; `false` if it has not in time.
    pub fn end(&self, signal: Signal, patience: Duration) -> Result<bool> {
        match &self.other {
            Some(other) => other.end(signal)?,
            None => self.signal(signal)?,
        }
        self.has_ended(patience)
    }

    /// Sends a signal; it is not an error if the process has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        match pidfd_send_signal(&self.handle, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(self.fail("pidfd_send_signal", errno)),
        }
    }

    /// Whether it ends within some time. A pidfd becomes readable when its process has ended, even
    /// if it was not reaped yet.
    pub fn has_ended(&self, patience: Duration) -> Result<bool> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            match poll(&mut [PollFd::new(&self.handle, PollFlags::IN)], Some(&timeout)) {
                Ok(count) => return Ok(count > 0),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.fail("poll", errno)),
            }
        }
    }

    fn fail(&self, call: &'static str, errno: Errno) -> Failure {
        Failure::new(call, format!("/proc/{}", self.pid()), errno)
    }
}

/// Whether the root directory of a process (proc_pid_root(5)) is a directory of another one, with
/// what is mounted there. Also if it has ended.
pub fn is_rooted_at(pid: u32, parent: &Directory, name: &Name) -> Result<bool> {
    let root = format!("/proc/{pid}/root");
    match metadata_of_target(Path::new(&root)) {
        Ok(found) => Ok(found.identity() == parent.metadata_at(name)?.identity()),
        Err(Errno::NOENT | Errno::SRCH) => Ok(true),
        Err(errno) => Err(Failure::new("statx", root, errno)),
    }
}

/// Whether a process has the mark in its environment.
fn is_marked(pid: u32) -> Result<bool> {
    let environment = match read_of(pid, "environ") {
        // A process of another user.
        Err(failure) if matches!(failure.errno(), Errno::ACCESS | Errno::PERM) => None,
        environment => environment?,
    };
    Ok(environment
        .unwrap_or_default()
        .split(|byte| *byte == 0)
        .any(|variable| variable.strip_prefix(MARK.as_bytes()).is_some_and(|value| value.starts_with(b"="))))
}
