//! Who we are, and whether a process on file is still the shim it was.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, getegid, geteuid, pidfd_open, pidfd_send_signal};

use super::directory::{Directory, metadata_of_target};
use super::{Failure, Result};

/// The effective user and group of this process: what it makes belongs to them.
///
/// They are asked for once. A process that changes them later finds its own directories foreign,
/// and is refused.
pub(crate) fn effective_ids() -> (u32, u32) {
    static IDS: OnceLock<(u32, u32)> = OnceLock::new();
    *IDS.get_or_init(|| (geteuid().as_raw(), getegid().as_raw()))
}

/// A running process that is the shim of a bundle.
#[derive(Debug)]
pub(crate) struct ShimProcess {
    pid: Pid,
    handle: OwnedFd,
}

impl ShimProcess {
    /// Finds the shim of a bundle by the process id on file; `None` if it is gone.
    ///
    /// A number on file proves nothing: pids are used again, and the file may be forged. What
    /// holds is that a shim runs in its bundle as working directory (containerd starts it there
    /// and it never leaves). The pidfd is opened first, so the process that is looked at is the
    /// one that would be signalled.
    pub(crate) fn find(pid: u32, bundle: &Directory) -> Result<Option<Self>> {
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        let process = format!("/proc/{}", pid.as_raw_nonzero());
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            // Not the leader of a thread group (EINVAL, ENOENT since 6.17), or gone.
            Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(Failure::new("pidfd_open", process, errno)),
        };
        let found = Self { pid, handle };
        if found.has_ended(Duration::ZERO)? {
            return Ok(None);
        }
        let directory = format!("{process}/cwd");
        match metadata_of_target(Path::new(&directory)) {
            Ok(target) => Ok((Some(target.identity()) == bundle.identity()).then_some(found)),
            // It ended meanwhile.
            Err(_) if found.has_ended(Duration::ZERO)? => Ok(None),
            Err(Errno::ACCESS | Errno::PERM) if found.cannot_be_ours() => Ok(None),
            // Unknown is not dead.
            Err(errno) => Err(Failure::new("statx", directory, errno).with("cannot tell whether this is the shim")),
        }
    }

    /// Whether the process belongs to another user or holds capabilities that we lack: nobody like
    /// us has started it, so it is not the shim of a bundle of ours.
    fn cannot_be_ours(&self) -> bool {
        let process = format!("/proc/{}", self.pid());
        let foreign = metadata_of_target(Path::new(&process)).is_ok_and(|process| process.uid != effective_ids().0);
        foreign || permitted(&process).zip(permitted("/proc/self")).is_some_and(|(theirs, ours)| theirs & !ours != 0)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Kills the process and waits until it has ended; `false` if it has not in time.
    pub(crate) fn kill(&self, patience: Duration) -> Result<bool> {
        match pidfd_send_signal(&self.handle, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => self.has_ended(patience),
            Err(errno) => Err(self.fail("pidfd_send_signal", errno)),
        }
    }

    /// Whether it ends within some time. A pidfd becomes readable when its process has ended,
    /// even if nobody has reaped it yet.
    fn has_ended(&self, patience: Duration) -> Result<bool> {
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

/// The permitted capabilities of a process (proc_pid_status(5)).
fn permitted(process: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("{process}/status")).ok()?;
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapPrm:"))?;
    u64::from_str_radix(capabilities.trim(), 16).ok()
}
