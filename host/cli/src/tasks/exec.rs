//! `exec`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use dunnage::events::Event;
use dunnage::guards::Operation;
use dunnage::shim::protocol::shim::ExecProcessRequest;
use dunnage::shim::{ExecOptions, ExecUser, Shim, ShimClient, TaskStreams};
use dunnage::{BundleId, Dunnage, ErrorKind, Spec, Step};
use serde::Serialize;

use super::control::{is_paused, read_object};
use super::{Container, Global, during, running_shim, set_up};
use crate::confine::{Profile, confine_beside_broker};
use crate::failure::{Failed, report};
use crate::foreground::{Attached, Copied, Interrupted, Over, Signals, Streams, resize, terminal_size};
use crate::shim::block_on;

/// The exit code of our own failures, apart from those of the process.
const OWN_FAILURE: u8 = 125;
/// How often to try to end a process that is not wanted any more.
const GIVE_UP_ROUNDS: u32 = 100;
const GIVE_UP_INTERVAL: Duration = Duration::from_millis(50);
/// The signal that cannot be ignored.
const SIGKILL: u32 = 9;
/// Discards output.
const NOWHERE: &str = "/dev/null";

/// Run another process in a container
#[derive(Args)]
#[command(
    after_help = "The process has the environment, working directory, user and rights of the container's own, unless said\n\
    otherwise. The exit code is the process's, 128+n if signal n ended it, 125 if it could not be run; 3, 5 and 6 also\n\
    mean a bad id, no such bundle, and a container that does not run.\n\n\
    Example:\n  dunnage exec web-1 -- cat /etc/hostname\n  dunnage exec -it web-1 -- sh"
)]
pub(crate) struct Exec {
    #[command(flatten)]
    container: Container,
    /// Give it a terminal
    #[arg(short, long)]
    tty: bool,
    /// Give it our standard input
    #[arg(short, long, conflicts_with = "detach")]
    interactive: bool,
    /// Run it as another user, by ids of the container
    #[arg(short, long, value_name = "UID[:GID]", value_parser = user)]
    user: Option<ExecUser>,
    /// Run it in another directory of the container
    #[arg(short = 'w', long, value_name = "DIR")]
    cwd: Option<String>,
    /// Add to its environment; may be given several times
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<String>,
    /// Leave it running, and print its ids
    #[arg(short, long)]
    detach: bool,
    /// The id by which other commands know it [default: a random one]
    #[arg(long, value_name = "ID")]
    exec_id: Option<String>,
    /// Take the whole process from a file (`process` of the OCI spec), `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["command", "user", "cwd", "env"])]
    process: Option<PathBuf>,
    /// The program and its arguments
    #[arg(last = true, value_name = "COMMAND", required_unless_present = "process")]
    command: Vec<String>,
}

fn user(text: &str) -> Result<ExecUser, String> {
    let id = |text: &str| text.parse::<u32>().ok().filter(|id| *id != u32::MAX);
    let (uid, gid) = text.split_once(':').unwrap_or((text, "0"));
    match (id(uid), id(gid)) {
        (Some(uid), Some(gid)) => Ok(ExecUser { uid, gid }),
        _ => Err(format!("{text:?} is not UID or UID:GID; names are known in the container only")),
    }
}

fn variable(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err(format!("{text:?} is not NAME=VALUE")),
    }
}

#[derive(Serialize)]
struct Started {
    namespace: String,
    id: String,
    exec_id: String,
    pid: u32,
}

/// A process that is to be run.
struct Process {
    container: BundleId,
    id: String,
    /// As JSON of the OCI spec; `None` to take the container's own.
    spec: Option<Vec<u8>>,
    options: ExecOptions,
    interactive: bool,
    detach: bool,
}

impl Exec {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<()> {
        let operation = format!("exec in {}", global.id(&self.container.id));
        let ended = self.start(global, &operation).map_err(|error| during(error, &operation));
        match ended {
            Ok(0) => Ok(()),
            Ok(code) => Err(Failed::reported(code).into()),
            Err(error) => {
                let code = match error.downcast_ref::<Interrupted>() {
                    Some(interrupted) => interrupted.exit_code(),
                    None => own_code(&error, global),
                };
                Err(Failed::reported(code).into())
            }
        }
    }

