//! Checks of what a broker is asked for. Who asks may be in the hands of an attacker, who can make
//! and rename whatever it likes below the state and root directories, but nothing elsewhere.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use crate::bundle::BundleId;
use crate::bundles::{Places, Runtime, ShimRecord};
use crate::name::Name;
#[cfg(feature = "shim")]
use crate::shim::Starter;
use crate::sys::ambient::open_trusted;
use crate::sys::{Directory, Kind, effective_ids};

/// What a broker acts below.
#[derive(Debug)]
pub(crate) struct Domain {
    pub(super) places: Places,
    /// Directories that the other side can write to.
    theirs: [PathBuf; 2],
    /// How shims are started, if they are.
    #[cfg(feature = "shim")]
    starter: Option<Starter>,
}

/// A bundle that a handle has led to.
pub(super) struct Bundle {
    pub(super) directory: Directory,
    pub(super) id: BundleId,
}

type Result<T, E = String> = std::result::Result<T, E>;

impl Domain {
    pub(crate) fn new(state: &Path, root: &Path) -> Self {
        let places = Places::new(state.to_owned(), root.to_owned());
        Self {
            places,
            theirs: [state, root].map(|path| std::path::absolute(path).unwrap_or_default()),
            #[cfg(feature = "shim")]
            starter: None,
        }
    }

    /// The state directory, as it was named at the start.
    pub(super) fn state(&self) -> &Path {
        let [state, _] = &self.theirs;
        state
    }

    /// The same, with shims to be started.
    #[cfg(feature = "shim")]
    pub(crate) fn with_starter(self, starter: Starter) -> Self {
        Self { starter: Some(starter), ..self }
    }

    /// Who starts shims.
    #[cfg(feature = "shim")]
    pub(super) fn starter(&self) -> Result<&Starter> {
        let starter = self.starter.as_ref().ok_or("it starts no shims")?;
        // One that is missing is told by who starts it.
        if let Ok(program) = starter.program()
            && program.exists()
        {
            self.check_elsewhere(&program)?;
        }
        Ok(starter)
    }

    /// The bundle of a handle: a directory of ours that lies exactly two levels below the state
    /// directory, under the name that it is known by.
    pub(super) fn bundle(&self, handle: OwnedFd) -> Result<Bundle> {
        let said = |failure: crate::sys::Failure| failure.to_string();
        let handle = Directory::from_fd_unchecked(handle, PathBuf::from("the handle"));
        let path = handle.path_now().map_err(said)?;
        let directory = handle.at(path.clone());
        let found = directory.metadata().map_err(said)?;
        if found.kind != Kind::Directory || found.uid != effective_ids().0 {
            return Err("the handle is not a directory of ours".to_owned());
        }
        let mut names = path.components().rev().map(|component| match component {
            Component::Normal(name) => Name::new(name.as_bytes()).map_err(|error| error.to_string()),
            Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => {
                Err("the handle is not a bundle's".to_owned())
            }
        });
        let mut next = || names.next().unwrap_or_else(|| Err("the handle is not a bundle's".to_owned()));
        let (name, namespace) = (next()?, next()?);
        let state = self.places.state.open().map_err(|error| error.to_string())?;
        let state = state.ok_or("there is no state directory")?;
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
        Ok(Bundle { id: BundleId::new(text(&namespace)?, text(&name)?), directory })
    }

    /// The runtime of a bundle's container, as it is on record.
    ///
    /// The record could be forged by who asks. So neither the program nor the state it works on
    /// may lie where that one can write.
    pub(super) fn runtime(&self, bundle: &Bundle) -> Result<Runtime> {
        let record =
            ShimRecord::find(&self.places, &bundle.id, &bundle.directory).map_err(|error| error.to_string())?;
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
        Ok(Runtime::of(&super::Privileged::InProcess, &bundle.id, record.as_ref()))
    }

    /// Refuses a program that somebody but root and us could have put there.
    fn check_program(&self, path: &Path) -> Result<()> {
        let path = &self.check_elsewhere(path)?;
        let untrusted =
            |why: &dyn std::fmt::Display| format!("the runtime {} cannot be trusted: {why}", path.display());
        let (Some(parent), Some(name)) = (path.parent(), path.file_name().map(OsStr::as_bytes)) else {
            return Err(untrusted(&"it has no name"));
        };
        let name = Name::new(name).map_err(|error| untrusted(&error))?;
        let directory = open_trusted(parent).map_err(|error| untrusted(&error))?;
        let found = directory.metadata_at(&name).map_err(|failure| untrusted(&failure))?;
        if found.kind != Kind::Regular || found.mode & 0o022 != 0 || ![0, effective_ids().0].contains(&found.uid) {
            return Err(untrusted(&"others own it or can write to it"));
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
                return Err(format!("{} lies below {}, which is not trusted", found.display(), theirs.display()));
            }
        }
        Ok(found)
    }
}

impl AsFd for Bundle {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.directory.as_fd()
    }
}
