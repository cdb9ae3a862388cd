//! What a bundle is made of, and in which order.

use crate::directory::Directory;
use crate::{identifier, spec};

/// The mode of a bundle whose GID 0 is remapped: its group may pass.
pub const REMAPPED_MODE: u32 = 0o710;
/// The mode of `rootfs`, where the shim mounts.
pub const ROOTFS_MODE: u32 = 0o711;
/// The mode of `config.json`: it may hold secrets.
pub const CONFIG_MODE: u32 = 0o600;
/// The mode of `config.json` if GID 0 is remapped: the container's root may read it.
pub const REMAPPED_CONFIG_MODE: u32 = 0o640;

/// What was being done when the file system said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Giving the bundle to the remapped group.
    SetGroup,
    /// Setting the bundle's mode.
    SetMode,
    /// Making `rootfs`.
    CreateRootfs,
    /// Writing `config.json`.
    WriteSpec,
}

/// Why a bundle was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// The namespace or the id is refused.
    Identifier(identifier::Error),
    /// The spec is refused.
    Spec(spec::Error),
    /// A file-system call failed.
    Filesystem(Step, E),
}

/// Makes a bundle in the empty directory that is lent, with mode 0700, and returns the remapped
/// GID. Similar to `newBundle` and `prepareBundleDirectoryPermissions` of containerd.
///
/// Everything that can be refused is refused before the directory is touched. Then strict to wide:
/// first the group, then the mode that lets it in (CVE-2021-41103 was the other way round).
///
/// # Errors
///
/// See [`Error`]; the first failure ends it.
pub fn create<D: Directory>(directory: &D, namespace: &str, id: &str, spec: &[u8]) -> Result<u32, Error<D::Error>> {
    identifier::check_both(namespace, id).map_err(Error::Identifier)?;
    let gid = spec::remapped_gid(spec).map_err(Error::Spec)?;
    let at = |step| move |error| Error::Filesystem(step, error);
    let remapped = (gid != 0).then_some(gid);
    if let Some(gid) = remapped {
        directory.set_group(gid).map_err(at(Step::SetGroup))?;
        directory.set_mode(REMAPPED_MODE).map_err(at(Step::SetMode))?;
    }
    directory.create_directory_at("rootfs", ROOTFS_MODE).map_err(at(Step::CreateRootfs))?;
    let mode = if remapped.is_some() { REMAPPED_CONFIG_MODE } else { CONFIG_MODE };
    directory.write_spec_at("config.json", mode, remapped).map_err(at(Step::WriteSpec))?;
    Ok(gid)
}

#[cfg(test)]
mod tests;
