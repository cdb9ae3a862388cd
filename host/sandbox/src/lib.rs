//! The sandbox: the policy component, and everything that confines it.
//!
//! This is the only crate that knows wasmtime. It loads a policy, checks what it is, calls each of
//! its functions in a fresh instance under limits, and serves the one interface that a policy may
//! import, `filesystem`, on handles that were lent for the call. The policy's answers are checked
//! here before they go any further.
//!
//! | WIT | here |
//! |---|---|
//! | `filesystem.*` (imported) | `filesystem.rs`, one method for each function |
//! | `bundles.*`, `shims.*` (exported) | `policy/calls.rs`, one method of [`Policy`] for each function |
//! | their answers | `policy/answers.rs` |
//! | `guard/types.document` (imported by guards) | `guard/context.rs` |
//! | `guard.review`, `describe`, `validate-settings` (exported by guards) | `guard.rs`, one method of [`Guard`] for each |
//!
//! It opens nothing by path but a policy's file, publishes nothing, and decides nothing.

mod bindings;
mod embedded;
mod engine;
mod errno;
mod filesystem;
mod guard;
mod policy;
mod shim_settings;

pub use self::filesystem::{Access, LazyDir};
pub use self::guard::{Guard, GuardCode};
pub use self::policy::{Policy, PolicyConfig, PolicyReport, PolicySource};
