//! A shim that has answered, and ending it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use dunnage_async::on_thread;
use dunnage_bundles::{BundleGuard, Node, open_bundle};
use dunnage_core::{AtStep as _, BundleId, Error, ErrorKind, Incarnation, Result, Step, names};
use dunnage_events::{Event, EventLog, TASK_DELETE, TASK_EXIT};
use dunnage_shim_proto::shim::{CreateTaskRequest, DeleteResponse};
use dunnage_store::{RecordDir, ShimRecord, TaskRecord, socket_name};
use dunnage_sys::trusted_path::{TrustedPathError, open_trusted};
use dunnage_sys::{Directory, ProcessHandle, SocketFate, has_children, remove_dead_socket, start_time};
use rustix::io::Errno;
use rustix::process::Signal;

use crate::client::{ShimClient, time_of};
use crate::in_process::Served;

/// How long a shim may take to publish what has happened to a container that was deleted.
const PUBLISH_TIMEOUT: Duration = Duration::from_millis(500);
/// How long to wait for a process that was killed.
pub(crate) const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// How to end a shim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Ask it to (`SIGTERM`).
    Ask,
    /// Kill it (`SIGKILL`).
    Kill,
}

/// A shim that has answered, and is the one on file.
pub struct Shim {
    pub(crate) client: ShimClient,
    pub(crate) process: Arc<ProcessHandle>,
    pub(crate) pid: u32,
    pub(crate) address: String,
    pub(crate) id: BundleId,
    /// Which bundle of that id it was started for.
    pub(crate) incarnation: Incarnation,
    pub(crate) node: Arc<Node>,
    /// What this process serves itself.
    pub(crate) served: Option<Served>,
    /// Whether it is served by a process beside its other work.
    pub(crate) is_guest: bool,
}

impl Shim {
    /// A client of the shim.
    #[must_use]
    pub fn client(&self) -> &ShimClient {
        &self.client
    }

    /// The shim's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Which bundle it is the shim of.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether the root directory of a process, such as the init of the shim's container, is the
    /// `rootfs` of the bundle. Also if the process has ended.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) without the bundle; if the process cannot be looked at.
    pub async fn is_rooted_in_bundle(&self, pid: u32) -> Result<bool> {
        let (node, id) = (Arc::clone(&self.node), self.id.clone());
        blocking(move || {
            let bundle = open_bundle(&node, &id)?;
            node.privileged.is_rooted(pid, &bundle).at_step(Step::RunTask)
        })
        .await
    }

    /// Creates the container, notes its init, and tells of it: what [`ShimClient::create`] alone does not.
    ///
    /// # Errors
    ///
    /// As for [`ShimClient::create`], and if it cannot be noted.
    pub async fn create_task(&self, request: &CreateTaskRequest) -> Result<u32> {
        let pid = self.client.create(request).await?;
        let record =
            TaskRecord { pid, ticks: start_time(pid).ok().flatten(), created: SystemTime::now(), started: None };
        self.note(move |records| record.write(records)).await?;
        self.tell("/tasks/create", Some(pid)).await;
        Ok(pid)
    }

    /// Starts the container's init, notes when, and tells of it.
    ///
    /// # Errors
    ///
    /// As for [`ShimClient::start`].
    pub async fn start_task(&self) -> Result<u32> {
        let pid = self.client.start(self.id.id()).await?;
        let noted = self.note(move |records| match TaskRecord::read(records)? {
            Some(task) => TaskRecord { started: Some(SystemTime::now()), ..task }.write(records),
            None => Ok(()),
        });
        if let Err(error) = noted.await {
            tracing::warn!(%error, "cannot note that {} was started", self.id);
        }
        self.tell("/tasks/start", Some(pid)).await;
        Ok(pid)
    }

    /// Removes the container, which must have ended, and tells of its end if the shim could not, and of its
    /// removal.
    ///
    /// # Errors
    ///
    /// As for [`ShimClient::delete`].
    pub async fn delete_task(&self) -> Result<DeleteResponse> {
        let deleted = self.client.delete().await?;
        let (pid, status) = (deleted.pid, deleted.exit_status);
        let at = deleted.exited_at.as_ref().and_then(time_of);
        let (events, id) = (self.events(), self.id.clone());
        let told = blocking(move || {
            let event = |topic: &str| Event::of_task(topic, &id).with_process(id.id(), Some(pid));
            let at = at.unwrap_or_else(SystemTime::now);
            events.tell(&event(TASK_EXIT).with_exit(status, at))?;
            events.tell(&event(TASK_DELETE).with_exit(status, SystemTime::now()))
        });
        if let Err(error) = told.await {
            tracing::warn!(%error, "cannot tell of the end of {}", self.id);
        }
        Ok(deleted)
    }

    /// Tells of something that was done to a process of the container, by a topic of containerd's.
    pub async fn tell(&self, topic: &'static str, pid: Option<u32>) {
        self.tell_event(Event::of_task(topic, &self.id).with_process(self.id.id(), pid)).await;
    }

    /// Tells of an event. A failure is only logged: what it tells of has happened.
    pub async fn tell_event(&self, event: Event) {
        let events = self.events();
        if let Err(error) = blocking(move || events.tell(&event)).await {
            tracing::warn!(%error, "cannot tell of what happened to {}", self.id);
        }
    }

    fn events(&self) -> EventLog {
        EventLog::new(self.node.layout.state.path())
    }

    /// Writes something down beside the record of the shim.
    async fn note(&self, write: impl FnOnce(&Directory) -> Result<()> + Send + 'static) -> Result<()> {
        let (node, id) = (Arc::clone(&self.node), self.id.clone());
        blocking(move || RecordDir::open(&node.layout, &id)?.map_or(Ok(()), |records| write(&records.directory))).await
    }

