//! What is mounted below a directory, and how to unmount it.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags, readlinkat};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use super::directory::{Directory, Kind};
use super::open::{Crossing, open_below};
use super::{Failure, Result};
use crate::name::Name;

/// The table of this thread: one that has unshared its mount namespace sees another than `self`.
const MOUNTINFO: &str = "/proc/thread-self/mountinfo";

/// The mount points at and below a directory, relative to it (an empty path is the directory
/// itself), in the order in which the kernel lists them. What is mounted twice is listed twice.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Mounts(Vec<PathBuf>);

impl Mounts {
    /// Looks for mounts below a directory of ours: a bundle or a work directory.
    ///
    /// The kernel's table can be long on a busy node, so it is read only if something is there
    /// that could hide a mount: a mount needs a name to lie on.
    pub(crate) fn below(directory: &Directory) -> Result<Self> {
        if holds_no_mount(directory)? { Ok(Self::default()) } else { Self::in_table(directory) }
    }

    fn in_table(directory: &Directory) -> Result<Self> {
        let base = directory.path_now()?;
        let table = std::fs::read(MOUNTINFO).map_err(|error| {
            Failure::new("read", MOUNTINFO, Errno::from_io_error(&error).unwrap_or(Errno::IO)).with("is /proc mounted?")
        })?;
        Ok(Self(parse(&table).filter_map(|path| path.strip_prefix(&base).ok().map(Path::to_owned)).collect()))
    }

    /// The first mount that does not lie at or under an entry.
    pub(crate) fn outside(&self, allowed: &Name) -> Option<&Path> {
        self.0.iter().find(|path| !path.starts_with(allowed.as_path())).map(PathBuf::as_path)
    }

    /// The first mount, if there is any.
    pub(crate) fn first(&self) -> Option<&Path> {
        self.0.first().map(PathBuf::as_path)
    }
}

/// Whether it can be told without the kernel's table that nothing is mounted below a directory.
fn holds_no_mount(directory: &Directory) -> Result<bool> {
    for entry in directory.entries()? {
        let metadata = match directory.mount_metadata_at(&entry.name) {
            Err(failure) if failure.errno() == Errno::NOENT => continue,
            metadata => metadata?,
        };
        match (metadata.mount_root, metadata.kind) {
            (Some(false), Kind::Directory) => {
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
    pub(crate) fn path_now(&self) -> Result<PathBuf> {
        let link = format!("/proc/self/fd/{}", self.as_fd().as_raw_fd());
        match readlinkat(CWD, &link, Vec::new()) {
            Ok(path) => Ok(PathBuf::from(OsString::from_vec(path.into_bytes()))),
            Err(errno) => Err(Failure::new("readlinkat", link, errno).with("is /proc mounted?")),
        }
    }
}

/// The mount points of a mount table: the fifth field, with octal escapes (proc_pid_mountinfo(5)).
fn parse(table: &[u8]) -> impl Iterator<Item = PathBuf> + '_ {
    table
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(4))
        .map(|field| PathBuf::from(OsString::from_vec(unescape(field))))
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

/// Unmounts whatever is mounted below a directory, innermost first, and waits for what is busy.
///
/// Never detaches lazily: a lazy unmount reports success while the data is still reachable, and
/// what removes the directory next then removes the data (containerd #10704, kata #11183).
pub(crate) fn unmount_below(directory: &Directory, allowed: &Name, patience: Duration) -> Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        let mounts = Mounts::in_table(directory)?;
        if let Some(path) = mounts.outside(allowed) {
            let path = directory.path().join(path);
            return Err(Failure::new("umount2", path, Errno::BUSY).with("mounted meanwhile, and not ours to unmount"));
        }
        let Mounts(mut left) = mounts;
        if left.is_empty() {
            return Ok(());
        }
        // Of two mounts on one point the later lies on top; the sort is stable.
        left.reverse();
        left.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
        let failures = left.iter().filter_map(|path| unmount_at(directory, path).err()).collect::<Vec<_>>();
        let progress = failures.len() < left.len();
        let keeps_coming =
            || Failure::new("umount2", directory.path(), Errno::BUSY).with("it is mounted again and again");
        let failure = failures.into_iter().next().unwrap_or_else(keeps_coming);
        // What is busy may be free soon, what was in the way may be gone, and what is no mount any
        // more was unmounted by somebody else: the table will tell.
        let transient = progress || matches!(failure.errno(), Errno::BUSY | Errno::INVAL | Errno::NOENT);
        if !transient || Instant::now() >= deadline {
            return Err(failure);
        }
        if !progress {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Unmounts what lies on one name below a directory.
///
/// `umount2` takes a path. The handle of the parent directory, reached without following a link,
/// makes it one that nobody can bend: `/proc/self/fd/N/name`. A handle of the mount itself would
/// keep it busy.
fn unmount_at(directory: &Directory, relative: &Path) -> Result<()> {
    let path = directory.path().join(relative);
    let fail = |call, errno| Failure::new(call, &path, errno);
    let mut components = relative.components().rev();
    let Some(Component::Normal(last)) = components.next() else {
        return Err(fail("umount2", Errno::BUSY).with("the directory itself is a mount point"));
    };
    let mut parent = None;
    for component in components.rev() {
        let from = parent.as_ref().map_or(directory.as_fd(), AsFd::as_fd);
        let name = Name::new(component.as_os_str().as_bytes()).map_err(|_| fail("openat2", Errno::INVAL))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let opened =
            open_below(from, &name, flags, Mode::empty(), Crossing::Allowed).map_err(|errno| fail("openat2", errno))?;
        parent = Some(opened);
    }
    let at = parent.as_ref().map_or(directory.as_fd(), AsFd::as_fd).as_raw_fd();
    let target = Path::new("/proc/self/fd").join(at.to_string()).join(last);
    unmount(&target, UnmountFlags::NOFOLLOW).map_err(|errno| fail("umount2", errno))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(mounts(&["rootfs", "rootfs/proc"]).outside(&Name::ROOTFS), None);
        assert_eq!(mounts(&["rootfs", "rootfs2"]).outside(&Name::ROOTFS), Some(Path::new("rootfs2")));
        assert_eq!(mounts(&[""]).outside(&Name::ROOTFS), Some(Path::new("")));
    }
}
