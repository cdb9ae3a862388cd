//! Children of this process: signals to them, their ends, and orphans that become ours.

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, getpid, pidfd_open, pidfd_send_signal, set_child_subreaper, waitid,
};

use crate::procfs::zombie_and_session;
use crate::{Failure, Result, children, retry};

/// The exit status of a process whose end the kernel does not describe.
pub const UNKNOWN_STATUS: u32 = 255;

/// Makes this process the parent of what its descendants orphan (`PR_SET_CHILD_SUBREAPER` of
/// prctl(2)).
pub fn become_subreaper() -> Result<()> {
    set_child_subreaper(Some(getpid())).map_err(|errno| Failure::new("prctl", "PR_SET_CHILD_SUBREAPER", errno))
}

/// A handle of a child of ours, which stays what it is even after the child has ended.
pub fn open_child(pid: u32) -> Result<OwnedFd> {
    let fail = |errno| Failure::new("pidfd_open", format!("/proc/{pid}"), errno);
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| fail(Errno::SRCH))?;
    pidfd_open(pid, PidfdFlags::empty()).map_err(fail)
}

/// Whether a process has ended. Its handle becomes readable then.
pub fn has_ended(process: impl AsFd) -> bool {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&at_once)).is_ok_and(|count| count > 0)
}

/// Reaps a child: its exit status, or 128 and the number of the signal that ended it. `None` as long
/// as it has not ended, or not for us: a child that is traced ends for its tracer first.
pub fn try_reap(process: impl AsFd) -> rustix::io::Result<Option<u32>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let status = retry(|| waitid(WaitId::PidFd(process.as_fd()), options))?;
    Ok(status.map(|status| {
        let code = status.exit_status().or_else(|| Some(128 + status.terminating_signal()?));
        code.and_then(|code| u32::try_from(code).ok()).unwrap_or(UNKNOWN_STATUS)
    }))
}

/// Reaps orphans that have become our children and have ended.
///
/// Other parts of this process have children too, and must learn how they ended. An orphan is
/// recognised by its session, one of those given, or by its pid, one of those held.
pub fn reap_orphans(sessions: &[u32], held: &[u32]) {
    for pid in children("self") {
        let Some((is_zombie, session)) = zombie_and_session(pid) else { continue };
        let ours = held.contains(&pid) || sessions.contains(&session);
        if is_zombie && ours && !sessions.contains(&pid) {
            reap_zombie(pid);
        }
    }
}

/// Reaps every child that has ended, but for some that others wait for. Only for a process all of whose
/// other children are orphans.
pub fn reap_all_but(waited_for: &HashSet<u32>) {
    for pid in children("self") {
        if !waited_for.contains(&pid) && zombie_and_session(pid).is_some_and(|(is_zombie, _)| is_zombie) {
            reap_zombie(pid);
        }
    }
}

fn reap_zombie(pid: u32) {
    let reaped = i32::try_from(pid).ok().and_then(Pid::from_raw).map(|pid| {
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG).map(|status| status.is_some())
    });
    tracing::debug!(pid, ?reaped, "an orphan of a container");
}

/// Sends a signal by its number (1 to 64, signal(7)); others are refused with `EINVAL`.
pub fn send_signal(process: impl AsFd, number: u32) -> rustix::io::Result<()> {
    let number = i32::try_from(number).ok().filter(|number| (1..=64).contains(number)).ok_or(Errno::INVAL)?;
    #[expect(unsafe_code, reason = "real-time signals have no names")]
    // SAFETY: 1 to 64 are signals on Linux, and this one is only sent, to another process.
    let signal = unsafe { Signal::from_raw_unchecked(number) };
    pidfd_send_signal(process, signal)
}
