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
//!
//! Calls that create or delete bundles take turns, a few for each core: more would only get into
//! each other's way in the kernel. One that gets no turn within 100 ms goes ahead without.
//!
//! # Confinement
//!
//! The policy is confined by being WebAssembly. The binary confines itself as well, before it reads
//! the first untrusted byte; should the first wall break, what is behind the second is little. The
//! library does not do that to the programs that embed it; one that confines itself can have a
//! [`broker`] do what it then cannot.
//!
//! | command | Landlock leaves | capabilities kept | broker |
//! |---|---|---|---|
//! | `gid`, `bench gid`, `shim address`, `shim config`, `policy` | `/proc`, the policy file | none | |
//! | `publish` | state: write | none | |
//! | `list`, `events`, `shim connect-address` | state, root: read | `dac_read_search` | |
//! | `create` | state, root: write | `chown`, `dac_override` | |
//! | `inspect` | state, root: read | `dac_read_search` | yes |
//! | `list --status`, `shim info` | the same, sockets: list | `dac_read_search` | yes |
//! | `shim stop` | the same, sockets: remove | `dac_read_search` | yes |
//! | `delete` | state, root, sockets: remove | `dac_override`, `fowner` | yes |
//! | `bench cycle`, `recover` | as `create` and `delete` | as both | yes |
//! | `shim start` | state, root, sockets: write, remove | `dac_override` | yes, starts shims |
//! | `run` | the same | as `create` and `delete` | yes, starts shims |
//! | what `run --detach --rm` leaves | as `delete` | as `delete` | yes |
//! | `bench run`, monitors, shims | everything | all | not confined |
//!
//! All that are confined have `no_new_privs` and a list of allowed system calls; what is not on it
//! fails with `ENOSYS`, as on a kernel that lacks it, so that libraries fall back where they can. The
//! last row runs what must not inherit any of it: runc, or the commands that are measured.
//!
//! # Unsafe code
//!
//! Every place, and why; a test compares this list with the code.
//!
//! | file | places | reason |
//! |---|---|---|
//! | `guest/src/runtime/abi.rs` | 3 | a library without `std` links its memory routines and exports `cabi_realloc` |
//! | `guest/src/runtime/arena.rs` | 7 | a global allocator hands out raw memory |
//! | `host/build.rs` | 1 | naming the CPU features to compile for |
//! | `host/src/cli/confine/tests.rs` | 1 | system calls that have to fail |
//! | `host/src/cli/file_size.rs` | 1 | a signal handler, so that a limit on files is an error |
//! | `host/src/cli/output.rs` | 2 | noticing a closed standard output before Rust's runtime opens it |
//! | `host/src/fuzzing.rs` | 2 | code compiled elsewhere is trusted blindly; only fuzz targets bring any |
//! | `host/src/policy/shipped.rs` | 3 | loading the policy that was compiled into this binary, and letting it run where it lies |
//! | `host/src/shim/local/process.rs` | 1 | real-time signals have no names |
//! | `host/src/shim/monitor.rs` | 1 | giving back the memory of code that has run |
//! | `host/src/sys/descriptors.rs` | 3 | descriptors that are inherited, waited for, or not passed on |
//! | `host/src/sys/fork.rs` | 3 | splitting this process before it confines itself; leaving what the copy inherits |
//! | `host/src/sys/spawn.rs` | 6 | choosing the descriptors of a child |

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
mod sabotage;
#[cfg(feature = "shim")]
pub mod shim;
mod shims;
mod spec;
mod sys;
mod turns;

pub use bundle::{Bundle, BundleId, Incarnation, NoIncarnation};
pub use bundles::{
    Created, Deletion, Dunnage, Fate, Finding, Inspection, Leftover, Listed, Listing, RecoverOptions, Recovery, Scope,
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
