//! The confined side.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dunnage_core::{AtStep as _, Error, ErrorKind, Step};
use dunnage_sys::scm_rights::end_sending;
use dunnage_sys::{Directory, End, Failure, ProcessHandle, ProcessId, Result, reap_child};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use crate::Action;
use crate::wire::{MAX_REPLY_SIZE, Reply, Request, kind_of, receive, send};

/// The calls that an answer may name: other text from the broker is not taken over.
const CALLS: [&str; 10] = [
    "openat2",
    "pidfd_open",
    "pidfd_send_signal",
    "poll",
    "read",
    "readdir",
    "readlinkat",
    "sendmsg",
    "statx",
    "umount2",
];

/// How long an answer may take: the longest waits for runc, or for a mount that is busy.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the broker may take to end.
const BROKER_END_TIMEOUT: Duration = Duration::from_secs(2);
/// No descriptors but the bundle.
const NOTHING: &[OwnedFd] = &[];

/// A connection to a broker.
#[derive(Debug)]
pub struct Client {
    /// One request at a time. `None` once an answer did not arrive.
    socket: Mutex<Option<OwnedFd>>,
    /// The broker, if it is a child of ours.
    process: Option<Pid>,
}

impl Client {
    /// The confined side of a socket, and the process at the other one if it is a child of ours.
    pub fn new(socket: OwnedFd, process: Option<Pid>) -> Self {
        Self { socket: Mutex::new(Some(socket)), process }
    }

    fn ask(&self, request: Request, bundle: &Directory, others: &[impl AsFd]) -> Result<(Reply, Option<OwnedFd>)> {
        self.ask_within(ANSWER_TIMEOUT, request, bundle, others)
    }

    fn ask_within(
        &self,
        patience: Duration,
        request: Request,
        bundle: &Directory,
        others: &[impl AsFd],
    ) -> Result<(Reply, Option<OwnedFd>)> {
        let lost = |errno| Failure::new("recvmsg", bundle.path(), errno).with("the broker does not answer");
        let mut connection = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = connection.as_ref().ok_or_else(|| lost(Errno::PIPE))?;
        let fds: Vec<_> = std::iter::once(bundle.as_fd()).chain(others.iter().map(AsFd::as_fd)).collect();
        send(socket, &request, &fds).map_err(lost)?;
        if !has_come(socket, patience) {
            // A late answer would be taken for that of the next request.
            *connection = None;
            return Err(lost(Errno::TIMEDOUT));
        }
        match receive(socket, MAX_REPLY_SIZE).map_err(lost)? {
            Some(Ok((answer, mut fds))) => settle(answer, bundle.path()).map(|answer| (answer, fds.pop())),
            Some(Err(_)) => Err(lost(Errno::PROTO)),
            None => Err(lost(Errno::PIPE)),
        }
    }

    pub(super) fn unmount(&self, bundle: &Directory) -> Result<()> {
        match self.ask(Request::Unmount, bundle, NOTHING)? {
            (Reply::Done, _) => Ok(()),
            _ => Err(malformed(bundle.path())),
        }
    }

    pub(super) fn find(self: &Arc<Self>, pid: u32, bundle: &Directory) -> Result<Option<ProcessHandle>> {
        self.find_by(Request::Find { pid }, pid, bundle)
    }

    pub(super) fn find_started(
        self: &Arc<Self>,
        process: ProcessId,
        bundle: &Directory,
    ) -> Result<Option<ProcessHandle>> {
        let ProcessId { pid, started } = process;
        self.find_by(Request::FindStarted { pid, started }, pid, bundle)
    }

    pub(super) fn find_marked(self: &Arc<Self>, bundle: &Directory) -> Result<Vec<ProcessHandle>> {
        match self.ask(Request::FindMarked, bundle, NOTHING)? {
            (Reply::Processes(pids), _) => {
                pids.into_iter().filter_map(|pid| self.find(pid, bundle).transpose()).collect()
            }
            _ => Err(malformed(bundle.path())),
        }
    }

