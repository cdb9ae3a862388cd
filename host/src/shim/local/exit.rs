//! The end of processes: waiting for it, telling it, and reaping what is left.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use protobuf::well_known_types::timestamp::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};
use tokio::io::Interest;

use super::answer::{Answer, failed};
use crate::sys::descriptors::waitable;

/// What is answered if the kernel does not tell.
const UNKNOWN_STATUS: u32 = 255;

/// How a process ended, and when.
#[derive(Clone, Debug)]
pub(super) struct Exit {
    pub(super) status: u32,
    pub(super) at: Timestamp,
}

impl Exit {
    /// An end that happens now.
    pub(super) fn now(status: u32) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let nanos = i32::try_from(now.subsec_nanos()).unwrap_or(0);
        Self { status, at: Timestamp { seconds, nanos, ..Timestamp::default() } }
    }
}

/// A handle of a child of ours, which stays what it is even after the child has ended.
pub(super) fn open(pid: u32) -> Answer<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| failed("the runtime names no process"))?;
    pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| failed(format_args!("cannot open process {pid:?}: {errno}")))
}

/// Waits until a child has ended, and reaps it.
pub(super) async fn wait(process: impl AsFd) -> Exit {
    let ended = async || -> std::io::Result<()> {
        let handle = waitable(process.as_fd().try_clone_to_owned()?, Interest::READABLE).map_err(|(_, error)| error)?;
        handle.readable().await?.retain_ready();
        Ok(())
    };
    if let Err(error) = ended().await {
        tracing::warn!(%error, "cannot watch a process: asking now and then");
        while !has_ended(process.as_fd()) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    loop {
        match waitid(WaitId::PidFd(process.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(Some(status)) => {
                let code = status.exit_status().or_else(|| Some(128 + status.terminating_signal()?));
                return Exit::now(code.and_then(|code| u32::try_from(code).ok()).unwrap_or(UNKNOWN_STATUS));
            }
            // A child that is traced ends for its tracer first.
            Ok(None) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(Errno::INTR) => {}
            Err(errno) => {
                tracing::warn!(%errno, "a process has ended, but not as a child of ours");
                return Exit::now(UNKNOWN_STATUS);
            }
        }
    }
}

/// Whether a process has ended. Its handle becomes readable then.
pub(super) fn has_ended(process: impl AsFd) -> bool {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&at_once)).is_ok_and(|count| count > 0)
}

/// Reaps the orphans of a container that have become our children and have ended.
///
/// Other parts of this process have children too, and must learn how they ended. An orphan is told
/// by its session, that of a process of the container, or because the container held it.
pub(super) fn reap_orphans(sessions: &[u32], held: &[u32]) {
    for pid in children() {
        let Some((state, session)) = state_and_session(pid) else { continue };
        let ours = held.contains(&pid) || sessions.contains(&session);
        if state == "Z" && ours && !sessions.contains(&pid) {
            let reaped = i32::try_from(pid).ok().and_then(Pid::from_raw).map(|pid| {
                waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG).map(|status| status.is_some())
            });
            tracing::debug!(pid, ?reaped, "an orphan of a container");
        }
    }
}

fn children() -> Vec<u32> {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    let lists = threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// The state and the session of a process (proc_pid_stat(5)).
fn state_and_session(pid: u32) -> Option<(String, u32)> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The name, in parentheses, may hold spaces and parentheses itself.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.to_owned();
    Some((state, fields.nth(2)?.parse().ok()?))
}
