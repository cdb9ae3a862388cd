//! Serving the shim of a bundle in this process.

use std::os::unix::net::UnixListener;
use std::sync::Arc;

use super::attempt::{Attempt, no_identity};
use super::ending::Ending;
use super::local::{self, LocalConfig, LocalShim, Server};
use super::options::StartOptions;
use super::start::{GivenUp, answer};
use super::{Shim, blocking};
use crate::bundle::{BundleId, Incarnation};
use crate::bundles::{Inner, Process, ShimKind, Waiting};
use crate::error::{AtStep as _, Result, Step};
use crate::events::EventLog;
use crate::shims::{Endpoint, ShimConfig};
use crate::sys::start_time;

/// Serves the shim of a bundle, and connects to it.
pub(super) async fn serve(
    inner: Arc<Inner>,
    id: BundleId,
    config: ShimConfig,
    options: StartOptions,
    given_up: GivenUp,
) -> Result<Shim> {
    let timeout = options.timeout;
    let mut attempt = {
        let (inner, id) = (Arc::clone(&inner), id.clone());
        blocking(move || Attempt::prepare(&inner, &id, ShimKind::Local, config, &options.runtime)).await?
    };
    let served = match attempt.serve(&inner).await {
        Ok((server, process)) => {
            let endpoint = Endpoint { address: attempt.record.address.clone(), is_abstract: false };
            let answer = answer(&inner, &attempt.hold, &endpoint, process, timeout, given_up).await;
            answer.map(|(client, found)| (server, client, found))
        }
        Err(error) => Err(error),
    };
    match served {
        Ok((server, client, found)) => Ok(Shim {
            client,
            pid: found.pid(),
            process: Arc::new(found),
            address: attempt.record.address.clone(),
            id,
            incarnation: Incarnation::of(attempt.hold.bundle.metadata()),
            inner,
            served: Some(Served { server, ending: Some(attempt.ending()) }),
            is_guest: true,
        }),
        Err(error) => Err(blocking(move || Ok(attempt.undo(None, error))).await.unwrap_or_else(|error| error)),
    }
}

/// A shim that this process serves.
pub(super) struct Served {
    server: Server,
    /// `None` once it was noted.
    ending: Option<Ending>,
}

impl Served {
    /// What is served.
    pub(super) fn shim(&self) -> Arc<LocalShim> {
        self.server.shim()
    }

    /// Ends it, and notes that, although its process goes on. Blocks.
    pub(super) fn end(mut self, is_held: bool) {
        match self.ending.take() {
            Some(ending) if is_held => ending.note_held(),
            Some(ending) => ending.note(Waiting::patiently()),
            None => {}
        }
    }
}

impl Drop for Served {
    /// The same, if nobody has ended it in earnest.
    fn drop(&mut self) {
        if let Some(ending) = self.ending.take() {
            ending.note_soon();
        }
    }
}

impl Attempt {
    /// Starts to serve in this process, and writes down where.
    async fn serve(&mut self, inner: &Arc<Inner>) -> Result<(Server, Process)> {
        let pid = std::process::id();
        let started = start_time(pid).at_step(Step::StartShim)?.ok_or_else(|| no_identity(&self.hold.bundle))?;
        let process = Process { pid, started };
        self.record.process = Some(process);
        self.record.write(&self.handles.records)?;
        let local = LocalShim::new(LocalConfig {
            namespace: self.config.namespace.clone(),
            bundle: self.hold.bundle.path().to_owned(),
            work_dir: self.hold.work_dir.path().to_owned(),
            runtime: self.record.runtime.to_string_lossy().into_owned(),
            runtime_root: self.record.runtime_root.clone(),
            systemd_cgroup: self.config.systemd_cgroup,
            publisher: Arc::new(EventLog::new(inner.places.state.path())),
        })?;
        let socket = self.socket.take().ok_or_else(|| no_identity(&self.hold.bundle))?;
        let server = local::serve(UnixListener::from(socket), local).await?;
        self.file(process)?;
        Ok((server, process))
    }
}
