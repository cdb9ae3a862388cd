//! The broker's side.

use std::os::fd::{AsFd, OwnedFd};

use dunnage_core::{ErrorKind, names};
use dunnage_sys::{Failure, ProcessHandle, ProcessId, unmount_below};
use rustix::io::Errno;
use rustix::process::Signal;

use crate::Privileged;
use crate::checks::{Domain, VerifiedBundle};
use crate::privileged::UNMOUNT_TIMEOUT;
use crate::wire::{MAX_REQUEST_SIZE, Reply, Request, receive, send};

/// How many processes an answer names at most.
const MAX_PROCESSES: usize = 1024;

/// Answers requests until the other side is gone.
pub fn serve(socket: &impl AsFd, domain: &Domain) -> rustix::io::Result<()> {
    while let Some(received) = receive::<Request>(socket, MAX_REQUEST_SIZE)? {
        let (answer, handle) = match received {
            Ok((request, fds)) => answer(domain, request, fds),
            Err(why) => (Reply::Refused(why.to_owned()), None),
        };
        let fds: Vec<_> = handle.iter().map(AsFd::as_fd).collect();
        match send(socket, &answer, &fds) {
            Err(errno) if errno != Errno::PIPE && errno != Errno::CONNRESET => {
                // A failure to send it, for example for lack of descriptors, is an answer too.
                send(socket, &Reply::from(Failure::new("sendmsg", domain.state(), errno)), &[])?;
            }
            sent => sent?,
        }
    }
    Ok(())
}

fn answer(domain: &Domain, request: Request, fds: Vec<OwnedFd>) -> (Reply, Option<OwnedFd>) {
    match try_answer(domain, request, fds) {
        Ok((answer, handle)) => (answer, handle),
        Err(answer) => (answer, None),
    }
}

fn try_answer(domain: &Domain, request: Request, fds: Vec<OwnedFd>) -> Result<(Reply, Option<OwnedFd>), Reply> {
    let mut fds = fds.into_iter();
    let bundle = fds.next().ok_or_else(|| Reply::Refused("it does not name a bundle".to_owned()))?;
    let others: Vec<OwnedFd> = fds.collect();
    let wrong_number = || Reply::Refused("it has the wrong number of descriptors".to_owned());
    let expected = match request {
        Request::Run { .. } => 2,
        Request::StartShim { .. } => 1,
        Request::Unmount
        | Request::Find { .. }
        | Request::FindStarted { .. }
        | Request::FindMarked
        | Request::End { .. }
        | Request::IsRooted { .. } => 0,
    };
    if others.len() != expected {
        return Err(wrong_number());
    }
    let bundle = domain.bundle(bundle).map_err(Reply::Refused)?;
    let directory = &bundle.directory;
    Ok(match request {
        Request::Unmount => {
            unmount_below(directory, &names::ROOTFS, UNMOUNT_TIMEOUT)?;
            (Reply::Done, None)
        }
        Request::Find { pid } => found(ProcessHandle::find(pid, directory)?),
        Request::FindStarted { pid, started } => found(ProcessHandle::find_started(ProcessId { pid, started })?),
        Request::FindMarked => {
            let pids = ProcessHandle::all_in(directory)?.iter().map(ProcessHandle::pid).take(MAX_PROCESSES).collect();
            (Reply::Processes(pids), None)
        }
        Request::End { pid, kill } => {
            let signal = if kill { Signal::KILL } else { Signal::TERM };
            // If it has ended meanwhile, nothing is left to do.
            if let Some(process) = ProcessHandle::find(pid, directory)? {
                process.signal(signal)?;
            }
            (Reply::Done, None)
        }
        Request::Run { action } => {
            let runtime = domain.runtime(&bundle).map_err(Reply::Refused)?;
            let streams = <[OwnedFd; 2]>::try_from(others).map_err(|_| wrong_number())?;
            let answer = match Privileged::InProcess.run(&runtime, bundle.id.id(), action, directory, streams) {
                Ok(succeeded) => Reply::Ran(succeeded),
                Err(error) => {
                    let late = error.kind() == std::io::ErrorKind::TimedOut;
                    Reply::trouble(if late { ErrorKind::Timeout } else { ErrorKind::Shim }, error.to_string())
                }
            };
            (answer, None)
        }
        Request::StartShim { arguments } => {
            let [socket] = <[OwnedFd; 1]>::try_from(others).map_err(|_| wrong_number())?;
            (start_shim(domain, &bundle, &arguments, &socket)?, None)
        }
        Request::IsRooted { pid } => (Reply::Rooted(Privileged::InProcess.is_rooted(pid, directory)?), None),
    })
}

fn start_shim(
    domain: &Domain,
    bundle: &VerifiedBundle,
    arguments: &[String],
    socket: &OwnedFd,
) -> Result<Reply, Reply> {
    let launcher = domain.launcher().map_err(Reply::Refused)?;
    let started = launcher.start(&domain.layout, &bundle.id, &bundle.directory, arguments, socket);
    Ok(started.map_or_else(|error| Reply::trouble(error.kind(), error.message()), Reply::Started))
}

fn found(process: Option<ProcessHandle>) -> (Reply, Option<OwnedFd>) {
    let handle = process.map(ProcessHandle::into_handle);
    (Reply::Found(handle.is_some()), handle)
}
