//! A shim of our own: it serves containerd's shim v1 for one container, drives the runtime itself, and
//! answers as containerd's shim does.
//!
//! It runs in whichever process serves it. It knows nothing of policies, of bundles beyond the directory
//! that it is given, or of records: where its events go is for a [`Publisher`] from above.

#![forbid(unsafe_code)]

mod answer;
mod children;
mod container;
mod copy;
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

use std::path::PathBuf;
use std::sync::Arc;

use children::Children;
use container::Container;
use dunnage_core::{AtStep as _, Result, Step};
use dunnage_sys::become_subreaper;
use protobuf::well_known_types::any::Any;
pub use server::{Server, serve};

/// What a local shim needs to know.
pub struct LocalConfig {
    /// The namespace, also the last part of the runtime's root.
    pub namespace: String,
    /// The bundle: what the runtime starts from, and its working directory.
    pub bundle: PathBuf,
    /// Where the sockets live that terminals are handed over through.
    pub work_dir: PathBuf,
    /// The runtime; empty is `runc`.
    pub runtime: String,
    /// The runtime's root without the namespace; empty is `/run/containerd/runc`.
    pub runtime_root: PathBuf,
    /// Whether the runtime lets systemd make the cgroups.
    pub systemd_cgroup: bool,
    /// Whether this process does nothing but serve this shim, so that it may reap every child that it did
    /// not start.
    pub owns_process: bool,
    /// Gets the events.
    pub publisher: Arc<dyn Publisher>,
}

/// Gets the events of the tasks.
pub trait Publisher: Send + Sync {
    /// Takes an event. It may block for a while: it is called on a thread of its own.
    fn publish(&self, topic: &str, namespace: &str, event: Any);
}

/// A shim inside our own process, for one container.
pub struct LocalShim {
    shared: Arc<Shared>,
}

/// What the requests, which outlive their callers, share.
struct Shared {
    config: LocalConfig,
    /// Held while something is changed by running the runtime, never while waiting for a process.
    changing: tokio::sync::Mutex<()>,
    container: std::sync::Mutex<Option<Arc<Container>>>,
    children: Arc<Children>,
}

impl LocalShim {
    /// Makes a shim, and this process the reaper of what its containers orphan.
    pub fn new(config: LocalConfig) -> Result<Arc<Self>> {
        become_subreaper().at_step(Step::StartShim)?;
        let children = Children::new(config.owns_process);
        let shared = Shared {
            config,
            changing: tokio::sync::Mutex::default(),
            container: std::sync::Mutex::default(),
            children,
        };
        Ok(Arc::new(Self { shared: Arc::new(shared) }))
    }

    /// Waits, not for ever, until the ends of processes are reported.
    pub async fn settle(&self) {
        if let Some(container) = self.shared.container() {
            container.settle().await;
        }
    }
}
