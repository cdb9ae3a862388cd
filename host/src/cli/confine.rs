//! Confining this process, before it decides on anything: Landlock (landlock(7)). The spec has been
//! read by then, and is opaque bytes; what is left to open are the state and root directories. If
//! those have yet to be made, the nearest directory above them is open to this process too.
//!
//! Only commands that need not unmount are confined: Landlock forbids mounting and unmounting to
//! the whole domain.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, Scope,
};

use super::global::Global;

/// The newest Landlock this was written for; older kernels enforce what they know of it.
const NEWEST: ABI = ABI::V6;

/// What a command does with the bundles.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Only decisions: no file at all.
    Nothing,
    /// Looks at bundles.
    Reading,
    /// Makes bundles.
    Writing,
    /// Writes records below the state directory.
    Recording,
}

/// Confines this process and says, for people, how far that went.
///
/// A kernel without Landlock is no reason to fail: the policy is confined in any case, and this is
/// a second wall around the host.
pub(super) fn confine(global: &Global, needs: Needs) -> String {
    confine_with_policy(global, needs, global.policy.as_deref())
}

/// The same with a policy file to be read that the options do not name.
pub(super) fn confine_with_policy(global: &Global, needs: Needs, policy: Option<&Path>) -> String {
    if global.no_confine {
        return "process: not confined, as was asked for".to_owned();
    }
    match restrict(global, needs, policy) {
        Ok(RulesetStatus::FullyEnforced) => "process: confined by Landlock".to_owned(),
        Ok(RulesetStatus::PartiallyEnforced) => "process: confined by Landlock as far as this kernel can".to_owned(),
        Ok(RulesetStatus::NotEnforced) => "process: not confined, this kernel has no Landlock".to_owned(),
        Err(error) => {
            tracing::warn!("cannot confine this process: {error}");
            format!("process: not confined: {error}")
        }
    }
}

fn restrict(global: &Global, needs: Needs, policy: Option<&Path>) -> Result<RulesetStatus, Box<dyn std::error::Error>> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    // What is bound to files (executing them, device ioctls) is left out: no bundle needs it.
    let write =
        read | AccessFs::WriteFile | AccessFs::MakeDir | AccessFs::MakeReg | AccessFs::RemoveDir | AccessFs::RemoveFile;
    let mut places: Vec<(PathBuf, BitFlags<AccessFs>)> = vec![("/proc".into(), read)];
    if let Some(policy) = policy {
        places.push((policy.to_owned(), AccessFs::ReadFile.into()));
    }
    let both = |access| [&global.state, &global.root].map(|path| (existing(path), access));
    match needs {
        Needs::Nothing => {}
        Needs::Reading => places.extend(both(read)),
        Needs::Writing => places.extend(both(write)),
        Needs::Recording => places.push((existing(&global.state), write | AccessFs::Truncate)),
    }

    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    for (path, access) in places {
        // What cannot be opened cannot be used by the command either, which will say so.
        if let Ok(handle) = PathFd::new(&path) {
            ruleset = ruleset.add_rule(PathBeneath::new(handle, access))?;
        }
    }
    Ok(ruleset.restrict_self()?.ruleset)
}

/// The directory itself, or, if it has yet to be made, the nearest one above it.
fn existing(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/")).to_owned()
}
