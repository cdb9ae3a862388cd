//! What still runs of a bundle: its shim, its container, and what a crash left of starting them.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::inspect::find_shim;
use super::runtime::Runtime;
use super::shim_record::{Kind, ShimRecord};
use crate::bundle::BundleId;
use crate::error::{AtStep, Error, ErrorKind, Result, Step};
use crate::privileged::Privileged;
use crate::sys::{Directory, ShimProcess};

/// How long to wait for a process that was killed.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long what a shim has started may take to finish.
const GRACE: Duration = Duration::from_secs(3);

/// Refuses if a shim or a container of the bundle is running, or ends them; whether there was
/// something to end.
///
/// First the container, then the shim: a shim takes a runc that it has started with it, which then
/// leaves cgroups that nobody finds.
pub(super) fn end(
    privileged: &Privileged,
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
    let shims = find_shims(privileged, bundle, pid, record)?;
    if let Some(shim) = shims.first()
        && !force
    {
        return busy(format!("the shim of the bundle is still running (pid {})", shim.pid()));
    }
    // What a shim was doing when it died may go on without it: runc may be making a container.
    let others = || match record {
        Some(_) => privileged.find_marked(bundle).at_step(Step::EndShim),
        None => Ok(Vec::new()),
    };
    if let Some(process) = others()?.first()
        && !force
    {
        return busy(format!("a process of the bundle's shim is still running (pid {})", process.pid()));
    }
    let deadline = Instant::now() + GRACE;
    for process in others()?.iter().filter(|process| shims.iter().all(|shim| shim.pid() != process.pid())) {
        process.has_ended(deadline.saturating_duration_since(Instant::now())).at_step(Step::EndShim)?;
    }
    let runtime = Runtime::of(privileged, id, record);
    let mut ended = delete_container(&runtime, bundle, force)?;
    for shim in shims.iter().chain(&others()?) {
        kill(shim, record, bundle)?;
        ended = true;
    }
    // With nobody left who could make one, this is the last word.
    Ok(delete_container(&runtime, bundle, force)? || ended)
}

/// Has runc forget the container, which it kills if that is wanted; whether there was one.
fn delete_container(runtime: &Runtime, bundle: &Directory, force: bool) -> Result<bool> {
    let Some(state) = runtime.state(bundle)? else { return Ok(false) };
    if !force && state.is_running() {
        let message = format!(
            "the container of the bundle is still {} (pid {}); stop it, or force the deletion",
            state.status, state.pid
        );
        return Err(Error::new(ErrorKind::ShimAlive, Step::EndShim, message).at(bundle.path()));
    }
    runtime.delete(bundle)?;
    Ok(true)
}

/// The processes that serve the bundle, or were about to.
fn find_shims(
    privileged: &Privileged,
    bundle: &Directory,
    pid: Option<u32>,
    record: Option<&ShimRecord>,
) -> Result<Vec<ShimProcess>> {
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
