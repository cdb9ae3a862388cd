//! Mounting below a bundle's rootfs.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind, mount_bind_recursive, mount_change, mount_remount,
};

use crate::open::open_below;
use crate::{Crossing, Directory, Failure, Name, Result};

/// What is to be mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounting {
    /// The type of the file system; ignored for a bind.
    pub kind: CString,
    /// What is mounted: a device, a directory, or a name.
    pub source: CString,
    /// The mount point, a name for each level below the rootfs.
    pub target: Vec<Name>,
    /// Whether it is a bind mount, and if so whether a recursive one.
    pub bind: Option<bool>,
    /// The flags of mount(2).
    pub flags: MountFlags,
    /// How mounts propagate from and to there, set one after the other.
    pub propagation: Vec<MountPropagationFlags>,
    /// The options for the file system itself.
    pub data: CString,
}

/// Mounts something below the rootfs of a bundle.
///
/// The mount point is reached without following a link, and mounted on through its handle: neither
/// a link in an image nor one that is swapped in meanwhile leads out of the rootfs (CVE-2021-30465).
pub fn mount_below(bundle: &Directory, rootfs: &Name, mounting: &Mounting) -> Result<()> {
    let path = || mounting.target.iter().fold(bundle.path_of(rootfs), |path, name| path.join(name.as_path()));
    let fail = |call, errno| Failure::new(call, path(), errno);
    let target = open_target(bundle, rootfs, &mounting.target).map_err(|errno| fail("openat2", errno))?;
    let point = magic_link(&target);
    let Mounting { kind, source, flags, data, .. } = mounting;
    match mounting.bind {
        Some(true) => mount_bind_recursive(source, &point),
        Some(false) => mount_bind(source, &point),
        None => mount(source, &point, kind, *flags, data.as_c_str()),
    }
    .map_err(|errno| fail("mount", errno).with(format!("of {source:?}, type {kind:?}, data {data:?}")))?;
    if mounting.bind.is_some() && !flags.is_empty() {
        // A bind takes its flags in a second step only. The handle must be one of the new mount.
        let mounted = open_target(bundle, rootfs, &mounting.target).map_err(|errno| fail("openat2", errno))?;
        mount_remount(magic_link(&mounted), MountFlags::BIND | *flags, c"")
            .map_err(|errno| fail("mount", errno).with("remounting with the flags of the bind"))?;
    }
    for propagation in &mounting.propagation {
        let mounted = open_target(bundle, rootfs, &mounting.target).map_err(|errno| fail("openat2", errno))?;
        mount_change(magic_link(&mounted), *propagation)
            .map_err(|errno| fail("mount", errno).with(format!("{propagation:?}")))?;
    }
    Ok(())
}

fn open_target(bundle: &Directory, rootfs: &Name, target: &[Name]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let rootfs = open_below(bundle.as_fd(), rootfs, flags, Mode::empty(), Crossing::Allowed)?;
    target
        .iter()
        .try_fold(rootfs, |at, name| open_below(at.as_fd(), name, OFlags::PATH, Mode::empty(), Crossing::Allowed))
}

fn magic_link(handle: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", handle.as_raw_fd())
}
