//! Who we are, and whether a process on file is still the one it was.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, getegid, geteuid, pidfd_open, pidfd_send_signal};

use super::directory::{Directory, metadata_of_target};
use super::{Failure, Result};
use crate::name::Name;

/// The effective user and group of this process: what it makes belongs to them.
///
/// They are asked for once. A process that changes them later finds its own directories foreign,
/// and is refused.
pub(crate) fn effective_ids() -> (u32, u32) {
    static IDS: OnceLock<(u32, u32)> = OnceLock::new();
    *IDS.get_or_init(|| (geteuid().as_raw(), getegid().as_raw()))
}

/// A running process: a shim, or what may be one.
#[derive(Debug)]
pub(crate) struct ShimProcess {
    pid: Pid,
    handle: OwnedFd,
    /// When it was started; with its id this names it for good.
    started: Option<u64>,
    /// Who ends it, if we may not.
    other: Option<Box<dyn End>>,
}

/// Ends a process in our place.
pub(crate) trait End: std::fmt::Debug + Send + Sync {
    fn end(&self, signal: Signal) -> Result<()>;
}

/// The variable that shims and what they start have in their environment: others may happen to run
/// in a bundle too, such as the shell of somebody who looks at it.
pub(crate) const MARK: &str = "DUNNAGE_BUNDLE";

/// How long the end of a process may take.
const LAST_MOMENTS: Duration = Duration::from_secs(1);

impl ShimProcess {
    /// Finds the shim of a bundle by the process id on file; `None` if it is gone.
    ///
    /// A number on file proves nothing: pids are used again, and the file may be forged. What
    /// holds is that a shim runs in its bundle as working directory (containerd starts it there
    /// and it never leaves). The pidfd is opened first, so the process that is looked at is the
    /// one that would be signalled.
    pub(crate) fn find(pid: u32, bundle: &Directory) -> Result<Option<Self>> {
        let Some(found) = Self::open(pid)? else { return Ok(None) };
        let directory = format!("/proc/{pid}/cwd");
        match metadata_of_target(Path::new(&directory)) {
            Ok(target) => Ok((Some(target.identity()) == bundle.identity()).then_some(found)),
            // It ended meanwhile, or is about to: its directory goes before the last of its threads.
            Err(Errno::NOENT | Errno::SRCH) if found.has_ended(LAST_MOMENTS)? => Ok(None),
            Err(_) if found.has_ended(Duration::ZERO)? => Ok(None),
            Err(Errno::ACCESS | Errno::PERM) if found.cannot_be_ours() => Ok(None),
            // Unknown is not dead.
            Err(errno) => Err(Failure::new("statx", directory, errno).with("cannot tell whether this is the shim")),
        }
    }

    /// Finds a process by its id and the time it was started at, which nobody else ever has.
    pub(crate) fn find_started(pid: u32, started: u64) -> Result<Option<Self>> {
        let found = Self::open(pid)?;
        Ok(found.filter(|found| found.started == Some(started)))
    }

