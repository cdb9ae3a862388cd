//! The remover: what `run --rm --detach` leaves behind. It waits for the container to end, and
//! removes it with its shim and its bundle.

use std::io::{Read as _, Write as _};
use std::process::{ChildStdin, Command, Stdio};

use dunnage::shim::{ConnectOptions, detach};
use dunnage::{BundleId, Dunnage, Incarnation};

use super::{Failed, Global};

/// The name that this program is called by when it is a remover.
pub(in crate::cli) const REMOVER: &str = "dunnage-remover";

/// A remover that has yet to be told what it is for. Started early: a process that has confined
/// itself starts no other. If nobody tells it anything it ends.
pub(super) struct Remover {
    operation: String,
    stdin: Option<ChildStdin>,
}

impl Remover {
    /// Starts it. If somebody ends it, the container stays as it would without `--rm`.
    pub(super) fn start(global: &Global, id: &BundleId) -> Result<Self, Failed> {
        let operation = format!("run {id}");
        let spawn = || {
            let mut command = Command::new(std::env::current_exe()?);
            std::os::unix::process::CommandExt::arg0(&mut command, REMOVER);
            command.args(global.arguments()?).args(["run", id.id(), "--spec=-", "--rootfs=/"]);
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
    Failed::task(operation, format!("cannot start what removes the container at its end: {error}"))
}

/// Which bundle is to be removed; `None` if there is none to remove.
pub(super) fn which() -> anyhow::Result<Option<Incarnation>> {
    let mut told = String::new();
    std::io::stdin().read_to_string(&mut told)?;
    Ok(if told.is_empty() { None } else { Some(told.trim_end().parse()?) })
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
