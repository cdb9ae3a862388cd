//! What is on file about a bundle's shim, for callers that connect to it.

use std::sync::Arc;

use dunnage_broker::Privileged;
use dunnage_core::{AtStep, BundleId, Endpoint, Incarnation, Result, Step};
use dunnage_sandbox::{Access, LazyDir};
use dunnage_store::{ShimKind, ShimRecord};
use dunnage_sys::{Directory, ProcessHandle};

use crate::Node;
use crate::inspect::{find_shim, open_bundle};

/// The records of a shim, and the bundle they were found in.
pub struct RecordedShim {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Its process id on file.
    pub pid: Option<u32>,
    record: Option<ShimRecord>,
    privileged: Privileged,
    bundle: Arc<Directory>,
}

impl RecordedShim {
    /// Reads the records of a bundle.
    ///
    /// # Errors
    ///
    /// If there is no bundle, or no address that can be used.
    pub fn read(node: &Arc<Node>, id: &BundleId, allow_legacy: bool) -> Result<Self> {
        node.policy.check_identifiers(id)?;
        // One bundle, opened once: another may get its name meanwhile.
        let bundle = open_bundle(node, id)?;
        let lend = || {
            let bundle = Arc::clone(&bundle);
            LazyDir::new(Access::Read, move || Ok(bundle))
        };
        let endpoint = node.policy.connect_address(id, lend(), allow_legacy)?;
        let records = node.policy.shim_records(id, lend())?;
        let record = ShimRecord::find(&node.layout, id, &bundle)?;
        // A process id that cannot be read does not matter: the peer must run in the bundle.
        Ok(Self { endpoint, pid: records.pid.unwrap_or_default(), record, privileged: node.privileged.clone(), bundle })
    }

    /// Which bundle the records were found in.
    pub fn incarnation(&self) -> Result<Incarnation> {
        self.bundle.metadata().map(|found| Incarnation::of(&found)).at_step(Step::ConnectShim)
    }

    /// Whether the shim is served by a process beside its other work.
    pub fn is_guest(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.kind == ShimKind::Local)
    }

    /// The running process of that id, if it is this bundle's shim.
    pub fn find(&self, pid: u32) -> Result<Option<ProcessHandle>> {
        find_shim(&self.privileged, pid, self.record.as_ref(), &self.bundle).at_step(Step::ConnectShim)
    }
}
