//! The first answer of a shim that was just started.

use std::sync::Arc;
use std::time::Duration;

use dunnage_bundles::{BundleGuard, Node};
use dunnage_core::{AtStep as _, Endpoint, Error, ErrorKind, Result, Step};
use dunnage_sys::{ProcessHandle, ProcessId};

use crate::client::{ShimClient, client_on};
use crate::connect::{ask_who, dial_patiently};
use crate::shim::blocking;

/// Fails once the caller has given up.
pub(crate) type GivenUp = tokio::sync::oneshot::Receiver<()>;

/// Waits until the shim that was just started answers, or the caller has given up.
pub(crate) async fn answer(
    node: &Arc<Node>,
    guard: &BundleGuard,
    endpoint: &Endpoint,
    process: ProcessId,
    timeout: Duration,
    given_up: GivenUp,
) -> Result<(ShimClient, ProcessHandle)> {
    tokio::select! {
        answer = ask(node, guard, endpoint, process, timeout) => answer,
        _ = given_up => {
            let message = "the start of the shim was abandoned";
            Err(Error::new(ErrorKind::Shim, Step::StartShim, message))
        }
    }
}

async fn ask(
    node: &Arc<Node>,
    guard: &BundleGuard,
    endpoint: &Endpoint,
    process: ProcessId,
    timeout: Duration,
) -> Result<(ShimClient, ProcessHandle)> {
    let deadline = tokio::time::Instant::now() + timeout;
    let socket = {
        let (node, endpoint) = (Arc::clone(node), endpoint.clone());
        blocking(move || dial_patiently(&node, &endpoint, timeout)).await?
    };
    let client = client_on(socket, None)?;
    let left = deadline.saturating_duration_since(tokio::time::Instant::now());
    let pid = ask_who(&client, left, &endpoint.address).await?;
    let found = node.privileged.find_started(process, &guard.bundle).at_step(Step::ConnectShim)?;
    match found {
        Some(found) if pid == process.pid => Ok((client, found)),
        _ => {
            let message = format!("process {pid} answered, but process {} was started", process.pid);
            Err(Error::new(ErrorKind::Untrusted, Step::ConnectShim, message))
        }
    }
}
