//! A policy for tests that decides otherwise, or misbehaves: the container's id says how.
//!
//! One component for all cases; natively this is empty.

#![no_std]
#![cfg(target_family = "wasm")]

extern crate alloc;

use dunnage_guest_runtime as _;

mod bundles;
mod script;
mod shims;

#[expect(unsafe_code, unreachable_pub, missing_docs, reason = "generated code crosses the boundary of the component")]
mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "policy", generate_all });

    use crate::Policy;
    export!(Policy);
}

pub(crate) struct Policy;
