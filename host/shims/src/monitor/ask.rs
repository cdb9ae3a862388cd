//! Asking the shim how its container has ended.

use std::time::{Duration, SystemTime};

use dunnage_sys::dial;

use crate::cleanup::Cleanup;
use crate::client::client_on;

/// How long it may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The exit status of the container's init, and when it ended; `None` if the shim does not say.
pub(super) fn exit_of(shim: &Cleanup, id: &str) -> Option<(u32, SystemTime)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(async {
        let socket = dial(&shim.handles.sockets, &shim.socket).ok()?;
        let state = client_on(socket, None).ok()?.with_timeout(TIMEOUT).state(id).await.ok()?;
        let at = state.exited_at.as_ref()?;
        let since = Duration::new(u64::try_from(at.seconds).ok()?, u32::try_from(at.nanos).ok()?);
        Some((state.exit_status, SystemTime::UNIX_EPOCH + since))
    })
}
