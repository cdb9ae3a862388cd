//! `strace`, where a test looks at system calls or ends a process at one of them.

use std::process::{Command, Stdio};

/// Whether a test with strace can run. Without it, it says why it does not; where the tools were
/// promised (`CI=true`) it fails.
#[must_use]
pub fn present(test: &str) -> bool {
    let mut probe = Command::new("strace");
    probe.args(["-qq", "-o", "/dev/null", "true"]).stdin(Stdio::null()).stderr(Stdio::null());
    if probe.status().is_ok_and(|status| status.success()) {
        return true;
    }
    let advice = format!("{test} needs strace and the right to trace: apt-get install strace");
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{advice}");
    eprintln!("skipped: {advice}");
    false
}

/// The same command under strace with these options.
pub fn traced(command: &Command, options: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq"]).args(options).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    strace
}
