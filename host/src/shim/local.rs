//! A shim inside our own process: it drives the runtime itself and answers as containerd's does.

mod answer;
mod container;
mod create;
mod exec;
mod exit;
mod process;
mod rootfs;
mod runc;
mod server;
mod service;
mod stdio;
mod terminal;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use protobuf::well_known_types::any::Any;
use rustix::process::{getpid, set_child_subreaper};

use crate::error::{AtStep, Result, Step};
use crate::sys::Failure;

use container::Container;
pub(crate) use server::{Server, serve};

/// What a local shim has to know.
pub(crate) struct LocalConfig {
    /// The namespace, also the last part of the runtime's root.
    pub(crate) namespace: String,
    /// The bundle: what the runtime starts from, and its working directory.
    pub(crate) bundle: PathBuf,
    /// Where the sockets live that terminals are handed over through.
    pub(crate) work_dir: PathBuf,
    /// The runtime; empty is `runc`.
    pub(crate) runtime: String,
    /// The runtime's root without the namespace; empty is `/run/containerd/runc`.
    pub(crate) runtime_root: PathBuf,
    /// Whether the runtime lets systemd make the cgroups.
    pub(crate) systemd_cgroup: bool,
    /// Gets the events.
    pub(crate) publisher: Arc<dyn Publisher>,
}

/// Gets the events of the tasks.
pub(crate) trait Publisher: Send + Sync {
    /// Takes an event. It may block for a while: it is called on a thread of its own.
    fn publish(&self, topic: &str, namespace: &str, event: Any);
}

/// A shim inside our own process, for one container.
pub(crate) struct LocalShim {
    shared: Arc<Shared>,
}

/// What the requests, which outlive their callers, share.
struct Shared {
    config: LocalConfig,
    /// Held while something is changed by running the runtime, never while waiting for a process.
    changing: tokio::sync::Mutex<()>,
    container: std::sync::Mutex<Option<Arc<Container>>>,
}

impl LocalShim {
    /// Makes a shim, and this process the reaper of what its containers orphan.
    pub(crate) fn new(config: LocalConfig) -> Result<Arc<Self>> {
        set_child_subreaper(Some(getpid()))
            .map_err(|errno| Failure::new("prctl", "PR_SET_CHILD_SUBREAPER", errno))
            .at_step(Step::StartShim)?;
        let shared = Shared { config, changing: tokio::sync::Mutex::default(), container: std::sync::Mutex::default() };
        Ok(Arc::new(Self { shared: Arc::new(shared) }))
    }

    /// Waits, not for ever, until the ends of processes are told.
    pub(crate) async fn settle(&self) {
        if let Some(container) = self.shared.container() {
            container.settle().await;
        }
    }
}
