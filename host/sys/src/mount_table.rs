//! What is mounted below a directory, by the kernel's mount table.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, readlinkat};
use rustix::io::Errno;

use crate::{Crossing, Directory, Failure, FileKind, Name, Result};

/// The table of this thread: one that has unshared its mount namespace sees another than `self`.
const MOUNTINFO: &str = "/proc/thread-self/mountinfo";

/// The mount points at and below a directory, relative to it (an empty path is the directory
/// itself), in the order in which the kernel lists them. What is mounted twice is listed twice.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Mounts(pub(crate) Vec<PathBuf>);

impl Mounts {
    /// Looks for mounts below a directory of ours: a bundle or a work directory.
    ///
    /// The kernel's table can be long on a busy node, so it is read only if something is there
    /// that could hide a mount: a mount needs a name to lie on.
    pub fn below(directory: &Directory) -> Result<Self> {
        if holds_no_mount(directory)? { Ok(Self::default()) } else { Self::in_table(directory) }
    }

    /// The same by the table, whatever it may cost.
    pub(crate) fn in_table(directory: &Directory) -> Result<Self> {
        let base = directory.path_now()?;
        let table = std::fs::read(MOUNTINFO).map_err(|error| {
            Failure::new("read", MOUNTINFO, Errno::from_io_error(&error).unwrap_or(Errno::IO)).with("is /proc mounted?")
        })?;
        Ok(Self(parse(&table).filter_map(|path| path.strip_prefix(&base).ok().map(Path::to_owned)).collect()))
    }

    /// The first mount that does not lie at or under an entry.
    pub fn outside(&self, allowed: &Name) -> Option<&Path> {
        self.0.iter().find(|path| !path.starts_with(allowed.as_path())).map(PathBuf::as_path)
    }

    /// The first mount, if there is any.
    pub fn first(&self) -> Option<&Path> {
        self.0.first().map(PathBuf::as_path)
    }
}

/// Whether it is known without the kernel's table that nothing is mounted below a directory.
fn holds_no_mount(directory: &Directory) -> Result<bool> {
    for entry in directory.entries()? {
        let metadata = match directory.mount_metadata_at(&entry.name) {
            Err(failure) if failure.errno() == Errno::NOENT => continue,
            metadata => metadata?,
        };
        match (metadata.mount_root, metadata.kind) {
            (Some(false), FileKind::Directory) => {
                // What we may not look into (a container took its owner's rights away) could hide one.
                let inside =
                    directory.open_directory(&entry.name, Crossing::Refused).and_then(|inside| inside.is_empty());
                if inside != Ok(true) {
                    return Ok(false);
                }
            }
            (Some(false), _) => {}
            (Some(true) | None, _) => return Ok(false),
        }
    }
    Ok(true)
}

impl Directory {
    /// Where the handle leads now, as the kernel's mount table spells it.
    pub fn path_now(&self) -> Result<PathBuf> {
        let link = format!("/proc/self/fd/{}", self.as_fd().as_raw_fd());
        match readlinkat(CWD, &link, Vec::new()) {
            Ok(path) => Ok(PathBuf::from(OsString::from_vec(path.into_bytes()))),
            Err(errno) => Err(Failure::new("readlinkat", link, errno).with("is /proc mounted?")),
        }
    }
}

/// The mount points of a mount table.
fn parse(table: &[u8]) -> impl Iterator<Item = PathBuf> + '_ {
    table.split(|byte| *byte == b'\n').filter_map(mount_point)
}

/// The mount point of a line of a mount table: the fifth field, with octal escapes
/// (proc_pid_mountinfo(5)).
pub(crate) fn mount_point(line: &[u8]) -> Option<PathBuf> {
    let field = line.split(|byte| *byte == b' ').nth(4)?;
    Some(PathBuf::from(OsString::from_vec(unescape(field))))
}

fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'\\'
            && let Some((digits, after)) = tail.split_at_checked(3)
            && let Some(code) = octal(digits)
        {
            plain.push(code);
            rest = after;
        } else {
            plain.push(byte);
            rest = tail;
        }
    }
    plain
}

fn octal(digits: &[u8]) -> Option<u8> {
    std::str::from_utf8(digits).ok().and_then(|text| u8::from_str_radix(text, 8).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOTFS: Name = Name::literal(c"rootfs");

    #[test]
    fn the_table_is_read_with_its_escapes() {
        let table = b"22 1 254:0 / / rw - ext4 /dev/vda rw\n\
            60 22 0:51 / /run/a\\040b/rootfs rw shared:3 - tmpfs tmpfs rw\n\
            61 60 0:52 / /run/x\\134y\\0 rw - proc proc rw\n";
        let found: Vec<_> = parse(table).collect();
        assert_eq!(found, ["/", "/run/a b/rootfs", "/run/x\\y\\0"].map(PathBuf::from));
    }

    #[test]
    fn mounts_outside_rootfs_are_named() {
        let mounts = |paths: &[&str]| Mounts(paths.iter().map(PathBuf::from).collect());
        assert_eq!(mounts(&["rootfs", "rootfs/proc"]).outside(&ROOTFS), None);
        assert_eq!(mounts(&["rootfs", "rootfs2"]).outside(&ROOTFS), Some(Path::new("rootfs2")));
        assert_eq!(mounts(&[""]).outside(&ROOTFS), Some(Path::new("")));
    }
}
