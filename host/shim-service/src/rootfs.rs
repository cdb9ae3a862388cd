//! The mounts that a request names, as containerd's mount package reads them.

use std::ffi::CString;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use dunnage_core::names;
use dunnage_shim_proto::types::Mount;
use dunnage_sys::trusted_path::{TrustedPathError, open_trusted};
use dunnage_sys::{Directory, Mounting, Name, mount_below, unmount_below};
use rustix::mount::{MountFlags, MountPropagationFlags};

use super::answer::{RpcResult, failed, invalid};

/// How long a mount that is busy is waited for.
const UNMOUNT_TIMEOUT: Duration = Duration::from_secs(5);

/// Mounts what a request names, all of it or nothing. Blocks.
pub(super) fn mount_all(bundle: &Path, mounts: &[Mount]) -> RpcResult<()> {
    if mounts.is_empty() {
        return Ok(());
    }
    let mountings = mounts.iter().map(read).collect::<RpcResult<Vec<_>>>()?;
    let directory = open(bundle)?;
    for (done, mounting) in mountings.iter().enumerate() {
        if let Err(failure) = mount_below(&directory, &names::ROOTFS, mounting) {
            let left = if done == 0 { None } else { unmount_below(&directory, &names::ROOTFS, UNMOUNT_TIMEOUT).err() };
            return Err(failed(left.map_or_else(|| failure.to_string(), |left| format!("{failure}; {left}"))));
        }
    }
    Ok(())
}

/// Unmounts whatever lies on the rootfs and below. Blocks.
pub(super) fn unmount_all(bundle: &Path) -> RpcResult<()> {
    unmount_below(&open(bundle)?, &names::ROOTFS, UNMOUNT_TIMEOUT).map_err(failed)
}

fn open(bundle: &Path) -> RpcResult<Directory> {
    open_trusted(bundle).map_err(|error| match error {
        TrustedPathError::Failure(failure) => failed(failure),
        TrustedPathError::Untrusted { path, why } => failed(format_args!("{}: {why}", path.display())),
    })
}

/// Splits the options into flags and the data for the file system.
fn read(mount: &Mount) -> RpcResult<Mounting> {
    let mut flags = MountFlags::empty();
    let mut bind = (mount.type_ == "bind").then_some(false);
    let (mut propagations, mut data) = (Vec::new(), Vec::new());
    for option in mount.options.iter().filter(|option| !option.is_empty()) {
        match option.as_str() {
            "bind" => bind = bind.or(Some(false)),
            "rbind" => bind = Some(true),
            "defaults" => {}
            "loop" | "remount" => return Err(invalid(format_args!("the mount option {option:?} is not supported"))),
            known => match (flag(known), propagation(known)) {
                (Some((flag, set)), _) => flags.set(flag, set),
                (None, Some(propagation)) => propagations.push(propagation),
                (None, None) => data.push(known),
            },
        }
    }
    let text = |text: &str| CString::new(text).map_err(|_| invalid("a mount contains a NUL"));
    Ok(Mounting {
        kind: text(&mount.type_)?,
        source: text(&mount.source)?,
        target: names(&mount.target)?,
        bind,
        flags,
        propagation: propagations,
        data: text(&data.join(","))?,
    })
}

/// What an option sets or clears.
fn flag(option: &str) -> Option<(MountFlags, bool)> {
    Some(match option {
        "async" => (MountFlags::SYNCHRONOUS, false),
        "atime" => (MountFlags::NOATIME, false),
        "dev" => (MountFlags::NODEV, false),
        "diratime" => (MountFlags::NODIRATIME, false),
        "dirsync" => (MountFlags::DIRSYNC, true),
        "exec" => (MountFlags::NOEXEC, false),
        "mand" => (MountFlags::PERMIT_MANDATORY_FILE_LOCKING, true),
        "noatime" => (MountFlags::NOATIME, true),
        "nodev" => (MountFlags::NODEV, true),
        "nodiratime" => (MountFlags::NODIRATIME, true),
        "noexec" => (MountFlags::NOEXEC, true),
        "nomand" => (MountFlags::PERMIT_MANDATORY_FILE_LOCKING, false),
        "norelatime" => (MountFlags::RELATIME, false),
        "nostrictatime" => (MountFlags::STRICTATIME, false),
        "nosuid" => (MountFlags::NOSUID, true),
        "relatime" => (MountFlags::RELATIME, true),
        "ro" => (MountFlags::RDONLY, true),
        "rw" => (MountFlags::RDONLY, false),
        "strictatime" => (MountFlags::STRICTATIME, true),
        "suid" => (MountFlags::NOSUID, false),
        "sync" => (MountFlags::SYNCHRONOUS, true),
        _ => return None,
    })
}

/// How mounts are to propagate (mount_namespaces(7)), as runc reads it.
fn propagation(option: &str) -> Option<MountPropagationFlags> {
    let (recursive, kind) = match option.strip_prefix('r') {
        Some(kind) => (MountPropagationFlags::REC, kind),
        None => (MountPropagationFlags::empty(), option),
    };
    Some(
        recursive
            | match kind {
                "private" => MountPropagationFlags::PRIVATE,
                "shared" => MountPropagationFlags::SHARED,
                "slave" => MountPropagationFlags::DOWNSTREAM,
                "unbindable" => MountPropagationFlags::UNBINDABLE,
                _ => return None,
            },
    )
}

/// The names that lead from the rootfs to a mount point. `..` is refused: it could lead out.
fn names(target: &str) -> RpcResult<Vec<Name>> {
    let refused = || invalid(format_args!("the mount point {target:?} is not below the rootfs"));
    PathBuf::from(target)
        .components()
        .filter(|component| !matches!(component, Component::RootDir | Component::CurDir))
        .map(|component| match component {
            Component::Normal(name) => Name::new(name.as_encoded_bytes()).map_err(|_| refused()),
            Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => Err(refused()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(kind: &str, target: &str, options: &[&str]) -> Mount {
        let options = options.iter().map(ToString::to_string).collect();
        Mount { type_: kind.into(), source: "/s".into(), target: target.into(), options, ..Mount::default() }
    }

    #[test]
    fn options_are_split_into_flags_and_data() {
        let read_only = read(&mount("bind", "", &["rbind", "ro", "nosuid"])).unwrap();
        assert_eq!((read_only.bind, read_only.flags), (Some(true), MountFlags::RDONLY | MountFlags::NOSUID));
        let slave = read(&mount("bind", "", &["rbind", "rslave"])).unwrap();
        assert_eq!(slave.propagation, [MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC]);
        assert_eq!(slave.data.as_c_str(), c"");
        let overlay = read(&mount("overlay", "/a/./b", &["ro", "rw", "lowerdir=/l", "index=off"])).unwrap();
        assert_eq!((overlay.bind, overlay.flags), (None, MountFlags::empty()));
        assert_eq!(overlay.data.as_c_str(), c"lowerdir=/l,index=off");
        assert_eq!(overlay.target.len(), 2);
    }

    #[test]
    fn nothing_is_mounted_outside_the_rootfs() {
        for target in ["..", "a/../..", "a\0b"] {
            assert!(read(&mount("tmpfs", target, &[])).is_err(), "{target:?}");
        }
        assert!(read(&mount("bind", "", &["loop"])).is_err());
    }
}
