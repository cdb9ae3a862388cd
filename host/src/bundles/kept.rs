//! Directory handles that are kept between calls: opening one anew takes a walk with checks at
//! every step, asking whether its path still leads there takes one call.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::sys::ambient::metadata_of_path;
use crate::sys::{Directory, Metadata};

/// As many handles as are kept. A node has a handful of namespaces.
const MOST: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<HashMap<PathBuf, Arc<Directory>>>);

impl Kept {
    /// The handle of a path that leads to it, and what the directory is now.
    pub(super) fn get(&self, path: &Path) -> Option<(Arc<Directory>, Metadata)> {
        let directory = {
            let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(kept.get(path)?)
        };
        let now = metadata_of_path(path)?;
        (now.identity() == directory.identity()?).then_some((directory, now))
    }

    pub(super) fn keep(&self, path: PathBuf, directory: &Arc<Directory>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(path, Arc::clone(directory));
    }
}
