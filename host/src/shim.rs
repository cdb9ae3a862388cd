//! Shims: starting them, connecting to them, asking them, ending them.
//!
//! A *shim* is the process between a daemon and one container: it runs the container's processes,
//! holds their standard streams, and outlives the daemon. It answers at a unix socket, with the
//! service in [`protocol`].

mod attempt;
mod cgroup;
mod client;
mod connect;
mod detach;
mod ending;
mod io;
mod launch;
mod launcher;
mod listen;
pub(crate) mod local;
mod log;
mod monitor;
mod opt;
mod options;
pub mod protocol;
mod second;
mod serve;
mod served;
mod start;
mod starter;
mod status;
mod supervise;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::Signal;

pub use self::client::ShimClient;
#[cfg(fuzzing)]
pub(crate) use self::connect::client_on;
pub use self::detach::detach;
pub use self::io::TaskStreams;
pub use self::monitor::{MONITOR, run as monitor};
pub use self::opt::{ShimConnect, ShimLocal, ShimOpt, ShimRemote, ShimRequest};
pub use self::options::{Callback, ConnectOptions, StartOptions};
pub use self::serve::{SHIM, ServeOptions, serve};
use self::served::Served;
pub(crate) use self::starter::Starter;
pub use self::status::TaskStatus;
use crate::Dunnage;
use crate::bundle::{BundleId, Incarnation};
use crate::bundles::{Hold, Inner, KeptShim, ShimRecord, open_bundle, socket_name};
use crate::error::{AtStep, Error, ErrorKind, Result, Step};
use crate::name::Name;
use crate::sys::ambient::{AmbientError, open_trusted};
use crate::sys::{ShimProcess, SocketFate, has_children, remove_dead_socket};

