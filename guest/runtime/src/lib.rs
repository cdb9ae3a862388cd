//! What `std` would bring, for components that import nothing: an allocator, a panic handler, the
//! memory routines, and how a host passes things in. Natively this is empty.
//!
//! ```ignore
//! #![no_std]
//! use dunnage_guest_runtime as _;
//! ```

#![no_std]
#![cfg(target_family = "wasm")]
#![expect(unsafe_code, reason = "a library without std names its memory routines itself")]

extern crate alloc;

mod abi;
#[cfg(feature = "arena")]
mod arena;

#[cfg(feature = "arena")]
#[global_allocator]
static ARENA: arena::Arena = arena::Arena::new();

#[cfg(all(feature = "dlmalloc", not(feature = "arena")))]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;