    fn find_by(self: &Arc<Self>, request: Request, pid: u32, bundle: &Directory) -> Result<Option<ProcessHandle>> {
        match self.ask(request, bundle, NOTHING)? {
            (Reply::Found(false), None) => Ok(None),
            (Reply::Found(true), Some(handle)) => {
                let end = EndByBroker { client: Arc::clone(self), bundle: bundle.reopen()?, pid };
                ProcessHandle::passed(pid, handle, Box::new(end)).map(Some)
            }
            _ => Err(malformed(bundle.path())),
        }
    }

    pub(super) fn run(&self, action: Action, bundle: &Directory, streams: [OwnedFd; 2]) -> io::Result<bool> {
        match self.ask(Request::Run { action }, bundle, &streams).map_err(io::Error::other)? {
            (Reply::Ran(succeeded), _) => Ok(succeeded),
            (Reply::Trouble { kind, message }, _) => {
                let late = kind_of(&kind) == ErrorKind::Timeout;
                Err(io::Error::new(if late { io::ErrorKind::TimedOut } else { io::ErrorKind::Other }, message))
            }
            _ => Err(io::Error::other(malformed(bundle.path()))),
        }
    }

    /// Asks for the shim of a bundle to be started, which is to listen on a socket and to be up in
    /// time.
    pub fn start_shim(
        &self,
        bundle: &Directory,
        arguments: Vec<String>,
        socket: &impl AsFd,
        patience: Duration,
    ) -> dunnage_core::Result<ProcessId> {
        let request = Request::StartShim { arguments };
        match self.ask_within(ANSWER_TIMEOUT + patience, request, bundle, &[socket]).at_step(Step::StartShim)? {
            (Reply::Started(process), _) => Ok(process),
            (Reply::Trouble { kind, message }, _) => Err(Error::new(kind_of(&kind), Step::StartShim, message)),
            _ => Err(Error::from_failure(Step::StartShim, &malformed(bundle.path()))),
        }
    }

    pub(super) fn is_rooted(&self, pid: u32, bundle: &Directory) -> Result<bool> {
        match self.ask(Request::IsRooted { pid }, bundle, NOTHING)? {
            (Reply::Rooted(is), _) => Ok(is),
            _ => Err(malformed(bundle.path())),
        }
    }
}

impl Drop for Client {
    /// Ends the broker and waits until it has, so that no process of ours is left; not if it hangs.
    fn drop(&mut self) {
        let socket = self.socket.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let Some(socket) = socket else { return };
        end_sending(&socket);
        // It closes its end when it ends.
        if let Some(process) = self.process
            && has_come(&socket, BROKER_END_TIMEOUT)
        {
            reap_child(process);
        }
    }
}

/// Whether there is something to be received in time, or the other side is gone.
fn has_come(socket: &OwnedFd, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(timeout) = Timespec::try_from(left) else { return false };
        match poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&timeout)) {
            Ok(count) => return count > 0,
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// Turns a failure on the broker's side into the error that it would have been on this one.
fn settle(answer: Reply, bundle: &Path) -> Result<Reply> {
    match answer {
        Reply::Failed { ref call, ref path, ref detail, errno } => {
            let call = CALLS.iter().find(|known| *known == call).copied().unwrap_or("broker");
            let failure = Failure::new(call, path.clone(), Errno::from_raw_os_error(errno));
            Err(match detail {
                Some(detail) => failure.with(detail.clone()),
                None => failure,
            })
        }
        Reply::Refused(why) => Err(Failure::new("broker", bundle, Errno::PERM).with(format!("refused: {why}"))),
        Reply::Done
        | Reply::Found(_)
        | Reply::Processes(_)
        | Reply::Ran(_)
        | Reply::Started(_)
        | Reply::Rooted(_)
        | Reply::Trouble { .. } => Ok(answer),
    }
}

fn malformed(bundle: &Path) -> Failure {
    Failure::new("recvmsg", bundle, Errno::PROTO).with("the broker's answer is malformed")
}

/// Ends a process through the broker.
#[derive(Debug)]
struct EndByBroker {
    client: Arc<Client>,
    bundle: Directory,
    pid: u32,
}

impl End for EndByBroker {
    fn end(&self, signal: Signal) -> Result<()> {
        let request = Request::End { pid: self.pid, kill: signal == Signal::KILL };
        match self.client.ask(request, &self.bundle, NOTHING)? {
            (Reply::Done, _) => Ok(()),
            _ => Err(malformed(self.bundle.path())),
        }
    }
}
