//! Whether a bundle may have a shim started: not beside another one.

use std::sync::Arc;

use dunnage_bundles::{BundleGuard, Container, Node, find_shim, lend_to_read};
use dunnage_core::{AtStep, BundleId, Error, ErrorKind, Result, Step};
use dunnage_store::ShimRecord;

/// Refuses to start a second shim for a bundle, and one for a container that has lost its own: no
/// shim takes a container over.
pub(super) fn ensure_no_shim(
    node: &Arc<Node>,
    id: &BundleId,
    guard: &BundleGuard,
    on_record: Option<&ShimRecord>,
    address: &str,
) -> Result<()> {
    let busy =
        |message: String| Err(Error::new(ErrorKind::ShimAlive, Step::StartShim, message).at(guard.bundle.path()));
    let unusable = |file: &str, fault: &str| {
        let message = format!("cannot tell whether the bundle has a shim: {file} cannot be used: {fault}");
        Err(Error::new(ErrorKind::BadRecord, Step::StartShim, message).at(guard.bundle.path()))
    };
    let on_file = node.policy.shim_records(id, lend_to_read(node, id))?;
    let pid = match on_file.pid {
        Ok(pid) => pid,
        Err(fault) => return unusable("shim.pid", &fault),
    };
    for pid in pid.into_iter().chain(on_record.and_then(|record| Some(record.serving()?.pid))) {
        if let Some(shim) = find_shim(&node.privileged, pid, on_record, &guard.bundle).at_step(Step::StartShim)? {
            return busy(format!("the bundle already has a shim, which is running (pid {})", shim.pid()));
        }
    }
    match (pid, on_file.address) {
        // Our own address is asked before it is taken over.
        (_, Ok(None)) | (Some(_), _) => {}
        (None, Ok(Some(found))) if found == address => {}
        (None, Ok(Some(found))) => {
            return busy(format!("a shim may be listening at {found:?}, which is recorded without a process id"));
        }
        (None, Err(fault)) => return unusable("address", &fault),
    }
    match Container::of(&node.privileged, id, on_record).state(&guard.bundle)? {
        Some(state) if state.is_running() => {
            busy(format!("the container of the bundle is still {} (pid {}), but has no shim", state.status, state.pid))
        }
        _ => Ok(()),
    }
}
