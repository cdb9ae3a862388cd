//! What there is to clean up when a bundle is deleted.

use crate::directory::Directory;
use crate::identifier;
use crate::records::{self, Records};

/// Says what a deletion must clean up besides the bundle. Similar to `Delete` of containerd's
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

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::testing::Recording;

    #[test]
    fn says_what_is_on_file() {
        let bundle =
            Recording::default().with_file("address", "/containerd-shim/moby/a/shim.sock").with_file("shim.pid", "9");
        let records = delete(&bundle, "moby", "a").unwrap();
        assert_eq!(records.address, Ok(Some("/containerd-shim/moby/a/shim.sock".to_string())));
        assert_eq!(records.pid, Ok(Some(9)));
    }

    #[test]
    fn a_refused_id_reads_nothing() {
        let bundle = Recording::default();
        assert!(delete(&bundle, "moby", "../a").is_err());
        assert_eq!(bundle.operations(), []);
    }
}
