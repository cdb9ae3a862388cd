//! One container with its shim: made, started, fed, waited for, removed.

use dunnage::shim::protocol::runc::CreateOptions;
use dunnage::shim::protocol::shim::CreateTaskRequest;
use dunnage::shim::protocol::types::Mount;
use dunnage::shim::{Attendance, Shim, StartOptions, TaskStreams};
use dunnage::{Bundle, Dunnage};
use protobuf::Message as _;
use protobuf::well_known_types::any::Any;

use super::{Outcome, Task};
use crate::failure::Failed;
use crate::foreground::{Attached, Copied, Init, Over, Signals, Streams, resize};

/// The type of the options of `Create`, without the usual prefix: containerd leaves it out.
const OPTIONS: &str = "containerd.linux.runc.CreateOptions";
/// Discards output.
const NOWHERE: &str = "/dev/null";
/// A running container.
pub(crate) struct Session<'a> {
    task: &'a Task,
    shim: Shim,
    init: u32,
    attached: Attached<'a>,
    _attendance: Option<Attendance>,
}

impl<'a> Session<'a> {
    /// Starts the shim and the container. At any step a signal ends the attempt.
    pub(crate) async fn start(
        dunnage: &Dunnage,
        task: &'a Task,
        options: StartOptions,
        signals: &mut Signals,
    ) -> anyhow::Result<Self> {
        signals.check()?;
        let terminal = task.settings.terminal;
        let mut ends = if task.detach { None } else { Some(dunnage.task_streams(&task.id, terminal)?) };
        let attendance = ends.as_mut().map(TaskStreams::attend);
        let is_kept = options.output.is_some();
        let shim = signals.interrupt(dunnage.start_shim(&task.id, options)).await??;
        task.has_shim.set(true);
        let bundle = dunnage.load(&task.id)?;
        let paths = match &ends {
            Some(ends) => Some(ends.paths()),
            None if is_kept => Some(dunnage.kept_streams(&task.id, terminal, terminal || task.interactive)?),
            None => None,
        };
        let request = request(task, &bundle, paths)?;
        let init = Init::created(signals.interrupt(shim.create_task(&request)).await??);
        // Checks what runc made of the spec, and not the spec itself; nothing of it runs yet.
        let rooted = signals.interrupt(shim.is_rooted_in_bundle(init.pid())).await?;
        if !rooted.inspect_err(|error| tracing::debug!(%error, "cannot examine its root")).unwrap_or(true) {
            let message = "the spec names its own root file system, so --rootfs would not be used; its root.path must \
                be \"rootfs\"";
            return Err(Failed::task(&format!("run {}", task.id), message).into());
        }
        let streams = ends.map(|ends| Streams::start(ends, Copied { terminal, input: true })).transpose()?;
        if let Some(size) = streams.as_ref().and_then(Streams::size) {
            signals.interrupt(resize(shim.client(), task.id.id(), size)).await?;
        }
        let start = shim.start_task();
        if task.detach {
            signals.interrupt(start).await??
        } else {
            signals.keep(start).await??
        };
        let pid = init.pid();
        let attached = Attached::new(shim.client(), task.id.id(), streams, Some(init));
        Ok(Self { task, shim, init: pid, attached, _attendance: attendance })
    }

    pub(crate) fn outcome(&self, code: u8) -> Outcome {
        Outcome {
            namespace: self.task.id.namespace().to_owned(),
            id: self.task.id.id().to_owned(),
            pid: self.init,
            shim_pid: self.shim.pid(),
            address: self.shim.address().to_owned(),
            incarnation: self.shim.incarnation(),
            code,
        }
    }

    /// Waits for the container to end, passing on what it is sent meanwhile, and removes it and its
    /// shim.
    pub(crate) async fn finish(mut self, signals: &mut Signals) -> anyhow::Result<Outcome> {
        let status = match self.attached.wait(signals).await? {
            Over::Ended(status) => status,
            Over::Detached => return Ok(self.outcome(0)),
        };
        signals.bound(self.shim.delete_task()).await??;
        self.attached.finish_streams(signals).await;
        let outcome = self.outcome(self.attached.exit_code(status));
        drop(self.attached);
        self.shim.remove().await?;
        Ok(outcome)
    }
}

/// What the shim is asked to make the container from.
fn request(task: &Task, bundle: &Bundle, paths: Option<[String; 3]>) -> anyhow::Result<CreateTaskRequest> {
    let mut request = CreateTaskRequest {
        id: task.id.id().to_owned(),
        bundle: bundle.path().to_string_lossy().into_owned(),
        terminal: task.settings.terminal,
        ..CreateTaskRequest::default()
    };
    request.rootfs.push(Mount {
        type_: "bind".to_owned(),
        source: task.rootfs.clone(),
        options: vec!["rbind".to_owned(), "rw".to_owned()],
        ..Mount::default()
    });
    match paths {
        Some(paths) => [request.stdin, request.stdout, request.stderr] = paths,
        // containerd's shim must copy what a terminal shows to somewhere.
        None if request.terminal => NOWHERE.clone_into(&mut request.stdout),
        None => {}
    }
    request.options = Some(options_of(task)?).into();
    Ok(request)
}

/// The container's standard streams must belong to its user, or `/dev/stdout` is closed to it.
fn options_of(task: &Task) -> anyhow::Result<Any> {
    let options =
        CreateOptions { io_uid: task.settings.io_uid, io_gid: task.settings.io_gid, ..CreateOptions::default() };
    Ok(Any { type_url: OPTIONS.to_owned(), value: options.write_to_bytes()?, ..Any::default() })
}
