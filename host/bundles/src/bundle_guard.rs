//! Holding a bundle and its work directory: no other call changes them meanwhile.

use std::sync::Arc;

use dunnage_core::{BundleId, Error, ErrorKind, Result, Step};
use dunnage_store::{DirLock, LockWait, check_owner, names_of};

use crate::Node;
use crate::inspect::not_found;

/// A bundle and its work directory, locked until this is dropped.
pub struct BundleGuard {
    // Dropped in this order.
    /// The bundle.
    pub bundle: DirLock,
    /// Its work directory.
    pub work_dir: DirLock,
}

impl BundleGuard {
    /// Opens and locks both, the work directory first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if either is not there, [`ErrorKind::Locked`] if another process keeps its
    /// lock.
    pub fn open(node: &Arc<Node>, id: &BundleId) -> Result<Self> {
        node.policy.check_identifiers(id)?;
        let (namespace, name) = names_of(id)?;
        let missing = || not_found(&node.layout.bundle(id));
        let bundles = node.layout.state.namespace_to_change(&namespace)?.ok_or_else(missing)?;
        let work_dirs = node.layout.root.namespace_to_change(&namespace)?.ok_or_else(|| no_work_dir(node, id))?;
        let waiting = LockWait::patiently();
        let work_dir = DirLock::open(&work_dirs, &name, waiting, Step::OpenWorkDir)?;
        let bundle = DirLock::open(&bundles, &name, waiting, Step::OpenBundle)?.ok_or_else(missing)?;
        let work_dir = work_dir.ok_or_else(|| no_work_dir(node, id))?;
        check_owner(&bundle, bundle.metadata(), Step::OpenBundle)?;
        check_owner(&work_dir, work_dir.metadata(), Step::OpenWorkDir)?;
        Ok(Self { bundle, work_dir })
    }
}

fn no_work_dir(node: &Node, id: &BundleId) -> Error {
    let bundle = node.layout.bundle(id);
    let path = bundle.work_dir();
    let message = format!(
        "the work directory {} of the bundle does not exist; delete the bundle and create it again",
        path.display()
    );
    Error::new(ErrorKind::NotFound, Step::OpenWorkDir, message).at(path)
}
