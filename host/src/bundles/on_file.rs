//! What is on file about a bundle's shim, for whoever wants to talk to it.

use std::sync::Arc;

use super::inspect::{find_shim, lend, open};
use super::shim_record::{Kind, ShimRecord};
use super::{BundleId, Inner};
use crate::bundle::Incarnation;
use crate::error::{AtStep, Result, Step};
use crate::privileged::Privileged;
use crate::shims::Endpoint;
use crate::sys::{Directory, ShimProcess};

/// The records of a shim, and the bundle they were found in.
pub(crate) struct OnFile {
    pub(crate) endpoint: Endpoint,
    pub(crate) pid: Option<u32>,
    record: Option<ShimRecord>,
    privileged: Privileged,
    bundle: Arc<Directory>,
}

impl OnFile {
    pub(crate) fn read(inner: &Arc<Inner>, id: &BundleId, allow_legacy: bool) -> Result<Self> {
        inner.policy.check_identifiers(&inner.config, id)?;
        let bundle = open(inner, id)?;
        let endpoint = inner.policy.connect_address(&inner.config, id, lend(inner, id), allow_legacy)?.into();
        let records = inner.policy.shim_records(&inner.config, id, lend(inner, id))?;
        let record = ShimRecord::of(inner, id, &bundle)?;
        // A number that cannot be read is no obstacle: who answers has to run in the bundle.
        Ok(Self {
            endpoint,
            pid: records.pid.unwrap_or_default(),
            record,
            privileged: inner.config.privileged.clone(),
            bundle,
        })
    }

    /// Which bundle the records were found in.
    pub(crate) fn incarnation(&self) -> Result<Incarnation> {
        self.bundle.metadata().map(|found| Incarnation::of(&found)).at_step(Step::ConnectShim)
    }

    /// Whether the shim is served by a process that has more to do than that.
    pub(crate) fn is_guest(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.kind == Kind::Local)
    }

    /// The running process of that id, if it is this bundle's shim.
    pub(crate) fn find(&self, pid: u32) -> Result<Option<ShimProcess>> {
        find_shim(&self.privileged, pid, self.record.as_ref(), &self.bundle).at_step(Step::ConnectShim)
    }
}
