//! What is left to do when a shim has ended.

use std::time::SystemTime;

use dunnage_core::{AtStep, ErrorKind, Result, Step};
use dunnage_store::{DirLock, LockWait, ShimRecord};
use dunnage_sys::{Name, remove_own_socket};
use rustix::io::Errno;

use crate::spawn::Handles;

/// Notes the end of one shim: on its record, and by removing its socket.
#[derive(Clone, Debug)]
pub(super) struct Cleanup {
    pub(super) handles: Handles,
    pub(super) socket: Name,
    pub(super) record: ShimRecord,
}

impl Cleanup {
    /// Notes the end, with the lock of the work directory: a call that stops the shim, deletes its
    /// bundle or starts the next one has finished then. Blocks.
    pub(super) fn note(&self, waiting: LockWait) {
        // A lock on a handle of its own: this one may be shared with another process.
        match DirLock::again(&self.handles.work_dir, waiting) {
            Ok(_locked) => self.note_held(),
            // `delete` removes what stays.
            Err(error) => tracing::warn!(%error, "cannot record that a shim has ended"),
        }
    }

    /// The same, without waiting here if another call has the lock.
    pub(super) fn note_soon(self) {
        match DirLock::again(&self.handles.work_dir, LockWait::Never) {
            Err(error) if error.kind() == ErrorKind::Locked => {
                let noting = std::thread::Builder::new().spawn(move || self.note(LockWait::patiently()));
                if let Err(error) = noting {
                    tracing::warn!(%error, "cannot record that a shim has ended");
                }
            }
            Err(error) => tracing::warn!(%error, "cannot record that a shim has ended"),
            Ok(_locked) => self.note_held(),
        }
    }

    /// The same, for a caller that has the lock already.
    pub(super) fn note_held(&self) {
        match self.try_note() {
            // The bundle may have gone, and the directory of the record with it.
            Err(error) if error.errno() != Some(Errno::NOENT.raw_os_error()) => {
                tracing::warn!(%error, "cannot record that a shim has ended");
            }
            _ => {}
        }
    }

    fn try_note(&self) -> Result<()> {
        let current = ShimRecord::read(&self.handles.records)?;
        if current.is_none_or(|current| current.process != self.record.process) {
            // The name belongs to another shim by now, and so does the socket there (defect D3).
            return Ok(());
        }
        if let Some(identity) = self.record.socket {
            remove_own_socket(&self.handles.sockets, &self.socket, identity).at_step(Step::EndShim)?;
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        ShimRecord { exited: Some(now), ..self.record.clone() }.write(&self.handles.records)
    }
}