    fn start(self, global: &Global, operation: &str) -> anyhow::Result<u8> {
        let spec = match &self.process {
            Some(file) => Some(read_object(file, operation, Step::ReadSpec)?),
            None => None,
        };
        let mut options = ExecOptions::default();
        options.args = self.command;
        options.env = self.env;
        options.cwd = self.cwd;
        options.user = self.user;
        options.terminal = self.tty;
        options.terminal_size = terminal_size();
        let exec_id = match self.exec_id {
            Some(id) => id,
            None => random_id()?,
        };
        let broker = confine_beside_broker(global, &Profile::CONTROLLING)?;
        let (dunnage, id) = set_up(global, broker.as_ref(), &self.container.id)?;
        // It becomes the name of a file: the rule for ids is its rule.
        dunnage.locate(&global.id(&exec_id)).map_err(|error| error.with_operation(operation))?;
        let process = Process {
            container: id.clone(),
            id: exec_id,
            spec,
            options,
            interactive: self.interactive,
            detach: self.detach,
        };
        block_on(async {
            let mut signals = Signals::new()?;
            let shim = running_shim(&dunnage, &id, "exec in").await?;
            if is_paused(&shim, id.id()).await? {
                return Err(Failed::not_running(operation, "its container is paused; resume it first").into());
            }
            if shim.client().state(&process.id).await.is_ok() {
                let message = format!("there is a process {:?} already", process.id);
                return Err(Failed::of(operation, ErrorKind::Exists, Step::CallShim, message).into());
            }
            process.run(global, &dunnage, &shim, &mut signals).await
        })
    }
}

fn random_id() -> anyhow::Result<String> {
    let random = dunnage_sys::random().context("cannot choose an id")?;
    Ok(format!("exec-{:016x}", u64::from_ne_bytes(random)))
}

/// Errors that have an exit code of their own keep it: no process has run.
fn own_code(error: &anyhow::Error, global: &Global) -> u8 {
    report(error, global.output);
    match crate::failure::exit_code(error) {
        1 => OWN_FAILURE,
        code => code,
    }
}

impl Process {
    async fn run(&self, global: &Global, dunnage: &Dunnage, shim: &Shim, signals: &mut Signals) -> anyhow::Result<u8> {
        let spec = match &self.spec {
            Some(spec) => spec.clone(),
            None => dunnage.exec_process(&self.container, &self.options)?,
        };
        let subject = Spec::new(spec.as_slice());
        dunnage.admit_beside_spec(Operation::Exec, &self.container, subject, Some(&self.id))?;
        let terminal = self.options.terminal;
        let ends = if self.detach { None } else { Some(dunnage.exec_streams(&self.container, &self.id, terminal)?) };
        let names = ends.as_ref().map(TaskStreams::names);
        let client = shim.client();
        client.exec(self.request(ends.as_ref()), &spec).await?;
        shim.tell_event(Event::of_task("/tasks/exec-added", &self.container).with_process(&self.id, None)).await;
        let started = match signals.interrupt(client.start(&self.id)).await {
            Ok(Ok(pid)) => Ok(pid),
            Ok(Err(error)) => Err(error.into()),
            Err(interrupted) => Err(anyhow::Error::from(interrupted)),
        };
        drop(names);
        let pid = match started {
            Ok(pid) => pid,
            Err(error) => {
                self.give_up(client).await;
                return Err(error);
            }
        };
        shim.tell_event(Event::of_task("/tasks/exec-started", &self.container).with_process(&self.id, Some(pid))).await;
        let Some(ends) = ends else {
            let started = Started {
                namespace: self.container.namespace().to_owned(),
                id: self.container.id().to_owned(),
                exec_id: self.id.clone(),
                pid,
            };
            global.output.print(&started, |started| started.exec_id.clone())?;
            return Ok(0);
        };
        let streams = Streams::start(ends, Copied { terminal, input: self.interactive })?;
        if let Some(size) = streams.size() {
            resize(client, &self.id, size).await;
        }
        let mut attached = Attached::new(client, &self.id, Some(streams), None);
        let Over::Ended(status) = attached.wait(signals).await? else { return Ok(0) };
        // Its output is complete once this has answered. With the container it has gone already.
        if let Ok(Err(error)) = signals.bound(client.delete_process(&self.id)).await {
            tracing::debug!(%error, "cannot forget the process");
        }
        attached.finish_streams(signals).await;
        Ok(attached.exit_code(status))
    }

    /// Ends a process whose start was interrupted, or that could not be started: the shim may still be at it.
    async fn give_up(&self, client: &ShimClient) {
        for _ in 0..GIVE_UP_ROUNDS {
            // It has ended, or was never there.
            if client.delete_process(&self.id).await.is_ok() {
                return;
            }
            let _ = client.kill(&self.id, SIGKILL, false).await;
            tokio::time::sleep(GIVE_UP_INTERVAL).await;
        }
        tracing::warn!("process {} may be left in {}", self.id, self.container);
    }

    fn request(&self, ends: Option<&TaskStreams>) -> ExecProcessRequest {
        let mut request = ExecProcessRequest {
            id: self.id.clone(),
            terminal: self.options.terminal,
            ..ExecProcessRequest::default()
        };
        match ends {
            Some(ends) => {
                [request.stdin, request.stdout, request.stderr] = ends.paths();
                if !self.interactive && !self.options.terminal {
                    request.stdin.clear();
                }
            }
            // containerd's shim must copy what a terminal shows to somewhere.
            None if request.terminal => NOWHERE.clone_into(&mut request.stdout),
            None => {}
        }
        request
    }
}
