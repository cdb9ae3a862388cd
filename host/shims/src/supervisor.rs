//! Looking after a shim in the process that has started it, with tasks: what a monitor does
//! elsewhere, or else looking after the monitor.

use std::os::fd::OwnedFd;
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};

use dunnage_async::waitable;
use dunnage_core::{Error, ErrorKind, Result, Step};
use dunnage_store::LockWait;
use dunnage_sys::open_child;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

use crate::cleanup::Cleanup;
use crate::monitor;
use crate::options::Callback;
use crate::shim_log::ShimLog;
use crate::spawn::{self, Started};

/// What supervises a shim that was started.
pub(super) enum Supervisor {
    /// A process of its own, which is our child as long as we live.
    Monitor(Child),
    /// This process.
    Ourselves(Started),
    /// The broker that has started it.
    Broker,
}

impl Supervisor {
    /// Makes sure, by tasks, that the shim or its monitor is drained and reaped.
    pub(super) fn look_after(self, cleanup: Cleanup, on_exit: Option<Callback>) -> Result<()> {
        match self {
            Self::Monitor(monitor) => reap_monitor(monitor),
            Self::Ourselves(started) => supervise(started, cleanup, on_exit).map(drop),
            Self::Broker => Ok(()),
        }
    }

    /// The same by a thread, which goes with this process.
    pub(super) fn look_after_on_thread(self, cleanup: Cleanup) -> Result<()> {
        let watching = std::thread::Builder::new().spawn(move || match self {
            Self::Monitor(mut monitor) => drop(monitor.wait()),
            Self::Ourselves(started) => {
                monitor::watch(started, &cleanup.handles);
                cleanup.note(LockWait::patiently());
            }
            Self::Broker => {}
        });
        watching.map(drop).map_err(|error| failed("the end", &error))
    }

    /// The process id of the monitor, if there is one.
    pub(super) fn monitor(&self) -> Option<u32> {
        match self {
            Self::Monitor(monitor) => Some(monitor.id()),
            Self::Ourselves(_) | Self::Broker => None,
        }
    }

    /// Ends what was started, which is not needed.
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
    let pidfd = open_child(pid).map_err(|failure| failed("the process", &failure))?;
    waitable(pidfd, Interest::READABLE).map_err(|(_, error)| failed("the process", &error))
}

/// Reaps a monitor when it ends.
fn reap_monitor(mut monitor: Child) -> Result<()> {
    let end = end_of(monitor.id())?;
    tokio::spawn(async move {
        let _ = end.readable().await;
        let _ = monitor.wait();
    });
    Ok(())
}

/// Drains the shim's output, reaps it when it ends, notes that, and calls back.
fn supervise(started: Started, cleanup: Cleanup, on_exit: Option<Callback>) -> Result<JoinHandle<()>> {
    let Started { mut child, process, stdout, stderr } = started;
    let end = end_of(process.pid)?;
    let log = Arc::new(Mutex::new(ShimLog::new(Arc::clone(&cleanup.handles.records))));
    let mut drains = Vec::new();
    for fifo in [stdout, stderr] {
        let fifo = waitable(fifo, Interest::READABLE).map_err(|(_, error)| failed("the output", &error))?;
        let fifo = Arc::new(fifo);
        drains.push((tokio::spawn(drain(Arc::clone(&fifo), Arc::clone(&log))), fifo));
    }
    Ok(tokio::spawn(async move {
        let _ = end.readable().await;
        let _ = child.wait();
        for (task, fifo) in drains {
            task.abort();
            // The last words of a shim are the ones that say why it has ended.
            let _ = spawn::drain(fifo.get_ref(), &mut log.lock().unwrap_or_else(PoisonError::into_inner));
        }
        // It goes on even if the runtime is shut down meanwhile.
        let noted = dunnage_async::on_thread(move || {
            cleanup.note(LockWait::patiently());
            if let Some(callback) = on_exit {
                callback();
            }
        });
        if let Err(error) = noted.await {
            tracing::warn!(%error, "cannot record that a shim has ended");
        }
    }))
}

async fn drain(fifo: Arc<AsyncFd<OwnedFd>>, log: Arc<Mutex<ShimLog>>) {
    while let Ok(mut ready) = fifo.readable().await {
        let drained = spawn::drain(fifo.get_ref(), &mut log.lock().unwrap_or_else(PoisonError::into_inner));
        if drained.is_err() {
            return;
        }
        ready.clear_ready();
    }
}
