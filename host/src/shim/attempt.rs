//! An attempt to start a shim: everything that can be refused first, then the socket, the record of
//! the intent, the process, and what is on file about it. What fails is taken back.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::process::Signal;

use super::ending::Ending;
use super::launch::Handles;
use super::launcher::Launcher;
use super::listen::{bind, open_sockets};
use super::options::StartOptions;
use super::second::refuse_second;
use super::supervise::Keeper;
use crate::bundle::BundleId;
use crate::bundles::{DEFAULT_RUNTIME_ROOT, Hold, Inner, KeptShim, Process, ShimKind, ShimRecord, socket_name};
use crate::error::{AtStep, Error, ErrorKind, Result, Step};
use crate::name::Name;
use crate::privileged::Privileged;
use crate::sabotage::SABOTAGED;
use crate::shims::ShimConfig;
use crate::sys::descriptors::spare_descriptors;
use crate::sys::{Directory, boot_id, remove_own_socket};

/// The longest address (`sun_path` of unix(7), with the prefix).
const LONGEST_ADDRESS: usize = 106;
/// How long a shim that has closed its connections may take to end.
const LAST_MOMENTS: std::time::Duration = std::time::Duration::from_millis(200);

/// Descriptors that are set aside: where there are no more, what has been started would else be left
/// running.
const SPARE: usize = 8;

/// A shim that is about to be started: its bundle is held, its socket is bound, and the intent is
/// on record.
pub(super) struct Attempt {
    privileged: Privileged,
    pub(super) hold: Hold,
    pub(super) handles: Handles,
    kept: KeptShim,
    pub(super) socket: Option<OwnedFd>,
    socket_name: Name,
    pub(super) record: ShimRecord,
    pub(super) config: ShimConfig,
    /// What was on record before: a failure puts it back.
    before: Option<ShimRecord>,
    made: Made,
    /// For taking it back.
    spare: Vec<OwnedFd>,
}

/// What has been made for a shim, which goes if it does not come up. What was there before stays:
/// it may be another's.
#[derive(Clone, Copy, Debug, Default)]
struct Made {
    /// `address` and `shim.pid`.
    files: bool,
    /// The FIFOs for the shim's log.
    fifos: bool,
    /// A process, by a monitor or a broker that may not have lived to tell.
    process: bool,
}

/// A shim that was started, and that has yet to answer.
pub(super) struct Launched {
    pub(super) attempt: Attempt,
    pub(super) process: Process,
    pub(super) keeper: Keeper,
}

impl Attempt {
    /// Does what comes before the shim.
    pub(super) fn prepare(
        inner: &Arc<Inner>,
        id: &BundleId,
        kind: ShimKind,
        config: ShimConfig,
        runtime: &std::path::Path,
    ) -> Result<Self> {
        if config.namespace != id.namespace() {
            let message = format!("the settings are for namespace {:?}, and the bundle is {id}", config.namespace);
            return Err(Error::new(ErrorKind::InvalidConfig, Step::Configure, message));
        }
        let address = inner.policy.shim_address(&inner.config, id)?;
        if address.len() > LONGEST_ADDRESS {
            let message = format!(
                "the address {address:?} is longer than {LONGEST_ADDRESS} bytes; use a shorter socket directory"
            );
            return Err(Error::new(ErrorKind::InvalidConfig, Step::Listen, message));
        }
        let socket_name = socket_name(inner.socket_root(), &address).ok_or_else(|| {
            let message = format!("the policy broke a rule: the address {address:?} is not in the socket directory");
            Error::new(ErrorKind::PolicyBroken, Step::Decide, message)
        })?;
        let hold = Hold::open(inner, id)?;
        let before = ShimRecord::of(inner, id, &hold.bundle)?;
        refuse_second(inner, id, &hold, before.as_ref(), &address)?;
        let sockets = open_sockets(inner)?;
        let root = Some(config.runtime_root.as_str()).filter(|root| !root.is_empty()).unwrap_or(DEFAULT_RUNTIME_ROOT);
        let record = ShimRecord {
            kind,
            boot: boot_id().at_step(Step::StartShim)?,
            bundle: hold.bundle.identity().ok_or_else(|| no_identity(&hold.bundle))?,
            address,
            socket: None,
            runtime: runtime.to_owned(),
            runtime_root: PathBuf::from(root),
            process: None,
            exited: None,
        };
        // A handle of its own: that of the lock must not outlive us in another process.
        let work_dir = Arc::new(hold.work_dir.reopen().at_step(Step::StartShim)?);
        let spare = spare_descriptors(&sockets, SPARE).at_step(Step::StartShim)?;
        let kept = KeptShim::make(inner, id)?;
        let handles = Handles { work_dir, records: Arc::clone(&kept.directory), sockets };
        let made = Made::default();
        let privileged = inner.config.privileged.clone();
        let mut attempt =
            Self { privileged, hold, handles, kept, socket: None, socket_name, record, config, before, made, spare };
        match attempt.listen() {
            Ok(()) => Ok(attempt),
            Err(error) => Err(attempt.undo(None, error)),
        }
    }

    /// Records the intent, then binds the socket, then records that too.
    fn listen(&mut self) -> Result<()> {
        self.record.write(&self.handles.records)?;
        let listening = bind(&self.handles.sockets, &self.socket_name)?;
        self.record.socket = Some(listening.identity);
        self.socket = Some(listening.socket);
        self.record.write(&self.handles.records)
    }

