//! A container: its init and its execs, and what happens when they end.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dunnage_shim_proto::events::TaskExit;
use dunnage_sys::reap_orphans;
use dunnage_sys::streams::Owner;
use protobuf::Message;
use protobuf::well_known_types::any::Any;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::answer::{RpcResult, blocking, failed, lock, message_of, not_found, not_now};
use super::children::Children;
use super::exit::{self, Exit};
use super::process::{Phase, Process};
use super::rootfs;
use super::runc::Runc;
use super::{Publisher, Shared};

/// How long something that was killed may take to end.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait for events to be published before what they are about is forgotten.
pub(super) const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);

/// A container that exists.
pub(super) struct Container {
    pub(super) id: String,
    pub(super) namespace: String,
    pub(super) bundle: PathBuf,
    pub(super) runc: Runc,
    pub(super) init: Arc<Process>,
    pub(super) execs: Mutex<HashMap<String, Arc<Exec>>>,
    pub(super) owner: Owner,
    /// Whether the rootfs is a mount of ours.
    pub(super) mounted: bool,
    /// Whether everything ends with init, because the kernel ends it.
    pub(super) own_pids: bool,
    /// The processes of the container when its init ended.
    pub(super) held: Mutex<Vec<u32>>,
    pub(super) publisher: Arc<dyn Publisher>,
    pub(super) children: Arc<Children>,
}

/// A further process of a container.
pub(super) struct Exec {
    pub(super) process: Arc<Process>,
    /// What to run, as the runtime reads it.
    pub(super) spec: Vec<u8>,
}

impl Shared {
    /// The container, if there is one.
    pub(super) fn container(&self) -> Option<Arc<Container>> {
        lock(&self.container).clone()
    }

    /// The container, or a refusal if there is none.
    pub(super) fn required(&self) -> RpcResult<Arc<Container>> {
        self.container().ok_or_else(|| not_now("container must be created"))
    }

    /// A process by its id; an empty one is init's.
    pub(super) fn process(&self, id: &str) -> RpcResult<Arc<Process>> {
        let container = self.container().ok_or_else(|| not_found(format_args!("process {id:?} not found")))?;
        if container.is_init(id) {
            Ok(Arc::clone(&container.init))
        } else {
            Ok(Arc::clone(&container.exec(id)?.process))
        }
    }

    /// Removes the container: what the runtime knows, and the mounts. It must have ended, or never
    /// have been started.
    pub(super) async fn delete(&self) -> RpcResult<(u32, Exit)> {
        let _changing = self.changing.lock().await;
        let container = self.required()?;
        match container.init.phase() {
            Phase::Running | Phase::Paused => return Err(not_now("cannot delete a running process")),
            Phase::Created => container.runc.delete_force(&container.id).await?,
            Phase::Stopped => {
                container.reap();
                container.forget_at_runtime().await?;
            }
        }
        let ended = tokio::time::timeout(KILL_TIMEOUT, container.init.wait()).await;
        let exit = ended.unwrap_or_else(|_| Err(failed("the container did not exit")))?;
        if container.mounted {
            let bundle = container.bundle.clone();
            blocking(move || rootfs::unmount_all(&bundle)).await?;
        }
        container.reap();
        // Callers that wait for an exec that never ran are released.
        lock(&container.execs).values().filter(|exec| exec.process.pid() == 0).for_each(|exec| {
            exec.process.end(Exit::now(0));
        });
        container.settle().await;
        *lock(&self.container) = None;
        Ok((container.init.pid(), exit))
    }
}

impl Container {
    pub(super) fn is_init(&self, id: &str) -> bool {
        id.is_empty() || id == self.id
    }

    pub(super) fn exec(&self, id: &str) -> RpcResult<Arc<Exec>> {
        lock(&self.execs).get(id).cloned().ok_or_else(|| not_found(format_args!("process {id:?} not found")))
    }

    /// The ids of the execs with their processes on the host.
    pub(super) fn exec_pids(&self) -> HashMap<u32, String> {
        lock(&self.execs).values().map(|exec| (exec.process.pid(), exec.process.id.clone())).collect()
    }

