//! What the fuzz targets in `fuzz/` have to reach and nobody else. cargo-fuzz builds with
//! `--cfg fuzzing`; without that this module does not exist, so none of it is part of the API.

use std::os::fd::OwnedFd;
use std::time::SystemTime;

use wasmtime::component::Component;

use crate::Dunnage;
use crate::config::Builder;
use crate::engine::Sandbox;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::events::{self, Event};
use crate::name::Name;
use crate::policy::Policy;
use crate::shim::{self, ShimClient};

/// The name that some bytes are, and a hidden one made of it.
pub fn name(bytes: &[u8]) -> Option<(Vec<u8>, std::io::Result<String>)> {
    let name = Name::new(bytes).ok()?;
    let hidden = name.hidden().map(|hidden| hidden.to_string()).map_err(Into::into);
    Some((name.as_c_str().to_bytes().to_owned(), hidden))
}

/// A client of the shim at the other end of a socket, whoever that is. Needs a tokio runtime.
pub fn shim_client(socket: OwnedFd) -> Result<ShimClient> {
    shim::client_on(socket, None)
}

/// The event that a shim publishes.
pub fn decode_event(topic: &str, namespace: &str, event: &[u8], now: SystemTime) -> Result<Event> {
    events::decode_event(topic, namespace, event, now)
}

/// A bundle manager whose policy was compiled elsewhere: to have the compiler here, instrumented,
/// would take minutes.
///
/// # Safety
///
/// The code has to come from this version of wasmtime, with the settings of `engine/settings.rs`.
#[expect(unsafe_code, reason = "wasmtime trusts compiled code blindly")]
pub unsafe fn with_policy_code(builder: Builder, code: &[u8]) -> Result<Dunnage> {
    builder.build_with(|config| {
        let sandbox = Sandbox::pooled(&config.limits)?;
        // SAFETY: the caller's promise is passed on.
        let component = unsafe { Component::deserialize(sandbox.engine(), code) };
        let component = component.map_err(|error| {
            Error::new(ErrorKind::PolicyRejected, Step::LoadPolicy, format!("the code does not load: {error:#}"))
        })?;
        Policy::link(config, sandbox, component, String::new())
    })
}
