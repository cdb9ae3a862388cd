//! Pairs of namespace directories whose bases this process has looked at.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use dunnage_sys::FileIdentity;

/// The most pairs of namespace directories that are remembered.
const MAX_SEEN: usize = 64;

/// The pairs of namespace directories whose bases have been looked at by this process.
#[derive(Debug, Default)]
pub(crate) struct SeenPairs(Mutex<HashSet<(FileIdentity, FileIdentity)>>);

impl SeenPairs {
    pub(crate) fn contains(&self, pair: &(FileIdentity, FileIdentity)) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(pair)
    }

    pub(crate) fn insert(&self, pair: (FileIdentity, FileIdentity)) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MAX_SEEN {
            seen.clear();
        }
        seen.insert(pair);
    }
}
