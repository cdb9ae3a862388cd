//! Making the process of a shim as the caller has asked for it.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, access};

use super::cgroup::{Cgroup, adjust_oom_score};
use super::launch::{self, Handles, Program};
use super::monitor;
use super::options::StartOptions;
use super::serve::SHIM;
use super::supervise::Keeper;
use crate::bundles::{Process, ShimRecord};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::name::Name;
use crate::sys::MARK;

/// The part of [`StartOptions`] that concerns whoever makes the process: this one or its broker.
#[derive(Debug)]
pub(super) struct Launcher {
    binary: PathBuf,
    pub(super) publisher: PathBuf,
    pub(super) debug: bool,
    monitor: Option<PathBuf>,
    cgroup: Option<String>,
    environment: Vec<(OsString, OsString)>,
    timeout: Duration,
}

impl Launcher {
    pub(super) fn new(options: &StartOptions, config: &Config) -> Result<Self> {
        let mut environment = options.environment.clone();
        for (name, value) in [("DUNNAGE_STATE", &config.state), ("DUNNAGE_ROOT", &config.root)] {
            let value = std::path::absolute(value).unwrap_or_else(|_| value.clone());
            environment.push((name.into(), value.into()));
        }
        Ok(Self {
            binary: options.binary.clone(),
            publisher: options.publisher.clone().map_or_else(own_binary, Ok)?,
            debug: options.debug,
            monitor: options.monitor.clone(),
            cgroup: options.cgroup.clone(),
            environment,
            timeout: options.timeout,
        })
    }

    /// Whether the shim gets a monitor of its own.
    pub(super) fn has_monitor(&self) -> bool {
        self.monitor.is_some()
    }

    /// The program by its whole path: it is started in the bundle, where others could have put one of
    /// that name.
    pub(super) fn program(&self) -> Result<PathBuf> {
        let missing = |why: String| {
            let message = format!("cannot start the shim {}: {why}", self.binary.display());
            Error::new(ErrorKind::Shim, Step::StartShim, message).at(&self.binary)
        };
        if self.binary.components().count() != 1 {
            return std::path::absolute(&self.binary).map_err(|error| missing(error.to_string()));
        }
        let path = self.environment.iter().find(|(name, _)| name == "PATH").map(|(_, path)| &**path);
        let path = path.unwrap_or_default();
        std::env::split_paths(path)
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join(&self.binary))
            .find(|program| program.is_file() && access(program, Access::EXEC_OK).is_ok())
            .ok_or_else(|| missing(format!("it is in no directory of PATH ({})", path.display())))
    }

    /// Starts the shim of a bundle, and puts it where it is to be. If it fails nothing runs, unless
    /// the record tells of a process.
    pub(super) fn launch(
        &self,
        bundle: &Path,
        arguments: Vec<String>,
        handles: &Handles,
        socket: (&OwnedFd, &Name),
        record: &mut ShimRecord,
    ) -> Result<(Process, Keeper)> {
        let binary = self.program()?;
        let cgroup = self.cgroup.as_deref().map(Cgroup::find).transpose()?;
        let mut environment = self.environment.clone();
        environment.push((MARK.into(), bundle.into()));
        let program = Program { binary, name: SHIM.into(), arguments, environment, bundle: bundle.to_owned() };
        let (process, keeper) = match &self.monitor {
            Some(binary) => {
                let (process, monitor) = monitor::start(binary, program, handles, socket, record, self.timeout)?;
                (process, Keeper::Monitor(monitor))
            }
            None => {
                let started = launch::start(&program, handles, socket.0, record)?;
                (started.process, Keeper::Ourselves(started))
            }
        };
        let placed =
            cgroup.map_or(Ok(()), |cgroup| cgroup.add(process.pid)).and_then(|()| adjust_oom_score(process.pid));
        match placed {
            Ok(()) => Ok((process, keeper)),
            Err(error) => {
                keeper.give_up();
                Err(error)
            }
        }
    }
}

fn own_binary() -> Result<PathBuf> {
    std::env::current_exe().map_err(|error| {
        Error::new(ErrorKind::Shim, Step::StartShim, format!("cannot find this program's own binary: {error}"))
    })
}
