//! `delete`: what it removes, what it must not touch, and what does not keep it from its work.

mod bundle;
mod contents;
mod shim;
mod socket;
