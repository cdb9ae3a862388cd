//! Removing directories with all that is in them: never through a mount, never through a link.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;

use crate::{Directory, DirectoryEntry, Failure, FileKind, Name, Result, effective_ids, retry};

/// How deep the walk goes before it moves what is deeper to the top. Each level holds a handle and
/// some stack, and a container may nest its directories as deep as it likes.
const DEPTH: usize = 64;

impl Directory {
    /// Removes an entry that is not a directory.
    pub fn unlink(&self, name: &Name) -> Result<()> {
        retry(|| unlinkat(self.as_fd(), name.as_c_str(), AtFlags::empty()))
            .map_err(|errno| Failure::new("unlinkat", self.path_of(name), errno))
    }

    /// The same; it is not an error if the entry is gone already.
    pub fn unlink_if_there(&self, name: &Name) -> Result<()> {
        ignore_missing(self.unlink(name))
    }

    /// Removes an empty directory. The kernel refuses a mount point.
    pub fn remove_directory(&self, name: &Name) -> Result<()> {
        retry(|| unlinkat(self.as_fd(), name.as_c_str(), AtFlags::REMOVEDIR))
            .map_err(|errno| Failure::new("unlinkat", self.path_of(name), errno).with("AT_REMOVEDIR"))
    }

    /// Removes a directory, whose handle the caller has, with everything in it. It is not an error
    /// if something is gone already. Stops at mounts: they and their parents stay, and the first
    /// one is named.
    pub fn remove_tree(&self, name: &Name, directory: &Self) -> Result<()> {
        let mut removal = TreeRemoval { top: directory, moved: true };
        // The listing may have missed what was moved to the top: look again.
        let mut obstacle = Ok(());
        while removal.moved {
            removal.moved = false;
            obstacle = obstacle.and(removal.empty(directory, 0));
        }
        obstacle?;
        ignore_missing(self.remove_directory(name))
    }
}

fn ignore_missing(result: Result<()>) -> Result<()> {
    match result {
        Err(failure) if failure.errno() == Errno::NOENT => Ok(()),
        result => result,
    }
}

struct TreeRemoval<'a> {
    top: &'a Directory,
    moved: bool,
}

impl TreeRemoval<'_> {
    /// Removes everything in a directory. What cannot be removed does not keep the rest from being
    /// removed.
    fn empty(&mut self, directory: &Directory, depth: usize) -> Result<()> {
        if effective_ids().0 != 0 && directory.metadata()?.mode & 0o700 != 0o700 {
            // Root needs no permission; other users grant it to themselves, since they own the
            // directory.
            directory.set_mode(0o700)?;
        }
        let mut obstacle = Ok(());
        for entry in directory.entries()? {
            let removed = ignore_missing(self.remove(directory, &entry, depth));
            obstacle = obstacle.and(removed);
        }
        obstacle
    }

    fn remove(&mut self, parent: &Directory, entry: &DirectoryEntry, depth: usize) -> Result<()> {
        let name = &entry.name;
        let kind = match entry.kind {
            Some(kind) => kind,
            None => parent.metadata_at(name)?.kind,
        };
        if kind != FileKind::Directory {
            return parent.unlink(name);
        }
        match parent.remove_directory(name) {
            // POSIX allows either for a directory that is not empty.
            Err(failure) if matches!(failure.errno(), Errno::NOTEMPTY | Errno::EXIST) => {}
            result => return result,
        }
        if depth >= DEPTH {
            return self.move_to_top(parent, name);
        }
        let directory = match parent.open_own_directory(name) {
            // No handle is left for this level: further up there is.
            Err(failure) if matches!(failure.errno(), Errno::MFILE | Errno::NFILE) && depth > 0 => {
                return self.move_to_top(parent, name);
            }
            directory => directory?,
        };
        self.empty(&directory, depth + 1)?;
        parent.remove_directory(name)
    }

    fn move_to_top(&mut self, parent: &Directory, name: &Name) -> Result<()> {
        let hidden = name.hidden().map_err(|errno| Failure::new("getrandom", parent.path_of(name), errno))?;
        parent.rename(name, self.top, &hidden)?;
        self.moved = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::trusted_path::open_trusted;

    #[test]
    fn deep_wide_and_odd_trees_go_and_links_are_not_followed() {
        let scratch = tempfile::tempdir().unwrap();
        let kept = scratch.path().join("kept");
        std::fs::create_dir(&kept).unwrap();
        std::fs::write(kept.join("file"), b"data").unwrap();
        let tree = scratch.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        symlink(&kept, tree.join("link")).unwrap();
        for name in 0..300 {
            std::fs::write(tree.join(format!("file-{name}")), b"").unwrap();
        }
        let closed = tree.join("closed");
        std::fs::create_dir_all(closed.join("in")).unwrap();
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).unwrap();
        let parent = open_trusted(scratch.path()).unwrap();
        let name = Name::new("tree").unwrap();
        nest(&parent.open_own_directory(&name).unwrap(), 1000);
        parent.remove_tree(&name, &parent.open_own_directory(&name).unwrap()).unwrap();
        assert!(!tree.exists());
        assert_eq!(std::fs::read(kept.join("file")).unwrap(), b"data");
    }

    /// Makes nested directories, deeper than any path may be long.
    fn nest(directory: &Directory, levels: usize) {
        let name = Name::new("d".repeat(20)).unwrap();
        let mut last = directory.create_directory(&name, 0o700).unwrap();
        for _ in 1..levels {
            last = last.create_directory(&name, 0o700).unwrap();
            last.create_file(&Name::new("file").unwrap(), b"", 0o600, None, false).unwrap();
        }
    }
}
