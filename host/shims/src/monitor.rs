//! The monitor: a small process that stays when the command that started a shim is gone. It is the
//! shim's parent, drains its log, notes its end, keeps what a detached container writes, and tells of
//! the container's end if the shim cannot. If it is killed, what would be logged is lost; and a detached
//! container whose output it keeps waits once its FIFO is full, until it is deleted.
//!
//! It is this binary under another name, and touches nothing of the policy: what it may do is in
//! the handles and the plan that it is given.

mod ask;
mod duty;
mod output;

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dunnage_core::{BundleId, Error, ErrorKind, Result, Step};
use dunnage_events::EventLog;
use dunnage_store::ShimRecord;
use dunnage_sys::descriptors::inherited;
use dunnage_sys::{
    Apart, Directory, Name, ProcessHandle, ProcessId, become_subreaper, hand_over, leave_input_and_output, open_child,
    persistently,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use self::duty::Duty;
use self::output::ContainerOutput;
pub use self::output::OutputLog;
use crate::cleanup::Cleanup;
use crate::shim_log::ShimLog;
use crate::spawn::{self, Handles, Program, Started};

/// The name that this program is called by when it is a monitor.
pub const MONITOR: &str = "dunnage-monitor";

/// What a pipe takes whole (pipe(7)).
const PIPE_BUF: usize = 4096;

/// What a monitor is to do.
#[derive(Debug, Serialize, Deserialize)]
struct Plan {
    program: Program,
    record: ShimRecord,
    /// The name of the socket in its directory.
    socket: String,
    work_dir: PathBuf,
    records: PathBuf,
    sockets: PathBuf,
    state: PathBuf,
    namespace: String,
    id: String,
    output: Option<OutputLog>,
}

/// What a monitor is told about the container of its shim.
#[derive(Clone, Copy, Debug)]
pub(super) struct Container<'a> {
    /// The bundle that it is made from.
    pub(super) id: &'a BundleId,
    /// The state directory, where events are recorded.
    pub(super) state: &'a Path,
    /// Where what it writes is kept, if it is.
    pub(super) output: Option<&'a OutputLog>,
}

/// What it answers once the shim runs, or does not.
#[derive(Debug, Serialize, Deserialize)]
enum Reply {
    Started(ProcessId),
    Failed(String),
}

/// Starts a monitor, which starts the shim.
pub(super) fn start(
    binary: &Path,
    program: Program,
    handles: &Handles,
    socket: (&OwnedFd, &Name),
    record: &mut ShimRecord,
    container: Container<'_>,
    patience: Duration,
) -> Result<(ProcessId, Child)> {
    let failed =
        |why: String| Error::new(ErrorKind::Shim, Step::StartShim, format!("cannot start the shim's monitor: {why}"));
    let plan = Plan {
        program,
        record: record.clone(),
        socket: socket.1.to_string(),
        work_dir: handles.work_dir.path().to_owned(),
        records: handles.records.path().to_owned(),
        sockets: handles.sockets.path().to_owned(),
        state: container.state.to_owned(),
        namespace: container.id.namespace().to_owned(),
        id: container.id.id().to_owned(),
        output: container.output.cloned(),
    };
    let plan = serde_json::to_vec(&plan).map_err(|error| failed(error.to_string()))?;
    let mut monitor = persistently(|| spawn_monitor(binary, handles, socket.0))
        .map_err(|error| failed(format!("{}: {error}", binary.display())))?;
    let reply = exchange(&mut monitor, &plan, Instant::now() + patience);
    if let Ok(Reply::Started(process)) = reply {
        record.process = Some(process);
        return Ok((process, monitor));
    }
    // It has nothing left to do; if it hangs, so may the child that is to become the shim.
    kill_with_children(monitor);
    Err(match reply {
        Ok(Reply::Failed(message)) => Error::new(ErrorKind::Shim, Step::StartShim, message),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            failed(format!("no answer within {} s", patience.as_secs_f64())).with_kind(ErrorKind::Timeout)
        }
        Err(error) => failed(error.to_string()),
        Ok(Reply::Started(_)) => failed("it has ended".to_owned()),
    })
}

fn spawn_monitor(binary: &Path, handles: &Handles, socket: &OwnedFd) -> io::Result<Child> {
    let mut command = Command::new(binary);
    std::os::unix::process::CommandExt::arg0(&mut command, MONITOR);
    command.env_clear().current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    // No job control is meant for it.
    hand_over(&mut command, &[socket, &*handles.work_dir, &*handles.records, &*handles.sockets], Apart::Session)?;
    command.spawn()
}

