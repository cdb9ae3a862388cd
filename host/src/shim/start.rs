//! Starting a shim: everything that can be refused first, then the socket, the record of the
//! intent, the process, and what is on file about it.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::process::Signal;

use super::cgroup::{Cgroup, adjust_oom_score};
use super::launch::{self, Handles, Program, Started};
use super::listen::{bind, open_sockets};
use super::local::{self, LocalConfig, LocalShim, Server};
use super::options::StartOptions;
use super::second::refuse_second;
use super::{Shim, blocking, connect, monitor, supervise};
use crate::bundle::{BundleId, Incarnation};
use crate::bundles::{DEFAULT_RUNTIME_ROOT, Hold, Inner, KeptShim, Process, ShimKind, ShimRecord, socket_name};
use crate::error::{AtStep, Error, ErrorKind, Result, Step};
use crate::events::EventLog;
use crate::name::Name;
use crate::shims::{Endpoint, ShimConfig};
use crate::sys::{Directory, MARK, ShimProcess, boot_id, remove_own_socket, start_time};

/// The longest address (`sun_path` of unix(7), with the prefix).
const LONGEST_ADDRESS: usize = 106;
/// How long a shim that has closed its connections may take to end.
const LAST_MOMENTS: std::time::Duration = std::time::Duration::from_millis(200);

/// Starts the shim of a bundle and connects to it.
pub(super) async fn start(inner: &Arc<Inner>, id: &BundleId, options: StartOptions) -> Result<Shim> {
    wanted(|given_up| run(Arc::clone(inner), id.clone(), options, given_up)).await
}

/// Serves the shim of a bundle in this process, and connects to it.
pub(super) async fn serve(inner: &Arc<Inner>, id: &BundleId, options: StartOptions) -> Result<Shim> {
    wanted(|given_up| serve_here(Arc::clone(inner), id.clone(), options, given_up)).await
}

/// Fails once the caller has given up.
type GivenUp = tokio::sync::oneshot::Receiver<()>;

/// Starts a shim to its end, also if the caller gives up meanwhile: then nobody waits for its
/// answer any more, and it is removed again.
async fn wanted<F>(start: impl FnOnce(GivenUp) -> F) -> Result<Shim>
where
    F: Future<Output = Result<Shim>> + Send + 'static,
{
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let (_waiting, given_up) = tokio::sync::oneshot::channel();
    let starting = start(given_up);
    tokio::spawn(async move {
        if let Err(Ok(unwanted)) = sender.send(starting.await)
            && let Err(error) = unwanted.remove().await
        {
            tracing::warn!(%error, "cannot remove a shim that nobody waits for any more");
        }
    });
    receiver.await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Shim, Step::StartShim, "the task that started the shim failed".to_owned()))
    })
}

async fn run(inner: Arc<Inner>, id: BundleId, mut options: StartOptions, given_up: GivenUp) -> Result<Shim> {
    let timeout = options.timeout;
    let on_exit = options.on_exit.take();
    let launched = {
        let (inner, id) = (Arc::clone(&inner), id.clone());
        blocking(move || {
            Launch::prepare(&inner, &id, ShimKind::Remote, &options.settings, &options.runtime)?.launch(&inner, options)
        })
        .await?
    };
    let Launched { launch, process, started } = launched;
    let supervised = started.map(|started| supervise::supervise(started, &launch, on_exit)).transpose();
    let connected = match supervised {
        Ok(_) => {
            let endpoint = Endpoint { address: launch.record.address.clone(), is_abstract: false };
            answer(&inner, &endpoint, process, timeout, given_up).await
        }
        Err(error) => Err(error),
    };
    match connected {
        Ok((client, found)) => Ok(Shim {
            client,
            process: Arc::new(found),
            pid: process.pid,
            address: launch.record.address.clone(),
            id,
            incarnation: Incarnation::of(launch.hold.bundle.metadata()),
            inner,
            served: None,
            is_guest: false,
        }),
        Err(error) => Err(blocking(move || Ok(launch.undo(Some(process), error))).await.unwrap_or_else(|error| error)),
    }
}

async fn serve_here(inner: Arc<Inner>, id: BundleId, options: StartOptions, given_up: GivenUp) -> Result<Shim> {
    let timeout = options.timeout;
    let mut launch = {
        let (inner, id) = (Arc::clone(&inner), id.clone());
        blocking(move || Launch::prepare(&inner, &id, ShimKind::Local, &options.settings, &options.runtime)).await?
    };
    let served = match launch.serve(&inner).await {
        Ok((server, process)) => {
            let endpoint = Endpoint { address: launch.record.address.clone(), is_abstract: false };
            let answer = answer(&inner, &endpoint, process, timeout, given_up).await;
            answer.map(|(client, found)| (server, client, found))
        }
        Err(error) => Err(error),
    };
    match served {
        Ok((server, client, found)) => Ok(Shim {
            client,
            pid: found.pid(),
            process: Arc::new(found),
            address: launch.record.address.clone(),
            id,
            incarnation: Incarnation::of(launch.hold.bundle.metadata()),
            inner,
            served: Some(Served {
                _server: server,
                handles: launch.handles,
                name: launch.socket_name,
                record: launch.record,
            }),
            is_guest: true,
        }),
        Err(error) => Err(blocking(move || Ok(launch.undo(None, error))).await.unwrap_or_else(|error| error)),
    }
}

