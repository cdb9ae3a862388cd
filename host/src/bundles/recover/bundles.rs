//! Work directories without a bundle (defect D15), and bundles of an earlier boot.

use super::scan::is_missing;
use super::{Fate, Job};
use crate::bundle::BundleId;
use crate::bundles::create::names;
use crate::bundles::delete::{Target, WorkDir, clean_expected_socket, refuse_mounts};
use crate::bundles::inspect::{is_valid, lend};
use crate::bundles::lock::Waiting;
use crate::error::Result;

impl Job<'_> {
    /// `None` if it has a bundle by now, is gone, or is no work directory at all.
    pub(super) fn work_dir(&self, id: &BundleId) -> Result<Option<Fate>> {
        if !is_valid(self.inner, id)? {
            return Ok(None);
        }
        let (namespace, name) = names(id)?;
        let Some(work) = WorkDir::open(self.inner, &namespace, &name, Waiting::Never)? else { return Ok(None) };
        // With the lock of the id, nobody is making a bundle of that name.
        if !is_missing(self.inner.places.state.namespace(&namespace)?.as_deref(), &name)? {
            return Ok(None);
        }
        refuse_mounts(work.directory())?;
        let fate = self.removed_by(|| {
            clean_expected_socket(self.inner, id);
            work.remove(&name)
        })?;
        Ok(Some(fate))
    }

    /// `None` if another one has its name by now. What runs in it, against all odds, keeps it.
    pub(super) fn earlier_bundle(&self, id: &BundleId) -> Result<Option<Fate>> {
        let inner = self.inner;
        let records = inner.policy.shim_records(&inner.config, id, lend(inner, id))?;
        let target = Target::open(inner, id, Waiting::Never)?;
        if !self.earlier.contains(id.namespace(), id.id(), target.metadata()) {
            return Ok(None);
        }
        self.removed_by(|| {
            let deletion = target.delete(&mut inner.busy(), inner, id, &records, false)?;
            deletion.warnings.iter().for_each(|warning| tracing::warn!("{id}: {warning}"));
            Ok(())
        })
        .map(Some)
    }
}
