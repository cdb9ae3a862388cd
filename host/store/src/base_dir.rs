//! A directory that the operator names, and the namespaces in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dunnage_core::{AtStep as _, Error, ErrorKind, Result, Step};
use dunnage_sys::trusted_path::{self, CreatedDirectory, TrustedPathError};
use dunnage_sys::{Crossing, Directory, Metadata, Name, effective_ids};
use rustix::io::Errno;

use crate::handle_cache::HandleCache;

/// The mode of state, root, namespace and work directories: everyone may traverse them, only we may
/// list them.
pub const PASSABLE: u32 = 0o711;
/// The write bits of group and others.
pub(crate) const WRITABLE: u32 = 0o022;

/// A directory that the operator names. It and the namespaces in it are opened once and kept.
#[derive(Debug)]
pub struct BaseDir {
    path: PathBuf,
    pub(crate) step: Step,
    handles: HandleCache,
}

/// Messages and answers show whole paths. Fails only without a current directory, and then the
/// path is opened as it is, which says so.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

impl BaseDir {
    /// A directory by its path; failures to open it are reported for this step.
    pub fn new(path: PathBuf, step: Step) -> Self {
        Self { path: absolute(path), step, handles: HandleCache::default() }
    }

    /// Its whole path. Only text.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory, or `None` if there is none.
    pub fn open(&self) -> Result<Option<Arc<Directory>>> {
        match self.open_with(|| trusted_path::open_trusted(&self.path)) {
            Err(TrustedPathError::Failure(failure)) if failure.errno() == Errno::NOENT => Ok(None),
            result => result.map(Some).at_step(self.step),
        }
    }

    /// The directory, made if it is missing.
    pub(crate) fn open_or_make(&self, made: &mut Vec<CreatedDirectory>) -> Result<Arc<Directory>> {
        self.open_with(|| trusted_path::open_or_make_trusted(&self.path, PASSABLE, made)).at_step(self.step)
    }

    fn open_with(
        &self,
        open: impl FnOnce() -> Result<Directory, TrustedPathError>,
    ) -> Result<Arc<Directory>, TrustedPathError> {
        // If it has become writable by others, it is walked to again, and the walk refuses it.
        if let Some((directory, found)) = self.handles.get(&self.path)
            && found.mode & WRITABLE == 0
            && found.uid == effective_ids().0
        {
            return Ok(directory);
        }
        let directory = Arc::new(open()?);
        self.handles.keep(self.path.clone(), &directory);
        Ok(directory)
    }

    /// The directory of a namespace, or `None` if there is none. Changes nothing, so one that
    /// others can write to is refused.
    pub fn namespace(&self, namespace: &Name) -> Result<Option<Arc<Directory>>> {
        let Some((directory, found)) = self.find_namespace(namespace, Self::open)? else { return Ok(None) };
        if found.mode & WRITABLE == 0 {
            return Ok(Some(directory));
        }
        let path = directory.path();
        let message =
            format!("others can write to {0} (mode {1:04o}); try: chmod go-w {0}", path.display(), found.mode);
        Err(Error::new(ErrorKind::Untrusted, Step::OpenNamespace, message).at(path))
    }

    /// The directory of a namespace, narrowed if it is too open, or `None` if there is none.
    pub fn namespace_to_change(&self, namespace: &Name) -> Result<Option<Arc<Directory>>> {
        let Some((directory, found)) = self.find_namespace(namespace, Self::open)? else { return Ok(None) };
        narrow(&directory, &found)?;
        Ok(Some(directory))
    }

    /// The directory of a namespace, made if it is missing, narrowed if it is too open.
    pub fn namespace_or_make(&self, namespace: &Name, made: &mut Vec<CreatedDirectory>) -> Result<Arc<Directory>> {
        loop {
            if let Some((directory, found)) =
                self.find_namespace(namespace, |base| base.open_or_make(made).map(Some))?
            {
                narrow(&directory, &found)?;
                return Ok(directory);
            }
            let base = self.open_or_make(made)?;
            match base.create_directory(namespace, PASSABLE) {
                Ok(directory) => {
                    made.push(CreatedDirectory { parent: base, name: namespace.clone() });
                    return Ok(Arc::new(directory));
                }
                Err(failure) if failure.errno() == Errno::EXIST => {}
                Err(failure) => return Err(Error::from_failure(Step::OpenNamespace, &failure)),
            }
        }
    }

    fn find_namespace(
        &self,
        namespace: &Name,
        open_base: impl FnOnce(&Self) -> Result<Option<Arc<Directory>>>,
    ) -> Result<Option<(Arc<Directory>, Metadata)>> {
        let path = self.path.join(namespace.as_path());
        let parent = || open_base(self);
        let found = self.kept_or_open(&path, namespace, Crossing::Allowed, Step::OpenNamespace, parent)?;
        let Some((directory, metadata)) = found else { return Ok(None) };
        check_owner(&directory, &metadata, Step::OpenNamespace)?;
        Ok(Some((directory, metadata)))
    }

    /// A directory in this one, and what it is now, or `None` if there is none.
    pub(crate) fn kept_or_open(
        &self,
        path: &Path,
        name: &Name,
        crossing: Crossing,
        step: Step,
        parent: impl FnOnce() -> Result<Option<Arc<Directory>>>,
    ) -> Result<Option<(Arc<Directory>, Metadata)>> {
        if let Some(found) = self.handles.get(path) {
            return Ok(Some(found));
        }
        let Some(parent) = parent()? else { return Ok(None) };
        let directory = match parent.open_directory(name, crossing) {
            Err(failure) if failure.errno() == Errno::NOENT => return Ok(None),
            result => Arc::new(result.at_step(step)?),
        };
        let metadata = directory.metadata().at_step(step)?;
        self.handles.keep(path.to_owned(), &directory);
        Ok(Some((directory, metadata)))
    }
}

/// Refuses a directory that belongs to another user.
pub fn check_owner(directory: &Directory, found: &Metadata, step: Step) -> Result<()> {
    let (uid, _) = effective_ids();
    if found.uid == uid {
        return Ok(());
    }
    let message = format!("{} belongs to user {}, not to user {uid}", directory.path().display(), found.uid);
    Err(Error::new(ErrorKind::Untrusted, step, message).at(directory.path()))
}

/// Takes away what a namespace directory should never have given (CVE-2024-25621 left such
/// directories behind on real nodes).
fn narrow(directory: &Directory, found: &Metadata) -> Result<()> {
    let mode = found.mode;
    if mode & !PASSABLE != 0 {
        tracing::warn!(path = %directory.path().display(), "namespace directory has mode {mode:04o}, removing the excess bits");
        directory.set_mode(mode & PASSABLE).at_step(Step::OpenNamespace)?;
    }
    Ok(())
}
