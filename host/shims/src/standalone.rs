//! Acting as a shim: this program, started as containerd's is, in its place.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;

use dunnage_core::{Error, ErrorKind, Result, Step};
use dunnage_events::EventLog;
use dunnage_shim_service::{LocalConfig, LocalShim, serve as serve_on};
use dunnage_sys::descriptors::inherited;

use crate::log_publisher::LogPublisher;

/// The name that this program is called by when it is a shim.
pub const SHIM: &str = "containerd-shim";

/// What a shim is started with: its arguments and its environment.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ServeOptions {
    /// The namespace of the container.
    pub namespace: String,
    /// The bundle's work directory.
    pub work_dir: PathBuf,
    /// The directory where runc keeps its state; empty is `/run/containerd/runc`.
    pub runtime_root: PathBuf,
    /// Whether systemd manages the container's cgroup.
    pub systemd_cgroup: bool,
    /// The state directory, where events are recorded.
    pub state: PathBuf,
}

/// Serves on the listening socket that is descriptor 3, for the bundle that is the working
/// directory, until the future is dropped. The parent of this process must leave that descriptor to
/// it.
///
/// # Errors
///
/// If there is no such socket or no such directory.
pub async fn serve(options: ServeOptions) -> Result<()> {
    let failed = |what: &str, error: std::io::Error| {
        Error::new(ErrorKind::Shim, Step::StartShim, format!("{what}: {error}")).during(|| "serve as a shim".to_owned())
    };
    let listener = UnixListener::from(inherited(3));
    listener.local_addr().map_err(|error| failed("descriptor 3 is not a socket", error))?;
    let bundle = std::env::current_dir().map_err(|error| failed("cannot get the working directory", error))?;
    let shim = LocalShim::new(LocalConfig {
        namespace: options.namespace,
        bundle,
        work_dir: options.work_dir,
        runtime: String::new(),
        runtime_root: options.runtime_root,
        systemd_cgroup: options.systemd_cgroup,
        owns_process: true,
        publisher: Arc::new(LogPublisher(EventLog::new(&options.state))),
    })?;
    let _server = serve_on(listener, shim).await?;
    std::future::pending().await
}
