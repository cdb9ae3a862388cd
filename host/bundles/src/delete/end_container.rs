//! Ending what runs of a bundle that stays.

use std::sync::Arc;

use dunnage_core::{AtStep as _, BundleId, Incarnation, Result, Step, names};
use dunnage_sandbox::{Access, LazyDir};
use dunnage_store::{LockWait, RecordDir};

use super::{Target, unmount_rootfs};
use crate::{ContainerEnd, Node};

/// Ends what runs of a bundle, if it is still that incarnation: its container, with force, and its shim,
/// with all that is on record about them. The bundle stays.
///
/// # Errors
///
/// If it cannot be ended, or something cannot be removed.
pub fn end_container(node: &Arc<Node>, id: &BundleId, only: Incarnation) -> Result<()> {
    let mut slot = node.begin();
    let target = slot.pause(|| Target::open(node, id, LockWait::patiently()))?;
    if only != Incarnation::of(target.bundle.metadata()) {
        return Ok(());
    }
    let bundle = target.bundle.share();
    let records = node.policy.shim_records(id, LazyDir::new(Access::Read, move || Ok(bundle)))?;
    let record_dir = RecordDir::open(&node.layout, id)?;
    let mut warnings = Vec::new();
    if let Some(shim) = target.find_shim(&records, record_dir.as_ref(), true, &mut warnings)? {
        slot.pause(|| target.end_shim(node, id, &shim, true))?;
    }
    if target.find_mounts()? {
        slot.pause(|| unmount_rootfs(node, &target.bundle))?;
    }
    target.clean_socket(node, id, &records, record_dir.as_ref(), &mut warnings);
    for name in [names::SHIM_PID, names::ADDRESS] {
        target.bundle.unlink_if_there(&name).at_step(Step::EndShim)?;
    }
    if let Some(work) = &target.work {
        for name in [names::SHIM_STDOUT, names::SHIM_STDERR] {
            work.directory.unlink_if_there(&name).at_step(Step::EndShim)?;
        }
    }
    for warning in warnings {
        tracing::warn!("{id}: {warning}");
    }
    let Some(record_dir) = record_dir else { return Ok(()) };
    ContainerEnd::note(node, id, &record_dir.directory);
    record_dir.remove_but_exit()
}
