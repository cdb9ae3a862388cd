//! `run`: a container from its bundle to its end.

mod remover;
mod session;

use std::cell::Cell;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use dunnage::shim::{MIN_MAX_SIZE, OutputLog, StartOptions};
use dunnage::{BundleId, Deletion, Dunnage, Incarnation, Spec, TaskSettings};
use dunnage_async::on_thread;
use serde::Serialize;

pub(super) use self::remover::Remove;
use self::remover::Remover;
pub(super) use self::session::Session;
use super::confine::{Profile, confine_beside_starter};
use super::failure::{Failed, report};
use super::foreground::{Interrupted, Signals};
use super::options::Global;
use super::shim::{block_on, spare_descriptors};

/// The exit code of our own failures, apart from those of the container.
const OWN_FAILURE: u8 = 125;
/// Descriptors that are reserved until the container is removed: otherwise a run that fails for
/// lack of descriptors would leave behind what it cannot open.
const SPARE: usize = 16;

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
    /// Delete the bundle when the container has ended
    #[arg(long)]
    rm: bool,
    /// Leave the container running, and print where
    #[arg(short, long)]
    detach: bool,
    /// Delete a bundle of that id first, with a container that is still running
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    launch: Launch,
}

/// How a container is launched.
#[derive(Args)]
pub(super) struct Launch {
    /// Root file system of the container; it is mounted at the bundle's rootfs
    #[arg(long, value_name = "DIR")]
    rootfs: PathBuf,
    /// Which shim runs the container
    #[arg(long, value_enum, default_value_t = ShimChoice::Remote)]
    shim: ShimChoice,
    /// Keep the input of a detached container open, for `attach`
    #[arg(short, long)]
    interactive: bool,
    /// Where the output of a detached container is kept [default: in its work directory]
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// How large the file may become before a new one is begun; two are kept
    #[arg(long, value_name = "SIZE", default_value = "10M", value_parser = log_size)]
    log_max_size: u64,
    #[command(flatten)]
    start: super::shim::Starting,
}

/// Reads a size of a log: bytes, or with `K`, `M` or `G`.
fn log_size(text: &str) -> Result<u64, String> {
    let size = super::parse::size(text)?;
    if size < MIN_MAX_SIZE { Err(format!("a log has at least {MIN_MAX_SIZE} bytes")) } else { Ok(size) }
}

/// Whose shim runs the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ShimChoice {
    /// containerd's shim, in a separate process
    Remote,
    /// Dunnage's own shim: this program, in a separate process
    Local,
}

/// What is to be run.
pub(super) struct Task {
    pub(super) id: BundleId,
    pub(super) rootfs: String,
    pub(super) settings: TaskSettings,
    pub(super) detach: bool,
    /// Whether the input of a detached container stays open.
    pub(super) interactive: bool,
    /// Whether its bundle goes when it has ended.
    pub(super) remove: bool,
    /// Whether a shim was started for it: only then is there something to take back.
    pub(super) has_shim: Cell<bool>,
}

impl Launch {
    /// How its shim is started, and the root file system as the mount must have it.
    pub(super) fn options(self, operation: &str, detach: bool) -> anyhow::Result<(StartOptions, String)> {
        let rootfs = rootfs(&self.rootfs, operation)?;
        let mut options = self.start.options(detach)?;
        if self.shim == ShimChoice::Local {
            // This program takes the place of containerd's shim.
            options.binary = std::env::current_exe()?;
        }
        if detach {
            let file = self.log_file.map(std::path::absolute).transpose()?;
            options.output = Some(OutputLog { file, max_size: self.log_max_size });
        }
        Ok((options, rootfs))
    }

    pub(super) fn interactive(&self) -> bool {
        self.interactive
    }
}

impl Run {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let operation = format!("run {}", global.id(&self.id));
        let code = self.try_run(global).unwrap_or_else(|error| code_of(&during(error, &operation), global));
        if code == 0 { Ok(()) } else { Err(Failed::reported(code).into()) }
    }

    fn try_run(self, global: &Global) -> anyhow::Result<u8> {
        let id = global.id(&self.id);
        let operation = format!("run {id}");
        // What confinement would forbid comes first.
        let input = global.open_spec(&self.spec).map_err(|error| error.with_operation(&operation))?;
        let interactive = self.launch.interactive();
        let (options, rootfs) = self.launch.options(&operation, self.detach)?;
        let remover = (self.rm && self.detach).then(|| Remover::start(global, &id)).transpose()?;
        let broker = confine_beside_starter(global, &Profile::RUNNING, &options)?;
        let spec = input.read().map_err(|error| error.with_operation(&operation))?;
        let dunnage = global.dunnage_beside(broker.as_ref())?;
        let settings = dunnage.task_settings(&spec).map_err(|error| error.with_operation(&operation))?;
        let task = Task {
            id,
            rootfs,
            settings,
            detach: self.detach,
            interactive,
            remove: self.rm,
            has_shim: Cell::new(false),
        };
        if self.replace {
            let deletion = dunnage.delete(&task.id, true).map_err(|error| error.with_operation(&operation))?;
            for warning in deletion.warnings {
                tracing::warn!("{operation}: {warning}");
            }
        }
        block_on(async {
            let mut signals = Signals::new()?;
            let ended = run(&dunnage, &task, &spec, options, &mut signals, remover).await;
            Ok(match (ended.result.map_err(|error| during(error, &operation)), ended.left) {
                (Ok(outcome), Ok(())) if self.detach => {
                    outcome.print(global).map_err(|failed| match outcome.remove(&dunnage, &task.id) {
                        Ok(_) => failed.during(&operation, "the container was removed"),
                        Err(error) => failed.during(&operation, &format!("it runs, and cannot be removed: {error}")),
                    })?;
                    outcome.code
                }
                (Ok(outcome), Ok(())) => outcome.code,
                (Ok(_), Err(left)) => code_of(&left.into(), global),
                (Err(error), left) => {
                    let code = code_of(&error, global);
                    if let Err(left) = left {
                        // Whatever else is reported, what is left behind must be known.
                        report(&left.into(), global.output);
                    }
                    code
                }
            })
        })
    }
}

