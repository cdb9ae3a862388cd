//! Confining this process before it reads the first untrusted byte: a second wall around the host,
//! should the policy's be broken.
//!
//! - Landlock (landlock(7)) leaves the state, root and socket directories, as the command needs
//!   them, and `/proc`. Of those that have yet to be made the nearest directory above is left.
//! - The capabilities go down to what the command needs, in all five sets, and no `exec` gives any
//!   back (`no_new_privs`).
//! - A seccomp filter leaves the system calls that the command needs (see [`calls`]).
//!
//! All of it holds for children too, and Landlock forbids unmounting. What has to be done without
//! is done by a broker that was started before (see `dunnage::broker`).

mod calls;
mod capabilities;
mod files;
mod filter;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;

use dunnage::broker::Broker;
use dunnage::shim::StartOptions;
use landlock::RulesetStatus;

use super::global::Global;

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Only decides: no file at all.
    Nothing,
    /// Looks at bundles.
    Reading,
    /// Waits for records below the state directory.
    Following,
    /// Makes bundles.
    Creating,
    /// Writes records below the state directory.
    Recording,
    /// Deletes bundles.
    Deleting,
    /// Makes bundles and deletes them, or what is left of them.
    Cycling,
    /// Looks at bundles, and whether their shims are running.
    Inspecting,
    /// Asks shims, perhaps at an abstract address.
    Asking { abstract_too: bool },
    /// The same, and ends them.
    Stopping { abstract_too: bool },
    /// Listens for shims, and connects to them.
    Starting,
    /// Waits for a container, and deletes its bundle.
    Removing,
    /// Makes bundles, starts their shims, copies streams, and deletes what it has made.
    Running,
}

/// Confines this process and says, for people, how far that went.
///
/// A kernel that lacks something is no reason to fail: the policy is confined in any case.
pub(super) fn confine(global: &Global, needs: Needs) -> String {
    confine_with_policy(global, needs, global.policy.as_deref())
}

/// The same for a command that also has to unmount, or to look at processes: the broker that does
/// that for it. Nothing has to be open yet, and no thread running.
pub(super) fn confine_beside_broker(global: &Global, needs: Needs) -> Option<Broker> {
    confine_beside(global, needs, || Broker::start(&global.state, &global.root))
}

/// The same for a command that starts shims, by these options.
pub(super) fn confine_beside_starter(global: &Global, needs: Needs, options: &StartOptions) -> Option<Broker> {
    confine_beside(global, needs, || Broker::start_with_shims(&global.setup(), options))
}

fn confine_beside(global: &Global, needs: Needs, start: impl FnOnce() -> io::Result<Broker>) -> Option<Broker> {
    if global.no_confine {
        return None;
    }
    match start() {
        Ok(broker) => {
            confine(global, needs);
            Some(broker)
        }
        Err(error) => {
            tracing::warn!("cannot confine this process: its broker cannot be started: {error}");
            None
        }
    }
}

/// The same with a policy file to be read that the options do not name.
pub(super) fn confine_with_policy(global: &Global, needs: Needs, policy: Option<&Path>) -> String {
    if global.no_confine {
        return "process: not confined, as was asked for".to_owned();
    }
    let (mut by, mut without) = (Vec::new(), Vec::new());
    // Directories are opened first: that may take the capabilities that go next. The filter comes
    // last, since it forbids all of this.
    match files::restrict(global, needs, policy) {
        Ok(RulesetStatus::FullyEnforced) => by.push("Landlock".to_owned()),
        Ok(RulesetStatus::PartiallyEnforced) => by.push("Landlock as far as this kernel can".to_owned()),
        Ok(RulesetStatus::NotEnforced) => without.push("this kernel has no Landlock".to_owned()),
        Err(error) => without.push(failed("Landlock", &*error)),
    }
    match capabilities::drop_all_but(needs, policy.is_some()) {
        Ok(left) => by.push(format!("capabilities ({left})")),
        Err(errno) => without.push(failed("capabilities", &errno)),
    }
    match rustix::thread::set_no_new_privs(true) {
        Ok(()) => by.push("no_new_privs".to_owned()),
        Err(errno) => without.push(failed("no_new_privs", &errno)),
    }
    match filter::install(needs) {
        Ok(count) => by.push(format!("seccomp ({count} system calls)")),
        Err(error) => without.push(failed("seccomp", &*error)),
    }
    let report = summary(&by, &without);
    tracing::info!("{report}");
    report
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> String {
    tracing::warn!("cannot confine this process by {what}: {error}");
    format!("{what} failed: {error}")
}

fn summary(by: &[String], without: &[String]) -> String {
    let mut text = match by {
        [] => "process: not confined".to_owned(),
        by => format!("process: confined by {}", by.join(", ")),
    };
    for why in without {
        text.push_str("; ");
        text.push_str(why);
    }
    text
}