    /// All the processes of the container, as the runtime sees them.
    pub(super) async fn pids(&self) -> RpcResult<Vec<u32>> {
        let printed = self.runc.ask(["ps", "--format", "json", &self.id]).await?;
        let pids: Option<Vec<u32>> = serde_json::from_slice(&printed)
            .map_err(|error| failed(format_args!("cannot read the output of the runtime: {error}")))?;
        Ok(pids.unwrap_or_default())
    }

    /// Sends a signal to every process of the container.
    pub(super) async fn kill_all(&self, signal: u32) -> RpcResult<()> {
        match self.runc.run(["kill", "--all", &self.id, &signal.to_string()]).await {
            Err(error) if is_gone(&error) => Err(not_found("process already finished")),
            killed => killed,
        }
    }

    /// Reports the end of a process: after its output, to the callers that wait and as an event.
    pub(super) fn watch(self: &Arc<Self>, process: &Arc<Process>, handle: Arc<OwnedFd>) {
        let (container, process) = (Arc::clone(self), Arc::clone(process));
        let watched = Arc::clone(&process);
        let waited_for = self.children.wait_for(process.pid());
        let watcher = tokio::spawn(async move {
            let exit = exit::wait(&*handle).await;
            drop(waited_for);
            if container.is_init(&process.id) && !container.own_pids {
                container.end_others().await;
            }
            if let Some(io) = process.take_io() {
                if let Some(terminal) = io.terminal {
                    terminal.finish().await;
                }
                drop(io.held_ends);
            }
            let published = container.publish_exit(&process, &exit);
            process.end(exit);
            container.reap();
            if let Some(published) = published {
                let _ = published.await;
            }
        });
        watched.watched_by(watcher);
    }

    /// Waits, not for ever, until all ends are reported. Processes that still run are not waited
    /// for.
    pub(super) async fn settle(&self) {
        let execs: Vec<_> = lock(&self.execs).values().map(|exec| Arc::clone(&exec.process)).collect();
        let deadline = Instant::now() + PUBLISH_TIMEOUT;
        for process in execs.iter().chain([&self.init]).filter(|process| process.phase() == Phase::Stopped) {
            process.settle(deadline).await;
        }
    }

    /// Ends what outlived init, which no pid namespace does for us.
    async fn end_others(&self) {
        match self.pids().await {
            Ok(pids) => *lock(&self.held) = pids,
            Err(error) => tracing::debug!(id = self.id, error = message_of(&error), "cannot list its processes"),
        }
        if let Err(error) = self.kill_all(9).await {
            tracing::warn!(id = self.id, error = message_of(&error), "cannot kill the processes that outlived init");
        }
    }

    fn reap(&self) {
        let mut sessions = vec![self.init.pid()];
        sessions.extend(self.exec_pids().into_keys());
        sessions.retain(|pid| *pid != 0);
        reap_orphans(&sessions, &lock(&self.held));
    }

    async fn forget_at_runtime(&self) -> RpcResult<()> {
        match self.runc.run(["delete", &self.id]).await {
            Err(error) if is_gone(&error) => Ok(()),
            deleted => deleted,
        }
    }

    fn publish_exit(&self, process: &Process, exit: &Exit) -> Option<JoinHandle<()>> {
        let event = TaskExit {
            container_id: self.id.clone(),
            id: process.id.clone(),
            pid: process.pid(),
            exit_status: exit.status,
            exited_at: Some(exit.at.clone()).into(),
            ..TaskExit::default()
        };
        let value = match event.write_to_bytes() {
            Ok(value) => value,
            Err(error) => {
                tracing::warn!(%error, "cannot write an event");
                return None;
            }
        };
        let event = Any { type_url: "containerd.events.TaskExit".to_owned(), value, ..Any::default() };
        let (publisher, namespace) = (Arc::clone(&self.publisher), self.namespace.clone());
        // A publisher may be slow: callers that wait for the process need not wait for it.
        let published = dunnage_async::on_thread(move || publisher.publish("/tasks/exit", &namespace, event));
        Some(tokio::spawn(async move {
            if let Err(error) = published.await {
                tracing::warn!(%error, "cannot publish an event");
            }
        }))
    }
}

/// Whether the runtime says that there is nothing left.
fn is_gone(error: &ttrpc::Error) -> bool {
    let message = message_of(error);
    ["does not exist", "not running", "already finished", "no such process"].iter().any(|said| message.contains(said))
}