    /// Starts the process, and writes down where it is.
    pub(super) fn launch(mut self, inner: &Arc<Inner>, options: &StartOptions) -> Result<Launched> {
        let started = self.spawn(inner, options);
        // Whoever keeps the socket open makes a dead shim look alive.
        self.socket = None;
        let (process, keeper) = match started {
            Ok(started) => started,
            Err(error) => {
                // A monitor that was killed before it could answer has recorded what it started.
                let recorded = ShimRecord::read(&self.handles.records).ok().flatten();
                return Err(self.undo(recorded.and_then(|record| record.process), error));
            }
        };
        match self.file(process) {
            Ok(()) => Ok(Launched { attempt: self, process, keeper }),
            Err(error) => {
                keeper.give_up();
                Err(self.undo(Some(process), error))
            }
        }
    }

    fn spawn(&mut self, inner: &Arc<Inner>, options: &StartOptions) -> Result<(Process, Keeper)> {
        let launcher = Launcher::new(options, &inner.config)?;
        let bundle = inner.places.bundle(&BundleId::new(&self.config.namespace, self.id()));
        let Launcher { publisher, debug, .. } = &launcher;
        let arguments =
            crate::shims::start_arguments(&inner.policy, &inner.config, &bundle, &self.config, publisher, *debug)?;
        self.made.fifos = self.hold.work_dir.metadata_at(&Name::SHIM_STDOUT).is_err();
        self.made.process = launcher.has_monitor() || matches!(self.privileged, Privileged::Brokered(_));
        let Some(socket) = &self.socket else { return Err(no_identity(&self.hold.bundle)) };
        match &self.privileged {
            Privileged::InProcess => {
                let socket = (socket, &self.socket_name);
                launcher.launch(self.hold.bundle.path(), arguments, &self.handles, socket, &mut self.record)
            }
            Privileged::Brokered(broker) => {
                let process = broker.start_shim(&self.hold.bundle, arguments, socket, options.timeout)?;
                self.record.process = Some(process);
                Ok((process, Keeper::Broker))
            }
        }
    }

    /// What there will be to do when the shim has ended.
    pub(super) fn ending(&self) -> Ending {
        Ending { handles: self.handles.clone(), socket: self.socket_name.clone(), record: self.record.clone() }
    }

    fn id(&self) -> String {
        self.hold.bundle.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Writes `address` and `shim.pid`: who finds the one can connect, who finds both can check.
    pub(super) fn file(&mut self, process: Process) -> Result<()> {
        self.made.files = true;
        let bundle = &self.hold.bundle;
        bundle.write_file(&Name::ADDRESS, self.record.address.as_bytes(), 0o600).at_step(Step::RecordShim)?;
        bundle.write_file(&Name::SHIM_PID, process.pid.to_string().as_bytes(), 0o600).at_step(Step::RecordShim)
    }

    /// The end of what the shim has logged.
    fn last_words(&self) -> String {
        let log = self.handles.records.read_file(&Name::LOG, 1 << 20).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        match text.trim_end().lines().next_back() {
            Some(line) => format!(", and said {:?}", line.chars().take(400).collect::<String>()),
            None => String::new(),
        }
    }

    /// Ends what a monitor has started that was killed before it could record it.
    fn end_unrecorded(&self) -> crate::sys::Result<()> {
        for shim in self.privileged.find_marked(&self.hold.bundle)? {
            shim.end(Signal::KILL, super::KILL_PATIENCE)?;
        }
        Ok(())
    }

    /// Takes everything back that starting a shim has made.
    pub(super) fn undo(mut self, process: Option<Process>, mut error: Error) -> Error {
        self.socket = None;
        self.spare.clear();
        if process.is_none()
            && self.made.process
            && let Err(failure) = self.end_unrecorded()
        {
            return error.note(format!("a shim of it may still be running: {failure}"));
        }
        if let Some(process) = process
            && process.pid != std::process::id()
        {
            error = match self.privileged.find_started(process, &self.hold.bundle) {
                Ok(None) => error.note(format!("the shim has ended by itself{}", self.last_words())),
                // It may be about to end, and that is worth telling.
                Ok(Some(shim)) if error.kind() == ErrorKind::Shim && shim.has_ended(LAST_MOMENTS) == Ok(true) => {
                    error.note(format!("the shim has ended by itself{}", self.last_words()))
                }
                Ok(Some(shim)) if shim.end(Signal::KILL, super::KILL_PATIENCE) == Ok(true) => error,
                // What is known of it stays, for whoever deletes the bundle.
                _ => return error.note(format!("the shim (pid {}) may still be running", process.pid)),
            };
        }
        let mut leftovers = Vec::new();
        if self.made.files {
            for name in [Name::SHIM_PID, Name::ADDRESS] {
                leftovers.extend(self.hold.bundle.unlink_if_there(&name).err());
            }
        }
        if self.made.fifos {
            for name in [Name::SHIM_STDOUT, Name::SHIM_STDERR] {
                leftovers.extend(self.hold.work_dir.unlink_if_there(&name).err());
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
            None if SABOTAGED => Ok(()),
            None => self.kept.remove(),
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
