//! A process of a container: its init, or an exec.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use dunnage_shim_proto::shim::StateResponse;
use dunnage_shim_proto::task::Status;
use dunnage_sys::{has_ended, send_signal};
use protobuf::EnumOrUnknown;
use rustix::io::Errno;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::answer::{RpcResult, failed, invalid, lock, not_found, not_now};
use super::exit::Exit;
use super::stdio::{HeldEnds, Stdio};
use super::terminal::Terminal;

/// What a process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Created,
    Running,
    Paused,
    Stopped,
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// A process of a container.
pub(super) struct Process {
    /// The container's id for its init, else that of the exec.
    pub(super) id: String,
    pub(super) stdio: Stdio,
    state: Mutex<ProcessState>,
    exit: watch::Sender<Option<Exit>>,
    /// The task that reports its end.
    watcher: Mutex<Option<JoinHandle<()>>>,
}

struct ProcessState {
    phase: Phase,
    pid: u32,
    handle: Option<Arc<OwnedFd>>,
    io: Option<Io>,
}

/// What a process needs of us for its standard streams.
pub(super) struct Io {
    pub(super) held_ends: HeldEnds,
    pub(super) terminal: Option<Terminal>,
}

impl Process {
    /// A process that does not exist yet.
    pub(super) fn new(id: &str, stdio: Stdio) -> Self {
        let state = ProcessState { phase: Phase::Created, pid: 0, handle: None, io: None };
        Self {
            id: id.to_owned(),
            stdio,
            state: Mutex::new(state),
            exit: watch::Sender::new(None),
            watcher: Mutex::default(),
        }
    }

    /// The process exists.
    pub(super) fn adopt(&self, phase: Phase, pid: u32, handle: Arc<OwnedFd>, io: Io) {
        *lock(&self.state) = ProcessState { phase, pid, handle: Some(handle), io: Some(io) };
    }

    pub(super) fn watched_by(&self, watcher: JoinHandle<()>) {
        *lock(&self.watcher) = Some(watcher);
    }

    /// Waits until the end of the process is reported, or a deadline.
    pub(super) async fn settle(&self, deadline: Instant) {
        let watcher = lock(&self.watcher).take();
        if let Some(watcher) = watcher
            && tokio::time::timeout_at(deadline, watcher).await.is_err()
        {
            tracing::warn!(id = self.id, "the exit event of a process is late");
        }
    }

    pub(super) fn pid(&self) -> u32 {
        lock(&self.state).pid
    }

    pub(super) fn phase(&self) -> Phase {
        if self.exit.borrow().is_some() { Phase::Stopped } else { lock(&self.state).phase }
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        lock(&self.state).phase = phase;
    }

    /// Refuses to do something unless the process is in a phase.
    pub(super) fn require(&self, phase: Phase, what: &str) -> RpcResult<()> {
        match self.phase() {
            now if now == phase => Ok(()),
            now => Err(not_now(format_args!("cannot {what} a {} process", now.as_str()))),
        }
    }

    /// The process has ended and all its output is out, or it will never run.
    pub(super) fn end(&self, exit: Exit) {
        self.exit.send_replace(Some(exit));
    }

    pub(super) fn take_io(&self) -> Option<Io> {
        lock(&self.state).io.take()
    }

    pub(super) fn exit(&self) -> Option<Exit> {
        self.exit.borrow().clone()
    }

    pub(super) async fn wait(&self) -> RpcResult<Exit> {
        let mut exits = self.exit.subscribe();
        let ended = exits.wait_for(Option::is_some).await.map_err(failed)?;
        ended.clone().ok_or_else(|| failed("the process has not exited"))
    }

    /// Sends a signal to the process alone.
    pub(super) fn signal(&self, number: u32) -> RpcResult<()> {
        let handle = lock(&self.state).handle.clone();
        if self.phase() == Phase::Stopped {
            return Err(not_found("process already finished"));
        }
        let handle = handle.ok_or_else(|| not_now("process not created"))?;
        if has_ended(&*handle) {
            return Err(not_found("process already finished"));
        }
        match send_signal(&*handle, number) {
            // Only asks whether the process is there.
            Err(Errno::INVAL) if number == 0 => Ok(()),
            Err(Errno::INVAL) => Err(invalid(format_args!("signal {number} does not exist"))),
            Err(Errno::SRCH) => Err(not_found("process already finished")),
            sent => sent.map_err(failed),
        }
    }

    /// Lets the process see the end of its input once the client has closed it too.
    pub(super) fn close_stdin(&self) {
        if let Some(io) = &mut lock(&self.state).io {
            io.held_ends.stdin = None;
        }
    }

    pub(super) fn resize(&self, width: u32, height: u32) -> RpcResult<()> {
        let state = lock(&self.state);
        let terminal = state.io.as_ref().and_then(|io| io.terminal.as_ref());
        // The original answers this with success too: an empty console ignores its size.
        terminal.map_or(Ok(()), |terminal| terminal.resize(width, height))
    }

    pub(super) fn describe(&self, bundle: &str) -> StateResponse {
        let status = match self.phase() {
            Phase::Created => Status::CREATED,
            Phase::Running => Status::RUNNING,
            Phase::Paused => Status::PAUSED,
            Phase::Stopped => Status::STOPPED,
        };
        let exit = self.exit();
        StateResponse {
            id: self.id.clone(),
            bundle: bundle.to_owned(),
            pid: self.pid(),
            status: EnumOrUnknown::new(status),
            stdin: self.stdio.stdin.clone(),
            stdout: self.stdio.stdout.clone(),
            stderr: self.stdio.stderr.clone(),
            terminal: self.stdio.terminal,
            exit_status: exit.as_ref().map_or(0, |exit| exit.status),
            exited_at: exit.map(|exit| exit.at).into(),
            ..StateResponse::default()
        }
    }
}
