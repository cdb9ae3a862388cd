//! Where bundles and work directories lie: the state, root and namespace directories.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;

use crate::bundle::{Bundle, BundleId};
use crate::error::{AtStep, Error, ErrorKind, Result, Step};
use crate::name::Name;
use crate::sys::ambient::{self, AmbientError, Made};
use crate::sys::{Crossing, Directory, effective_ids};

/// The mode of state, root, namespace and work directories: all may pass, only we may list.
pub(crate) const PASSABLE: u32 = 0o711;

/// A directory that the operator names, opened once and kept.
#[derive(Debug)]
pub(crate) struct Base {
    path: PathBuf,
    step: Step,
    opened: Mutex<Option<Arc<Directory>>>,
}

/// The two directories of a namespace, or one of them for all namespaces.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) state: Base,
    pub(crate) root: Base,
}

impl Places {
    pub(crate) fn new(state: PathBuf, root: PathBuf) -> Self {
        let base = |path: PathBuf, step| Base { path: absolute(path), step, opened: Mutex::new(None) };
        Self { state: base(state, Step::OpenState), root: base(root, Step::OpenRoot) }
    }

    /// Where a bundle and its work directory lie. Only text.
    pub(crate) fn bundle(&self, id: &BundleId) -> Bundle {
        let below = |base: &Base| base.path.join(id.namespace()).join(id.id());
        Bundle { id: id.clone(), path: below(&self.state), work_dir: below(&self.root) }
    }
}

/// Messages and answers show whole paths. Fails only without a current directory, and then the
/// path is opened as it is, which says so.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

impl Base {
    /// The directory, or `None` if there is none.
    pub(crate) fn open(&self) -> Result<Option<Arc<Directory>>> {
        self.open_with(|| match ambient::open_trusted(&self.path) {
            Err(AmbientError::Failure(failure)) if failure.errno() == Errno::NOENT => Ok(None),
            result => result.map(Some),
        })
    }

    /// The directory, made if it is missing.
    pub(crate) fn open_or_make(&self, made: &mut Vec<Made>) -> Result<Arc<Directory>> {
        let opened = self.open_with(|| ambient::open_or_make_trusted(&self.path, PASSABLE, made).map(Some))?;
        opened.ok_or_else(|| Error::new(ErrorKind::Filesystem, self.step, "the directory is gone"))
    }

    /// Uses the kept handle as long as the path leads there.
    fn open_with(
        &self,
        open: impl FnOnce() -> Result<Option<Directory>, AmbientError>,
    ) -> Result<Option<Arc<Directory>>> {
        let mut kept = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(directory) = kept.as_ref().filter(|directory| ambient::leads_to(&self.path, directory)) {
            return Ok(Some(Arc::clone(directory)));
        }
        *kept = open().at_step(self.step)?.map(Arc::new);
        Ok(kept.clone())
    }

    /// The directory of a namespace, or `None` if there is none. Changes nothing.
    pub(crate) fn namespace(&self, namespace: &Name) -> Result<Option<Directory>> {
        let Some(base) = self.open()? else { return Ok(None) };
        match base.open_directory(namespace, Crossing::Allowed) {
            Err(failure) if failure.errno() == Errno::NOENT => Ok(None),
            result => {
                let directory = result.at_step(Step::OpenNamespace)?;
                check_owner(&directory, Step::OpenNamespace)?;
                Ok(Some(directory))
            }
        }
    }

    /// The directory of a namespace, made if it is missing, narrowed if it is too open.
    pub(crate) fn namespace_or_make(&self, namespace: &Name, made: &mut Vec<Made>) -> Result<Directory> {
        loop {
            let base = self.open_or_make(made)?;
            match base.open_directory(namespace, Crossing::Allowed) {
                Err(failure) if failure.errno() == Errno::NOENT => {}
                result => {
                    let directory = result.at_step(Step::OpenNamespace)?;
                    narrow(&directory)?;
                    return Ok(directory);
                }
            }
            match base.create_directory(namespace, PASSABLE) {
                Ok(directory) => {
                    made.push(Made { parent: base, name: namespace.clone() });
                    return Ok(directory);
                }
                Err(failure) if failure.errno() == Errno::EXIST => {}
                Err(failure) => return Err(Error::from_failure(Step::OpenNamespace, &failure)),
            }
        }
    }
}

/// Refuses a directory of somebody else's.
pub(crate) fn check_owner(directory: &Directory, step: Step) -> Result<u32> {
    let (uid, _) = effective_ids();
    let found = directory.metadata().at_step(step)?;
    if found.uid == uid {
        return Ok(found.mode);
    }
    let message = format!("{} belongs to user {}, not to user {uid}", directory.path().display(), found.uid);
    Err(Error::new(ErrorKind::Untrusted, step, message).at(directory.path()))
}

/// Takes away what a namespace directory should never have given (CVE-2024-25621 left such ones
/// behind on real nodes).
fn narrow(directory: &Directory) -> Result<()> {
    let mode = check_owner(directory, Step::OpenNamespace)?;
    if mode & !PASSABLE != 0 {
        tracing::warn!(path = %directory.path().display(), "namespace directory has mode {mode:04o}, setting {PASSABLE:04o}");
        directory.set_mode(PASSABLE).at_step(Step::OpenNamespace)?;
    }
    Ok(())
}