/// A shim that this process serves.
pub(super) struct Served {
    _server: Server,
    handles: Handles,
    name: Name,
    record: ShimRecord,
}

impl Drop for Served {
    /// Removes the socket, and notes that the shim has ended although its process has not; with
    /// this the server goes.
    fn drop(&mut self) {
        launch::note_end(&self.handles, &self.name, &self.record);
    }
}

/// Waits until the shim that was just started answers, or nobody wants to know any more.
async fn answer(
    inner: &Arc<Inner>,
    endpoint: &Endpoint,
    process: Process,
    timeout: std::time::Duration,
    given_up: GivenUp,
) -> Result<(super::ShimClient, ShimProcess)> {
    tokio::select! {
        answer = ask(inner, endpoint, process, timeout) => answer,
        _ = given_up => {
            let message = "the start of the shim was given up";
            Err(Error::new(ErrorKind::Shim, Step::StartShim, message))
        }
    }
}

async fn ask(
    inner: &Arc<Inner>,
    endpoint: &Endpoint,
    process: Process,
    timeout: std::time::Duration,
) -> Result<(super::ShimClient, ShimProcess)> {
    let deadline = tokio::time::Instant::now() + timeout;
    let socket = {
        let (inner, endpoint) = (Arc::clone(inner), endpoint.clone());
        blocking(move || connect::dial_patiently(&inner, &endpoint, timeout)).await?
    };
    let client = connect::client_on(socket, None)?;
    let pid =
        connect::ask_who(&client, deadline.saturating_duration_since(tokio::time::Instant::now()), &endpoint.address)
            .await?;
    let found = ShimProcess::find_started(process.pid, process.started).at_step(Step::ConnectShim)?;
    match found {
        Some(found) if pid == process.pid => Ok((client, found)),
        _ => {
            let message = format!("process {pid} answers, and process {} was started", process.pid);
            Err(Error::new(ErrorKind::Untrusted, Step::ConnectShim, message))
        }
    }
}

/// A shim that is about to be started: its bundle is held, its socket is bound, and the intent is
/// on record.
pub(super) struct Launch {
    hold: Hold,
    pub(super) handles: Handles,
    kept: KeptShim,
    socket: Option<OwnedFd>,
    pub(super) socket_name: Name,
    pub(super) record: ShimRecord,
    config: ShimConfig,
    /// What was on record before: a failure puts it back.
    before: Option<ShimRecord>,
    made: Made,
}

/// What has been made for a shim, which goes if it does not come up. What was there before stays:
/// it may be another's.
#[derive(Clone, Copy, Debug, Default)]
struct Made {
    /// `address` and `shim.pid`.
    files: bool,
    /// The FIFOs for the shim's log.
    fifos: bool,
}

/// A shim that was started, and that has yet to answer.
struct Launched {
    launch: Launch,
    process: Process,
    /// `None` if a monitor looks after it.
    started: Option<Started>,
}

