//! Which files are left: Landlock.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, Scope,
};

use super::Needs;
use crate::cli::global::Global;

/// The newest Landlock this was written for; older kernels enforce what they know of it.
const NEWEST: ABI = ABI::V6;

pub(super) fn restrict(
    global: &Global,
    needs: Needs,
    policy: Option<&Path>,
) -> Result<RulesetStatus, Box<dyn std::error::Error>> {
    let abstract_too = matches!(needs, Needs::Asking { abstract_too: true } | Needs::Stopping { abstract_too: true });
    let scope = if abstract_too { Scope::Signal.into() } else { Scope::from_all(NEWEST) };
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(scope)?
        .create()?;
    for (path, access) in places(global, needs, policy) {
        // What cannot be opened cannot be used by the command either, which will say so.
        if let Ok(handle) = PathFd::new(&path) {
            ruleset = ruleset.add_rule(PathBeneath::new(handle, access))?;
        }
    }
    Ok(ruleset.restrict_self()?.ruleset)
}

/// The places that a command needs, and what for.
fn places(global: &Global, needs: Needs, policy: Option<&Path>) -> Vec<(PathBuf, BitFlags<AccessFs>)> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    // What is bound to files (executing them, device ioctls) is left out: no bundle needs it.
    let write =
        read | AccessFs::WriteFile | AccessFs::MakeDir | AccessFs::MakeReg | AccessFs::RemoveDir | AccessFs::RemoveFile;
    let mut places = vec![(PathBuf::from("/proc"), read)];
    if let Some(policy) = policy {
        places.push((policy.to_owned(), AccessFs::ReadFile.into()));
    }
    // A deep tree is taken apart from its top, to which its lower parts are moved.
    let delete = read | AccessFs::MakeDir | AccessFs::RemoveDir | AccessFs::RemoveFile | AccessFs::Refer;
    let sockets = (global.socket_root.clone(), AccessFs::ReadDir | AccessFs::RemoveFile);
    let both = |access| [&global.state, &global.root].map(|path| (path.clone(), access));
    match needs {
        Needs::Nothing => {}
        Needs::Reading | Needs::Inspecting => places.extend(both(read)),
        // It may be followed before there is anything.
        Needs::Following => places.push((existing(&global.state), read)),
        Needs::Creating => places.extend(both(write).map(|(path, access)| (existing(&path), access))),
        Needs::Recording => places.push((existing(&global.state), write | AccessFs::Truncate)),
        Needs::Deleting => places.extend(both(delete).into_iter().chain([sockets])),
        Needs::Cycling => {
            let both = both(write | delete).map(|(path, access)| (existing(&path), access));
            places.extend(both.into_iter().chain([sockets]));
        }
        Needs::Asking { .. } => {
            places.extend(both(read).into_iter().chain([(global.socket_root.clone(), AccessFs::ReadDir.into())]));
        }
        // It is started before there is anything.
        Needs::Removing => {
            places.extend(both(delete).into_iter().chain([sockets]).map(|(path, access)| (existing(&path), access)));
        }
        Needs::Starting | Needs::Running => {
            let sockets = (sockets.0, sockets.1 | AccessFs::MakeSock | AccessFs::MakeDir);
            let both = both(write | delete | AccessFs::MakeFifo);
            places.extend(both.into_iter().chain([sockets]).map(|(path, access)| (existing(&path), access)));
        }
        Needs::Stopping { .. } => places.extend(both(read).into_iter().chain([sockets])),
    }
    places
}

/// The directory itself, or, if it has yet to be made, the nearest one above it.
fn existing(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/")).to_owned()
}
