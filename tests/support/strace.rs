//! `strace`, where a test looks at system calls or ends a process at one of them.

use std::ffi::{OsStr, OsString};
use std::process::Command;

use crate::binary::through;
use crate::{present, privileges};

/// Whether a test with strace can run. Without it, it says why it does not; where the tools were
/// promised (`CI=true`) it fails.
#[must_use]
pub fn present(test: &str) -> bool {
    let advice = format!("{test} needs strace and the right to trace: apt-get install strace");
    privileges::possible(present::can_trace(), &advice)
}

/// The same command under strace with these options, with all that it starts.
pub fn traced(command: &Command, options: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let options = options.into_iter().map(|option| option.as_ref().to_owned());
    traced_exactly(command, ["-f", "-qq"].map(OsString::from).into_iter().chain(options))
}

/// The same command under strace with these options and no others.
pub fn traced_exactly(command: &Command, options: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    through("strace", options, command)
}
