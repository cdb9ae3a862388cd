//! A mount namespace of the test's own, so that what it mounts is not seen elsewhere and goes when
//! the test ends.

use std::ffi::{CStr, CString};
use std::path::Path;

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, mount_remount, unmount,
};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Runs a test on a thread that has a mount namespace of its own. What the test mounts is gone
/// afterwards; processes that it starts share the namespace.
///
/// Scratch directories belong outside: they are removed when nothing is mounted any more.
pub fn private(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            #[expect(unsafe_code, reason = "the wrapper is unsafe for the sake of CLONE_FILES")]
            // SAFETY: CLONE_NEWNS (with the CLONE_FS that it implies) concerns only this thread,
            // and no file descriptor.
            unsafe { unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS) }.expect("a mount namespace");
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            mount_change("/", private).expect("a private mount namespace");
            test();
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Mounts a new tmpfs on a directory, made if it is missing.
pub fn tmpfs(at: impl AsRef<Path>) {
    tmpfs_with(at, c"");
}

/// The same with options, for example a size.
pub fn tmpfs_with(at: impl AsRef<Path>, options: &CStr) {
    let at = at.as_ref();
    std::fs::create_dir_all(at).expect("a mount point");
    mount("dunnage-test", at, "tmpfs", MountFlags::empty(), options).expect("mount a tmpfs");
}

/// Mounts a directory or a file on another one.
pub fn bind(from: impl AsRef<Path>, at: impl AsRef<Path>) {
    mount_bind(from.as_ref(), at.as_ref()).expect("bind");
}

/// Mounts an overlay of `lower` with `upper` and `work`, all made if they are missing.
pub fn overlay(lower: &Path, upper: &Path, work: &Path, at: &Path) {
    for directory in [lower, upper, work, at] {
        std::fs::create_dir_all(directory).expect("a directory of the overlay");
    }
    let options = format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
    let options = CString::new(options).expect("no NUL");
    mount("dunnage-test", at, "overlay", MountFlags::empty(), options.as_c_str()).expect("mount an overlay");
}

/// Makes a mount read-only, or writable again.
pub fn set_read_only(at: impl AsRef<Path>, read_only: bool) {
    let flags = if read_only { MountFlags::BIND | MountFlags::RDONLY } else { MountFlags::BIND };
    mount_remount(at.as_ref(), flags, c"").expect("remount");
}

/// Unmounts what lies on top at a place.
pub fn umount(at: impl AsRef<Path>) {
    unmount(at.as_ref(), UnmountFlags::NOFOLLOW).expect("unmount");
}

/// The mounts of this thread's namespace at and below a place, as the kernel lists them.
pub fn below(place: impl AsRef<Path>) -> Vec<String> {
    let place = place.as_ref().to_str().expect("a path in UTF-8");
    let table = std::fs::read_to_string("/proc/thread-self/mountinfo").expect("the mount table");
    table
        .lines()
        .filter(|line| line.split(' ').nth(4).is_some_and(|at| at.starts_with(place)))
        .map(str::to_owned)
        .collect()
}
