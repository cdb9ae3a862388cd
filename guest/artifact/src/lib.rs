//! The components of Dunnage as bytes, for crates that embed them.
//!
//! In the repository they are built from `guest/`; a packaged crate brings them as `policy.wasm` and
//! `baseline.wasm`.
//!
//! ```
//! assert!(dunnage_policy_artifact::COMPONENT.starts_with(b"\0asm"));
//! ```

#![forbid(unsafe_code)]

pub mod component;

/// The policy: WebAssembly in binary form, of the world `dunnage:bundle/policy@0.1.0`.
pub const COMPONENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/policy.wasm"));

/// The guard `baseline`, of the world `dunnage:guard/guard@0.1.0`.
pub const BASELINE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/baseline.wasm"));
