//! What this machine has of what some tests need. The build script asks too, so that a runner counts the
//! others as ignored, and a test asks again when it runs.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0)
}

/// The programs that real containers need, and where each may lie.
const PROGRAMS: [(&str, &[&str]); 3] = [
    ("containerd-shim", &["/usr/bin/containerd-shim"]),
    ("busybox", &["/bin/busybox"]),
    ("runc", &["/usr/sbin/runc", "/usr/bin/runc"]),
];

/// Those of them that are missing.
pub(crate) fn missing_programs() -> Vec<&'static str> {
    let missing = PROGRAMS.into_iter().filter(|(_, places)| !places.iter().any(|place| Path::new(place).exists()));
    missing.map(|(name, _)| name).collect()
}

/// Whether strace is installed and allowed to trace.
pub(crate) fn can_trace() -> bool {
    let mut probe = Command::new("strace");
    probe.args(["-qq", "-o", "/dev/null", "true"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

/// Whether all of it was promised: a test then fails instead of being skipped.
pub(crate) fn promised() -> bool {
    std::env::var("CI").as_deref() == Ok("true")
}
