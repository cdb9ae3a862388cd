//! What the process of a shim is started from, as the caller has asked for it.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use dunnage_core::{Bundle, Error, ErrorKind, NodePaths, Result, Step};
use dunnage_store::ShimRecord;
use dunnage_sys::cgroup::{Cgroup, CgroupError, adjust_oom_score};
use dunnage_sys::{MARK, Name, ProcessId, is_executable};

use crate::monitor::{self, OutputLog};
use crate::options::StartOptions;
use crate::spawn::{self, Handles, Program};
use crate::standalone::SHIM;
use crate::supervisor::Supervisor;

/// The part of [`StartOptions`] that concerns the process which starts the shim: this one or its
/// broker.
#[derive(Debug)]
pub(super) struct LaunchSpec {
    binary: PathBuf,
    pub(super) publisher: PathBuf,
    pub(super) debug: bool,
    monitor: Option<PathBuf>,
    cgroup: Option<String>,
    environment: Vec<(OsString, OsString)>,
    output: Option<OutputLog>,
    state: PathBuf,
    timeout: Duration,
}

impl LaunchSpec {
    pub(super) fn new(options: &StartOptions, paths: &NodePaths) -> Result<Self> {
        let mut environment = options.environment.clone();
        for (name, value) in [("DUNNAGE_STATE", &paths.state), ("DUNNAGE_ROOT", &paths.root)] {
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
            output: options.output.clone(),
            state: std::path::absolute(&paths.state).unwrap_or_else(|_| paths.state.clone()),
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
            .find(|program| is_executable(program))
            .ok_or_else(|| missing(format!("it is not in any directory of PATH ({})", path.display())))
    }

    /// Starts the shim of a bundle, and puts it where it is to be. If it fails nothing runs, unless
    /// the record names a process.
    pub(super) fn launch(
        &self,
        bundle: &Bundle,
        arguments: Vec<String>,
        handles: &Handles,
        socket: (&OwnedFd, &Name),
        record: &mut ShimRecord,
    ) -> Result<(ProcessId, Supervisor)> {
        let binary = self.program()?;
        let cgroup = self.cgroup.as_deref().map(Cgroup::find).transpose().map_err(not_placed)?;
        let mut environment = self.environment.clone();
        environment.push((MARK.into(), bundle.path().into()));
        let program = Program { binary, name: SHIM.into(), arguments, environment, bundle: bundle.path().to_owned() };
        let (process, supervisor) = match &self.monitor {
            Some(binary) => {
                let container =
                    monitor::Container { id: bundle.id(), state: &self.state, output: self.output.as_ref() };
                let (process, monitor) =
                    monitor::start(binary, program, handles, socket, record, container, self.timeout)?;
                (process, Supervisor::Monitor(monitor))
            }
            None => {
                let started = spawn::start(&program, handles, socket.0, record)?;
                (started.process, Supervisor::Ourselves(started))
            }
        };
        let monitor = supervisor.monitor();
        let placed = cgroup
            .map_or(Ok(()), |cgroup| monitor.into_iter().chain([process.pid]).try_for_each(|pid| cgroup.add(pid)))
            .and_then(|()| adjust_oom_score(process.pid))
            .map_err(not_placed);
        match placed {
            Ok(()) => Ok((process, supervisor)),
            Err(error) => {
                supervisor.give_up();
                Err(error)
            }
        }
    }
}

fn not_placed(error: CgroupError) -> Error {
    let kind = if matches!(error, CgroupError::Invalid(_)) { ErrorKind::InvalidConfig } else { ErrorKind::Shim };
    Error::new(kind, Step::StartShim, error.to_string())
}

fn own_binary() -> Result<PathBuf> {
    std::env::current_exe().map_err(|error| {
        Error::new(ErrorKind::Shim, Step::StartShim, format!("cannot find this program's own binary: {error}"))
    })
}
