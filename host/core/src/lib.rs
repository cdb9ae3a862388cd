//! Plain data of Dunnage: what a bundle is called, what can go wrong, what is allowed, and what is
//! asked for. Nothing here opens, changes or decides anything, except [`SpecFile`], which reads the
//! file that a caller names.

#![forbid(unsafe_code)]

mod built;
mod bundle;
mod directory_path;
mod error;
mod fair_semaphore;
mod group_ranges;
mod limits;
pub mod names;
mod node_paths;
mod printable;
mod process_parts;
mod review;
mod shim_arguments;
mod shim_config;
mod shim_records;
mod spec;

pub use self::built::{Built, DIRECTORY_MODE, FILE_MODE, STAGING_MODE, StagedContents};
pub use self::bundle::{Bundle, BundleId, Incarnation, NoIncarnation};
pub use self::directory_path::check_directory;
pub use self::error::{AtStep, Error, ErrorKind, Result, Step};
pub use self::fair_semaphore::{FairSemaphore, Permit};
pub use self::group_ranges::GroupRanges;
pub use self::limits::Limits;
pub use self::node_paths::NodePaths;
pub use self::printable::{printable, printable_line};
pub use self::process_parts::ProcessParts;
pub use self::review::{Denial, GuardMetadata, Operation, ReviewRequest, Verdict};
pub use self::shim_arguments::shim_arguments;
pub use self::shim_config::{Endpoint, RuncOptions, ShimConfig, ShimOptions};
pub use self::shim_records::ShimRecords;
pub use self::spec::{Spec, SpecFile, TaskSettings};

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
