//! Asking the shim how its container has ended.

use std::time::{Duration, SystemTime};

use dunnage_sys::dial;

use crate::cleanup::Cleanup;
use crate::client::{client_on, time_of};

/// How long it may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The exit status of the container's init, and when it ended; `None` if the shim does not say.
pub(super) fn exit_of(shim: &Cleanup, id: &str) -> Option<(u32, SystemTime)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(async {
        let socket = dial(&shim.handles.sockets, &shim.socket).ok()?;
        let state = client_on(socket, None).ok()?.with_timeout(TIMEOUT).state(id).await.ok()?;
        Some((state.exit_status, time_of(state.exited_at.as_ref()?)?))
    })
}
