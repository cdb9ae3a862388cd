//! What `std` would bring: an allocator, a panic handler, the memory routines.

#![expect(unsafe_code, reason = "a library without std names its memory routines itself")]

mod abi;
mod arena;

#[global_allocator]
static ARENA: arena::Arena = arena::Arena::new();
