//! Checks of the requests to a broker. The client may be under the control of an attacker, who can
//! create and rename anything below the state and root directories, but nothing elsewhere.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use dunnage_core::BundleId;
use dunnage_oci_runtime::Runc;
use dunnage_store::{Layout, ShimRecord};
use dunnage_sys::trusted_path::open_trusted;
use dunnage_sys::{Directory, FileKind, Name, effective_ids};

use crate::{ShimLauncher, runtime_of};

/// What a broker acts below.
#[derive(Debug)]
pub struct Domain {
    pub(super) layout: Layout,
    /// Directories that the other side can write to.
    theirs: [PathBuf; 2],
    /// How shims are started, if they are.
    launcher: Option<Box<dyn ShimLauncher>>,
}

/// A bundle that a handle has led to.
pub(super) struct VerifiedBundle {
    pub(super) directory: Directory,
    pub(super) id: BundleId,
}

type Result<T, E = String> = std::result::Result<T, E>;

impl Domain {
    /// A domain of the bundles of a state and a root directory.
    #[must_use]
    pub fn new(state: &Path, root: &Path) -> Self {
        let layout = Layout::new(state.to_owned(), root.to_owned());
        Self { layout, theirs: [state, root].map(|path| std::path::absolute(path).unwrap_or_default()), launcher: None }
    }

    /// The state directory, as it was named at the start.
    pub(super) fn state(&self) -> &Path {
        let [state, _] = &self.theirs;
        state
    }

    /// The same, with shims to be started.
    #[must_use]
    pub fn with_launcher(self, launcher: Box<dyn ShimLauncher>) -> Self {
        Self { launcher: Some(launcher), ..self }
    }

    /// What starts shims.
    pub(super) fn launcher(&self) -> Result<&dyn ShimLauncher> {
        let launcher = self.launcher.as_deref().ok_or("this broker does not start shims")?;
        // The launcher reports a missing program.
        if let Ok(program) = launcher.program()
            && program.exists()
        {
            self.check_elsewhere(&program)?;
        }
        Ok(launcher)
    }

    /// The bundle of a handle: a directory of ours that lies exactly two levels below the state
    /// directory, under the name that it is known by.
    pub(super) fn bundle(&self, handle: OwnedFd) -> Result<VerifiedBundle> {
        let said = |failure: dunnage_sys::Failure| failure.to_string();
        let handle = Directory::from_fd_unchecked(handle, PathBuf::from("the handle"));
        let path = handle.path_now().map_err(said)?;
        let directory = handle.at(path.clone());
        let found = directory.metadata().map_err(said)?;
        if found.kind != FileKind::Directory || found.uid != effective_ids().0 {
            return Err("the handle is not a directory of this user".to_owned());
        }
        let mut names = path.components().rev().map(|component| match component {
            Component::Normal(name) => Name::new(name.as_bytes()).map_err(|error| error.to_string()),
            Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => {
                Err("the handle does not belong to a bundle".to_owned())
            }
        });
        let mut next = || names.next().unwrap_or_else(|| Err("the handle does not belong to a bundle".to_owned()));
        let (name, namespace) = (next()?, next()?);
        let state = self.layout.state.open().map_err(|error| error.to_string())?;
        let state = state.ok_or("the state directory does not exist")?;
        // By handles, upwards and down again: a path proves nothing.
        let parent = directory.parent().map_err(said)?;
        let above = parent.parent().map_err(said)?;
        let is_at = |child: &Directory, parent: &Directory, name: &Name| {
            child.metadata_if_at(parent, name).map(|found| found.is_some()).map_err(said)
        };
        if above.identity() != state.identity()
            || !is_at(&parent, &state, &namespace)?
            || !is_at(&directory, &parent, &name)?
        {
            return Err("the handle does not lead to a bundle in the state directory".to_owned());
        }
        let text = |name: &Name| name.as_text().map(str::to_owned).ok_or("the bundle's name is not UTF-8");
        Ok(VerifiedBundle { id: BundleId::new(text(&namespace)?, text(&name)?), directory })
    }

    /// The runtime of a bundle's container, as it is on record.
    ///
    /// The client could have forged the record. So neither the program nor the state it works on
    /// may lie where the client can write.
    pub(super) fn runtime(&self, bundle: &VerifiedBundle) -> Result<Runc> {
        let record =
            ShimRecord::find(&self.layout, &bundle.id, &bundle.directory).map_err(|error| error.to_string())?;
        if let Some(record) = &record {
            let ShimRecord { runtime, runtime_root, .. } = record;
            // A bare name is looked up in our own PATH.
            if runtime.components().count() > 1 || runtime.is_absolute() {
                self.check_program(runtime)?;
            }
            if !runtime_root.as_os_str().is_empty() {
                self.check_elsewhere(runtime_root)?;
            }
        }
        Ok(runtime_of(&bundle.id, record.as_ref()))
    }

    /// Refuses a program that a user other than root and us could have put there.
    fn check_program(&self, path: &Path) -> Result<()> {
        let path = &self.check_elsewhere(path)?;
        let untrusted =
            |why: &dyn std::fmt::Display| format!("the runtime {} cannot be trusted: {why}", path.display());
        let (Some(parent), Some(name)) = (path.parent(), path.file_name().map(OsStr::as_bytes)) else {
            return Err(untrusted(&"the path has no file name"));
        };
        let name = Name::new(name).map_err(|error| untrusted(&error))?;
        let directory = open_trusted(parent).map_err(|error| untrusted(&error))?;
        let found = directory.metadata_at(&name).map_err(|failure| untrusted(&failure))?;
        if found.kind != FileKind::Regular || found.mode & 0o022 != 0 || ![0, effective_ids().0].contains(&found.uid) {
            return Err(untrusted(&"another user owns it or can write to it"));
        }
        Ok(())
    }

    /// Refuses what lies below the directories that the other side can write to; answers where it
    /// lies, without links.
    fn check_elsewhere(&self, path: &Path) -> Result<PathBuf> {
        let real = |path: &Path| path.canonicalize().map_err(|error| format!("{}: {error}", path.display()));
        let found = real(path)?;
        for theirs in &self.theirs {
            if real(theirs).is_ok_and(|theirs| found.starts_with(theirs)) {
                return Err(format!("{} is below {}, which is not trusted", found.display(), theirs.display()));
            }
        }
        Ok(found)
    }
}

impl AsFd for VerifiedBundle {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.directory.as_fd()
    }
}
