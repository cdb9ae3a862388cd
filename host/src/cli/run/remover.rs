//! The remover: what `run --rm --detach` leaves behind. It waits for the container to end, and
//! removes it with its shim and its bundle.

use std::process::Command;

use dunnage::shim::{ConnectOptions, detach};
use dunnage::{BundleId, Dunnage, Incarnation};

use super::{Failed, Task};

/// The name that this program is called by when it is a remover.
pub(in crate::cli) const REMOVER: &str = "dunnage-remover";
/// The variable that tells it which bundle of that id it is to remove.
const WHICH: &str = "DUNNAGE_REMOVE";

/// Starts a remover. If somebody ends it, the container stays as it would without `--rm`.
pub(super) fn start(task: &Task, which: Incarnation) -> Result<(), Failed> {
    let spawn = || {
        let mut command = Command::new(std::env::current_exe()?);
        std::os::unix::process::CommandExt::arg0(&mut command, REMOVER);
        command.args(&task.arguments).args(["run", task.id.id(), "--spec=-", "--rootfs=/"]);
        detach(command.env(WHICH, which.to_string()))?;
        command.spawn()
    };
    spawn().map(drop).map_err(|error| {
        let message = format!("cannot start what removes the container at its end: {error}");
        Failed::task(&format!("run {}", task.id), message)
    })
}

/// Which bundle is to be removed.
pub(super) fn which() -> anyhow::Result<Incarnation> {
    Ok(std::env::var(WHICH)?.parse()?)
}

/// Is the remover.
pub(super) async fn run(dunnage: &Dunnage, id: &BundleId, which: Incarnation) -> anyhow::Result<()> {
    let shim = dunnage.connect_shim(id, ConnectOptions::default()).await?;
    if shim.incarnation() != which {
        return Ok(());
    }
    shim.client().wait(id.id()).await?;
    shim.client().delete().await?;
    shim.remove().await?;
    dunnage.delete_created(id, which, false)?;
    Ok(())
}