    /// The shim that was started in a bundle and never recorded, and what it has started there
    /// (runc): they carry the mark.
    pub(crate) fn all_in(bundle: &Directory) -> Result<Vec<Self>> {
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
    #[cfg(feature = "shim")]
    pub(crate) fn children_of(pid: u32) -> Vec<Self> {
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

    /// A process that somebody else has found for us.
    pub(crate) fn known(pid: u32, handle: OwnedFd, other: Box<dyn End>) -> Result<Self> {
        let fail = || Failure::new("pidfd_open", format!("/proc/{pid}"), Errno::SRCH);
        let started = start_time(pid)?;
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(fail)?;
        Ok(Self { pid, handle, started, other: Some(other) })
    }

    pub(crate) fn into_handle(self) -> OwnedFd {
        self.handle
    }

    /// Whether the process belongs to another user or holds capabilities that we lack: nobody like
    /// us has started it, so it is not the shim of a bundle of ours.
    fn cannot_be_ours(&self) -> bool {
        let process = format!("/proc/{}", self.pid());
        let foreign = metadata_of_target(Path::new(&process)).is_ok_and(|process| process.uid != effective_ids().0);
        foreign || permitted(&process).zip(permitted("/proc/self")).is_some_and(|(theirs, ours)| theirs & !ours != 0)
    }

    /// Whether it is the process of that id that was started then.
    #[cfg(feature = "shim")]
    pub(crate) fn is(&self, pid: u32, started: u64) -> bool {
        self.pid() == pid && self.started == Some(started)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Sends a signal and waits until the process has ended; `false` if it has not in time.
    pub(crate) fn end(&self, signal: Signal, patience: Duration) -> Result<bool> {
        match &self.other {
            Some(other) => other.end(signal)?,
            None => self.signal(signal)?,
        }
        self.has_ended(patience)
    }

    /// Sends a signal; to one that has ended that is no error.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        match pidfd_send_signal(&self.handle, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(self.fail("pidfd_send_signal", errno)),
        }
    }

    /// Whether it ends within some time. A pidfd becomes readable when its process has ended,
    /// even if nobody has reaped it yet.
    pub(crate) fn has_ended(&self, patience: Duration) -> Result<bool> {
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

/// Whether a process has children; not if the kernel does not tell.
#[cfg(feature = "shim")]
pub(crate) fn has_children(pid: u32) -> bool {
    !children(pid).is_empty()
}

/// The children of a process (proc_pid_task_children(5)).
#[cfg(feature = "shim")]
fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Whether the root directory of a process (proc_pid_root(5)) is a directory of another one, with
/// what is mounted there. Also if it has ended.
pub(crate) fn is_rooted_at(pid: u32, parent: &Directory, name: &Name) -> Result<bool> {
    let root = format!("/proc/{pid}/root");
    match metadata_of_target(Path::new(&root)) {
        Ok(found) => Ok(found.identity() == parent.metadata_at(name)?.identity()),
        Err(Errno::NOENT | Errno::SRCH) => Ok(true),
        Err(errno) => Err(Failure::new("statx", root, errno)),
    }
}

fn is_marked(pid: u32) -> Result<bool> {
    let environment = match read_of(pid, "environ") {
        // Somebody else's.
        Err(failure) if matches!(failure.errno(), Errno::ACCESS | Errno::PERM) => None,
        environment => environment?,
    };
    Ok(environment
        .unwrap_or_default()
        .split(|byte| *byte == 0)
        .any(|variable| variable.strip_prefix(MARK.as_bytes()).is_some_and(|value| value.starts_with(b"="))))
}

/// What `/proc` tells about a process; `None` if it is gone. Unknown is not gone.
fn read_of(pid: u32, file: &str) -> Result<Option<Vec<u8>>> {
    let path = format!("/proc/{pid}/{file}");
    match std::fs::read(&path) {
        Ok(content) => Ok(Some(content)),
        Err(error) => match Errno::from_io_error(&error).unwrap_or(Errno::IO) {
            Errno::NOENT | Errno::SRCH => Ok(None),
            errno => Err(Failure::new("read", path, errno)),
        },
    }
}

/// When a process was started, in clock ticks since the machine was (field 22 of
/// proc_pid_stat(5)): with its pid, and the boot, this names a process for good. `None` if it is
/// gone.
pub(crate) fn start_time(pid: u32) -> Result<Option<u64>> {
    Ok(fields_of(pid)?.and_then(|fields| started(&fields)))
}

/// Whether a process that was started then is still there, as far as `/proc` shows; a zombie is not.
pub(crate) fn is_there(pid: u32, when: u64) -> Result<bool> {
    Ok(fields_of(pid)?.is_some_and(|fields| !fields.trim_start().starts_with('Z') && started(&fields) == Some(when)))
}

/// The fields of its `stat` from the third on. The second is the program's name in parentheses,
/// which may hold anything.
fn fields_of(pid: u32) -> Result<Option<String>> {
    let stat = read_of(pid, "stat")?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&stat).rsplit_once(')').map(|(_, fields)| fields.to_owned()))
}

fn started(fields: &str) -> Option<u64> {
    fields.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Which boot of the machine this is.
pub(crate) fn boot_id() -> Result<String> {
    const PATH: &str = "/proc/sys/kernel/random/boot_id";
    let id = std::fs::read_to_string(PATH).map_err(|error| {
        Failure::new("read", PATH, Errno::from_io_error(&error).unwrap_or(Errno::IO)).with("is /proc mounted?")
    })?;
    Ok(id.trim().to_owned())
}

/// The permitted capabilities of a process (proc_pid_status(5)).
fn permitted(process: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("{process}/status")).ok()?;
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapPrm:"))?;
    u64::from_str_radix(capabilities.trim(), 16).ok()
}
