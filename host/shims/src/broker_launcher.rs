//! Starting shims for a process that has confined itself, and that may be under an attacker's
//! control by now.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use dunnage_broker::ShimLauncher;
use dunnage_core::{
    AtStep as _, Bundle, BundleId, Error, ErrorKind, NodePaths, Result, ShimConfig, ShimOptions, Step, shim_arguments,
};
use dunnage_store::{Layout, RecordDir, names_of, socket_name};
use dunnage_sys::trusted_path::open_trusted;
use dunnage_sys::{Crossing, Directory, ProcessId, is_listening_unix_socket};

use crate::cleanup::Cleanup;
use crate::launch_spec::LaunchSpec;
use crate::options::StartOptions;
use crate::spawn::Handles;

/// How a broker starts shims; all of it was fixed before anything untrusted was read.
#[derive(Debug)]
pub struct BrokerLauncher {
    spec: LaunchSpec,
    settings: ShimOptions,
    daemon_address: String,
    socket_root: PathBuf,
}

impl BrokerLauncher {
    /// Takes note of how shims are to be started.
    ///
    /// # Errors
    ///
    /// If this program's own binary cannot be found.
    pub fn new(options: &StartOptions, paths: &NodePaths) -> Result<Self> {
        Ok(Self {
            spec: LaunchSpec::new(options, paths)?,
            settings: options.settings.absolute(),
            daemon_address: paths.daemon_address.clone(),
            socket_root: std::path::absolute(&paths.socket_root).unwrap_or_else(|_| paths.socket_root.clone()),
        })
    }

    /// Checks arguments that come from the confined side: they must be those that we would give to
    /// a shim of this bundle.
    fn check_arguments(&self, arguments: &[String], bundle: &Bundle) -> Result<()> {
        // The policy has decided which of the two runtime roots it is.
        let own = self.settings.runc.as_ref().map(|runc| &runc.runtime_root);
        for runtime_root in std::iter::once(&self.settings.runtime_root).chain(own) {
            let config = ShimConfig::new(
                bundle.path().to_string_lossy().into_owned(),
                bundle.work_dir().to_string_lossy().into_owned(),
                bundle.id().namespace().to_owned(),
                runtime_root.clone(),
                self.settings.runc.as_ref().is_some_and(|runc| runc.systemd_cgroup),
            );
            let LaunchSpec { publisher, debug, .. } = &self.spec;
            if shim_arguments(bundle, &config, &self.daemon_address, publisher, *debug)? == arguments {
                return Ok(());
            }
        }
        Err(refused("its arguments do not belong to a shim of this bundle"))
    }
}

impl ShimLauncher for BrokerLauncher {
    fn program(&self) -> Result<PathBuf> {
        self.spec.program()
    }

    /// Program, environment and cgroup are ours; the arguments are those that we would give it too;
    /// all directories are opened here. Only the record could have been forged by the other side:
    /// it decides which socket is removed when the shim ends, and that side can remove sockets
    /// itself.
    fn start(
        &self,
        layout: &Layout,
        id: &BundleId,
        bundle: &Directory,
        arguments: &[String],
        socket: &OwnedFd,
    ) -> Result<ProcessId> {
        let paths = layout.bundle(id);
        self.check_arguments(arguments, &paths)?;
        if !is_listening_unix_socket(socket) {
            return Err(refused("its socket is not a listening unix socket"));
        }
        let record_dir = RecordDir::open(layout, id)?.ok_or_else(|| refused("the intent was not recorded"))?;
        let mut record = record_dir.record_of(bundle)?.ok_or_else(|| refused("the intent was not recorded"))?;
        if record.process.is_some() {
            return Err(refused("its bundle already has a recorded shim"));
        }
        let name = socket_name(&self.socket_root, &record.address)
            .ok_or_else(|| refused("the recorded address is not in the socket directory"))?;
        let handles = Handles {
            work_dir: Arc::new(work_dir(layout, id)?),
            records: Arc::clone(&record_dir.directory),
            sockets: Arc::new(open_trusted(&self.socket_root).at_step(Step::Listen)?),
        };
        let (process, supervisor) =
            self.spec.launch(&paths, arguments.to_vec(), &handles, (socket, &name), &mut record)?;
        supervisor.look_after_on_thread(Cleanup { handles, socket: name, record })?;
        Ok(process)
    }
}

fn work_dir(layout: &Layout, id: &BundleId) -> Result<Directory> {
    let missing = || refused("its bundle has no work directory");
    let (namespace, name) = names_of(id)?;
    let namespace = layout.root.namespace(&namespace)?.ok_or_else(missing)?;
    namespace.open_directory(&name, Crossing::Refused).at_step(Step::StartShim)
}

fn refused(why: &str) -> Error {
    Error::new(ErrorKind::Shim, Step::StartShim, format!("the broker refused to start a shim: {why}"))
}

#[cfg(test)]
mod tests;
