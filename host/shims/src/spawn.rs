//! The process of a shim: starting it, draining its output. The process that started the shim does
//! this, or a small monitor process in its place.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use dunnage_core::{AtStep, Error, ErrorKind, Result, Step, names};
use dunnage_store::ShimRecord;
use dunnage_sys::{Apart, Directory, ProcessId, hand_over, persistently, start_time};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::shim_log::ShimLog;

/// A program to start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Program {
    pub(super) binary: PathBuf,
    /// The name it is called by, which it may act upon.
    pub(super) name: OsString,
    pub(super) arguments: Vec<String>,
    /// Its whole environment.
    pub(super) environment: Vec<(OsString, OsString)>,
    /// The bundle: its working directory.
    pub(super) bundle: PathBuf,
}

/// The directories that the start and the end of a shim touch.
#[derive(Clone, Debug)]
pub(super) struct Handles {
    pub(super) work_dir: Arc<Directory>,
    /// Where the record and the log of the shim are kept.
    pub(super) records: Arc<Directory>,
    pub(super) sockets: Arc<Directory>,
}

/// A shim that was started by this process.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) child: Child,
    pub(super) process: ProcessId,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// Opens the two FIFOs that the shim logs to, starts it with the listening socket as its
/// descriptor 3, and records which process it is.
///
/// The FIFOs come first: a shim without a reader would block. The caller gives up the socket
/// afterwards: a process that keeps it open makes a dead shim look alive.
pub(super) fn start(
    program: &Program,
    handles: &Handles,
    socket: &impl AsFd,
    record: &mut ShimRecord,
) -> Result<Started> {
    let stdout = handles.work_dir.open_or_make_fifo(&names::SHIM_STDOUT).at_step(Step::StartShim)?;
    let stderr = handles.work_dir.open_or_make_fifo(&names::SHIM_STDERR).at_step(Step::StartShim)?;
    let failed = |error: io::Error| {
        let message = format!("cannot start the shim {}: {error}", program.binary.display());
        Error::new(ErrorKind::Shim, Step::StartShim, message).at(&program.binary)
    };
    let mut child = persistently(|| spawn(program, socket)).map_err(failed)?;
    let unseen = || failed(io::Error::other("/proc does not show its start time; is /proc mounted?"));
    let started = start_time(child.id()).at_step(Step::StartShim).and_then(|started| started.ok_or_else(unseen));
    let process = match started {
        Ok(started) => ProcessId { pid: child.id(), started },
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
    };
    record.process = Some(process);
    if let Err(error) = record.write(&handles.records) {
        let _ = child.kill();
        let _ = child.wait();
        return Err(error);
    }
    Ok(Started { child, process, stdout, stderr })
}

fn spawn(program: &Program, socket: &impl AsFd) -> io::Result<Child> {
    let mut command = Command::new(&program.binary);
    std::os::unix::process::CommandExt::arg0(&mut command, &program.name);
    command.args(&program.arguments).env_clear().envs(program.environment.iter().map(|(name, value)| (name, value)));
    command.current_dir(&program.bundle).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    hand_over(&mut command, &[socket], Apart::Group)?;
    command.spawn()
}

/// Copies what is in a FIFO to the log, until there is no more for now.
pub(super) fn drain(fifo: &OwnedFd, log: &mut ShimLog) -> rustix::io::Result<()> {
    let mut buffer = [0_u8; 4096];
    loop {
        match rustix::io::read(fifo, &mut buffer) {
            Ok(0) | Err(Errno::AGAIN) => return Ok(()),
            Ok(count) => log.write(buffer.get(..count).unwrap_or_default()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
