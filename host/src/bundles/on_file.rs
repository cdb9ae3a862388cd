//! What is on file about a bundle's shim, for whoever wants to talk to it.

use std::path::Path;
use std::sync::Arc;

use super::inspect::{find_shim, lend, open};
use super::shim_record::ShimRecord;
use super::{BundleId, Inner};
use crate::error::{AtStep, Result, Step};
use crate::name::Name;
use crate::shims::Endpoint;
use crate::sys::{Directory, ShimProcess};

/// The records of a shim, and the bundle they were found in.
pub(crate) struct OnFile {
    pub(crate) endpoint: Endpoint,
    pub(crate) pid: Option<u32>,
    record: Option<ShimRecord>,
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
        Ok(Self { endpoint, pid: records.pid.unwrap_or_default(), record, bundle })
    }

    /// The running process of that id, if it is this bundle's shim.
    pub(crate) fn find(&self, pid: u32) -> Result<Option<ShimProcess>> {
        find_shim(pid, self.record.as_ref(), &self.bundle).at_step(Step::ConnectShim)
    }
}

/// The name of a socket in the socket directory; `None` if its address leads elsewhere.
pub(crate) fn socket_name(inner: &Inner, address: &str) -> Option<Name> {
    // The name comes from the address, the place from the operator: the two have to agree.
    let socket = Path::new(address.strip_prefix("unix://")?);
    if socket.parent()? != inner.socket_root() {
        return None;
    }
    Name::new(socket.file_name()?.as_encoded_bytes()).ok()
}