impl Launch {
    /// Does what comes before the shim.
    pub(super) fn prepare(
        inner: &Arc<Inner>,
        id: &BundleId,
        kind: ShimKind,
        settings: &crate::shims::ShimOptions,
        runtime: &std::path::Path,
    ) -> Result<Self> {
        let bundle = inner.places.bundle(id);
        let config = crate::shims::config(&inner.policy, &inner.config, &bundle, &settings.absolute())?;
        let address = inner.policy.shim_address(&inner.config, id)?;
        if address.len() > LONGEST_ADDRESS {
            let message = format!(
                "the address {address:?} is longer than {LONGEST_ADDRESS} bytes; use a shorter socket directory"
            );
            return Err(Error::new(ErrorKind::InvalidConfig, Step::Listen, message));
        }
        let socket_name = socket_name(inner, &address).ok_or_else(|| {
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
            boot: boot_id().ok_or_else(no_boot_id)?,
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
        let kept = KeptShim::make(inner, id)?;
        let handles = Handles { work_dir, records: Arc::clone(&kept.directory), sockets };
        let made = Made::default();
        let mut launch = Self { hold, handles, kept, socket: None, socket_name, record, config, before, made };
        match launch.listen() {
            Ok(()) => Ok(launch),
            Err(error) => Err(launch.undo(None, error)),
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
    fn launch(mut self, inner: &Arc<Inner>, options: StartOptions) -> Result<Launched> {
        let cgroup = match options.cgroup.as_deref().map(Cgroup::find).transpose() {
            Ok(cgroup) => cgroup,
            Err(error) => return Err(self.undo(None, error)),
        };
        let started = self.spawn(inner, &options);
        // Whoever keeps the socket open makes a dead shim look alive.
        self.socket = None;
        let (process, started) = match started {
            Ok(started) => started,
            Err(error) => {
                // A monitor that was killed before it could answer has recorded what it started.
                let recorded = ShimRecord::read(&self.handles.records).ok().flatten();
                return Err(self.undo(recorded.and_then(|record| record.process), error));
            }
        };
        let filed = self.file(process).and_then(|()| {
            if let Some(cgroup) = &cgroup {
                cgroup.add(process.pid)?;
            }
            adjust_oom_score(process.pid)
        });
        match filed {
            Ok(()) => Ok(Launched { launch: self, process, started }),
            Err(error) => Err(self.undo(Some(process), error)),
        }
    }

    fn spawn(&mut self, inner: &Arc<Inner>, options: &StartOptions) -> Result<(Process, Option<Started>)> {
        let publisher = options.publisher.clone().map_or_else(own_binary, Ok)?;
        let bundle = inner.places.bundle(&BundleId::new(&self.config.namespace, self.id()));
        let arguments = crate::shims::start_arguments(
            &inner.policy,
            &inner.config,
            &bundle,
            &self.config,
            &publisher,
            options.debug,
        )?;
        let mut environment = options.environment.clone();
        for (name, value) in [("DUNNAGE_STATE", &inner.config.state), ("DUNNAGE_ROOT", &inner.config.root)] {
            let value = std::path::absolute(value).unwrap_or_else(|_| value.clone());
            environment.push((name.into(), value.into()));
        }
        environment.push((MARK.into(), self.hold.bundle.path().into()));
        let program = Program {
            binary: options.binary.clone(),
            name: OsString::from("containerd-shim"),
            arguments,
            environment,
            bundle: self.hold.bundle.path().to_owned(),
        };
        self.made.fifos = self.hold.work_dir.metadata_at(&Name::SHIM_STDOUT).is_err();
        let Some(socket) = &self.socket else { return Err(no_identity(&self.hold.bundle)) };
        match &options.monitor {
            Some(binary) => {
                let socket = (socket, &self.socket_name);
                monitor::start(binary, program, &self.handles, socket, &mut self.record).map(|process| (process, None))
            }
            None => {
                let started = launch::start(&program, &self.handles, socket, &mut self.record)?;
                Ok((started.process, Some(started)))
            }
        }
    }

    /// Starts to serve in this process, and writes down where.
    async fn serve(&mut self, inner: &Arc<Inner>) -> Result<(Server, Process)> {
        let pid = std::process::id();
        let started = start_time(pid).ok_or_else(|| no_identity(&self.hold.bundle))?;
        let process = Process { pid, started };
        self.record.process = Some(process);
        self.record.write(&self.handles.records)?;
        let local = LocalShim::new(LocalConfig {
            namespace: self.config.namespace.clone(),
            bundle: self.hold.bundle.path().to_owned(),
            work_dir: self.hold.work_dir.path().to_owned(),
            runtime: self.record.runtime.to_string_lossy().into_owned(),
            runtime_root: self.record.runtime_root.clone(),
            systemd_cgroup: self.config.systemd_cgroup,
            publisher: Arc::new(EventLog::new(inner.places.state.path())),
        })?;
        let socket = self.socket.take().ok_or_else(|| no_identity(&self.hold.bundle))?;
        let server = local::serve(UnixListener::from(socket), local).await?;
        self.file(process)?;
        Ok((server, process))
    }

    fn id(&self) -> String {
        self.hold.bundle.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Writes `address` and `shim.pid`: who finds the one can connect, who finds both can check.
    fn file(&mut self, process: Process) -> Result<()> {
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

    /// Takes everything back that starting a shim has made.
    fn undo(mut self, process: Option<Process>, mut error: Error) -> Error {
        self.socket = None;
        if let Some(process) = process
            && process.pid != std::process::id()
        {
            error = match ShimProcess::find_started(process.pid, process.started) {
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
            None => self.kept.remove(),
        };
        match restored {
            Ok(()) => error,
            Err(left) => error.note(left.to_string()),
        }
    }
}

fn own_binary() -> Result<PathBuf> {
    std::env::current_exe().map_err(|error| {
        Error::new(ErrorKind::Shim, Step::StartShim, format!("cannot find this program's own binary: {error}"))
    })
}

fn no_boot_id() -> Error {
    let message = "cannot tell which boot this is; is /proc mounted?".to_owned();
    Error::new(ErrorKind::Filesystem, Step::StartShim, message)
}

fn no_identity(directory: &Directory) -> Error {
    let message = format!("cannot tell which directory {} is", directory.path().display());
    Error::new(ErrorKind::Filesystem, Step::StartShim, message).at(directory.path())
}
