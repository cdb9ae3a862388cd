//! A shim that is being started: everything that can be refused first, then the socket, the record of
//! the intent, the process, and what is on file about it. What fails is taken back.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use dunnage_broker::Privileged;
use dunnage_bundles::{BundleGuard, Node};
use dunnage_core::{AtStep, BundleId, Error, ErrorKind, Result, ShimConfig, Step, names, shim_arguments};
use dunnage_oci_runtime::DEFAULT_ROOT;
use dunnage_store::{RecordDir, ShimKind, ShimRecord, socket_name};
use dunnage_sys::descriptors::spare_descriptors;
use dunnage_sys::{Directory, Name, ProcessId, boot_id, remove_own_socket};
use rustix::process::Signal;

use crate::cleanup::Cleanup;
use crate::launch_spec::LaunchSpec;
use crate::listen::{bind, open_sockets};
use crate::options::StartOptions;
use crate::preflight::ensure_no_shim;
use crate::spawn::Handles;
use crate::supervisor::Supervisor;

/// The longest address of a shim: what fits into `sun_path` of unix(7), with `unix://`.
pub const MAX_ADDRESS: usize = 106;
/// How long a shim that has closed its connections may take to end.
const SHIM_END_TIMEOUT: std::time::Duration = std::time::Duration::from_millis(200);

/// Descriptors that are held in reserve: without them, a start that runs out of descriptors would
/// leave its process running.
const SPARE: usize = 8;

/// A shim that is about to be started: its bundle is held, its socket is bound, and the intent is
/// on record.
pub(super) struct PendingShim {
    privileged: Privileged,
    pub(super) guard: BundleGuard,
    pub(super) handles: Handles,
    record_dir: RecordDir,
    pub(super) socket: Option<OwnedFd>,
    socket_name: Name,
    pub(super) record: ShimRecord,
    pub(super) config: ShimConfig,
    /// The earlier record, which a failure puts back.
    before: Option<ShimRecord>,
    made: CreatedForShim,
    /// For taking it back.
    spare: Vec<OwnedFd>,
}

/// What has been made for a shim, which goes if it does not come up. What was there before stays:
/// it may be another's.
#[derive(Clone, Copy, Debug, Default)]
struct CreatedForShim {
    /// `address` and `shim.pid`.
    files: bool,
    /// The FIFOs for the shim's log.
    fifos: bool,
    /// A process, started by a monitor or a broker that may have died before it could report.
    process: bool,
}

/// A shim that was started, and that has yet to answer.
pub(super) struct Launched {
    pub(super) pending: PendingShim,
    pub(super) process: ProcessId,
    pub(super) supervisor: Supervisor,
}

