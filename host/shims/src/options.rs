//! What a caller can say about starting a shim and connecting to one.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use dunnage_core::ShimOptions;
use dunnage_oci_runtime::DEFAULT_PATH;

use crate::monitor::OutputLog;

/// The variables of our own environment that a shim gets: it must find runc, and a place for
/// temporary files. Everything else may be a secret.
const ALLOWED: [&str; 4] = ["PATH", "LANG", "TMPDIR", "XDG_RUNTIME_DIR"];

/// Something to be called once.
pub type Callback = Box<dyn FnOnce() + Send>;

/// How a shim is started. Similar to the options of containerd's `WithStart`.
#[non_exhaustive]
pub struct StartOptions {
    /// The shim's binary. A bare name is looked up in the absolute directories of the shim's `PATH`;
    /// a relative path starts from our own working directory. Default `containerd-shim`.
    pub binary: PathBuf,
    /// The binary that the shim runs to publish its events. Default: this program.
    pub publisher: Option<PathBuf>,
    /// A binary that stays as the shim's parent under the name [`MONITOR`](crate::MONITOR), and
    /// calls [`monitor`](crate::monitor()). Default: none, and tasks of this process do its work.
    pub monitor: Option<PathBuf>,
    /// Where the monitor keeps what the container writes. Its streams are then those of
    /// `Dunnage::kept_streams`. Default: nowhere.
    pub output: Option<OutputLog>,
    /// An existing cgroup for the shim and its monitor, as a path below the hierarchies. Default: ours.
    pub cgroup: Option<String>,
    /// Whether the shim logs more. Default no.
    pub debug: bool,
    /// The runtime's binary, for what is done without the shim. Default `runc`.
    pub runtime: PathBuf,
    /// How runc is set up.
    pub settings: ShimOptions,
    /// The shim's whole environment, except `DUNNAGE_STATE` and `DUNNAGE_ROOT`, which are added.
    pub environment: Vec<(OsString, OsString)>,
    /// How long the shim may take until it answers. Default 10 s.
    pub timeout: Duration,
    /// Called when the shim has ended; not with a monitor or a broker.
    pub on_exit: Option<Callback>,
}

impl Default for StartOptions {
    fn default() -> Self {
        Self {
            binary: "containerd-shim".into(),
            publisher: None,
            monitor: None,
            output: None,
            cgroup: None,
            debug: false,
            runtime: "runc".into(),
            settings: ShimOptions::default(),
            environment: environment(),
            timeout: Duration::from_secs(10),
            on_exit: None,
        }
    }
}

/// The part of our environment that a shim gets.
fn environment() -> Vec<(OsString, OsString)> {
    let mut allowed: Vec<_> =
        ALLOWED.iter().filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?))).collect();
    if !allowed.iter().any(|(name, _)| name == "PATH") {
        allowed.push(("PATH".into(), DEFAULT_PATH.into()));
    }
    allowed
}

/// How to connect to a shim.
#[non_exhaustive]
pub struct ConnectOptions {
    /// Whether an abstract address is accepted, which any process in the network namespace could
    /// hold. Default no.
    pub allow_legacy: bool,
    /// How long all of it may take. Default 5 s.
    pub timeout: Duration,
    /// Called when the connection is lost.
    pub on_close: Option<Callback>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self { allow_legacy: false, timeout: Duration::from_secs(5), on_close: None }
    }
}
