//! Shims: starting them, connecting to them, being one.

pub mod protocol;
