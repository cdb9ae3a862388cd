//! What the runtime of a bundle's container can be asked for, and which runtime that is.

use std::ffi::OsStr;
use std::path::Path;

use dunnage_core::BundleId;
use dunnage_oci_runtime::Runc;
use dunnage_store::ShimRecord;
use serde::{Deserialize, Serialize};

/// A request to a runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Show the container's state.
    State,
    /// Kill the container and forget it.
    Delete,
}

impl Action {
    /// Its arguments, except the container's id.
    pub(crate) fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::State => &["state"],
            Self::Delete => &["delete", "--force"],
        }
    }
}

/// The runtime of a bundle's container, by what is on record about its shim.
#[must_use]
pub fn runtime_of(id: &BundleId, record: Option<&ShimRecord>) -> Runc {
    let program = record.map_or(OsStr::new(""), |record| record.runtime.as_os_str());
    let root = record.map_or(Path::new(""), |record| &record.runtime_root);
    Runc::new(program, root, id.namespace())
}
