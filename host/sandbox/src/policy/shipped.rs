//! The policy that this crate ships. Its code runs where it lies in the program: a copy would be
//! half a megabyte of memory, and more than a hundred page faults before the first call.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dunnage_core::Result;
use rustix::mm::{MprotectFlags, mprotect};
use wasmtime::component::Component;
use wasmtime::{CustomCodeMemory, InstanceAllocationStrategy};

use super::{PolicyConfig, rejected};
use crate::engine::{Clear, Sandbox, pool};

include!(concat!(env!("OUT_DIR"), "/policy.rs"));

/// The digests of the component and of the copy that was compiled, and the oldest CPUs that its code
/// runs on.
pub(super) const DIGEST: &str = POLICY_DIGEST;
pub(super) const COMPILED_DIGEST: &str = POLICY_COMPILED_DIGEST;
pub(super) const BASELINE: &str = POLICY_BASELINE;

/// Loads it into an engine of its own.
#[expect(unsafe_code, reason = "wasmtime trusts compiled code blindly; these bytes are part of this very program")]
pub(super) fn load(config: &PolicyConfig) -> Result<(Sandbox, Component)> {
    let place = Place::take().map(Arc::new);
    // What this policy is made of is known; what it may grow to is limited in any case.
    let instances = if config.pool { pool(&config.limits, Clear::All) } else { InstanceAllocationStrategy::OnDemand };
    let code_memory = place.clone().map(|place| place as Arc<dyn CustomCodeMemory>);
    let sandbox = Sandbox::new(&config.limits, instances, code_memory)?;
    let code: &'static [u8] = &POLICY_CODE.0;
    let component = match place {
        // SAFETY: `POLICY_CODE` was made by `build.rs` with the same wasmtime and is embedded in
        // the program; nothing from outside is ever deserialized. It lives as long as the program,
        // is never written to, and no other engine uses it.
        Some(_) => unsafe { Component::deserialize_raw(sandbox.engine(), NonNull::from(code)) },
        // SAFETY: the same bytes, copied.
        None => unsafe { Component::deserialize(sandbox.engine(), code) },
    };
    let component = component.map_err(|error| {
        rejected(format!("the policy that was compiled for {BASELINE} does not load on this machine: {error:#}"))
    })?;
    Ok((sandbox, component))
}

/// The right to run the code where it lies. One engine has it at a time, since wasmtime keeps a list
/// of all code by its address; others make do with a copy.
struct Place(());

static TAKEN: AtomicBool = AtomicBool::new(false);

impl Place {
    fn take() -> Option<Self> {
        // Older kernels and linkers may not align a program as it asks for.
        let aligned = POLICY_CODE.0.as_ptr().addr().is_multiple_of(PAGE);
        // Constructed only if it was free, since dropping it gives it back.
        (aligned && !TAKEN.swap(true, Ordering::Acquire)).then(|| Self(()))
    }
}

/// The engine and its code each hold the place: when it is dropped, both are gone.
impl Drop for Place {
    fn drop(&mut self) {
        TAKEN.store(false, Ordering::Release);
    }
}

impl CustomCodeMemory for Place {
    fn required_alignment(&self) -> usize {
        PAGE
    }

    fn publish_executable(&self, start: *const u8, length: usize) -> wasmtime::Result<()> {
        // Nothing was written there, and the kernel makes sure that CPUs fetch what the file holds.
        protect(start, length, MprotectFlags::READ | MprotectFlags::EXEC)
    }

    fn unpublish_executable(&self, start: *const u8, length: usize) -> wasmtime::Result<()> {
        protect(start, length, MprotectFlags::READ)
    }
}

#[expect(unsafe_code, reason = "memory is named by its address")]
fn protect(start: *const u8, length: usize, flags: MprotectFlags) -> wasmtime::Result<()> {
    // SAFETY: these are whole pages in `POLICY_CODE`, which holds nothing else and is never written
    // to; wasmtime takes the right to execute them away only when nothing runs in them any more.
    unsafe { mprotect(start.cast_mut().cast(), length, flags) }?;
    Ok(())
}
