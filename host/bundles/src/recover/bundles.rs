//! Work directories without a bundle (defect D15), and bundles of an earlier boot.

use dunnage_core::{BundleId, Result};
use dunnage_store::{LockWait, names_of};

use super::scan::is_missing;
use super::{Fate, Job};
use crate::delete::{Target, WorkDir, clean_expected_socket, refuse_mounts};
use crate::inspect::{is_valid, lend_to_read};

impl Job<'_> {
    /// `None` if it has a bundle by now, is gone, or is not a work directory.
    pub(super) fn work_dir(&self, id: &BundleId) -> Result<Option<Fate>> {
        if !is_valid(self.node, id)? {
            return Ok(None);
        }
        let (namespace, name) = names_of(id)?;
        let Some(work) = WorkDir::open(self.node, &namespace, &name, LockWait::Never)? else { return Ok(None) };
        // With the lock of the id, no other call is creating a bundle of that name.
        if !is_missing(self.node.layout.state.namespace(&namespace)?.as_deref(), &name)? {
            return Ok(None);
        }
        refuse_mounts(work.directory())?;
        let fate = self.removed_by(|| {
            clean_expected_socket(self.node, id);
            work.remove(&name)
        })?;
        Ok(Some(fate))
    }

    /// `None` if another one has its name by now. A process that still runs in it, however
    /// unlikely, keeps it.
    pub(super) fn earlier_bundle(&self, id: &BundleId) -> Result<Option<Fate>> {
        let node = self.node;
        let records = node.policy.shim_records(id, lend_to_read(node, id))?;
        let target = Target::open(node, id, LockWait::Never)?;
        if !self.earlier.contains(id.namespace(), id.id(), target.metadata()) {
            return Ok(None);
        }
        self.removed_by(|| {
            let deletion = target.delete(&mut node.begin(), node, id, &records, false)?;
            deletion.warnings.iter().for_each(|warning| tracing::warn!("{id}: {warning}"));
            Ok(())
        })
        .map(Some)
    }
}
