//! Which files are left: Landlock.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, Scope,
};

use crate::{AllowedPaths, Profile};

/// The newest Landlock this was written for; older kernels enforce what they know of it.
const NEWEST: ABI = ABI::V6;

pub(crate) fn restrict(
    paths: &AllowedPaths<'_>,
    profile: &Profile,
) -> Result<RulesetStatus, Box<dyn std::error::Error>> {
    let scope = if profile.abstract_sockets { Scope::Signal.into() } else { Scope::from_all(NEWEST) };
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(scope)?
        .create()?;
    for (path, access) in allowed(paths, profile) {
        // What cannot be opened cannot be used for the work either, and the work will report that.
        if let Ok(handle) = PathFd::new(&path) {
            ruleset = ruleset.add_rule(PathBeneath::new(handle, access))?;
        }
    }
    Ok(ruleset.restrict_self()?.ruleset)
}

/// The places that the work needs, and what for.
fn allowed(paths: &AllowedPaths<'_>, profile: &Profile) -> Vec<(PathBuf, BitFlags<AccessFs>)> {
    let mut allowed = vec![(PathBuf::from("/proc"), AccessFs::ReadFile | AccessFs::ReadDir)];
    if let Some(policy) = paths.policy {
        allowed.push((policy.to_owned(), AccessFs::ReadFile.into()));
    }
    if let Some(log_dir) = paths.log_dir {
        allowed.push((log_dir.to_owned(), AccessFs::ReadFile | AccessFs::ReadDir));
    }
    for (path, rights, may_be_missing) in [
        (paths.state, profile.state, profile.makes_bases),
        (paths.root, profile.root, profile.makes_bases),
        (paths.socket_root, profile.sockets, profile.makes_sockets),
    ] {
        let rights: BitFlags<AccessFs> = rights.iter().copied().flatten().copied().collect();
        if !rights.is_empty() {
            allowed.push((if may_be_missing { existing(path) } else { path.to_owned() }, rights));
        }
    }
    allowed
}

/// The directory itself, or, if it has yet to be made, the nearest one above it.
fn existing(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/")).to_owned()
}
