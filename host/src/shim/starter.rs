//! Starting shims for a process that has confined itself, and that may be in other hands by now.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::net::{AddressFamily, sockopt};

use super::ending::Ending;
use super::launch::Handles;
use super::launcher::Launcher;
use super::options::StartOptions;
use crate::bundle::BundleId;
use crate::bundles::{KeptShim, Places, Process, names, socket_name};
use crate::config::Config;
use crate::error::{AtStep, Error, ErrorKind, Result, Step};
use crate::shims::{ShimOptions, check_start_arguments};
use crate::sys::ambient::open_trusted;
use crate::sys::{Crossing, Directory};

/// What a broker starts shims by: all of it was said before anything untrusted was read.
#[derive(Debug)]
pub(crate) struct Starter {
    launcher: Launcher,
    settings: ShimOptions,
    daemon_address: String,
    socket_root: PathBuf,
}

impl Starter {
    pub(crate) fn new(options: &StartOptions, config: &Config) -> Result<Self> {
        Ok(Self {
            launcher: Launcher::new(options, config)?,
            settings: options.settings.absolute(),
            daemon_address: config.daemon_address.clone(),
            socket_root: std::path::absolute(&config.socket_root).unwrap_or_else(|_| config.socket_root.clone()),
        })
    }

    /// The program that is started.
    pub(crate) fn program(&self) -> Result<PathBuf> {
        self.launcher.program()
    }

    /// Starts the shim of a bundle, whose intent is on record, with a listening socket.
    ///
    /// Program, environment and cgroup are ours; the arguments are those that we would give it too;
    /// all directories are opened here. What the other side could have forged, the record, decides
    /// which socket goes when the shim ends, and that side can remove sockets itself.
    pub(crate) fn start(
        &self,
        places: &Places,
        id: &BundleId,
        bundle: &Directory,
        arguments: Vec<String>,
        socket: &OwnedFd,
    ) -> Result<Process> {
        let paths = places.bundle(id);
        let Launcher { publisher, debug, .. } = &self.launcher;
        check_start_arguments(&arguments, &paths, &self.settings, &self.daemon_address, publisher, *debug)?;
        if sockopt::socket_domain(socket) != Ok(AddressFamily::UNIX) || sockopt::socket_acceptconn(socket) != Ok(true) {
            return Err(refused("what it is to listen on is no listening unix socket"));
        }
        let kept = KeptShim::open(places, id)?.ok_or_else(|| refused("there is no record of the intent"))?;
        let mut record = kept.record_of(bundle)?.ok_or_else(|| refused("there is no record of the intent"))?;
        if record.process.is_some() {
            return Err(refused("its bundle has one on record"));
        }
        let name = socket_name(&self.socket_root, &record.address)
            .ok_or_else(|| refused("the address on record is not in the socket directory"))?;
        let handles = Handles {
            work_dir: Arc::new(work_dir(places, id)?),
            records: Arc::clone(&kept.directory),
            sockets: Arc::new(open_trusted(&self.socket_root).at_step(Step::Listen)?),
        };
        let (process, keeper) =
            self.launcher.launch(paths.path(), arguments, &handles, (socket, &name), &mut record)?;
        keeper.look_after_on_thread(Ending { handles, socket: name, record })?;
        Ok(process)
    }
}

fn work_dir(places: &Places, id: &BundleId) -> Result<Directory> {
    let missing = || refused("its bundle has no work directory");
    let (namespace, name) = names(id)?;
    let namespace = places.root.namespace(&namespace)?.ok_or_else(missing)?;
    namespace.open_directory(&name, Crossing::Refused).at_step(Step::StartShim)
}

fn refused(why: &str) -> Error {
    Error::new(ErrorKind::Shim, Step::StartShim, format!("the broker does not start a shim: {why}"))
}
