//! What `std` would bring, without the imports of WASI that the host refuses: an allocator, memory
//! routines and a panic handler.

#![expect(unsafe_code, reason = "a library without std names its memory routines itself")]

#[path = "../../../../../guest/src/runtime/abi.rs"]
mod abi;

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;
