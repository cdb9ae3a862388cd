//! The policy component of Dunnage as bytes, for crates that embed it.
//!
//! In the repository the component is built from `guest/`; a packaged crate brings it as
//! `policy.wasm`.
//!
//! ```
//! assert!(dunnage_policy_artifact::COMPONENT.starts_with(b"\0asm"));
//! ```

#![forbid(unsafe_code)]

pub mod component;

/// The component: WebAssembly in binary form, of the world `dunnage:bundle/policy@0.1.0`.
pub const COMPONENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/policy.wasm"));
