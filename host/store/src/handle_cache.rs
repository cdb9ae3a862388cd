//! Directory handles that are kept between calls: opening one again takes a walk with checks at
//! every step; checking that its path still leads there takes one call.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use dunnage_sys::trusted_path::metadata_of_path;
use dunnage_sys::{Directory, Metadata};

/// The most handles that are kept. A node has a handful of namespaces.
const MAX_HANDLES: usize = 32;

#[derive(Debug, Default)]
pub(crate) struct HandleCache(Mutex<HashMap<PathBuf, Arc<Directory>>>);

impl HandleCache {
    /// The handle of a path that leads to it, and what the directory is now.
    pub(crate) fn get(&self, path: &Path) -> Option<(Arc<Directory>, Metadata)> {
        let directory = {
            let handles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(handles.get(path)?)
        };
        let now = metadata_of_path(path)?;
        (now.identity() == directory.identity()?).then_some((directory, now))
    }

    pub(crate) fn keep(&self, path: PathBuf, directory: &Arc<Directory>) {
        let mut handles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if handles.len() >= MAX_HANDLES {
            handles.clear();
        }
        handles.insert(path, Arc::clone(directory));
    }
}
