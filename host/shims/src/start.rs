//! Starting a shim and waiting for its answer.

use std::sync::Arc;

use dunnage_bundles::Node;
use dunnage_core::{BundleId, Endpoint, Error, ErrorKind, Incarnation, Result, ShimConfig, Step};
use dunnage_store::ShimKind;

use crate::handshake::{GivenUp, answer};
use crate::in_process;
use crate::options::StartOptions;
use crate::pending::{Launched, PendingShim};
use crate::shim::{Shim, blocking};

/// Starts the shim of a bundle and connects to it.
///
/// # Errors
///
/// If the bundle has a shim already, or the new one does not come up. Then nothing of it is left, or the
/// error names it.
pub async fn start(node: &Arc<Node>, id: &BundleId, config: ShimConfig, options: StartOptions) -> Result<Shim> {
    wanted(|given_up| run(Arc::clone(node), id.clone(), config, options, given_up)).await
}

/// Serves the shim of a bundle in this process, and connects to it.
///
/// # Errors
///
/// As for [`start`].
pub async fn serve(node: &Arc<Node>, id: &BundleId, config: ShimConfig, options: StartOptions) -> Result<Shim> {
    wanted(|given_up| in_process::serve(Arc::clone(node), id.clone(), config, options, given_up)).await
}

/// Starts a shim to its end, also if the caller gives up meanwhile: then its answer is not waited
/// for any more, and it is removed again.
async fn wanted<F>(start: impl FnOnce(GivenUp) -> F) -> Result<Shim>
where
    F: Future<Output = Result<Shim>> + Send + 'static,
{
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let (_waiting, given_up) = tokio::sync::oneshot::channel();
    let starting = start(given_up);
    tokio::spawn(async move {
        if let Err(Ok(unwanted)) = sender.send(starting.await)
            && let Err(error) = unwanted.remove().await
        {
            tracing::warn!(%error, "cannot remove a shim that the caller no longer waits for");
        }
    });
    receiver.await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Shim, Step::StartShim, "the task that started the shim failed".to_owned()))
    })
}

async fn run(
    node: Arc<Node>,
    id: BundleId,
    config: ShimConfig,
    mut options: StartOptions,
    given_up: GivenUp,
) -> Result<Shim> {
    let timeout = options.timeout;
    let on_exit = options.on_exit.take();
    let launched = {
        let (node, id) = (Arc::clone(&node), id.clone());
        blocking(move || PendingShim::prepare(&node, &id, ShimKind::Remote, config, &options)?.launch(&node, &options))
            .await?
    };
    let Launched { pending, process, supervisor } = launched;
    let connected = match supervisor.look_after(pending.cleanup(), on_exit) {
        Ok(()) => {
            let endpoint = Endpoint::path(pending.record.address.clone());
            answer(&node, &pending.guard, &endpoint, process, timeout, given_up).await
        }
        Err(error) => Err(error),
    };
    match connected {
        Ok((client, found)) => Ok(Shim {
            client,
            process: Arc::new(found),
            pid: process.pid,
            address: pending.record.address.clone(),
            id,
            incarnation: Incarnation::of(pending.guard.bundle.metadata()),
            node,
            served: None,
            is_guest: false,
        }),
        Err(error) => Err(blocking(move || Ok(pending.undo(Some(process), error))).await.unwrap_or_else(|error| error)),
    }
}
