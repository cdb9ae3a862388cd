//! What there is to clean up when a bundle is deleted.

use crate::directory::Directory;
use crate::identifier;
use crate::records::{self, Records};

/// Says what a deletion has to clean up besides the bundle. Similar to `Delete` of containerd's
/// `bundle`.
///
/// Every record is optional: one that is missing or broken never keeps a bundle from being
/// deleted.
///
/// # Errors
///
/// If the namespace or the id is refused.
pub fn delete<D: Directory>(bundle: &D, namespace: &str, id: &str) -> Result<Records<D::Error>, identifier::Error> {
    identifier::check_both(namespace, id)?;
    Ok(records::read(bundle))
}
