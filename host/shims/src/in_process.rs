//! Serving the shim of a bundle in this process.

use std::os::unix::net::UnixListener;
use std::sync::Arc;

use dunnage_bundles::Node;
use dunnage_core::{AtStep as _, BundleId, Endpoint, Incarnation, Result, ShimConfig, Step};
use dunnage_events::EventLog;
use dunnage_shim_service::{LocalConfig, LocalShim, Server};
use dunnage_store::{LockWait, ShimKind};
use dunnage_sys::ProcessId;

use crate::cleanup::Cleanup;
use crate::handshake::{GivenUp, answer};
use crate::log_publisher::LogPublisher;
use crate::options::StartOptions;
use crate::pending::{PendingShim, no_identity};
use crate::shim::{Shim, blocking};

/// Serves the shim of a bundle, and connects to it.
pub(super) async fn serve(
    node: Arc<Node>,
    id: BundleId,
    config: ShimConfig,
    options: StartOptions,
    given_up: GivenUp,
) -> Result<Shim> {
    let timeout = options.timeout;
    let mut pending = {
        let (node, id) = (Arc::clone(&node), id.clone());
        blocking(move || PendingShim::prepare(&node, &id, ShimKind::Local, config, &options)).await?
    };
    let served = match pending.serve(&node).await {
        Ok((server, process)) => {
            let endpoint = Endpoint::path(pending.record.address.clone());
            let answer = answer(&node, &pending.guard, &endpoint, process, timeout, given_up).await;
            answer.map(|(client, found)| (server, client, found))
        }
        Err(error) => Err(error),
    };
    match served {
        Ok((server, client, found)) => Ok(Shim {
            client,
            pid: found.pid(),
            process: Arc::new(found),
            address: pending.record.address.clone(),
            id,
            incarnation: Incarnation::of(pending.guard.bundle.metadata()),
            node,
            served: Some(Served { server, cleanup: Some(pending.cleanup()) }),
            is_guest: true,
        }),
        Err(error) => Err(blocking(move || Ok(pending.undo(None, error))).await.unwrap_or_else(|error| error)),
    }
}

/// A shim that this process serves.
pub(super) struct Served {
    server: Server,
    /// `None` once it was noted.
    cleanup: Option<Cleanup>,
}

impl Served {
    /// The shim that is served.
    pub(super) fn shim(&self) -> Arc<LocalShim> {
        self.server.shim()
    }

    /// Ends it, and notes that, although its process goes on. Blocks.
    pub(super) fn end(mut self, is_held: bool) {
        match self.cleanup.take() {
            Some(cleanup) if is_held => cleanup.note_held(),
            Some(cleanup) => cleanup.note(LockWait::patiently()),
            None => {}
        }
    }
}

impl Drop for Served {
    /// The same, if it was not ended on purpose.
    fn drop(&mut self) {
        if let Some(cleanup) = self.cleanup.take() {
            cleanup.note_soon();
        }
    }
}

impl PendingShim {
    /// Starts to serve in this process, and writes down where.
    async fn serve(&mut self, node: &Arc<Node>) -> Result<(Server, ProcessId)> {
        let process = ProcessId::own().at_step(Step::StartShim)?.ok_or_else(|| no_identity(&self.guard.bundle))?;
        self.record.process = Some(process);
        self.record.write(&self.handles.records)?;
        let local = LocalShim::new(LocalConfig {
            namespace: self.config.namespace.clone(),
            bundle: self.guard.bundle.path().to_owned(),
            work_dir: self.guard.work_dir.path().to_owned(),
            runtime: self.record.runtime.to_string_lossy().into_owned(),
            runtime_root: self.record.runtime_root.clone(),
            systemd_cgroup: self.config.systemd_cgroup,
            owns_process: false,
            publisher: Arc::new(LogPublisher(EventLog::new(node.layout.state.path()))),
        })?;
        let socket = self.socket.take().ok_or_else(|| no_identity(&self.guard.bundle))?;
        let server = dunnage_shim_service::serve(UnixListener::from(socket), local).await?;
        self.file(process)?;
        Ok((server, process))
    }
}
