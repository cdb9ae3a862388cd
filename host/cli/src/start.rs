//! `start`: a container for a bundle that is there.

use std::cell::Cell;

use clap::Args;

use super::Global;
use super::confine::{Profile, confine_beside_starter};
use super::failure::{Failed, report};
use super::foreground::Signals;
use super::run::{Launch, Session, Task, code_of, during};
use super::shim::block_on;

/// Start the container of a bundle that `create` has made, or whose container has ended
#[derive(Args)]
#[command(after_help = "It is left running; `attach` shows its output, and `wait` its exit code.\n\n\
    Example:\n  dunnage create web-1 --spec config.json\n  dunnage start web-1 --rootfs /srv/web")]
pub(super) struct Start {
    /// Id of the container
    id: String,
    #[command(flatten)]
    launch: Launch,
}

impl Start {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let operation = format!("start {}", global.id(&self.id));
        match self.try_start(global, &operation).map_err(|error| during(error, &operation)) {
            Ok(()) => Ok(()),
            Err(error) if error.is::<Failed>() || error.is::<dunnage::Error>() => Err(error),
            Err(error) => Err(Failed::reported(code_of(&error, global)).into()),
        }
    }

    fn try_start(self, global: &Global, operation: &str) -> anyhow::Result<()> {
        let id = global.id(&self.id);
        let interactive = self.launch.interactive();
        // What confinement would forbid comes first.
        let (options, rootfs) = self.launch.options(operation, true)?;
        let broker = confine_beside_starter(global, &Profile::RUNNING, &options)?;
        let dunnage = global.dunnage_beside(broker.as_ref())?;
        let spec = dunnage.spec_of(&id).map_err(|error| error.with_operation(operation))?;
        // The guards may be others than when the bundle was made.
        dunnage.admit_create(&id, &spec)?;
        let settings = dunnage.task_settings(&spec).map_err(|error| error.with_operation(operation))?;
        let which = dunnage.incarnation(&id).map_err(|error| error.with_operation(operation))?;
        let task = Task { id, rootfs, settings, detach: true, interactive, remove: false, has_shim: Cell::new(false) };
        block_on(async {
            let mut signals = Signals::new()?;
            // A container that has ended may still be known to its shim.
            super::tasks::forget_ended(&dunnage, &task.id).await?;
            // Refused, the shim that is there stays.
            if let Ok(shim) = dunnage.connect_shim(&task.id, dunnage::shim::ConnectOptions::default()).await {
                let message = format!("it has a shim already (pid {}); its container was started before", shim.pid());
                return Err(
                    Failed::of(operation, dunnage::ErrorKind::ShimAlive, dunnage::Step::StartShim, message).into()
                );
            }
            let failed = match Session::start(&dunnage, &task, options, &mut signals).await {
                Ok(session) => match session.outcome(0).print(global) {
                    Ok(()) => return Ok(()),
                    Err(failed) => failed.into(),
                },
                Err(error) => error,
            };
            // The bundle was there before, and stays; and so does a container that was refused to be started again.
            if task.has_shim.get()
                && let Err(left) = dunnage.end_container(&task.id, which)
            {
                report(&left.into(), global.output);
            }
            Err(failed)
        })
    }
}