    /// Ends the shim, waits until it has ended, and removes its socket. Its container keeps
    /// running: end that first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] if it has not ended in time, and then it may end later;
    /// [`ErrorKind::Unsupported`] if another process serves it beside its own work.
    pub async fn stop(self, how: Stop, patience: Duration) -> Result<()> {
        blocking(move || {
            let guard = BundleGuard::open(&self.node, &self.id);
            self.end(how, patience, guard.as_ref().ok())
        })
        .await
    }

    /// Ends the shim of a container that was deleted, and removes what is on file about it.
    ///
    /// # Errors
    ///
    /// As for [`Shim::stop`], and if something cannot be removed.
    pub async fn remove(self) -> Result<()> {
        let (node, id) = (Arc::clone(&self.node), self.id.clone());
        let served = self.served.as_ref().map(Served::shim);
        if let Some(served) = served {
            served.settle().await;
        }
        blocking(move || {
            let guard = BundleGuard::open(&node, &id);
            if !self.is_guest {
                // It starts a program for each of its last events.
                let deadline = Instant::now() + PUBLISH_TIMEOUT;
                while has_children(self.pid) && Instant::now() < deadline {
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            let (process, incarnation) = (Arc::clone(&self.process), self.incarnation);
            self.end(Stop::Kill, KILL_TIMEOUT, guard.as_ref().ok())?;
            let guard = match guard {
                // It went with the bundle.
                Err(error) if error.step() == Step::OpenBundle && error.kind() == ErrorKind::NotFound => return Ok(()),
                guard => guard?,
            };
            let on_record = ShimRecord::find(&node.layout, &id, &guard.bundle)?.and_then(|record| record.process);
            if Incarnation::of(guard.bundle.metadata()) != incarnation
                || on_record.is_some_and(|found| !process.is(found))
            {
                // Another bundle has taken the name, or another shim its place.
                return Ok(());
            }
            for (directory, name) in [
                (&guard.bundle, names::SHIM_PID),
                (&guard.bundle, names::ADDRESS),
                (&guard.work_dir, names::SHIM_STDOUT),
                (&guard.work_dir, names::SHIM_STDERR),
            ] {
                directory.unlink_if_there(&name).at_step(Step::StopShim)?;
            }
            RecordDir::open(&node.layout, &id)?.map_or(Ok(()), |record_dir| record_dir.remove_but_exit())
        })
        .await
    }

    /// Ends the shim. Its socket goes only while the bundle is held: no other call may be binding a
    /// new one there.
    fn end(mut self, how: Stop, patience: Duration, guard: Option<&BundleGuard>) -> Result<()> {
        if let Some(served) = self.served.take() {
            served.end(guard.is_some());
            return Ok(());
        }
        if self.is_guest {
            let message = format!(
                "the shim is served by process {}, which may still be needed; stop the container, or that process",
                self.pid
            );
            return Err(Error::new(ErrorKind::Unsupported, Step::StopShim, message));
        }
        let (signal, name) = match how {
            Stop::Ask => (Signal::TERM, "SIGTERM"),
            Stop::Kill => (Signal::KILL, "SIGKILL"),
        };
        if !self.process.end(signal, patience).at_step(Step::StopShim)? {
            let (pid, seconds) = (self.pid, patience.as_secs_f64());
            let message = format!("the shim (pid {pid}) received {name} but did not exit within {seconds} s");
            return Err(Error::new(ErrorKind::Timeout, Step::StopShim, message));
        }
        if guard.is_some()
            && let Err(error) = remove_dead(&self.node, &self.address)
        {
            tracing::warn!(%error, "cannot remove the socket {} of a shim that has ended", self.address);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Shim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shim").field("pid", &self.pid).field("address", &self.address).finish_non_exhaustive()
    }
}

/// Removes the socket of a bundle's shim that is gone: the one that this bundle's shim must have,
/// if it is ours and nothing listens there. Whether there was one.
///
/// # Errors
///
/// [`NotFound`](ErrorKind::NotFound) without a bundle, [`ShimAlive`](ErrorKind::ShimAlive) if it is
/// in use, or not a socket: then it stays.
pub fn remove_socket(node: &Arc<Node>, id: &BundleId) -> Result<bool> {
    // Nothing is binding it at the moment.
    let _guard = BundleGuard::open(node, id)?;
    let address = node.policy.shim_address(id)?;
    match remove_dead(node, &address)? {
        SocketFate::Removed => Ok(true),
        SocketFate::Missing => Ok(false),
        SocketFate::Kept(why) => {
            let message = format!("the socket {address:?} was not removed: {why}");
            Err(Error::new(ErrorKind::ShimAlive, Step::StopShim, message))
        }
    }
}

/// Removes the socket of a shim that has ended.
fn remove_dead(node: &Node, address: &str) -> Result<SocketFate> {
    let Some(name) = socket_name(&node.paths.socket_root, address) else {
        return Ok(SocketFate::Missing);
    };
    match open_trusted(&node.paths.socket_root) {
        Err(TrustedPathError::Failure(failure)) if failure.errno() == Errno::NOENT => Ok(SocketFate::Missing),
        sockets => remove_dead_socket(&sockets.at_step(Step::StopShim)?, &name).at_step(Step::StopShim),
    }
}

/// Makes system calls that may take a while on a thread that may wait for them.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    on_thread(work).await.unwrap_or_else(|error| {
        Err(Error::new(ErrorKind::Shim, Step::CallShim, format!("a thread of this process failed: {error}")))
    })
}
