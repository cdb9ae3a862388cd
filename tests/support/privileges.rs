//! Root, where a test needs it, and an ordinary user, where a test needs that.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::{Scratch, present};

/// Any user but root. Nobody needs to know it by name.
const SOMEBODY: u32 = 12_345;

/// Whether a privileged test can run. Without root it says why it does not; where root was
/// promised (`CI=true`) it fails.
#[must_use]
pub fn root(test: &str) -> bool {
    possible(present::is_root(), &format!("{test} needs root"))
}

/// Whether a test can run, which is so if the machine has what it needs. Otherwise the test says why it
/// does not run, or fails where that was promised.
pub(crate) fn possible(present: bool, advice: &str) -> bool {
    assert!(present || !present::promised(), "{advice}, which CI promises");
    if !present {
        eprintln!("skipped: {advice}");
    }
    present
}

/// Makes a command run as an ordinary user, who then owns the scratch directory too: somebody
/// else, if the test runs as root.
pub fn as_ordinary_user(scratch: &Scratch, command: &mut Command) {
    if rustix::process::geteuid().is_root() {
        chown(scratch.path(), Some(SOMEBODY), Some(SOMEBODY)).expect("give the scratch directory away");
        command.uid(SOMEBODY).gid(SOMEBODY);
    }
}

/// The user and the group that an ordinary user's files have.
#[must_use]
pub fn ordinary_ids() -> (u32, u32) {
    let ours = (rustix::process::geteuid(), rustix::process::getegid());
    if ours.0.is_root() { (SOMEBODY, SOMEBODY) } else { (ours.0.as_raw(), ours.1.as_raw()) }
}

/// The user and the group that our own files have.
#[must_use]
pub fn own_ids() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}
