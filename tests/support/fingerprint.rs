//! Everything there is to know about a tree, to see that nothing has touched it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

/// One line for a path and for everything below it: kind, mode, owner, inode, links, times of the
/// last changes, and the content. Links are not followed. Nothing for what is missing.
pub fn of(top: impl AsRef<Path>) -> Vec<String> {
    let mut lines = Vec::new();
    add(top.as_ref(), &mut lines);
    lines.sort();
    lines
}

fn add(path: &Path, lines: &mut Vec<String>) {
    let Ok(found) = path.symlink_metadata() else { return };
    let kind = found.file_type();
    let content = match () {
        () if kind.is_dir() => "directory".to_owned(),
        () if kind.is_symlink() => format!("link to {:?}", std::fs::read_link(path).expect("a link")),
        () if kind.is_file() => format!("file {}", std::fs::read(path).expect("a file").escape_ascii()),
        () if kind.is_socket() => "socket".to_owned(),
        () if kind.is_fifo() => "fifo".to_owned(),
        () => "device".to_owned(),
    };
    lines.push(format!(
        "{path:?} {:o} {}:{} inode {} links {} changed {}.{:09} content {}.{:09} {content}",
        found.mode(),
        found.uid(),
        found.gid(),
        found.ino(),
        found.nlink(),
        found.ctime(),
        found.ctime_nsec(),
        found.mtime(),
        found.mtime_nsec(),
    ));
    if kind.is_dir() {
        for entry in std::fs::read_dir(path).expect("a directory") {
            add(&entry.expect("an entry").path(), lines);
        }
    }
}

/// What this process holds open at or below a place.
pub fn open_below(place: &Path) -> Vec<String> {
    let mut open = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd").expect("the descriptors") {
        // Others come and go meanwhile.
        let Ok(target) = std::fs::read_link(entry.expect("a descriptor").path()) else { continue };
        if target.as_os_str().as_bytes().starts_with(OsStr::as_bytes(place.as_os_str())) {
            open.push(target.display().to_string());
        }
    }
    open.sort();
    open
}
