//! Confining a process before it reads the first untrusted byte: a second wall, should the policy's be
//! broken.
//!
//! - Landlock (landlock(7)) leaves the state, root and socket directories, as far as the work needs
//!   them, and `/proc`. Of those that have yet to be made the nearest directory above is left.
//! - The capabilities go down to what the work needs, in all five sets, and no `exec` gives any back
//!   (`no_new_privs`).
//! - A seccomp filter leaves the system calls that the work needs.
//!
//! What the work needs is a [`Profile`]: one row of a table for each kind of work. All of it holds
//! for children too, and Landlock forbids unmounting. What cannot be done under confinement is done
//! by a process that was started before.

#![cfg_attr(not(test), forbid(unsafe_code))]

mod bpf;
mod capabilities;
mod files;
mod profile;
mod syscalls;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;

use landlock::RulesetStatus;

pub use self::profile::Profile;

/// The paths that the work may need.
#[derive(Clone, Copy, Debug)]
pub struct AllowedPaths<'a> {
    /// The state directory.
    pub state: &'a Path,
    /// The root directory.
    pub root: &'a Path,
    /// The directory of the shims' sockets.
    pub socket_root: &'a Path,
    /// A policy's file that is yet to be read.
    pub policy: Option<&'a Path>,
    /// The directory of a log that is yet to be read.
    pub log_dir: Option<&'a Path>,
}

/// How far a process is confined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct ConfinementReport {
    /// What confines it.
    pub by: Vec<String>,
    /// What does not, and why.
    pub without: Vec<String>,
}

/// Confines this process, and says how far that went.
///
/// A kernel that lacks something is not a reason to fail: the policy is confined in any case. What
/// went wrong is in the report, and in the log.
pub fn confine(paths: &AllowedPaths<'_>, profile: &Profile) -> ConfinementReport {
    let mut report = ConfinementReport::default();
    // Directories are opened first: that may take the capabilities that go next. The filter comes
    // last, since it forbids all of this.
    match files::restrict(paths, profile) {
        Ok(RulesetStatus::FullyEnforced) => report.by.push("Landlock".to_owned()),
        Ok(RulesetStatus::PartiallyEnforced) => report.by.push("Landlock as far as this kernel supports it".to_owned()),
        Ok(RulesetStatus::NotEnforced) => report.without.push("this kernel does not support Landlock".to_owned()),
        Err(error) => report.failed("Landlock", &*error),
    }
    match capabilities::drop_all_but(profile, paths.policy.or(paths.log_dir).is_some()) {
        Ok(left) => report.by.push(format!("capabilities ({left})")),
        Err(errno) => report.failed("capabilities", &errno),
    }
    match rustix::thread::set_no_new_privs(true) {
        Ok(()) => report.by.push("no_new_privs".to_owned()),
        Err(errno) => report.failed("no_new_privs", &errno),
    }
    match syscalls::restrict(profile) {
        Ok(count) => report.by.push(format!("seccomp ({count} system calls)")),
        Err(error) => report.failed("seccomp", &*error),
    }
    tracing::info!("{report}");
    report
}

impl ConfinementReport {
    fn failed(&mut self, what: &str, error: &dyn fmt::Display) {
        tracing::warn!("cannot confine this process with {what}: {error}");
        self.without.push(format!("{what} failed: {error}"));
    }
}

impl fmt::Display for ConfinementReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.by {
            [] => f.write_str("process: not confined")?,
            by => write!(f, "process: confined by {}", by.join(", "))?,
        }
        self.without.iter().try_for_each(|why| write!(f, "; {why}"))
    }
}
