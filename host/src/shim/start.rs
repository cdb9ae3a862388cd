//! Starting a shim and waiting for its answer.

use std::sync::Arc;
use std::time::Duration;

use super::attempt::{Attempt, Launched};
use super::options::StartOptions;
use super::{Shim, ShimClient, blocking, connect, served};
use crate::bundle::{BundleId, Incarnation};
use crate::bundles::{Hold, Inner, Process, ShimKind};
use crate::error::{AtStep, Error, ErrorKind, Result, Step};
use crate::shims::{Endpoint, ShimConfig};
use crate::sys::ShimProcess;

/// Starts the shim of a bundle and connects to it.
pub(super) async fn start(
    inner: &Arc<Inner>,
    id: &BundleId,
    config: ShimConfig,
    options: StartOptions,
) -> Result<Shim> {
    wanted(|given_up| run(Arc::clone(inner), id.clone(), config, options, given_up)).await
}

/// Serves the shim of a bundle in this process, and connects to it.
pub(super) async fn serve(
    inner: &Arc<Inner>,
    id: &BundleId,
    config: ShimConfig,
    options: StartOptions,
) -> Result<Shim> {
    wanted(|given_up| served::serve(Arc::clone(inner), id.clone(), config, options, given_up)).await
}

/// Fails once the caller has given up.
pub(super) type GivenUp = tokio::sync::oneshot::Receiver<()>;

/// Starts a shim to its end, also if the caller gives up meanwhile: then nobody waits for its
/// answer any more, and it is removed again.
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
            tracing::warn!(%error, "cannot remove a shim that nobody waits for any more");
        }
    });
    receiver.await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Shim, Step::StartShim, "the task that started the shim failed".to_owned()))
    })
}

async fn run(
    inner: Arc<Inner>,
    id: BundleId,
    config: ShimConfig,
    mut options: StartOptions,
    given_up: GivenUp,
) -> Result<Shim> {
    let timeout = options.timeout;
    let on_exit = options.on_exit.take();
    let launched = {
        let (inner, id) = (Arc::clone(&inner), id.clone());
        blocking(move || {
            Attempt::prepare(&inner, &id, ShimKind::Remote, config, &options.runtime)?.launch(&inner, &options)
        })
        .await?
    };
    let Launched { attempt, process, keeper } = launched;
    let connected = match keeper.look_after(&attempt, on_exit) {
        Ok(()) => {
            let endpoint = Endpoint { address: attempt.record.address.clone(), is_abstract: false };
            answer(&inner, &attempt.hold, &endpoint, process, timeout, given_up).await
        }
        Err(error) => Err(error),
    };
    match connected {
        Ok((client, found)) => Ok(Shim {
            client,
            process: Arc::new(found),
            pid: process.pid,
            address: attempt.record.address.clone(),
            id,
            incarnation: Incarnation::of(attempt.hold.bundle.metadata()),
            inner,
            served: None,
            is_guest: false,
        }),
        Err(error) => Err(blocking(move || Ok(attempt.undo(Some(process), error))).await.unwrap_or_else(|error| error)),
    }
}

/// Waits until the shim that was just started answers, or nobody wants to know any more.
pub(super) async fn answer(
    inner: &Arc<Inner>,
    hold: &Hold,
    endpoint: &Endpoint,
    process: Process,
    timeout: Duration,
    given_up: GivenUp,
) -> Result<(ShimClient, ShimProcess)> {
    tokio::select! {
        answer = ask(inner, hold, endpoint, process, timeout) => answer,
        _ = given_up => {
            let message = "the start of the shim was given up";
            Err(Error::new(ErrorKind::Shim, Step::StartShim, message))
        }
    }
}

async fn ask(
    inner: &Arc<Inner>,
    hold: &Hold,
    endpoint: &Endpoint,
    process: Process,
    timeout: Duration,
) -> Result<(ShimClient, ShimProcess)> {
    let deadline = tokio::time::Instant::now() + timeout;
    let socket = {
        let (inner, endpoint) = (Arc::clone(inner), endpoint.clone());
        blocking(move || connect::dial_patiently(&inner, &endpoint, timeout)).await?
    };
    let client = connect::client_on(socket, None)?;
    let left = deadline.saturating_duration_since(tokio::time::Instant::now());
    let pid = connect::ask_who(&client, left, &endpoint.address).await?;
    let found = inner.config.privileged.find_started(process, &hold.bundle).at_step(Step::ConnectShim)?;
    match found {
        Some(found) if pid == process.pid => Ok((client, found)),
        _ => {
            let message = format!("process {pid} answers, and process {} was started", process.pid);
            Err(Error::new(ErrorKind::Untrusted, Step::ConnectShim, message))
        }
    }
}
