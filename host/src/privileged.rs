//! What a process that has confined itself cannot do: unmount, look at other processes, end them,
//! run the container's runtime, start shims. Either this process may do it all the same, or it asks
//! its broker (see [`crate::broker`]).

mod check;
mod client;
mod serve;
#[cfg(test)]
mod tests;
mod wire;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::check::Domain;
pub(crate) use self::client::Client;
pub(crate) use self::serve::serve;
use crate::bundles::{Process, Runtime, RuntimeAction};
use crate::name::Name;
use crate::sys::{Directory, Result, ShimProcess, is_rooted_at, unmount_below};

/// How long to wait for a mount that is busy.
const UNMOUNT_PATIENCE: Duration = Duration::from_secs(5);

/// Who makes the calls.
#[derive(Clone, Debug, Default)]
pub(crate) enum Privileged {
    /// This process itself.
    #[default]
    InProcess,
    /// A broker.
    Brokered(Arc<Client>),
}

impl Privileged {
    /// Unmounts what is mounted at or under the `rootfs` of a bundle.
    pub(crate) fn unmount(&self, bundle: &Directory) -> Result<()> {
        match self {
            Self::InProcess => unmount_below(bundle, &Name::ROOTFS, UNMOUNT_PATIENCE),
            Self::Brokered(client) => client.unmount(bundle),
        }
    }

    /// The shim of a bundle by the process id on file: one that runs in the bundle.
    pub(crate) fn find(&self, pid: u32, bundle: &Directory) -> Result<Option<ShimProcess>> {
        match self {
            Self::InProcess => ShimProcess::find(pid, bundle),
            Self::Brokered(client) => client.find(pid, bundle),
        }
    }

    /// The recorded process of a bundle's shim.
    pub(crate) fn find_started(&self, process: Process, bundle: &Directory) -> Result<Option<ShimProcess>> {
        match self {
            Self::InProcess => ShimProcess::find_started(process.pid, process.started),
            Self::Brokered(client) => client.find_started(process, bundle),
        }
    }

    /// What runs in a bundle and carries its mark.
    pub(crate) fn find_marked(&self, bundle: &Directory) -> Result<Vec<ShimProcess>> {
        match self {
            Self::InProcess => ShimProcess::all_in(bundle),
            Self::Brokered(client) => client.find_marked(bundle),
        }
    }

    /// Whether the root directory of a process is the bundle's `rootfs`.
    pub(crate) fn is_rooted(&self, pid: u32, bundle: &Directory) -> Result<bool> {
        match self {
            Self::InProcess => is_rooted_at(pid, bundle, &Name::ROOTFS),
            Self::Brokered(client) => client.is_rooted(pid, bundle),
        }
    }

    /// Runs the runtime of a bundle's container to its end, if that comes in time; whether it
    /// succeeded. What it prints goes to these descriptors.
    pub(crate) fn run(
        &self,
        runtime: &Runtime,
        action: RuntimeAction,
        bundle: &Directory,
        [stdout, stderr]: [OwnedFd; 2],
    ) -> io::Result<bool> {
        match self {
            Self::InProcess => runtime.execute(action, stdout, stderr),
            Self::Brokered(client) => client.run(action, bundle, [stdout, stderr]),
        }
    }
}
