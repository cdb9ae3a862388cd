//! Dunnage: bundles for containers, decided on by a sandboxed policy.

mod bindings;
mod bundle;
mod bundles;
mod config;
mod engine;
mod errno;
mod error;
mod filesystem;
mod limits;
mod name;
mod policy;
mod shims;
mod spec;
mod sys;

pub use bundle::{Bundle, BundleId};
pub use bundles::{Created, Deletion, Dunnage, Inspection, Listed, Scope};
pub use config::{Builder, GroupRanges};
pub use error::{Error, ErrorKind, Result, Step};
pub use limits::Limits;
pub use policy::{PolicyReport, PolicySource};
pub use shims::{Endpoint, RuncOptions, ShimConfig, ShimOptions};
pub use spec::Spec;

/// The default state directory.
pub const DEFAULT_STATE: &str = "/run/dunnage";
/// The default root directory.
pub const DEFAULT_ROOT: &str = "/var/lib/dunnage";
/// The default directory of the shims' sockets: containerd's.
pub const DEFAULT_SOCKET_ROOT: &str = "/run/containerd/s";
/// The default daemon address: containerd's.
pub const DEFAULT_DAEMON_ADDRESS: &str = "/run/containerd/containerd.sock";
/// The default namespace.
pub const DEFAULT_NAMESPACE: &str = "default";
