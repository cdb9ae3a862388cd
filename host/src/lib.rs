//! Bundles for containers on Linux nodes, with every decision over untrusted input taken by a
//! sandboxed WebAssembly component.
//!
//! A *bundle* is the directory that a container starts from: its OCI spec (`config.json`) and the
//! mount point of its root file system (`rootfs`). This crate makes, finds and removes bundles, and
//! gives them to the right group when a user namespace remaps GID 0. It does the job of containerd's
//! Linux runtime v1 (`bundle.go`).
//!
//! The spec, the id and the files in a bundle are untrusted, so this crate does not look at them.
//! A *policy*, a component that can touch nothing but the one directory it was lent for one call,
//! decides; this crate performs the system calls, checks what was made, and publishes it. The
//! shipped policy is compiled ahead of time and embedded. See `wit/` for the contract.
//!
//! # Example
//!
//! ```
//! use dunnage::{BundleId, Dunnage, ErrorKind, Scope, Spec};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let scratch = tempfile::tempdir()?;
//! let dunnage = Dunnage::builder()
//!     .state(scratch.path().join("state"))
//!     .root(scratch.path().join("root"))
//!     .build()?;
//!
//! let spec = Spec::new(*br#"{"ociVersion": "1.0.2", "linux": {"gidMappings": []}}"#);
//! assert_eq!(dunnage.remapped_gid(&spec)?, 0);
//!
//! let id = BundleId::new("default", "web-1");
//! let created = dunnage.create(&id, &spec)?;
//! assert!(created.bundle.path().join("rootfs").is_dir());
//! assert_eq!(std::fs::read(created.bundle.path().join("config.json"))?, spec.as_bytes());
//!
//! // A daemon can act on errors: each has a kind, a step, and often a path and an errno.
//! let error = dunnage.create(&id, &spec).unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::Exists);
//!
//! assert_eq!(dunnage.list(Scope::All)?.len(), 1);
//! assert_eq!(dunnage.inspect(&id)?.address, Ok(None));
//!
//! assert!(dunnage.delete(&id, false)?.deleted);
//! // Gone already is no error.
//! assert!(!dunnage.delete(&id, false)?.deleted);
//! # Ok(())
//! # }
//! ```
//!
//! # Threads, signals, memory
//!
//! [`Dunnage`] is `Send + Sync` and cheap to clone. It starts one thread, which sleeps while no
//! call runs. wasmtime installs a handler for `SIGSEGV`, `SIGBUS`, `SIGILL` and `SIGFPE` that
//! passes on what is not its own. Each call that may run at the same time
//! ([`Limits::concurrent_calls`]) reserves about 4 GiB of address space (not memory).

mod bindings;
pub mod broker;
mod bundle;
mod bundles;
mod config;
mod engine;
mod errno;
mod error;
#[cfg(feature = "shim")]
pub mod events;
mod filesystem;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod limits;
mod name;
mod policy;
mod privileged;
#[cfg(feature = "shim")]
pub mod shim;
mod shims;
mod spec;
mod sys;

pub use bundle::{Bundle, BundleId, Incarnation, NoIncarnation};
pub use bundles::{
    Created, Deletion, Dunnage, Fate, Finding, Inspection, Leftover, Listed, RecoverOptions, Recovery, Scope,
};
pub use config::{Builder, GroupRanges};
pub use error::{Error, ErrorKind, Result, Step};
pub use limits::Limits;
pub use policy::{PolicyReport, PolicySource};
pub use shims::{Endpoint, RuncOptions, ShimConfig, ShimOptions};
pub use spec::{Spec, SpecFile, TaskSettings};

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
