//! How a broker starts shims: defined here, implemented where shims are known.

use std::fmt::Debug;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use dunnage_core::{BundleId, Result};
use dunnage_store::Layout;
use dunnage_sys::{Directory, ProcessId};

/// How a broker starts shims; all of it was fixed before anything untrusted was read.
pub trait ShimLauncher: Debug + Send + Sync {
    /// The program that is started, by its whole path.
    ///
    /// # Errors
    ///
    /// If there is no such program.
    fn program(&self) -> Result<PathBuf>;

    /// Starts the shim of a bundle, whose intent is on record, with a listening socket.
    ///
    /// What comes from the confined side is the arguments, the socket and the handle of the bundle.
    ///
    /// # Errors
    ///
    /// If the arguments are not those of a shim of this bundle, the socket is not one that listens, no
    /// intent is on record, or the shim cannot be started.
    fn start(
        &self,
        layout: &Layout,
        id: &BundleId,
        bundle: &Directory,
        arguments: &[String],
        socket: &OwnedFd,
    ) -> Result<ProcessId>;
}
