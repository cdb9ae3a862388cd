//! Looking after a shim in the process that has started it, with tasks: what a monitor does
//! elsewhere, or else looking after the monitor.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

use super::attempt::Attempt;
use super::launch::{self, Started};
use super::log::ShimLog;
use super::options::Callback;
use crate::bundles::Waiting;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::sys::descriptors::waitable;

/// Who looks after a shim that was started.
pub(super) enum Keeper {
    /// A process of its own, which is our child as long as we live.
    Monitor(tokio::process::Child),
    /// Tasks of this process.
    Tasks(Started),
}

impl Keeper {
    /// Sees to it that the shim, or its monitor, is drained and reaped.
    pub(super) fn look_after(self, attempt: &Attempt, on_exit: Option<Callback>) -> Result<()> {
        match self {
            Self::Monitor(mut monitor) => {
                tokio::spawn(async move { monitor.wait().await });
                Ok(())
            }
            Self::Tasks(started) => supervise(started, attempt, on_exit).map(drop),
        }
    }
}

/// Drains the shim's output, reaps it when it ends, notes that, and calls back.
fn supervise(started: Started, attempt: &Attempt, on_exit: Option<Callback>) -> Result<JoinHandle<()>> {
    let Started { mut child, process, stdout, stderr } = started;
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        Error::new(ErrorKind::Shim, Step::StartShim, format!("cannot watch {what} of the shim: {error}"))
    };
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| failed("the process", &"it has no pid"))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| failed("the process", &errno))?;
    let pidfd = waitable(pidfd, Interest::READABLE).map_err(|(_, error)| failed("the process", &error))?;
    let log = Arc::new(Mutex::new(ShimLog::new(Arc::clone(&attempt.handles.records))));
    let drains = [stdout, stderr]
        .map(|fifo| waitable(fifo, Interest::READABLE).map(|fifo| tokio::spawn(drain(fifo, Arc::clone(&log)))));
    let mut tasks = Vec::new();
    for task in drains {
        tasks.push(task.map_err(|(_, error)| failed("the output", &error))?);
    }
    let ending = attempt.ending();
    Ok(tokio::spawn(async move {
        // A pidfd becomes readable when its process has ended.
        let _ = pidfd.readable().await;
        let _ = child.wait();
        tasks.iter().for_each(JoinHandle::abort);
        // It goes on even if the runtime is shut down meanwhile.
        let noted = tokio::task::spawn_blocking(move || {
            ending.note(Waiting::patiently());
            if let Some(callback) = on_exit {
                callback();
            }
        });
        let _ = noted.await;
    }))
}

async fn drain(fifo: AsyncFd<OwnedFd>, log: Arc<Mutex<ShimLog>>) {
    while let Ok(mut ready) = fifo.readable().await {
        let drained = launch::drain(fifo.get_ref(), &mut log.lock().unwrap_or_else(PoisonError::into_inner));
        if drained.is_err() {
            return;
        }
        ready.clear_ready();
    }
}
