//! What a process that has confined itself cannot do: unmount, look at other processes, end them,
//! run the container's runtime. Either this process is not confined and does it itself, or it asks
//! its broker.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use dunnage_core::names;
use dunnage_oci_runtime::Runc;
use dunnage_sys::{Directory, ProcessHandle, ProcessId, Result, is_rooted_at, unmount_below};

use crate::{Action, Client};

/// How long the runtime may take.
const RUNTIME_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait for a mount that is busy.
pub(crate) const UNMOUNT_TIMEOUT: Duration = Duration::from_secs(5);

/// What makes the privileged calls.
#[derive(Clone, Debug, Default)]
pub enum Privileged {
    /// This process itself.
    #[default]
    InProcess,
    /// A broker.
    Brokered(Arc<Client>),
}

impl Privileged {
    /// Unmounts what is mounted at or under the `rootfs` of a bundle.
    pub fn unmount(&self, bundle: &Directory) -> Result<()> {
        match self {
            Self::InProcess => unmount_below(bundle, &names::ROOTFS, UNMOUNT_TIMEOUT),
            Self::Brokered(client) => client.unmount(bundle),
        }
    }

    /// The shim of a bundle by the process id on file: one that runs in the bundle.
    pub fn find(&self, pid: u32, bundle: &Directory) -> Result<Option<ProcessHandle>> {
        match self {
            Self::InProcess => ProcessHandle::find(pid, bundle),
            Self::Brokered(client) => client.find(pid, bundle),
        }
    }

    /// The recorded process of a bundle's shim.
    pub fn find_started(&self, process: ProcessId, bundle: &Directory) -> Result<Option<ProcessHandle>> {
        match self {
            Self::InProcess => ProcessHandle::find_started(process),
            Self::Brokered(client) => client.find_started(process, bundle),
        }
    }

    /// What runs in a bundle and carries its mark.
    pub fn find_marked(&self, bundle: &Directory) -> Result<Vec<ProcessHandle>> {
        match self {
            Self::InProcess => ProcessHandle::all_in(bundle),
            Self::Brokered(client) => client.find_marked(bundle),
        }
    }

    /// Whether the root directory of a process is the bundle's `rootfs`.
    pub fn is_rooted(&self, pid: u32, bundle: &Directory) -> Result<bool> {
        match self {
            Self::InProcess => is_rooted_at(pid, bundle, &names::ROOTFS),
            Self::Brokered(client) => client.is_rooted(pid, bundle),
        }
    }

    /// Runs an action of the runtime of a bundle's container, within a time limit; returns whether
    /// it succeeded. What it prints goes to these descriptors. A broker finds the runtime itself.
    ///
    /// # Errors
    ///
    /// If the runtime cannot be started, or is late ([`io::ErrorKind::TimedOut`]).
    pub fn run(
        &self,
        runtime: &Runc,
        id: &str,
        action: Action,
        bundle: &Directory,
        [stdout, stderr]: [OwnedFd; 2],
    ) -> io::Result<bool> {
        match self {
            Self::InProcess => {
                let arguments = action.arguments().iter().copied().chain([id]);
                runtime.run(arguments, stdout, stderr, RUNTIME_TIMEOUT)
            }
            Self::Brokered(client) => client.run(action, bundle, [stdout, stderr]),
        }
    }
}
