//! Commands for containers that exist: each asks the shim, whichever it is, from any process.

mod attach;
mod control;
mod exec;
mod kill;
mod logs;
mod ps;
mod signal_name;
mod wait;

use std::time::Duration;

use clap::Args;
use dunnage::broker::Broker;
use dunnage::shim::protocol::task::Status;
use dunnage::shim::{ConnectOptions, Shim, TaskStatus};
use dunnage::{BundleId, Dunnage, ErrorKind, Step};
use serde::Serialize;

pub(super) use self::attach::Attach;
pub(super) use self::control::{Pause, Resize, Resume, Update};
pub(super) use self::exec::Exec;
pub(super) use self::kill::{Kill, Stop};
pub(super) use self::logs::Logs;
pub(super) use self::ps::Ps;
pub(super) use self::wait::Wait;
use super::confine::{Profile, confine_beside_broker};
use super::failure::Failed;
use super::options::Global;
use super::shim::block_on;

/// The id of a container.
#[derive(Args)]
struct Container {
    /// Id of the container
    id: String,
}

/// What has changed.
#[derive(Serialize)]
struct Changed {
    namespace: String,
    id: String,
    status: &'static str,
}

impl Changed {
    fn print(global: &Global, id: &BundleId, status: &'static str) -> anyhow::Result<()> {
        let changed = Self { namespace: id.namespace().to_owned(), id: id.id().to_owned(), status };
        Ok(global.output.print(&changed, |_| String::new())?)
    }
}

/// Does something with the shim of a running container.
fn with_shim<T>(
    global: &Global,
    id: &str,
    operation: &str,
    profile: &Profile,
    work: impl AsyncFnOnce(&Dunnage, Shim) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let broker = confine_beside_broker(global, profile)?;
    let (dunnage, id) = set_up(global, broker.as_ref(), id)?;
    block_on(async {
        let shim = running_shim(&dunnage, &id, operation).await?;
        work(&dunnage, shim).await.map_err(|error| during(error, &format!("{operation} {id}")))
    })
}

fn set_up(global: &Global, broker: Option<&Broker>, id: &str) -> anyhow::Result<(Dunnage, BundleId)> {
    Ok((global.dunnage_beside(broker)?, global.id(id)))
}

/// The shim of a container that runs.
async fn running_shim(dunnage: &Dunnage, id: &BundleId, operation: &str) -> anyhow::Result<Shim> {
    let not_running = |what: &str| Failed::not_running(&format!("{operation} {id}"), format!("its container {what}"));
    let shim = match dunnage.connect_shim(id, ConnectOptions::default()).await {
        Ok(shim) => shim,
        // A bad id, no bundle, or a shim that is there and does not answer.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::InvalidIdentifier | ErrorKind::NotFound | ErrorKind::Timeout | ErrorKind::Untrusted
            ) =>
        {
            return Err(error.with_operation(format!("{operation} {id}")).into());
        }
        Err(error) => {
            return Err(match dunnage.task_status(id).await {
                Ok(TaskStatus::None) => not_running("was not started"),
                Ok(TaskStatus::Stopped) => not_running("has ended"),
                Ok(TaskStatus::Running | TaskStatus::Paused | TaskStatus::Created) => Failed::of(
                    &format!("{operation} {id}"),
                    ErrorKind::Shim,
                    Step::ConnectShim,
                    "its container has lost its shim; it can only be removed: delete --force",
                ),
                _ => return Err(error.with_operation(format!("{operation} {id}")).into()),
            }
            .into());
        }
    };
    match shim.client().state(id.id()).await {
        Ok(state) => match state.status.enum_value_or_default() {
            Status::STOPPED => Err(not_running("has ended").into()),
            Status::CREATED => Err(not_running("was created, but not started").into()),
            Status::RUNNING | Status::PAUSED | Status::PAUSING | Status::UNKNOWN => Ok(shim),
        },
        Err(error) if error.kind() == ErrorKind::NoTask => Err(not_running("was not created").into()),
        Err(error) => Err(error.with_operation(format!("{operation} {id}")).into()),
    }
}

/// Removes a container that has ended from its shim, and the shim, so that another can be started.
pub(super) async fn forget_ended(dunnage: &Dunnage, id: &BundleId) -> anyhow::Result<()> {
    let Ok(shim) = dunnage.connect_shim(id, ConnectOptions::default()).await else {
        // Its shim may have been killed before it ended.
        if dunnage.task_status(id).await.is_ok_and(|status| status == TaskStatus::Stopped) {
            dunnage.end_container(id, dunnage.incarnation(id)?)?;
        }
        return Ok(());
    };
    let state = shim.client().state(id.id()).await;
    let has_ended = state.as_ref().is_ok_and(|state| state.status.enum_value_or_default() == Status::STOPPED);
    if has_ended {
        shim.delete_task().await?;
        shim.remove().await?;
    }
    Ok(())
}

/// Says what was being done. A process that the shim does not know has ended meanwhile.
fn during(error: anyhow::Error, operation: &str) -> anyhow::Error {
    match error.downcast::<dunnage::Error>() {
        Ok(error) if error.kind() == ErrorKind::NoTask => {
            Failed::not_running(operation, error.message().to_owned()).into()
        }
        Ok(error) => error.with_operation(operation).into(),
        Err(error) => error,
    }
}

/// Whole seconds, as people give them on a command line.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: u64 = text.parse().map_err(|_| format!("{text:?} is not a number of seconds"))?;
    Ok(Duration::from_secs(seconds.min(u64::from(u32::MAX))))
}
