//! Looking after a shim in the process that has started it, with tasks: what a monitor does
//! elsewhere.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

use super::launch::{self, Started};
use super::log::ShimLog;
use super::options::Callback;
use super::start::Launch;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::sys::descriptors::waitable;

/// Drains the shim's output, reaps it when it ends, notes that, and calls back.
pub(super) fn supervise(started: Started, launch: &Launch, on_exit: Option<Callback>) -> Result<JoinHandle<()>> {
    let Started { mut child, process, stdout, stderr } = started;
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        Error::new(ErrorKind::Shim, Step::StartShim, format!("cannot watch {what} of the shim: {error}"))
    };
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| failed("the process", &"it has no pid"))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| failed("the process", &errno))?;
    let pidfd = waitable(pidfd, Interest::READABLE).map_err(|(_, error)| failed("the process", &error))?;
    let log = Arc::new(Mutex::new(ShimLog::new(Arc::clone(&launch.handles.records))));
    let drains = [stdout, stderr]
        .map(|fifo| waitable(fifo, Interest::READABLE).map(|fifo| tokio::spawn(drain(fifo, Arc::clone(&log)))));
    let mut tasks = Vec::new();
    for task in drains {
        tasks.push(task.map_err(|(_, error)| failed("the output", &error))?);
    }
    let (handles, name, record) = (launch.handles.clone(), launch.socket_name.clone(), launch.record.clone());
    Ok(tokio::spawn(async move {
        // A pidfd becomes readable when its process has ended.
        let _ = pidfd.readable().await;
        let _ = child.wait();
        tasks.iter().for_each(JoinHandle::abort);
        launch::note_end(&handles, &name, &record);
        if let Some(callback) = on_exit {
            callback();
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
