//! The remover: what `run --rm --detach` leaves behind. It waits for the container to end, and
//! removes it with its shim and its bundle.

use std::io::{Read as _, Write as _};
use std::process::{ChildStdin, Command, Stdio};

use clap::Args;
use dunnage::shim::{ConnectOptions, detach};
use dunnage::{BundleId, Dunnage, Incarnation};

use super::{Failed, Global};
use crate::confine::{Profile, confine_beside_broker};
use crate::shim::block_on;

/// The name that its process has, for people who look for it.
const NAME: &str = "dunnage-remover";

/// Wait for a container that was left running, and remove it; standard input says which one
#[derive(Args)]
pub(crate) struct Remove {
    /// Id of the container
    id: String,
}

impl Remove {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<()> {
        let broker = confine_beside_broker(global, &Profile::REMOVING)?;
        let Some(which) = which()? else { return Ok(()) };
        let dunnage = global.dunnage_beside(broker.as_ref())?;
        block_on(run(&dunnage, &global.id(&self.id), which))
    }
}

/// A remover that does not know its bundle yet. Started early: a process that has confined itself
/// starts no other. If it is told nothing, it ends.
pub(super) struct Remover {
    operation: String,
    stdin: Option<ChildStdin>,
}

impl Remover {
    /// Starts it. If it is killed, the container stays as it would without `--rm`.
    pub(super) fn start(global: &Global, id: &BundleId) -> Result<Self, Failed> {
        let operation = format!("run {id}");
        let spawn = || {
            let mut command = Command::new(std::env::current_exe()?);
            std::os::unix::process::CommandExt::arg0(&mut command, NAME);
            command.args(global.arguments()?).args(["remover", "--", id.id()]);
            detach(&mut command)?;
            command.stdin(Stdio::piped()).spawn()
        };
        match spawn() {
            Ok(child) => Ok(Self { operation, stdin: child.stdin }),
            Err(error) => Err(failed(&operation, &error)),
        }
    }

    /// Tells it which bundle of that id is to be removed, once its container has ended.
    pub(super) fn tell(mut self, which: Incarnation) -> Result<(), Failed> {
        let told = self.stdin.as_mut().map_or(Ok(()), |stdin| writeln!(stdin, "{which}"));
        told.map_err(|error| failed(&self.operation, &error))
    }
}

fn failed(operation: &str, error: &std::io::Error) -> Failed {
    Failed::task(operation, format!("cannot start the process that removes the container when it exits: {error}"))
}

/// Which bundle is to be removed; `None` if there is none to remove.
fn which() -> anyhow::Result<Option<Incarnation>> {
    let mut told = String::new();
    std::io::stdin().read_to_string(&mut told)?;
    Ok(if told.is_empty() { None } else { Some(told.trim_end().parse()?) })
}

/// Acts as the remover.
async fn run(dunnage: &Dunnage, id: &BundleId, which: Incarnation) -> anyhow::Result<()> {
    let shim = dunnage.connect_shim(id, ConnectOptions::default()).await?;
    if shim.incarnation() != which {
        return Ok(());
    }
    shim.client().wait(id.id()).await?;
    shim.delete_task().await?;
    shim.remove().await?;
    dunnage.delete_created(id, which, false)?;
    Ok(())
}
