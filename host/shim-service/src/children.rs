//! The children of a process that serves a shim and does nothing else: those that somebody waits for, and
//! the orphans of containers, which nobody does.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, Weak};

use dunnage_sys::reap_all_but;
use tokio::signal::unix::{SignalKind, signal};

use super::answer::lock;

/// Keeps zombies from piling up: a subreaper is the parent of whatever its containers orphan.
#[derive(Debug, Default)]
pub(super) struct Children(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Whether every child of this process is one of ours.
    owns_process: bool,
    /// Processes whose end is waited for by their handles.
    waited_for: HashSet<u32>,
    /// How many commands run, or have started a process that is not known yet.
    commands: usize,
}

/// As long as it lives, nothing is reaped: which children are orphans is not known.
#[derive(Debug)]
pub(super) struct RunningCommand(Arc<Children>);

/// A process whose end is waited for until this is dropped.
#[derive(Debug)]
pub(super) struct WaitedFor(Arc<Children>, u32);

impl Children {
    /// The children of this process. If it does something else too, orphans are left to
    /// [`Container::reap`](super::container::Container), which is careful.
    pub(super) fn new(owns_process: bool) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { owns_process, ..State::default() })))
    }

    pub(super) fn command(self: &Arc<Self>) -> RunningCommand {
        lock(&self.0).commands += 1;
        RunningCommand(Arc::clone(self))
    }

    pub(super) fn wait_for(self: &Arc<Self>, pid: u32) -> WaitedFor {
        lock(&self.0).waited_for.insert(pid);
        WaitedFor(Arc::clone(self), pid)
    }

    /// Reaps orphans from now on, whenever a child ends.
    pub(super) fn reap_orphans(self: &Arc<Self>) -> std::io::Result<()> {
        if !lock(&self.0).owns_process {
            return Ok(());
        }
        let mut ends = signal(SignalKind::child())?;
        let children: Weak<Self> = Arc::downgrade(self);
        tokio::spawn(async move {
            while ends.recv().await.is_some() {
                let Some(children) = children.upgrade() else { return };
                lock(&children.0).reap();
            }
        });
        Ok(())
    }
}

impl State {
    fn reap(&self) {
        if self.owns_process && self.commands == 0 {
            reap_all_but(&self.waited_for);
        }
    }
}

impl Drop for RunningCommand {
    fn drop(&mut self) {
        let mut state = lock(&self.0.0);
        state.commands -= 1;
        state.reap();
    }
}

impl Drop for WaitedFor {
    fn drop(&mut self) {
        lock(&self.0.0).waited_for.remove(&self.1);
    }
}
