//! What still runs of a bundle: its shim, its container, and what a crash left of starting them.

use std::time::{Duration, Instant};

use dunnage_broker::Privileged;
use dunnage_core::{AtStep, BundleId, Error, ErrorKind, Result, Step};
use dunnage_store::{ShimKind, ShimRecord};
use dunnage_sys::{Directory, ProcessHandle};
use rustix::process::Signal;

use crate::Container;
use crate::inspect::find_shim;

/// How long to wait for a process that was killed.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long what a shim has started may take to finish.
const LEFTOVER_END_TIMEOUT: Duration = Duration::from_secs(3);

/// Refuses if a shim or a container of the bundle is running, or ends them; whether there was
/// something to end. A shim whose container has ended is no reason to refuse, unless `is_attended` says
/// that a command waits for it.
///
/// The container is ended before the shim: an ending shim takes a runc that it has started with it,
/// which then leaves cgroups that nothing finds.
pub(super) fn end(
    privileged: &Privileged,
    id: &BundleId,
    bundle: &Directory,
    pid: Option<u32>,
    record: Option<&ShimRecord>,
    force: bool,
    is_attended: impl FnOnce() -> Result<bool>,
) -> Result<bool> {
    let busy = |message: String| {
        let message = format!("{message}; stop it, or force the deletion");
        Err(Error::new(ErrorKind::ShimAlive, Step::EndShim, message).at(bundle.path()))
    };
    let shims = find_shims(privileged, bundle, pid, record)?;
    let container = Container::of(privileged, id, record);
    if let Some(shim) = shims.first()
        && !force
    {
        // With its container nothing is lost, unless a command is waiting for just that.
        match container.state(bundle)? {
            Some(state) if state.is_running() => return busy(state.in_words()),
            Some(_) if is_attended()? => return busy("a command is still attached to the container".to_owned()),
            Some(_) => {}
            None => return busy(format!("the shim of the bundle is still running (pid {})", shim.pid())),
        }
    }
    // What a shim was doing when it died may go on without it: runc may be making a container.
    let others = || match record {
        Some(_) => privileged.find_marked(bundle).at_step(Step::EndShim),
        None => Ok(Vec::new()),
    };
    let left = others()?;
    if let Some(process) = left.first()
        && !force
        && shims.is_empty()
    {
        return busy(format!("a process of the bundle's shim is still running (pid {})", process.pid()));
    }
    let deadline = Instant::now() + LEFTOVER_END_TIMEOUT;
    for process in left.iter().filter(|process| shims.iter().all(|shim| shim.pid() != process.pid())) {
        process.has_ended(deadline.saturating_duration_since(Instant::now())).at_step(Step::EndShim)?;
    }
    let mut ended = delete_container(&container, bundle, force)?;
    for shim in shims.iter().chain(&others()?) {
        kill(shim, record, bundle)?;
        ended = true;
    }
    // No process is left that could create one, so this answer is final.
    Ok(delete_container(&container, bundle, force)? || ended)
}

/// Makes runc forget the container, which it kills with `force`; returns whether there was one.
fn delete_container(container: &Container, bundle: &Directory, force: bool) -> Result<bool> {
    let Some(state) = container.state(bundle)? else { return Ok(false) };
    if !force && state.is_running() {
        let message = format!("{}, and has lost its shim; force the deletion, which kills it", state.in_words());
        return Err(Error::new(ErrorKind::ShimAlive, Step::EndShim, message).at(bundle.path()));
    }
    container.delete(bundle)?;
    Ok(true)
}

/// The processes that serve the bundle, or were about to.
fn find_shims(
    privileged: &Privileged,
    bundle: &Directory,
    pid: Option<u32>,
    record: Option<&ShimRecord>,
) -> Result<Vec<ProcessHandle>> {
    let mut shims = Vec::new();
    if let Some(pid) = pid {
        shims.extend(find_shim(privileged, pid, record, bundle).at_step(Step::EndShim)?);
    }
    let recorded = record.and_then(ShimRecord::serving).filter(|process| Some(process.pid) != pid);
    if let Some(process) = recorded {
        shims.extend(privileged.find_started(process, bundle).at_step(Step::EndShim)?);
    }
    Ok(shims)
}

fn kill(shim: &ProcessHandle, record: Option<&ShimRecord>, bundle: &Directory) -> Result<()> {
    // A process that serves shims beside its own work is not ours to kill: it sees that the
    // container is gone.
    let guest = record.is_some_and(|record| {
        record.kind == ShimKind::Local && record.process.is_some_and(|process| process.pid == shim.pid())
    });
    if guest || shim.end(Signal::KILL, KILL_TIMEOUT).at_step(Step::EndShim)? {
        return Ok(());
    }
    let message =
        format!("the shim (pid {}) was killed but did not exit within {} s", shim.pid(), KILL_TIMEOUT.as_secs());
    Err(Error::new(ErrorKind::ShimAlive, Step::EndShim, message).at(bundle.path()))
}
