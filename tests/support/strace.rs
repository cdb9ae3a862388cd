//! `strace`, where a test looks at system calls or ends a process at one of them.

use std::ffi::OsStr;
use std::process::Command;

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
    let mut strace = wrapped(command);
    strace.args(["-f", "-qq"]).args(options).arg(command.get_program()).args(command.get_args());
    strace
}

/// The same command under strace with these options and no others.
pub fn traced_exactly(command: &Command, options: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut strace = wrapped(command);
    strace.args(options).arg(command.get_program()).args(command.get_args());
    strace
}

/// strace, with the environment of a command.
fn wrapped(command: &Command) -> Command {
    // By our own PATH: that of the command may lead elsewhere.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = std::env::split_paths(&path).map(|directory| directory.join("strace")).find(|file| file.exists());
    let mut strace = Command::new(program.unwrap_or_else(|| "strace".into()));
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    strace
}
