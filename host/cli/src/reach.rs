//! Whether a container gets to its bundle.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use dunnage::shim::MAX_ADDRESS;

/// The first directory on the way to a path, itself left out, that a group may not pass.
pub(super) fn closed_ancestor(path: &Path, gid: u32) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    let mut ancestors: Vec<_> = path.ancestors().skip(1).collect();
    ancestors.reverse();
    let is_closed = |directory: &&Path| {
        fs::metadata(directory).is_ok_and(|found| {
            let mask = if found.gid() == gid { 0o010 } else { 0o001 };
            found.mode() & mask == 0
        })
    };
    ancestors.into_iter().find(is_closed).map(Path::to_owned)
}

/// Warns of a bundle that can never be used.
pub(super) fn warn(bundle: &Path, remapped_gid: u32, shim_address: &str) {
    if shim_address.len() > MAX_ADDRESS {
        tracing::warn!(
            "no shim can listen at {shim_address:?}: it has {} bytes, but at most {MAX_ADDRESS} can be bound; choose a \
             shorter --socket-root",
            shim_address.len()
        );
    }
    if remapped_gid != 0
        && let Some(closed) = closed_ancestor(bundle, remapped_gid)
    {
        let closed = closed.display();
        tracing::warn!(
            "group {remapped_gid} cannot get to {}: {closed} is closed to it; try: chmod o+x {closed}",
            bundle.display()
        );
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_directory_that_is_closed_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let deep = scratch.path().join("a/b/c");
        fs::create_dir_all(&deep).unwrap();
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o711)).unwrap();
        assert_eq!(closed_ancestor(&deep, 100_000), None);
        let closed = scratch.path().join("a");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o710)).unwrap();
        assert_eq!(closed_ancestor(&deep, 100_000), Some(closed.canonicalize().unwrap()));
        assert_eq!(closed_ancestor(&deep, closed.metadata().unwrap().gid()), None);
        // The bundle itself belongs to the group.
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o711)).unwrap();
        fs::set_permissions(&deep, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(closed_ancestor(&deep, 100_000), None);
    }
}
