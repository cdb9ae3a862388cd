//! The policy of Dunnage: every decision over untrusted input, as a sandboxed component.
//!
//! Built for `wasm32-wasip2` it is a component of the world `policy` (see `wit/`) that imports
//! nothing but `dunnage:bundle/filesystem`: no clock, no environment, no WASI. Built natively it
//! is a plain library, which is how its logic is tested.

#![no_std]

extern crate alloc;

pub mod address;
pub mod config;
pub mod create;
pub mod delete;
pub mod directory;
pub mod identifier;
pub mod records;
pub mod spec;

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod testing;

#[cfg(target_family = "wasm")]
mod bindings;
#[cfg(target_family = "wasm")]
mod bundles;
#[cfg(target_family = "wasm")]
mod shims;
#[cfg(target_family = "wasm")]
mod tasks;

#[cfg(target_family = "wasm")]
use dunnage_guest_runtime as _;

/// The component: what it exports lies in [`bundles`], [`shims`] and [`tasks`].
#[cfg(target_family = "wasm")]
#[expect(unsafe_code, unreachable_pub, reason = "generated code crosses the boundary of the component")]
mod component {
    use crate::bindings;

    pub(crate) struct Policy;

    bindings::export!(Policy with_types_in bindings);
}