/// Sends the monitor its plan, and reads the result.
fn exchange(monitor: &mut Child, plan: &[u8], deadline: Instant) -> io::Result<Reply> {
    let (stdin, stdout) = (monitor.stdin.take(), monitor.stdout.take());
    let mut stdin = stdin.ok_or_else(|| io::Error::other("it has no input"))?;
    let mut stdout = stdout.ok_or_else(|| io::Error::other("it has no output"))?;
    // Pieces that a pipe takes whole, if it takes anything.
    for piece in plan.chunks(PIPE_BUF) {
        wait_for(&stdin, PollFlags::OUT, deadline)?;
        stdin.write_all(piece)?;
    }
    // The end of file marks the end of the plan.
    drop(stdin);
    let mut reply = Vec::new();
    let mut buffer = [0_u8; 4096];
    loop {
        wait_for(&stdout, PollFlags::IN, deadline)?;
        match stdout.read(&mut buffer)? {
            0 => break,
            count => reply.extend_from_slice(buffer.get(..count).unwrap_or_default()),
        }
    }
    serde_json::from_slice(&reply).map_err(|_| io::Error::other("it did not answer"))
}

/// Waits until a pipe is ready.
fn wait_for(pipe: &impl AsFd, flags: PollFlags, deadline: Instant) -> io::Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(pipe, flags)], Some(&timeout)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Ends a monitor and what it has started.
pub(super) fn kill_with_children(mut monitor: Child) {
    let started = ProcessHandle::children_of(monitor.id());
    let _ = monitor.kill();
    for child in started {
        let _ = child.end(Signal::KILL, Duration::ZERO);
    }
    let _ = monitor.wait();
}

/// Acts as the monitor: reads the plan from standard input, starts the shim, answers on standard
/// output and stays until the shim has ended. Called by the binary when its name is [`MONITOR`].
///
/// # Errors
///
/// If the plan cannot be read, or the answer not be written.
pub fn run() -> io::Result<()> {
    let mut plan = Vec::new();
    io::stdin().lock().read_to_end(&mut plan)?;
    let Plan { program, mut record, socket, work_dir, records, sockets, state, namespace, id, output } =
        serde_json::from_slice(&plan).map_err(io::Error::other)?;
    let socket_name = Name::new(&socket).map_err(io::Error::other)?;
    let [listener, work_dir_fd, records_fd, sockets_fd] = [3, 4, 5, 6].map(inherited);
    let handle = |fd, path| Arc::new(Directory::from_fd_unchecked(fd, path));
    let handles = Handles {
        work_dir: handle(work_dir_fd, work_dir),
        records: handle(records_fd, records),
        sockets: handle(sockets_fd, sockets),
    };
    // The process that we start holds it too, until it runs its program. So if we are killed here,
    // the other side reads no end of file before that, and can tell what we have started.
    let until_exec = rustix::io::fcntl_dupfd_cloexec(io::stdout(), 3)?;
    // A container whose shim is killed becomes our child.
    become_subreaper().map_err(io::Error::other)?;
    let output = output.map(|output| ContainerOutput::open(&output, &handles)).transpose();
    let failed = |message: String| Error::new(ErrorKind::InvalidConfig, Step::StartShim, message);
    let started = output
        .map_err(failed)
        .and_then(|output| Ok((spawn::start(&program, &handles, &listener, &mut record)?, output)));
    drop(listener);
    let reply = match &started {
        Ok((started, _)) => Reply::Started(started.process),
        Err(error) => Reply::Failed(error.message().to_owned()),
    };
    answer(&reply)?;
    drop(until_exec);
    if let Ok((started, output)) = started {
        let cleanup = Cleanup { handles, socket: socket_name, record };
        Duty { id: BundleId::new(namespace, id), events: EventLog::new(&state), cleanup, output }.run(started);
    }
    Ok(())
}

/// Answers, and closes standard output: the other side reads to its end.
fn answer(reply: &Reply) -> io::Result<()> {
    let mut text = serde_json::to_vec(reply).map_err(io::Error::other)?;
    text.push(b'\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(&text)?;
    stdout.flush()?;
    leave_input_and_output()
}

/// Drains the shim's output until it has ended, and reaps it.
pub(super) fn watch(mut started: Started, handles: &Handles) {
    let mut log = ShimLog::new(Arc::clone(&handles.records));
    let pidfd = open_child(started.process.pid);
    if let Ok(pidfd) = &pidfd {
        let _ = drain_until_end(&started, pidfd, &mut log);
    }
    let _ = started.child.wait();
    let _ = spawn::drain(&started.stdout, &mut log);
    let _ = spawn::drain(&started.stderr, &mut log);
}

fn drain_until_end(started: &Started, pidfd: &OwnedFd, log: &mut ShimLog) -> rustix::io::Result<()> {
    loop {
        let mut sources =
            [&started.stdout, &started.stderr, pidfd].map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN));
        match poll(&mut sources, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        let ended = sources.last().is_some_and(|pidfd| !pidfd.revents().is_empty());
        spawn::drain(&started.stdout, log)?;
        spawn::drain(&started.stderr, log)?;
        if ended {
            return Ok(());
        }
    }
}
