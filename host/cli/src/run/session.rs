//! One container with its shim: made, started, fed, waited for, removed.

use std::time::Duration;

use dunnage::shim::protocol::runc::CreateOptions;
use dunnage::shim::protocol::shim::CreateTaskRequest;
use dunnage::shim::protocol::types::Mount;
use dunnage::shim::{Shim, ShimClient, StartOptions, TaskStreams};
use dunnage::{Bundle, Dunnage, ErrorKind};
use dunnage_sys::is_kept_from;
use protobuf::Message as _;
use protobuf::well_known_types::any::Any;

use super::signals::{Init, Interrupted, Received, Signals, asks_for_the_end, ends};
use super::streams::Streams;
use super::{Outcome, Task};
use crate::failure::Failed;

/// The type of the options of `Create`, without the usual prefix: containerd leaves it out.
const OPTIONS: &str = "containerd.linux.runc.CreateOptions";
/// Discards output.
const NOWHERE: &str = "/dev/null";
/// The signal that cannot be ignored.
const SIGKILL: u32 = 9;
/// How long a shim may take to pass a signal on. One that takes longer is taken for stuck.
const SIGNAL_TIMEOUT: Duration = Duration::from_secs(4);
/// How long the rest of the output of a container may take that was asked to end.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(3);

/// A running container.
pub(super) struct Session<'a> {
    task: &'a Task,
    shim: Shim,
    streams: Option<Streams>,
    init: Init,
    /// The signal that the container was killed for in its place.
    ended_by: Option<u32>,
    /// Whether the container was asked to end.
    asked: bool,
}

impl<'a> Session<'a> {
    /// Starts the shim and the container. At any step a signal ends the attempt.
    pub(super) async fn start(
        dunnage: &Dunnage,
        task: &'a Task,
        options: StartOptions,
        signals: &mut Signals,
    ) -> anyhow::Result<Self> {
        signals.check()?;
        let terminal = task.settings.terminal;
        let ends = if task.detach { None } else { Some(dunnage.task_streams(&task.id, terminal)?) };
        let shim = signals.interrupt(dunnage.start_shim(&task.id, options)).await??;
        let bundle = dunnage.load(&task.id)?;
        let request = request(task, &bundle, ends.as_ref())?;
        let init = Init::created(signals.interrupt(shim.client().create(&request)).await??);
        // Checks what runc made of the spec, and not the spec itself; nothing of it runs yet.
        let rooted = signals.interrupt(shim.is_rooted_in_bundle(init.pid())).await?;
        if !rooted.inspect_err(|error| tracing::debug!(%error, "cannot examine its root")).unwrap_or(true) {
            let message = "the spec names its own root file system, so --rootfs would not be used; its root.path must \
                be \"rootfs\"";
            return Err(Failed::task(&format!("run {}", task.id), message).into());
        }
        let streams = ends.map(|ends| Streams::start(ends, terminal)).transpose()?;
        if let Some(size) = streams.as_ref().and_then(Streams::size) {
            signals.interrupt(resize(shim.client(), task.id.id(), size)).await?;
        }
        let start = shim.client().start(task.id.id());
        if task.detach {
            signals.interrupt(start).await??
        } else {
            signals.keep(start).await??
        };
        Ok(Self { task, shim, streams, init, ended_by: None, asked: false })
    }

    pub(super) fn outcome(&self, code: u8) -> Outcome {
        Outcome {
            namespace: self.task.id.namespace().to_owned(),
            id: self.task.id.id().to_owned(),
            pid: self.init.pid(),
            shim_pid: self.shim.pid(),
            address: self.shim.address().to_owned(),
            incarnation: self.shim.incarnation(),
            code,
        }
    }

    /// Waits for the container to end, passing on what it is sent meanwhile, and removes it and its
    /// shim.
    pub(super) async fn finish(mut self, signals: &mut Signals) -> anyhow::Result<Outcome> {
        let client = self.shim.client().clone();
        let task = self.task;
        let id = task.id.id();
        let status = {
            let wait = client.wait(id);
            tokio::pin!(wait);
            loop {
                tokio::select! {
                    ended = &mut wait => break ended?.exit_status,
                    received = signals.next() => self.pass_on(received, &client).await?,
                    event = next_event(&mut self.streams) => match event {
                        super::streams::Event::StdinEnded => {
                            // The container may have ended meanwhile.
                            let _ = client.close_stdin(id).await;
                        }
                        super::streams::Event::OutputBroken => {
                            self.pass_on(Received::Signal(super::signals::PIPE), &client).await?;
                        }
                    },
                }
            }
        };
        signals.bound(client.delete()).await??;
        self.finish_streams(signals).await;
        let status = self.ended_by.map_or(status, |signal| 128 + signal);
        let outcome = self.outcome(u8::try_from(status & 0xff).unwrap_or(u8::MAX));
        drop(client);
        self.shim.remove().await?;
        Ok(outcome)
    }

    /// Copies what is left of the container's output: all of it is in the FIFOs by now. The reader
    /// of our output may have stopped; then a signal ends the wait.
    async fn finish_streams(&mut self, signals: &mut Signals) {
        let Some(streams) = self.streams.take() else { return };
        let finished = streams.finish();
        if self.asked {
            let _ = tokio::time::timeout(OUTPUT_TIMEOUT, finished).await;
        } else if let Err(Interrupted(signal)) = signals.bound(finished).await {
            self.ended_by.get_or_insert(signal);
        }
    }

    /// Passes a signal on to the container's init. Fails if it was to end the container and the
    /// shim does not answer.
    ///
    /// The kernel keeps signals from the init of a pid namespace that it has no handler for; what
    /// they would do to any other process, end it, is done in its place.
    async fn pass_on(&mut self, received: Received, client: &ShimClient) -> Result<(), Interrupted> {
        let client = &client.with_timeout(SIGNAL_TIMEOUT);
        let Received::Signal(signal) = received else {
            if let Some(size) = self.streams.as_ref().and_then(Streams::size) {
                resize(client, self.task.id.id(), size).await;
            }
            return Ok(());
        };
        let asked = asks_for_the_end(signal);
        self.asked |= asked;
        self.init.has_become_the_program().await;
        if let Err(error) = client.kill(self.task.id.id(), signal, false).await {
            tracing::debug!(%error, "cannot pass on signal {signal}");
            return if asked && error.kind() == ErrorKind::Timeout { Err(Interrupted(signal)) } else { Ok(()) };
        }
        if ends(signal) && is_kept_from(self.init.pid(), signal) {
            tracing::debug!("signal {signal} does not reach the container's init; killing it instead");
            self.ended_by.get_or_insert(signal);
            self.asked = true;
            let _ = client.kill(self.task.id.id(), SIGKILL, false).await;
        }
        Ok(())
    }
}

async fn next_event(streams: &mut Option<Streams>) -> super::streams::Event {
    match streams {
        Some(streams) => streams.next().await,
        None => std::future::pending().await,
    }
}

async fn resize(client: &ShimClient, id: &str, (width, height): (u32, u32)) {
    if let Err(error) = client.resize_pty(id, width, height).await {
        tracing::debug!(%error, "cannot set the size of the terminal");
    }
}

/// What the shim is asked to make the container from.
fn request(task: &Task, bundle: &Bundle, ends: Option<&TaskStreams>) -> anyhow::Result<CreateTaskRequest> {
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
    match ends {
        Some(ends) => [request.stdin, request.stdout, request.stderr] = ends.paths(),
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
