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
//! // It is not an error if the bundle is gone already.
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
//!
//! Calls that create or delete bundles take turns, a few for each core: more would only get into
//! each other's way in the kernel. A call that gets no permit within 100 ms proceeds without one.
//!
//! # Where to read on
//!
//! [`docs`] has the map of the crates and the way of a spec through them, the guarantees with the test of
//! each, the threats, and more. The crates below this one are its rooms: their items are public for each
//! other's sake, and come without a promise of stability.
//!
//! The library confines the policy, by WebAssembly. It does not confine the program that embeds it, as
//! the binary does with itself ([`docs::confinement`]); a program that confines itself can have a
//! [`broker`] do what it then cannot.

#![cfg_attr(not(fuzzing), forbid(unsafe_code))]

pub mod broker;
mod builder;
pub mod docs;
#[cfg(feature = "shim")]
pub mod events;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
pub mod guards;
mod manager;
#[cfg(feature = "shim")]
pub mod shim;

pub use dunnage_bundles::{
    Created, Deletion, Fate, Finding, Inspection, Leftover, Listed, Listing, RecoverOptions, Recovery, Scope,
};
pub use dunnage_core::{
    Bundle, BundleId, DEFAULT_DAEMON_ADDRESS, DEFAULT_NAMESPACE, DEFAULT_ROOT, DEFAULT_SOCKET_ROOT, DEFAULT_STATE,
    Endpoint, Error, ErrorKind, GroupRanges, Incarnation, Limits, NoIncarnation, Result, RuncOptions, ShimConfig,
    ShimOptions, Spec, SpecFile, Step, TaskSettings,
};
pub use dunnage_sandbox::{PolicyReport, PolicySource};
pub use dunnage_store::LineStream;

pub use self::builder::Builder;
pub use self::manager::Dunnage;
