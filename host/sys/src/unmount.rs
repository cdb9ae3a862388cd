//! Unmounting what lies below a directory.

use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use crate::open::open_below;
use crate::{Crossing, Directory, Failure, Mounts, Name, Result};

/// Unmounts whatever is mounted below a directory, innermost first, and waits for what is busy.
///
/// Never detaches lazily: a lazy unmount reports success while the data is still reachable, and
/// what removes the directory next then removes the data (containerd #10704, kata #11183).
pub fn unmount_below(directory: &Directory, allowed: &Name, patience: Duration) -> Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        let mounts = Mounts::in_table(directory)?;
        if let Some(path) = mounts.outside(allowed) {
            let path = directory.path().join(path);
            return Err(
                Failure::new("umount2", path, Errno::BUSY).with("mounted in the meantime, and not ours to unmount")
            );
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
            || Failure::new("umount2", directory.path(), Errno::BUSY).with("it keeps being mounted again");
        let failure = failures.into_iter().next().unwrap_or_else(keeps_coming);
        // What is busy may be free soon, what was in the way may be gone, and what is no longer
        // mounted was unmounted by another process: the table will show.
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
/// makes it one that cannot be redirected: `/proc/self/fd/N/name`. A handle of the mount itself
/// would keep it busy.
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
