//! What still runs of a bundle: its shim, its container, and what a crash left of starting them.

use std::time::Duration;

use rustix::process::Signal;

use super::inspect::find_shim;
use super::runtime::{CREATING, Runtime};
use super::shim_record::{Kind, ShimRecord};
use crate::bundle::BundleId;
use crate::error::{AtStep, Error, ErrorKind, Result, Step};
use crate::sys::{Directory, ShimProcess};

/// How long to wait for a process that was killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Refuses if a shim or a container of the bundle is running, or ends them; whether there was
/// something to end.
///
/// First the container, then the shim: a shim that goes first leaves its container running.
pub(super) fn end(
    id: &BundleId,
    bundle: &Directory,
    pid: Option<u32>,
    record: Option<&ShimRecord>,
    force: bool,
) -> Result<bool> {
    let busy = |message: String| {
        let message = format!("{message}; stop it, or force the deletion");
        Err(Error::new(ErrorKind::ShimAlive, Step::EndShim, message).at(bundle.path()))
    };
    let shims = find_shims(bundle, pid, record)?;
    if let Some(shim) = shims.first()
        && !force
    {
        return busy(format!("the shim of the bundle is still running (pid {})", shim.pid()));
    }
    let runtime = Runtime::of(id, record);
    let container = runtime.state(bundle)?;
    match &container {
        // What runs in the bundle is what makes the container; without it, it was given up.
        Some(state) if !force && state.status == CREATING => {
            if let Some(process) = ShimProcess::all_in(bundle).at_step(Step::EndShim)?.first() {
                return busy(format!("the container of the bundle is being created (pid {})", process.pid()));
            }
            runtime.delete()?;
        }
        Some(state) if !force && state.status != "stopped" => {
            return busy(format!("the container of the bundle is still {} (pid {})", state.status, state.pid));
        }
        Some(_) => runtime.delete()?,
        None => {}
    }
    if !force || record.is_none() && shims.is_empty() {
        return Ok(container.is_some());
    }
    for shim in &shims {
        kill(shim, record, bundle)?;
    }
    // What the shim was doing when it was killed goes on without it: runc may be making a container.
    for process in ShimProcess::all_in(bundle).at_step(Step::EndShim)? {
        kill(&process, record, bundle)?;
    }
    if runtime.state(bundle)?.is_some() {
        runtime.delete()?;
    }
    Ok(true)
}

/// The processes that serve the bundle, or were about to.
fn find_shims(bundle: &Directory, pid: Option<u32>, record: Option<&ShimRecord>) -> Result<Vec<ShimProcess>> {
    let mut shims = Vec::new();
    if let Some(pid) = pid {
        shims.extend(find_shim(pid, record, bundle).at_step(Step::EndShim)?);
    }
    match record {
        // Whoever started it may have died before it could say which process it is.
        Some(record) if record.process.is_none() => {
            shims.extend(ShimProcess::all_in(bundle).at_step(Step::EndShim)?);
        }
        Some(record) => {
            if let Some(process) = record.process.filter(|process| Some(process.pid) != pid) {
                shims.extend(ShimProcess::find_started(process.pid, process.started).at_step(Step::EndShim)?);
            }
        }
        None => {}
    }
    Ok(shims)
}

fn kill(shim: &ShimProcess, record: Option<&ShimRecord>, bundle: &Directory) -> Result<()> {
    // A process that serves shims beside its own work is not ours to kill: it sees that the
    // container is gone.
    let guest = record.is_some_and(|record| {
        record.kind == Kind::Local && record.process.is_some_and(|process| process.pid == shim.pid())
    });
    if guest || shim.end(Signal::KILL, PATIENCE).at_step(Step::EndShim)? {
        return Ok(());
    }
    let message = format!("the shim (pid {}) was killed and has not ended in {} s", shim.pid(), PATIENCE.as_secs());
    Err(Error::new(ErrorKind::ShimAlive, Step::EndShim, message).at(bundle.path()))
}