impl PendingShim {
    /// Does what comes before the shim.
    pub(super) fn prepare(
        node: &Arc<Node>,
        id: &BundleId,
        kind: ShimKind,
        config: ShimConfig,
        options: &StartOptions,
    ) -> Result<Self> {
        if config.namespace != id.namespace() {
            let message = format!("the settings are for namespace {:?}, but the bundle is {id}", config.namespace);
            return Err(Error::new(ErrorKind::InvalidConfig, Step::Configure, message));
        }
        let address = node.policy.shim_address(id)?;
        if address.len() > MAX_ADDRESS {
            let message =
                format!("the address {address:?} is longer than {MAX_ADDRESS} bytes; use a shorter socket directory");
            return Err(Error::new(ErrorKind::InvalidConfig, Step::Listen, message));
        }
        let socket_name = socket_name(&node.paths.socket_root, &address).ok_or_else(|| {
            let message = format!("the policy broke a rule: the address {address:?} is not in the socket directory");
            Error::new(ErrorKind::PolicyBroken, Step::Decide, message)
        })?;
        let guard = BundleGuard::open(node, id)?;
        let before = ShimRecord::find(&node.layout, id, &guard.bundle)?;
        ensure_no_shim(node, id, &guard, before.as_ref(), &address)?;
        let sockets = open_sockets(node)?;
        let root = Some(config.runtime_root.as_str()).filter(|root| !root.is_empty()).unwrap_or(DEFAULT_ROOT);
        let record = ShimRecord {
            kind,
            boot: boot_id().at_step(Step::StartShim)?,
            bundle: guard.bundle.identity().ok_or_else(|| no_identity(&guard.bundle))?,
            address,
            socket: None,
            runtime: options.runtime.clone(),
            runtime_root: PathBuf::from(root),
            log: options.output.as_ref().and_then(|output| output.file.clone()),
            process: None,
            exited: None,
        };
        // A handle of its own: that of the lock must not outlive us in another process.
        let work_dir = Arc::new(guard.work_dir.reopen().at_step(Step::StartShim)?);
        let spare = spare_descriptors(&sockets, SPARE).at_step(Step::StartShim)?;
        let record_dir = RecordDir::make(&node.layout, id)?;
        let handles = Handles { work_dir, records: Arc::clone(&record_dir.directory), sockets };
        let made = CreatedForShim::default();
        let privileged = node.privileged.clone();
        let mut pending = Self {
            privileged,
            guard,
            handles,
            record_dir,
            socket: None,
            socket_name,
            record,
            config,
            before,
            made,
            spare,
        };
        match pending.listen() {
            Ok(()) => Ok(pending),
            Err(error) => Err(pending.undo(None, error)),
        }
    }

    /// Records the intent, then binds the socket, then records that too.
    fn listen(&mut self) -> Result<()> {
        // What is on record of an earlier container.
        for name in [names::TASK, names::EXIT] {
            self.handles.records.unlink_if_there(&name).at_step(Step::RecordShim)?;
        }
        self.record.write(&self.handles.records)?;
        let listening = bind(&self.handles.sockets, &self.socket_name)?;
        self.record.socket = Some(listening.identity);
        self.socket = Some(listening.socket);
        self.record.write(&self.handles.records)
    }

    /// Starts the process, and writes down where it is.
    pub(super) fn launch(mut self, node: &Arc<Node>, options: &StartOptions) -> Result<Launched> {
        let started = self.spawn(node, options);
        // A process that keeps the socket open makes a dead shim look alive.
        self.socket = None;
        let (process, supervisor) = match started {
            Ok(started) => started,
            Err(error) => {
                // A monitor that was killed before it could answer has recorded what it started.
                let recorded = ShimRecord::read(&self.handles.records).ok().flatten();
                return Err(self.undo(recorded.and_then(|record| record.process), error));
            }
        };
        match self.file(process) {
            Ok(()) => Ok(Launched { pending: self, process, supervisor }),
            Err(error) => {
                supervisor.give_up();
                Err(self.undo(Some(process), error))
            }
        }
    }

    fn spawn(&mut self, node: &Arc<Node>, options: &StartOptions) -> Result<(ProcessId, Supervisor)> {
        let launch_spec = LaunchSpec::new(options, &node.paths)?;
        let bundle = node.layout.bundle(&BundleId::new(&self.config.namespace, self.id()));
        let LaunchSpec { publisher, debug, .. } = &launch_spec;
        let arguments = shim_arguments(&bundle, &self.config, &node.paths.daemon_address, publisher, *debug)?;
        self.made.fifos = self.guard.work_dir.metadata_at(&names::SHIM_STDOUT).is_err();
        self.made.process = launch_spec.has_monitor() || matches!(self.privileged, Privileged::Brokered(_));
        let Some(socket) = &self.socket else { return Err(no_identity(&self.guard.bundle)) };
        match &self.privileged {
            Privileged::InProcess => {
                let socket = (socket, &self.socket_name);
                launch_spec.launch(&bundle, arguments, &self.handles, socket, &mut self.record)
            }
            Privileged::Brokered(broker) => {
                let process = broker.start_shim(&self.guard.bundle, arguments, socket, options.timeout)?;
                self.record.process = Some(process);
                Ok((process, Supervisor::Broker))
            }
        }
    }