/// The root file system as the mount must have it.
fn rootfs(path: &Path, operation: &str) -> anyhow::Result<String> {
    let wrong = |why: String| Failed::task(operation, format!("the root file system {path:?} {why}"));
    let rootfs = path.canonicalize().map_err(|error| wrong(format!("cannot be used: {error}")))?;
    if !rootfs.is_dir() {
        return Err(wrong("is not a directory".to_owned()).into());
    }
    Ok(rootfs.into_os_string().into_string().map_err(|_| wrong("has a name that is not UTF-8".to_owned()))?)
}

/// Says what was being done.
pub(super) fn during(error: anyhow::Error, operation: &str) -> anyhow::Error {
    match error.downcast::<dunnage::Error>() {
        Ok(error) => error.with_operation(operation).into(),
        Err(error) if error.is::<Interrupted>() || error.is::<Failed>() => error,
        Err(error) => Failed::running(operation, &error).into(),
    }
}

/// How a run went.
#[derive(Serialize)]
pub(super) struct Outcome {
    namespace: String,
    id: String,
    pid: u32,
    shim_pid: u32,
    address: String,
    #[serde(skip)]
    pub(super) incarnation: Incarnation,
    #[serde(skip)]
    code: u8,
}

impl Outcome {
    pub(super) fn print(&self, global: &Global) -> Result<(), Failed> {
        global.output.print(self, |outcome| outcome.id.clone())
    }

    /// Removes the container that was left running, but not another one that has its id by now.
    fn remove(&self, dunnage: &Dunnage, id: &BundleId) -> dunnage::Result<Deletion> {
        dunnage.delete_created(id, self.incarnation, true)
    }
}

/// How an attempt has ended.
struct Ended {
    result: anyhow::Result<Outcome>,
    /// Fails if something is left that should be gone.
    left: dunnage::Result<()>,
}

/// Runs a container. If it fails or is interrupted, nothing of it is left.
async fn run(
    dunnage: &Dunnage,
    task: &Task,
    spec: &Spec,
    options: StartOptions,
    signals: &mut Signals,
    remover: Option<Remover>,
) -> Ended {
    let mut create = || {
        signals.check()?;
        let spare = spare_descriptors(SPARE).context("cannot reserve file descriptors for cleanup")?;
        let created = dunnage.create(&task.id, spec)?;
        super::reach::warn(created.bundle.path(), created.remapped_gid, "");
        Ok((created, spare))
    };
    let (created, spare) = match create() {
        Ok(created) => created,
        Err(error) => return Ended { result: Err(error), left: Ok(()) },
    };
    let result = match Session::start(dunnage, task, options, signals).await {
        Ok(session) if task.detach => {
            let told = remover.map_or(Ok(()), |remover| remover.tell(created.incarnation));
            told.map(|()| session.outcome(0)).map_err(Into::into)
        }
        Ok(session) => session.finish(signals).await,
        Err(error) => Err(error),
    };
    drop(spare);
    let stays = result.is_ok() && (task.detach || !task.remove);
    let left = if stays { Ok(()) } else { delete(dunnage, &task.id, created.incarnation, result.is_err()).await };
    Ended { result, left }
}

/// Deletes the bundle, unless another bundle has its name by now. With force after a failure: there
/// may be a container, a shim, a mount.
async fn delete(dunnage: &Dunnage, id: &BundleId, which: Incarnation, force: bool) -> dunnage::Result<()> {
    let (manager, target) = (dunnage.clone(), id.clone());
    // On a thread of its own: what is being given up must go on meanwhile to let go of the bundle.
    let deletion = on_thread(move || manager.delete_created(&target, which, force)).await;
    let deletion = deletion.unwrap_or_else(|_| dunnage.delete_created(id, which, force));
    // Nothing else will delete it, so a bundle that is still there is tried again.
    let deletion = deletion.or_else(|error| match dunnage.delete_created(id, which, force) {
        Ok(deletion) if deletion.deleted => Ok(deletion),
        _ => Err(error),
    })?;
    for warning in deletion.warnings {
        tracing::warn!("delete {id}: {warning}");
    }
    Ok(())
}

/// Reports an error, except that of a signal, whose sender knows; returns the exit code.
pub(super) fn code_of(error: &anyhow::Error, global: &Global) -> u8 {
    if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
        return interrupted.exit_code();
    }
    report(error, global.output);
    OWN_FAILURE
}
