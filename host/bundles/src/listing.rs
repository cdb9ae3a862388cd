//! What `list` has found.

use std::path::PathBuf;
use std::time::SystemTime;

use dunnage_core::{Bundle, BundleId};
use dunnage_store::{Layout, bundle_below};
use dunnage_sys::Metadata;

/// A bundle in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// The bundle.
    pub bundle: Bundle,
    /// Its permission bits.
    pub mode: u32,
    /// The group it belongs to.
    pub gid: u32,
    /// When it was made.
    pub created: SystemTime,
}

/// Bundles by namespace and id. There may be very many on a node, so only what distinguishes them
/// is kept (some 50 bytes each), and the rest is made from it.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    state: PathBuf,
    root: PathBuf,
    /// Each with the index behind its last entry.
    namespaces: Vec<(String, usize)>,
    entries: Vec<ListingEntry>,
    /// All ids, one behind the other.
    ids: String,
}

#[derive(Clone, Debug)]
struct ListingEntry {
    /// Where its id ends.
    end: usize,
    mode: u32,
    gid: u32,
    created: SystemTime,
}

impl Listing {
    pub(super) fn new(layout: &Layout) -> Self {
        Self { state: layout.state.path().to_owned(), root: layout.root.path().to_owned(), ..Self::default() }
    }

    /// Begins a namespace.
    pub(super) fn begin(&mut self, namespace: &str) {
        self.namespaces.push((namespace.to_owned(), self.entries.len()));
    }

    /// Takes the namespace back that was begun last.
    pub(super) fn take_back(&mut self) {
        self.namespaces.pop();
        self.entries.truncate(self.namespaces.last().map_or(0, |(_, end)| *end));
        self.ids.truncate(self.entries.last().map_or(0, |last| last.end));
    }

    /// Adds a bundle of the namespace that is begun.
    pub(super) fn push(&mut self, id: &str, found: &Metadata) {
        self.ids.push_str(id);
        let end = self.ids.len();
        self.entries.push(ListingEntry { end, mode: found.mode, gid: found.gid, created: found.created });
        if let Some((_, last)) = self.namespaces.last_mut() {
            *last = self.entries.len();
        }
    }

    /// How many bundles there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no bundles.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The bundles, by namespace and id.
    pub fn iter(&self) -> impl Iterator<Item = Listed> + '_ {
        let starts = std::iter::once(0).chain(self.namespaces.iter().map(|(_, end)| *end));
        let namespaces = self.namespaces.iter().zip(starts);
        namespaces.flat_map(move |((namespace, end), start)| (start..*end).filter_map(move |at| self.at(namespace, at)))
    }

    fn at(&self, namespace: &str, at: usize) -> Option<Listed> {
        let start = at.checked_sub(1).and_then(|before| self.entries.get(before)).map_or(0, |before| before.end);
        let ListingEntry { end, mode, gid, created } = *self.entries.get(at)?;
        let id = BundleId::new(namespace, self.ids.get(start..end)?);
        Some(Listed { bundle: bundle_below(&self.state, &self.root, &id), mode, gid, created })
    }
}
