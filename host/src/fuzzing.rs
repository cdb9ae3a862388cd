//! What the fuzz targets in `fuzz/` need to reach, and no other caller does. cargo-fuzz builds with
//! `--cfg fuzzing`; without that this module does not exist, so none of it is part of the API.

use std::os::fd::OwnedFd;
use std::time::SystemTime;

use dunnage_core::Result;
use dunnage_sandbox::Policy;
use dunnage_sys::Name;

use crate::events::Event;
use crate::shim::ShimClient;
use crate::{Builder, Dunnage};

/// The name that some bytes are, and a hidden one made of it.
pub fn name(bytes: &[u8]) -> Option<(Vec<u8>, std::io::Result<String>)> {
    let name = Name::new(bytes).ok()?;
    let hidden = name.hidden().map(|hidden| hidden.to_string()).map_err(Into::into);
    Some((name.as_c_str().to_bytes().to_owned(), hidden))
}

/// A client of whatever is at the other end of a socket. Needs a tokio runtime.
pub fn shim_client(socket: OwnedFd) -> Result<ShimClient> {
    dunnage_shims::client_on(socket, None)
}

/// The event that a shim publishes.
pub fn decode_event(topic: &str, namespace: &str, event: &[u8], now: SystemTime) -> Result<Event> {
    dunnage_events::decode(topic, namespace, event, now)
}

/// A bundle manager whose policy was compiled elsewhere.
///
/// # Safety
///
/// As for `Policy::from_code`.
#[expect(unsafe_code, reason = "wasmtime trusts compiled code blindly")]
pub unsafe fn with_policy_code(builder: Builder, code: &[u8]) -> Result<Dunnage> {
    // SAFETY: the caller's promise is passed on.
    builder.build_with(|config| unsafe { Policy::from_code(config, code) })
}
