//! Holding a bundle and its work directory: nobody else changes them meanwhile.

use std::sync::Arc;

use super::Inner;
use super::create::names;
use super::inspect::not_found;
use super::lock::{Locked, Waiting};
use super::places::check_owner;
use crate::bundle::BundleId;
use crate::error::{Error, ErrorKind, Result, Step};

/// A bundle and its work directory, locked until this is dropped.
pub(crate) struct Hold {
    // In the order in which they are given back.
    pub(crate) bundle: Locked,
    pub(crate) work_dir: Locked,
}

impl Hold {
    pub(crate) fn open(inner: &Arc<Inner>, id: &BundleId) -> Result<Self> {
        inner.policy.check_identifiers(&inner.config, id)?;
        let (namespace, name) = names(id)?;
        let missing = || not_found(&inner.places.bundle(id));
        let bundles = inner.places.state.namespace_to_change(&namespace)?.ok_or_else(missing)?;
        let work_dirs = inner.places.root.namespace_to_change(&namespace)?.ok_or_else(|| no_work_dir(inner, id))?;
        let waiting = Waiting::patiently();
        let work_dir = Locked::open(&work_dirs, &name, waiting, Step::OpenWorkDir)?;
        let bundle = Locked::open(&bundles, &name, waiting, Step::OpenBundle)?.ok_or_else(missing)?;
        let work_dir = work_dir.ok_or_else(|| no_work_dir(inner, id))?;
        check_owner(&bundle, bundle.metadata(), Step::OpenBundle)?;
        check_owner(&work_dir, work_dir.metadata(), Step::OpenWorkDir)?;
        Ok(Self { bundle, work_dir })
    }
}

fn no_work_dir(inner: &Inner, id: &BundleId) -> Error {
    let bundle = inner.places.bundle(id);
    let path = bundle.work_dir();
    let message = format!("there is no work directory {} of the bundle; delete it and create it anew", path.display());
    Error::new(ErrorKind::NotFound, Step::OpenWorkDir, message).at(path)
}
