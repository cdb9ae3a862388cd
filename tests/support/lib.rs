//! What the tests share: scratch directories, the binary, specs, and the privileges they need.

pub mod binary;
pub mod containerd;
pub mod containers;
pub mod fingerprint;
pub mod hostile;
pub mod mounts;
mod present;
pub mod privileges;
mod sabotage;
pub mod scratch;
pub mod specs;
pub mod strace;
pub mod watchdog;

pub use binary::{Outcome, run};
pub use scratch::Scratch;
