//! What `std` would bring: an allocator, and what the shipped policy has too.

#![expect(unsafe_code, reason = "a library without std names its memory routines itself")]

#[path = "../../../guest/src/runtime/abi.rs"]
mod abi;

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;
