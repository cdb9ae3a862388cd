//! What the container of a bundle is doing.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dunnage_bundles::{Container, Node, open_bundle};
use dunnage_core::{BundleId, ErrorKind, Result};
use dunnage_shim_proto::task::Status;
use dunnage_store::ShimRecord;
use futures::StreamExt as _;
use tokio::time::Instant;

use crate::connect::connect;
use crate::options::ConnectOptions;
use crate::shim::blocking;

/// How long one shim may take to say what its container is doing.
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);

/// Shims that are asked at the same time.
const MAX_ASKED_AT_ONCE: usize = 32;

/// What a container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TaskStatus {
    /// There is no container: only a bundle.
    None,
    /// It waits to be started.
    Created,
    /// It runs.
    Running,
    /// It is frozen, or about to be.
    Paused,
    /// Its init process has ended.
    Stopped,
    /// Its shim does not answer, or cannot be asked.
    Unknown,
}

impl TaskStatus {
    /// A stable name for programs, in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Unknown => "unknown",
        }
    }

    /// The status as runc calls it.
    fn from_runtime(status: &str) -> Self {
        match status {
            "created" | "creating" => Self::Created,
            "running" => Self::Running,
            "paused" | "pausing" => Self::Paused,
            "stopped" => Self::Stopped,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for TaskStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Asks about many. One deadline for all: however many shims do not answer, it takes no longer.
pub async fn statuses(node: &Arc<Node>, ids: &[BundleId], patience: Duration) -> Vec<TaskStatus> {
    let deadline = Instant::now() + patience;
    let asked = futures::stream::iter(ids).map(|id| async move {
        match tokio::time::timeout_at(deadline, status(node, id)).await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => {
                tracing::debug!(%error, "cannot tell what {id} is doing");
                TaskStatus::Unknown
            }
            Err(_) => TaskStatus::Unknown,
        }
    });
    asked.buffered(MAX_ASKED_AT_ONCE).collect().await
}

/// Asks the shim; if there is none (any more), the runtime.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] without a bundle, or if neither can be asked.
pub async fn status(node: &Arc<Node>, id: &BundleId) -> Result<TaskStatus> {
    let options = ConnectOptions { timeout: STATUS_TIMEOUT, ..ConnectOptions::default() };
    match connect(node, id, options).await {
        Ok(shim) => match shim.client.with_timeout(STATUS_TIMEOUT).state(id.id()).await {
            Ok(state) => Ok(match state.status.enum_value() {
                Ok(Status::CREATED) => TaskStatus::Created,
                Ok(Status::RUNNING) => TaskStatus::Running,
                Ok(Status::PAUSED | Status::PAUSING) => TaskStatus::Paused,
                Ok(Status::STOPPED) => TaskStatus::Stopped,
                Ok(Status::UNKNOWN) | Err(_) => TaskStatus::Unknown,
            }),
            Err(error) if error.kind() == ErrorKind::NoTask => Ok(TaskStatus::None),
            Err(_) => Ok(TaskStatus::Unknown),
        },
        // Unknown is not dead.
        Err(error) if matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Untrusted) => Ok(TaskStatus::Unknown),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(error),
        Err(_) => {
            let (node, id) = (Arc::clone(node), id.clone());
            blocking(move || {
                let bundle = open_bundle(&node, &id)?;
                let record = ShimRecord::find(&node.layout, &id, &bundle)?;
                let state = Container::of(&node.privileged, &id, record.as_ref()).state(&bundle)?;
                Ok(state.map_or(TaskStatus::None, |state| TaskStatus::from_runtime(&state.status)))
            })
            .await
        }
    }
}
