//! `wait`.

use std::time::Duration;

use clap::Args;
use dunnage::shim::{ConnectOptions, TaskStatus};
use dunnage::{BundleId, Dunnage, ErrorKind};
use serde::Serialize;

use super::{Container, Global, during, set_up};
use crate::confine::{Profile, confine_beside_broker};
use crate::failure::Failed;
use crate::shim::block_on;

/// How often to look at a container that has lost its shim.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How long the end of a container may take to be noted.
const NOTE_TIMEOUT: Duration = Duration::from_secs(3);
/// The status of a container that ended unseen: as if it was killed.
const UNSEEN: u32 = 137;

/// Wait for a container to end, and print its exit code
#[derive(Args)]
#[command(
    after_help = "Also after the fact, as long as its bundle is there. 128+n means that signal n ended it; a container whose\n\
    end nobody saw is said to have been killed (137).\n\nExample:\n  dunnage wait web-1"
)]
pub(crate) struct Wait {
    #[command(flatten)]
    container: Container,
}

#[derive(Serialize)]
struct Ended {
    namespace: String,
    id: String,
    exit_code: u32,
}

impl Wait {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<()> {
        let broker = confine_beside_broker(global, &Profile::CONTROLLING)?;
        let (dunnage, id) = set_up(global, broker.as_ref(), &self.container.id)?;
        let exit_code = block_on(wait(&dunnage, &id)).map_err(|error| during(error, &format!("wait for {id}")))?;
        let ended = Ended { namespace: id.namespace().to_owned(), id: id.id().to_owned(), exit_code };
        Ok(global.output.print(&ended, |ended| ended.exit_code.to_string())?)
    }
}

async fn wait(dunnage: &Dunnage, id: &BundleId) -> anyhow::Result<u32> {
    let mut was_there = false;
    loop {
        match dunnage.connect_shim(id, ConnectOptions::default()).await {
            // It was deleted while we waited.
            Err(error) if error.kind() == ErrorKind::NotFound && was_there => {
                tokio::time::sleep(POLL_INTERVAL).await;
                return Ok(told(dunnage, id).unwrap_or(UNSEEN));
            }
            Ok(shim) => match shim.client().wait(id.id()).await {
                Ok(ended) => return Ok(ended.exit_status),
                // The shim was killed, or has forgotten the container, which has ended then.
                Err(error) if error.kind() != ErrorKind::Timeout => {}
                Err(error) => return Err(error.into()),
            },
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::InvalidIdentifier | ErrorKind::NotFound | ErrorKind::Untrusted | ErrorKind::Timeout
                ) =>
            {
                return Err(error.into());
            }
            Err(_) => {}
        }
        was_there = true;
        if let Some(status) = without_shim(dunnage, id).await? {
            return Ok(status);
        }
    }
}

/// How a container without a shim has ended; `None` if it is to be looked at again.
async fn without_shim(dunnage: &Dunnage, id: &BundleId) -> anyhow::Result<Option<u32>> {
    let noted = || match dunnage.task_info(id) {
        // Whoever deletes a bundle tells of the end of its container.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(told(dunnage, id)),
        info => info.map(|info| info.exit_status),
    };
    if let Some(status) = noted()? {
        return Ok(Some(status));
    }
    let status = match dunnage.task_status(id).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Some(told(dunnage, id).unwrap_or(UNSEEN))),
        status => status?,
    };
    if matches!(status, TaskStatus::Running | TaskStatus::Paused | TaskStatus::Created | TaskStatus::Unknown) {
        tokio::time::sleep(POLL_INTERVAL).await;
        return Ok(None);
    }
    // It has ended, and the monitor of its shim may be about to note that.
    let was_created = dunnage.task_info(id)?.pid.is_some();
    if !was_created && status == TaskStatus::None {
        return Err(Failed::not_running(&format!("wait for {id}"), "its container was not started").into());
    }
    let deadline = tokio::time::Instant::now() + NOTE_TIMEOUT;
    while tokio::time::Instant::now() < deadline {
        if let Some(status) = noted()? {
            return Ok(Some(status));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    // Nobody else is left to tell of it.
    dunnage.tell_unseen_end(id)?;
    Ok(Some(noted()?.unwrap_or(UNSEEN)))
}

/// The exit status that the latest event of a container tells of.
fn told(dunnage: &Dunnage, id: &BundleId) -> Option<u32> {
    let events = dunnage.events().ok()?;
    let of_container = |event: &&dunnage::events::Event| {
        event.topic == "/tasks/exit" && event.namespace == id.namespace() && event.id.as_deref() == Some(id.id())
    };
    events.iter().rev().find(of_container)?.exit_status
}
