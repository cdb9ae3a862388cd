//! Shims: starting them, connecting to them, asking them, ending them.
//!
//! A *shim* is the process between a daemon and one container: it runs the container's processes,
//! holds their standard streams, and outlives the daemon. It answers at a unix socket, with the
//! service in [`protocol`].

mod opt;
mod task;

use std::time::Duration;

use dunnage_core::{BundleId, Result, ShimOptions};
pub use dunnage_shim_proto as protocol;
pub use dunnage_shims::{
    Attendance, Callback, ConnectOptions, ExecOptions, ExecUser, FifoNames, MAX_ADDRESS, MONITOR, OutputLog, SHIM,
    ServeOptions, Shim, ShimClient, StartOptions, Stop, TaskStatus, TaskStreams, detach, monitor, serve,
};
pub use dunnage_task_log::{DEFAULT_MAX_SIZE, Line, LogReader, LogStream, MIN_MAX_SIZE};

pub use self::opt::{ShimConnect, ShimLocal, ShimOpt, ShimRemote, ShimRequest};
pub use self::task::{TaskInfo, log_file_of, open_log};
use crate::Dunnage;
use crate::manager::during;

impl Dunnage {
    /// Starts the shim of a bundle, and connects to it. Similar to `ShimRemote` of containerd.
    ///
    /// With a [`broker`](crate::broker) that starts it, the broker's options apply, and few of
    /// these. Needs a tokio runtime with I/O and time. If it fails nothing is left of the attempt,
    /// or the error names it. A shim that is not waited for any more, because the future was
    /// dropped, is removed as soon as it is up.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) without a bundle, [`ShimAlive`](crate::ErrorKind::ShimAlive) if
    /// it has a shim or its address is served, [`Shim`](crate::ErrorKind::Shim) and
    /// [`Timeout`](crate::ErrorKind::Timeout) if the shim does not come up.
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
    /// The socket must be served by our own user, and the peer must be the process on file.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) without a bundle, [`NoAddress`](crate::ErrorKind::NoAddress) if
    /// none is on file, [`Untrusted`](crate::ErrorKind::Untrusted) if another process answers,
    /// [`Timeout`](crate::ErrorKind::Timeout) if none does.
    pub async fn connect_shim(&self, id: &BundleId, options: ConnectOptions) -> Result<Shim> {
        let connected = dunnage_shims::connect(&self.0, id, options).await;
        connected.map_err(during(|| format!("connect to the shim of {id}")))
    }

    /// Removes the socket of a bundle's shim that is gone: the one that this bundle's shim must
    /// have, if it is ours and nothing listens there. Similar to `RemoveSocket` of containerd,
    /// which removes any path. Whether there was one.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) without a bundle, [`ShimAlive`](crate::ErrorKind::ShimAlive) if
    /// it is in use, or not a socket: then it stays.
    pub fn remove_socket(&self, id: &BundleId) -> Result<bool> {
        dunnage_shims::remove_socket(&self.0, id).map_err(during(|| format!("remove the socket of {id}")))
    }

    /// Makes FIFOs for the standard streams of a bundle's container. They go with what is on record
    /// about its shim.
    ///
    /// # Errors
    ///
    /// If they cannot be made.
    pub fn task_streams(&self, id: &BundleId, terminal: bool) -> Result<TaskStreams> {
        TaskStreams::make(&self.0, id, terminal).map_err(during(|| format!("run {id}")))
    }

    /// What the container of a bundle is doing: its shim is asked, or, if that is gone, the
    /// runtime.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) without a bundle, or if neither can be asked.
    pub async fn task_status(&self, id: &BundleId) -> Result<TaskStatus> {
        dunnage_shims::status(&self.0, id).await.map_err(during(|| format!("status of {id}")))
    }

    /// What the containers of several bundles are doing, in the same order. They are asked side by
    /// side; those that have not answered in time are [`TaskStatus::Unknown`].
    pub async fn task_statuses(&self, ids: &[BundleId], patience: Duration) -> Vec<TaskStatus> {
        dunnage_shims::statuses(&self.0, ids, patience).await
    }

    /// Gets a client of a bundle's shim in the way that `opt` says. Similar to `NewShimClient` of
    /// containerd.
    ///
    /// ```no_run
    /// use dunnage::shim::{ShimClient, ShimRequest};
    /// use dunnage::{BundleId, Dunnage, Error, ShimOptions};
    ///
    /// # async fn example(dunnage: &Dunnage) -> Result<(), Box<dyn std::error::Error>> {
    /// let own = async |request: ShimRequest| {
    ///     // A shim that was started from `request.config`, somewhere else.
    ///     let socket = std::os::unix::net::UnixStream::connect("/run/mydaemon/shim.sock")?;
    ///     Ok::<_, Box<dyn std::error::Error>>(ShimClient::on(socket)?)
    /// };
    /// let client = dunnage.shim_client(&BundleId::new("default", "web-1"), own, &ShimOptions::default()).await?;
    /// println!("shim {}", client.shim_info().await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the policy refuses the id or the settings; whatever `opt` fails with.
    pub async fn shim_client<O: ShimOpt>(
        &self,
        id: &BundleId,
        opt: O,
        settings: &ShimOptions,
    ) -> std::result::Result<O::Client, O::Error> {
        let settings = settings.absolute();
        let bundle = self.locate(id)?;
        let config = self.shim_config(&bundle, &settings)?;
        opt.open(ShimRequest { dunnage: self.clone(), bundle, config, runc: settings.runc }).await
    }
}
