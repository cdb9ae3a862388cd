//! `create`: what it leaves on disk, exactly, and that a call that fails leaves nothing.

mod failures;
mod inheritance;
mod modes;
mod places;
mod tree;