    /// What there will be to do when the shim has ended.
    pub(super) fn cleanup(&self) -> Cleanup {
        Cleanup { handles: self.handles.clone(), socket: self.socket_name.clone(), record: self.record.clone() }
    }

    fn id(&self) -> String {
        self.guard.bundle.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Writes `address` and `shim.pid`: a client that finds the first can connect, one that finds
    /// both can check.
    pub(super) fn file(&mut self, process: ProcessId) -> Result<()> {
        self.made.files = true;
        let bundle = &self.guard.bundle;
        bundle.write_file(&names::ADDRESS, self.record.address.as_bytes(), 0o600).at_step(Step::RecordShim)?;
        bundle.write_file(&names::SHIM_PID, process.pid.to_string().as_bytes(), 0o600).at_step(Step::RecordShim)
    }

    /// The end of what the shim has logged.
    fn last_words(&self) -> String {
        let log = self.handles.records.read_file(&names::LOG, 1 << 20).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        match text.trim_end().lines().next_back() {
            Some(line) => format!("; it logged {:?}", line.chars().take(400).collect::<String>()),
            None => String::new(),
        }
    }

    /// Ends what a monitor has started that was killed before it could record it.
    fn end_unrecorded(&self) -> dunnage_sys::Result<()> {
        for shim in self.privileged.find_marked(&self.guard.bundle)? {
            shim.end(Signal::KILL, crate::shim::KILL_TIMEOUT)?;
        }
        Ok(())
    }

    /// Takes everything back that starting a shim has made.
    pub(super) fn undo(mut self, process: Option<ProcessId>, mut error: Error) -> Error {
        self.socket = None;
        self.spare.clear();
        if process.is_none()
            && self.made.process
            && let Err(failure) = self.end_unrecorded()
        {
            return error.note(format!("a shim of the bundle may still be running: {failure}"));
        }
        if let Some(process) = process
            && process.pid != std::process::id()
        {
            error = match self.privileged.find_started(process, &self.guard.bundle) {
                Ok(None) => error.note(format!("the shim exited by itself{}", self.last_words())),
                // It may be about to end, and that is worth reporting.
                Ok(Some(shim)) if error.kind() == ErrorKind::Shim && shim.has_ended(SHIM_END_TIMEOUT) == Ok(true) => {
                    error.note(format!("the shim exited by itself{}", self.last_words()))
                }
                Ok(Some(shim)) if shim.end(Signal::KILL, crate::shim::KILL_TIMEOUT) == Ok(true) => error,
                // What is known of it stays, for the call that deletes the bundle.
                _ => return error.note(format!("the shim (pid {}) may still be running", process.pid)),
            };
        }
        let mut leftovers = Vec::new();
        if self.made.files {
            for name in [names::SHIM_PID, names::ADDRESS] {
                leftovers.extend(self.guard.bundle.unlink_if_there(&name).err());
            }
        }
        if self.made.fifos {
            for name in [names::SHIM_STDOUT, names::SHIM_STDERR] {
                leftovers.extend(self.guard.work_dir.unlink_if_there(&name).err());
            }
        }
        if let Some(socket) = self.record.socket {
            leftovers.extend(remove_own_socket(&self.handles.sockets, &self.socket_name, socket).err());
        }
        for failure in leftovers {
            error = error.note(format!("left behind: {failure}"));
        }
        let restored = match &self.before {
            Some(before) => before.write(&self.handles.records),
            None => self.record_dir.remove(),
        };
        match restored {
            Ok(()) => error,
            Err(left) => error.note(left.to_string()),
        }
    }
}

pub(super) fn no_identity(directory: &Directory) -> Error {
    let message = format!("cannot tell which directory {} is", directory.path().display());
    Error::new(ErrorKind::Filesystem, Step::StartShim, message).at(directory.path())
}
