//! The confined side.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};
use rustix::process::{Pid, Signal, WaitOptions, waitpid};

use super::wire::{ANSWER, Answer, Request, kind_of, receive, send};
use crate::bundles::{Process, RuntimeAction};
use crate::error::ErrorKind;
#[cfg(feature = "shim")]
use crate::error::{AtStep as _, Error, Step};
use crate::sys::{Directory, End, Failure, Result, ShimProcess};

/// The calls that an answer may blame: text from elsewhere does not become ours.
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
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the broker may take to end.
const LAST_MOMENTS: Duration = Duration::from_secs(2);
/// No descriptors but the bundle.
const NOTHING: &[OwnedFd] = &[];

/// A connection to a broker.
#[derive(Debug)]
pub(crate) struct Client {
    /// One request at a time. `None` once an answer has not come.
    socket: Mutex<Option<OwnedFd>>,
    /// The broker, if it is a child of ours.
    process: Option<Pid>,
}

impl Client {
    pub(crate) fn new(socket: OwnedFd, process: Option<Pid>) -> Self {
        Self { socket: Mutex::new(Some(socket)), process }
    }

    fn ask(&self, request: Request, bundle: &Directory, others: &[impl AsFd]) -> Result<(Answer, Option<OwnedFd>)> {
        self.ask_within(PATIENCE, request, bundle, others)
    }

    fn ask_within(
        &self,
        patience: Duration,
        request: Request,
        bundle: &Directory,
        others: &[impl AsFd],
    ) -> Result<(Answer, Option<OwnedFd>)> {
        let lost = |errno| Failure::new("recvmsg", bundle.path(), errno).with("the broker does not answer");
        let mut connection = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = connection.as_ref().ok_or_else(|| lost(Errno::PIPE))?;
        let fds: Vec<_> = std::iter::once(bundle.as_fd()).chain(others.iter().map(AsFd::as_fd)).collect();
        send(socket, &request, &fds).map_err(lost)?;
        if !has_come(socket, patience) {
            // Should an answer come all the same, it would be taken for that of the next request.
            *connection = None;
            return Err(lost(Errno::TIMEDOUT));
        }
        match receive(socket, ANSWER).map_err(lost)? {
            Some(Ok((answer, mut fds))) => settle(answer, bundle.path()).map(|answer| (answer, fds.pop())),
            Some(Err(_)) => Err(lost(Errno::PROTO)),
            None => Err(lost(Errno::PIPE)),
        }
    }

    pub(super) fn unmount(&self, bundle: &Directory) -> Result<()> {
        match self.ask(Request::Unmount, bundle, NOTHING)? {
            (Answer::Done, _) => Ok(()),
            _ => Err(nonsense(bundle.path())),
        }
    }

    pub(super) fn find(self: &Arc<Self>, pid: u32, bundle: &Directory) -> Result<Option<ShimProcess>> {
        self.find_by(Request::Find { pid }, pid, bundle)
    }

    pub(super) fn find_started(self: &Arc<Self>, process: Process, bundle: &Directory) -> Result<Option<ShimProcess>> {
        let Process { pid, started } = process;
        self.find_by(Request::FindStarted { pid, started }, pid, bundle)
    }

    pub(super) fn find_marked(self: &Arc<Self>, bundle: &Directory) -> Result<Vec<ShimProcess>> {
        match self.ask(Request::FindMarked, bundle, NOTHING)? {
            (Answer::Processes(pids), _) => {
                pids.into_iter().filter_map(|pid| self.find(pid, bundle).transpose()).collect()
            }
            _ => Err(nonsense(bundle.path())),
        }
    }

    fn find_by(self: &Arc<Self>, request: Request, pid: u32, bundle: &Directory) -> Result<Option<ShimProcess>> {
        match self.ask(request, bundle, NOTHING)? {
            (Answer::Found(false), None) => Ok(None),
            (Answer::Found(true), Some(handle)) => {
                let end = EndByBroker { client: Arc::clone(self), bundle: bundle.reopen()?, pid };
                ShimProcess::known(pid, handle, Box::new(end)).map(Some)
            }
            _ => Err(nonsense(bundle.path())),
        }
    }

    pub(super) fn run(&self, action: RuntimeAction, bundle: &Directory, streams: [OwnedFd; 2]) -> io::Result<bool> {
        match self.ask(Request::Run { action }, bundle, &streams).map_err(io::Error::other)? {
            (Answer::Ran(succeeded), _) => Ok(succeeded),
            (Answer::Trouble { kind, message }, _) => {
                let late = kind_of(&kind) == ErrorKind::Timeout;
                Err(io::Error::new(if late { io::ErrorKind::TimedOut } else { io::ErrorKind::Other }, message))
            }
            _ => Err(io::Error::other(nonsense(bundle.path()))),
        }
    }

    /// Has the shim of a bundle started, which is to listen on a socket and to be up in time.
    #[cfg(feature = "shim")]
    pub(crate) fn start_shim(
        &self,
        bundle: &Directory,
        arguments: Vec<String>,
        socket: &impl AsFd,
        patience: Duration,
    ) -> crate::error::Result<Process> {
        let request = Request::StartShim { arguments };
        match self.ask_within(PATIENCE + patience, request, bundle, &[socket]).at_step(Step::StartShim)? {
            (Answer::Started(process), _) => Ok(process),
            (Answer::Trouble { kind, message }, _) => Err(Error::new(kind_of(&kind), Step::StartShim, message)),
            _ => Err(Error::from_failure(Step::StartShim, &nonsense(bundle.path()))),
        }
    }

    pub(super) fn is_rooted(&self, pid: u32, bundle: &Directory) -> Result<bool> {
        match self.ask(Request::IsRooted { pid }, bundle, NOTHING)? {
            (Answer::Rooted(is), _) => Ok(is),
            _ => Err(nonsense(bundle.path())),
        }
    }
}

impl Drop for Client {
    /// Ends the broker and waits until it has, so that no process of ours is left; not if it hangs.
    fn drop(&mut self) {
        let socket = self.socket.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let Some(socket) = socket else { return };
        let _ = shutdown(&socket, Shutdown::Write);
        // It closes its end when it ends.
        if self.process.is_some() && has_come(&socket, LAST_MOMENTS) {
            let _ = crate::sys::retry(|| waitpid(self.process, WaitOptions::empty()));
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

/// Turns what went wrong at the other side into what it would have been at this one.
fn settle(answer: Answer, bundle: &Path) -> Result<Answer> {
    match answer {
        Answer::Failed { ref call, ref path, ref detail, errno } => {
            let call = CALLS.iter().find(|known| *known == call).copied().unwrap_or("broker");
            let failure = Failure::new(call, path.clone(), Errno::from_raw_os_error(errno));
            Err(match detail {
                Some(detail) => failure.with(detail.clone()),
                None => failure,
            })
        }
        Answer::Refused(why) => Err(Failure::new("broker", bundle, Errno::PERM).with(format!("refused: {why}"))),
        Answer::Done
        | Answer::Found(_)
        | Answer::Processes(_)
        | Answer::Ran(_)
        | Answer::Started(_)
        | Answer::Rooted(_)
        | Answer::Trouble { .. } => Ok(answer),
    }
}

fn nonsense(bundle: &Path) -> Failure {
    Failure::new("recvmsg", bundle, Errno::PROTO).with("the broker's answer makes no sense")
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
            (Answer::Done, _) => Ok(()),
            _ => Err(nonsense(self.bundle.path())),
        }
    }
}
