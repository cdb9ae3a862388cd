//! Looking after a shim in the process that has started it, with tasks: what a monitor does
//! elsewhere, or else looking after the monitor.

use std::os::fd::OwnedFd;
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

use super::attempt::Attempt;
use super::ending::Ending;
use super::launch::{self, Started};
use super::log::ShimLog;
use super::monitor;
use super::options::Callback;
use crate::bundles::Waiting;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::sys::descriptors::waitable;

/// Who looks after a shim that was started.
pub(super) enum Keeper {
    /// A process of its own, which is our child as long as we live.
    Monitor(Child),
    /// This process.
    Ourselves(Started),
    /// The broker that has started it.
    Broker,
}

impl Keeper {
    /// Sees to it that the shim, or its monitor, is drained and reaped, by tasks.
    pub(super) fn look_after(self, attempt: &Attempt, on_exit: Option<Callback>) -> Result<()> {
        match self {
            Self::Monitor(monitor) => reap(monitor),
            Self::Ourselves(started) => supervise(started, attempt, on_exit).map(drop),
            Self::Broker => Ok(()),
        }
    }

    /// The same by a thread, which goes with this process.
    pub(super) fn look_after_on_thread(self, ending: Ending) -> Result<()> {
        let watching = std::thread::Builder::new().spawn(move || match self {
            Self::Monitor(mut monitor) => drop(monitor.wait()),
            Self::Ourselves(started) => {
                monitor::watch(started, &ending.handles);
                ending.note(Waiting::patiently());
            }
            Self::Broker => {}
        });
        watching.map(drop).map_err(|error| failed("the end", &error))
    }

    /// Ends what was started, for which there is no use.
    pub(super) fn give_up(self) {
        match self {
            Self::Monitor(monitor) => monitor::kill_with_children(monitor),
            Self::Ourselves(Started { mut child, .. }) => {
                let _ = child.kill();
                let _ = child.wait();
            }
            Self::Broker => {}
        }
    }
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Shim, Step::StartShim, format!("cannot watch {what} of the shim: {error}"))
}

/// A pidfd, which becomes readable when its process has ended.
fn end_of(pid: u32) -> Result<AsyncFd<OwnedFd>> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| failed("the process", &"it has no pid"))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| failed("the process", &errno))?;
    waitable(pidfd, Interest::READABLE).map_err(|(_, error)| failed("the process", &error))
}

/// Reaps a monitor when it ends.
fn reap(mut monitor: Child) -> Result<()> {
    let end = end_of(monitor.id())?;
    tokio::spawn(async move {
        let _ = end.readable().await;
        let _ = monitor.wait();
    });
    Ok(())
}

/// Drains the shim's output, reaps it when it ends, notes that, and calls back.
fn supervise(started: Started, attempt: &Attempt, on_exit: Option<Callback>) -> Result<JoinHandle<()>> {
    let Started { mut child, process, stdout, stderr } = started;
    let end = end_of(process.pid)?;
    let log = Arc::new(Mutex::new(ShimLog::new(Arc::clone(&attempt.handles.records))));
    let drains = [stdout, stderr]
        .map(|fifo| waitable(fifo, Interest::READABLE).map(|fifo| tokio::spawn(drain(fifo, Arc::clone(&log)))));
    let mut tasks = Vec::new();
    for task in drains {
        tasks.push(task.map_err(|(_, error)| failed("the output", &error))?);
    }
    let ending = attempt.ending();
    Ok(tokio::spawn(async move {
        let _ = end.readable().await;
        let _ = child.wait();
        tasks.iter().for_each(JoinHandle::abort);
        // It goes on even if the runtime is shut down meanwhile.
        let noted = super::on_thread(move || {
            ending.note(Waiting::patiently());
            if let Some(callback) = on_exit {
                callback();
            }
        });
        if let Err(error) = noted.await {
            tracing::warn!(%error, "cannot note that a shim has ended");
        }
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
