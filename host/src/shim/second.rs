//! Whether a bundle may have a shim started: not beside another one.

use std::sync::Arc;

use crate::bundle::BundleId;
use crate::bundles::{Hold, Inner, Runtime, ShimRecord, find_shim, lend_to_read};
use crate::error::{AtStep, Error, ErrorKind, Result, Step};

/// Refuses to start a second shim for a bundle, and one for a container that has lost its own: no
/// shim takes a container over.
pub(super) fn refuse_second(
    inner: &Arc<Inner>,
    id: &BundleId,
    hold: &Hold,
    on_record: Option<&ShimRecord>,
    address: &str,
) -> Result<()> {
    let busy = |message: String| Err(Error::new(ErrorKind::ShimAlive, Step::StartShim, message).at(hold.bundle.path()));
    let unusable = |file: &str, fault: &str| {
        let message = format!("cannot tell whether the bundle has a shim: {file} cannot be used: {fault}");
        Err(Error::new(ErrorKind::BadRecord, Step::StartShim, message).at(hold.bundle.path()))
    };
    let on_file = inner.policy.shim_records(&inner.config, id, lend_to_read(inner, id))?;
    let pid = match on_file.pid {
        Ok(pid) => pid,
        Err(fault) => return unusable("shim.pid", &fault),
    };
    for pid in pid.into_iter().chain(on_record.and_then(|record| Some(record.serving()?.pid))) {
        if let Some(shim) =
            find_shim(&inner.config.privileged, pid, on_record, &hold.bundle).at_step(Step::StartShim)?
        {
            return busy(format!("the bundle has a shim already, which is running (pid {})", shim.pid()));
        }
    }
    match (pid, on_file.address) {
        // Our own address is asked before it is taken over.
        (_, Ok(None)) | (Some(_), _) => {}
        (None, Ok(Some(found))) if found == address => {}
        (None, Ok(Some(found))) => {
            return busy(format!("a shim may listen at {found:?}, which is on file without a process id"));
        }
        (None, Err(fault)) => return unusable("address", &fault),
    }
    match Runtime::of(&inner.config.privileged, id, on_record).state(&hold.bundle)? {
        Some(state) if state.is_running() => {
            busy(format!("the container of the bundle is still {} (pid {}), without a shim", state.status, state.pid))
        }
        _ => Ok(()),
    }
}
