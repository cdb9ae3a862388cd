//! The end of processes: waiting for it.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dunnage_async::waitable;
use dunnage_sys::{UNKNOWN_STATUS, has_ended, open_child, try_reap};
use protobuf::well_known_types::timestamp::Timestamp;
use tokio::io::Interest;

use super::answer::{RpcResult, failed};

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
pub(super) fn open(pid: u32) -> RpcResult<OwnedFd> {
    open_child(pid).map_err(failed)
}

/// Waits until a child has ended, and reaps it.
pub(super) async fn wait(process: impl AsFd) -> Exit {
    let ended = async || -> std::io::Result<()> {
        let handle = waitable(process.as_fd().try_clone_to_owned()?, Interest::READABLE).map_err(|(_, error)| error)?;
        handle.readable().await?.retain_ready();
        Ok(())
    };
    if let Err(error) = ended().await {
        tracing::warn!(%error, "cannot watch a process, so polling instead");
        while !has_ended(process.as_fd()) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    loop {
        match try_reap(&process) {
            Ok(Some(status)) => return Exit::now(status),
            // A child that is traced ends for its tracer first.
            Ok(None) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(errno) => {
                tracing::warn!(%errno, "a process has exited, but it is not a child of this shim");
                return Exit::now(UNKNOWN_STATUS);
            }
        }
    }
}
