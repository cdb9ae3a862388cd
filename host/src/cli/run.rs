//! `run`: a container from its bundle to its end.

mod remover;
mod session;
mod signals;
mod streams;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use dunnage::shim::StartOptions;
use dunnage::{BundleId, Dunnage, Spec, TaskSettings};
use serde::Serialize;

pub(super) use self::remover::REMOVER;
use self::session::Session;
use self::signals::{Interrupted, Signals};
use super::failure::{Failed, report};
use super::global::{Global, read_spec};
use super::shim::block_on;

/// The exit code of our own failures, which no container's is taken for.
const OWN_FAILURE: u8 = 125;

/// Run a container
#[derive(Args)]
#[command(
    after_help = "The exit code is the container's, 128+n if signal n ended it, 125 if it could not be run.\n\nExample:\n  dunnage run web-1 --spec config.json --rootfs /srv/web --rm"
)]
pub(super) struct Run {
    /// Id of the container
    id: String,
    /// OCI runtime spec (config.json), `-` for standard input
    #[arg(long, value_name = "FILE")]
    spec: PathBuf,
    /// Root file system of the container; it is mounted at the bundle's rootfs
    #[arg(long, value_name = "DIR")]
    rootfs: PathBuf,
    /// Whose shim runs the container
    #[arg(long, value_enum, default_value_t = Kind::Remote)]
    shim: Kind,
    /// Delete the bundle when the container has ended
    #[arg(long)]
    rm: bool,
    /// Leave the container running, and print where
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    start: super::shim::Starting,
}

/// Where the shim runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// containerd's shim, in a process of its own
    Remote,
    /// Our own, in this process (with --detach in one of its own)
    Local,
}

/// What is to be run.
struct Task {
    id: BundleId,
    rootfs: String,
    settings: TaskSettings,
    shim: Kind,
    detach: bool,
}

impl Run {
    /// Waits for a container that was left running, and removes it.
    pub(super) fn remove(self, global: &Global) -> anyhow::Result<()> {
        let (dunnage, id) = (global.dunnage(1)?, global.id(&self.id));
        block_on(remover::run(&dunnage, &id))
    }

    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let code = match self.try_run(global) {
            Ok(code) => code,
            Err(error) => match error.downcast_ref::<Interrupted>() {
                Some(interrupted) => interrupted.exit_code(),
                None => {
                    report(&error, global.output);
                    OWN_FAILURE
                }
            },
        };
        if code == 0 { Ok(()) } else { Err(Failed::reported(code).into()) }
    }

    fn try_run(self, global: &Global) -> anyhow::Result<u8> {
        let id = global.id(&self.id);
        let operation = format!("run {id}");
        let spec = read_spec(&self.spec).map_err(|error| error.with_operation(&operation))?;
        let rootfs = self.rootfs(&operation)?;
        let dunnage = global.dunnage(1)?;
        let settings = dunnage.task_settings(&spec).map_err(|error| error.with_operation(&operation))?;
        let task = Task { id, rootfs, settings, shim: self.shim, detach: self.detach };
        let mut options = self.start.options(self.detach)?;
        if self.shim == Kind::Local {
            // This program takes the place of containerd's shim.
            options.binary = std::env::current_exe()?;
        }
        block_on(async {
            let mut signals = Signals::new()?;
            let result = run(&dunnage, &task, &spec, options, &mut signals, self.rm).await;
            let result = result.map_err(|error| during(error, &operation))?;
            if self.detach {
                result.print(global)?;
            }
            Ok(result.code)
        })
    }

    /// The root file system as the mount has to have it.
    fn rootfs(&self, operation: &str) -> anyhow::Result<String> {
        let wrong = |why: String| Failed::task(operation, format!("the root file system {:?} {why}", self.rootfs));
        let rootfs = self.rootfs.canonicalize().map_err(|error| wrong(format!("cannot be used: {error}")))?;
        if !rootfs.is_dir() {
            return Err(wrong("is no directory".to_owned()).into());
        }
        Ok(rootfs.into_os_string().into_string().map_err(|_| wrong("has a name that is not UTF-8".to_owned()))?)
    }
}

/// Says what was being done.
fn during(error: anyhow::Error, operation: &str) -> anyhow::Error {
    match error.downcast::<dunnage::Error>() {
        Ok(error) => error.with_operation(operation).into(),
        Err(error) => error,
    }
}

/// How a run went.
#[derive(Serialize)]
struct Outcome {
    namespace: String,
    id: String,
    pid: u32,
    shim_pid: u32,
    address: String,
    #[serde(skip)]
    code: u8,
}

impl Outcome {
    fn print(&self, global: &Global) -> Result<(), Failed> {
        global.output.print(self, |outcome| outcome.id.clone())
    }
}

/// Runs a container. Whatever fails or interrupts it, nothing of it is left.
async fn run(
    dunnage: &Dunnage,
    task: &Task,
    spec: &Spec,
    options: StartOptions,
    signals: &mut Signals,
    remove: bool,
) -> anyhow::Result<Outcome> {
    signals.check()?;
    dunnage.create(&task.id, spec)?;
    let finished = match Session::start(dunnage, task, options, signals).await {
        Ok(session) if task.detach => match if remove { remover::start() } else { Ok(()) } {
            Ok(()) => return Ok(session.outcome(0)),
            Err(error) => Err(anyhow::Error::new(error).context("cannot start what removes the container at its end")),
        },
        Ok(session) => session.finish(signals).await,
        Err(error) => Err(error),
    };
    match finished {
        Ok(outcome) if !remove => Ok(outcome),
        finished => {
            // With force: after a failure there may be a container, a shim, a mount.
            let deleted = dunnage.delete(&task.id, finished.is_err());
            let outcome = finished.map_err(|error| match &deleted {
                Ok(_) => error,
                Err(left) => error.context(format!("and its bundle cannot be deleted: {left}")),
            })?;
            for warning in deleted?.warnings {
                tracing::warn!("delete {}: {warning}", task.id);
            }
            Ok(outcome)
        }
    }
}