/// How long a shim may take to publish what has happened to a container that was deleted.
const LAST_EVENTS: Duration = Duration::from_millis(500);
/// How long to wait for a process that was killed.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

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
    client: ShimClient,
    process: Arc<ShimProcess>,
    pid: u32,
    address: String,
    id: BundleId,
    /// Which bundle of that id it was started for.
    incarnation: Incarnation,
    inner: Arc<Inner>,
    /// What this process serves itself.
    served: Option<Served>,
    /// Whether it is served by a process that has more to do than that.
    is_guest: bool,
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
        let (inner, id) = (Arc::clone(&self.inner), self.id.clone());
        blocking(move || {
            let bundle = open_bundle(&inner, &id)?;
            inner.config.privileged.is_rooted(pid, &bundle).at_step(Step::RunTask)
        })
        .await
    }

    /// Ends the shim, waits until it has ended, and removes its socket. Its container keeps
    /// running: end that first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] if it has not ended in time, and then it may end later;
    /// [`ErrorKind::Unsupported`] if another owner of a [`Dunnage::local_shim`] serves it.
    pub async fn stop(self, how: Stop, patience: Duration) -> Result<()> {
        blocking(move || {
            let hold = Hold::open(&self.inner, &self.id);
            self.end(how, patience, hold.as_ref().ok())
        })
        .await
    }

    /// Ends the shim of a container that was deleted, and removes what is on file about it.
    ///
    /// # Errors
    ///
    /// As for [`Shim::stop`], and if something cannot be removed.
    pub async fn remove(self) -> Result<()> {
        let (inner, id) = (Arc::clone(&self.inner), self.id.clone());
        let served = self.served.as_ref().map(Served::shim);
        if let Some(served) = served {
            served.settle().await;
        }
        blocking(move || {
            let hold = Hold::open(&inner, &id);
            if !self.is_guest {
                // It starts a program for each of its last events.
                let deadline = Instant::now() + LAST_EVENTS;
                while has_children(self.pid) && Instant::now() < deadline {
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            let (process, incarnation) = (Arc::clone(&self.process), self.incarnation);
            self.end(Stop::Kill, KILL_PATIENCE, hold.as_ref().ok())?;
            let hold = match hold {
                // It went with the bundle.
                Err(error) if error.step() == Step::OpenBundle && error.kind() == ErrorKind::NotFound => return Ok(()),
                hold => hold?,
            };
            let on_record = ShimRecord::of(&inner, &id, &hold.bundle)?.and_then(|record| record.process);
            if Incarnation::of(hold.bundle.metadata()) != incarnation
                || on_record.is_some_and(|found| !process.is(found.pid, found.started))
            {
                // Another bundle has taken the name, or another shim its place.
                return Ok(());
            }
            for (directory, name) in [
                (&hold.bundle, Name::SHIM_PID),
                (&hold.bundle, Name::ADDRESS),
                (&hold.work_dir, Name::SHIM_STDOUT),
                (&hold.work_dir, Name::SHIM_STDERR),
            ] {
                directory.unlink_if_there(&name).at_step(Step::StopShim)?;
            }
            KeptShim::open(&inner.places, &id)?.map_or(Ok(()), |kept| kept.remove())
        })
        .await
    }

    /// Ends the shim. Its socket goes only while the bundle is held: nobody may be binding a new
    /// one there.
    fn end(mut self, how: Stop, patience: Duration, hold: Option<&Hold>) -> Result<()> {
        if let Some(served) = self.served.take() {
            served.end(hold.is_some());
            return Ok(());
        }
        if self.is_guest {
            let message = format!(
                "the shim is served by process {}, which may have more to do; end the container, or that process",
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
            let message = format!("the shim (pid {pid}) got {name} and has not ended in {seconds} s");
            return Err(Error::new(ErrorKind::Timeout, Step::StopShim, message));
        }
        if hold.is_some()
            && let Err(error) = remove_dead(&self.inner, &self.address)
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

impl Dunnage {
    /// Starts the shim of a bundle, and connects to it. Similar to `ShimRemote` of containerd.
    ///
    /// With a [`broker`](crate::broker) that starts it, its options matter, and few of these. Needs a
    /// tokio runtime with I/O and time. If it fails nothing is left of the attempt, or the
    /// error names it. A shim that nobody waits for any more, because the future was dropped, is
    /// removed as soon as it is up.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) without a bundle, [`ShimAlive`](ErrorKind::ShimAlive) if
    /// it has a shim or somebody serves its address, [`Shim`](ErrorKind::Shim) and
    /// [`Timeout`](ErrorKind::Timeout) if the shim does not come up.
    pub async fn start_shim(&self, id: &BundleId, options: StartOptions) -> Result<Shim> {
        let settings = options.settings.clone();
        self.shim_client(id, ShimRemote(options), &settings).await
    }

    /// Serves the shim of a bundle inside this process, which drives runc itself, and connects to
    /// it. Similar to `ShimLocal` of containerd; no other shim need be installed.
    ///
    /// This process becomes the reaper of what its containers orphan (`PR_SET_CHILD_SUBREAPER` of
    /// prctl(2)). `binary`, `publisher`, `monitor`, `cgroup`, `debug`, `environment` and `on_exit`
    /// of the options do not matter. The shim is served until [`Shim::stop`] or [`Shim::remove`].
    ///
    /// # Errors
    ///
    /// As for [`Dunnage::start_shim`].
    pub async fn local_shim(&self, id: &BundleId, options: StartOptions) -> Result<Shim> {
        let settings = options.settings.clone();
        self.shim_client(id, ShimLocal(options), &settings).await
    }

    /// Connects to the shim of a bundle. Similar to `ShimConnect` of containerd.
    ///
    /// The socket has to be served by our own user, and who answers has to be the process on file.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) without a bundle, [`NoAddress`](ErrorKind::NoAddress) if
    /// none is on file, [`Untrusted`](ErrorKind::Untrusted) if somebody else answers,
    /// [`Timeout`](ErrorKind::Timeout) if nobody does.
    pub async fn connect_shim(&self, id: &BundleId, options: ConnectOptions) -> Result<Shim> {
        connect::connect(&self.0, id, options)
            .await
            .map_err(|error| error.during(|| format!("connect to the shim of {id}")))
    }

    /// Removes the socket of a bundle's shim that is gone: the one that this bundle's shim has to
    /// have, if it is ours and nobody listens there. Similar to `RemoveSocket` of containerd, which
    /// removes any path. Whether there was one.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) without a bundle, [`ShimAlive`](ErrorKind::ShimAlive) if
    /// it is somebody's, or no socket: then it stays.
    pub fn remove_socket(&self, id: &BundleId) -> Result<bool> {
        let inner = &self.0;
        let removed = || {
            // Nobody is binding it at the moment.
            let _hold = Hold::open(inner, id)?;
            let address = inner.policy.shim_address(&inner.config, id)?;
            match remove_dead(inner, &address)? {
                SocketFate::Removed => Ok(true),
                SocketFate::Missing => Ok(false),
                SocketFate::Kept(why) => {
                    let message = format!("the socket {address:?} stays: {why}");
                    Err(Error::new(ErrorKind::ShimAlive, Step::StopShim, message))
                }
            }
        };
        removed().map_err(|error| error.during(|| format!("remove the socket of {id}")))
    }

    /// Makes FIFOs for the standard streams of a bundle's container. They go with what is on record
    /// about its shim.
    ///
    /// # Errors
    ///
    /// If they cannot be made.
    pub fn task_streams(&self, id: &BundleId, terminal: bool) -> Result<TaskStreams> {
        TaskStreams::make(&self.0, id, terminal).map_err(|error| error.during(|| format!("run {id}")))
    }

    /// What the container of a bundle is doing: its shim is asked, or, if that is gone, the
    /// runtime.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) without a bundle, or if neither can be asked.
    pub async fn task_status(&self, id: &BundleId) -> Result<TaskStatus> {
        status::status(&self.0, id).await.map_err(|error| error.during(|| format!("status of {id}")))
    }

    /// What the containers of several bundles are doing, in the same order. They are asked side by
    /// side; those that have not answered in time are [`TaskStatus::Unknown`].
    pub async fn task_statuses(&self, ids: &[BundleId], patience: Duration) -> Vec<TaskStatus> {
        status::statuses(&self.0, ids, patience).await
    }
}

/// Removes the socket of a shim that has ended.
fn remove_dead(inner: &Inner, address: &str) -> Result<SocketFate> {
    let Some(name) = socket_name(inner.socket_root(), address) else {
        return Ok(SocketFate::Missing);
    };
    match open_trusted(inner.socket_root()) {
        Err(AmbientError::Failure(failure)) if failure.errno() == Errno::NOENT => Ok(SocketFate::Missing),
        sockets => remove_dead_socket(&sockets.at_step(Step::StopShim)?, &name).at_step(Step::StopShim),
    }
}

/// Makes system calls that may take a while on a thread that may wait for them.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    on_thread(work).await.unwrap_or_else(|error| {
        Err(Error::new(ErrorKind::Shim, Step::CallShim, format!("a thread of this process failed: {error}")))
    })
}

/// The same for any result. The thread is its own: the pool of the runtime panics where the system
/// has none to give.
async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> std::io::Result<T> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new().name("dunnage-blocking".to_owned()).spawn(move || {
        let _entered = runtime.enter();
        // Whoever asked may have gone.
        let _ = sender.send(work());
    })?;
    receiver.await.map_err(std::io::Error::other)
}
