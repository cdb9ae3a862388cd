//! The components that this crate ships. Their code runs where it lies in the program: a copy would be
//! half a megabyte of memory, and more than a hundred page faults before the first call.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dunnage_core::{Limits, Result};
use rustix::mm::{MprotectFlags, mprotect};
use wasmtime::component::Component;
use wasmtime::{CustomCodeMemory, InstanceAllocationStrategy};

use crate::engine::Sandbox;

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// A component, compiled while this crate was built.
pub(crate) struct Embedded {
    code: &'static [u8],
    /// The digest of the component's file.
    pub(crate) digest: &'static str,
    /// That of the copy that was compiled.
    pub(crate) compiled_digest: &'static str,
    taken: AtomicBool,
}

impl Embedded {
    /// Loads it into an engine of its own. The error says why its code does not load here.
    #[expect(unsafe_code, reason = "wasmtime trusts compiled code blindly; these bytes are part of this very program")]
    pub(crate) fn load(
        &'static self,
        limits: &Limits,
        instances: InstanceAllocationStrategy,
    ) -> Result<(Sandbox, Result<Component, String>)> {
        let place = Place::take(self).map(Arc::new);
        let code_memory = place.clone().map(|place| place as Arc<dyn CustomCodeMemory>);
        let sandbox = Sandbox::new(limits, instances, code_memory)?;
        let component = match place {
            // SAFETY: the code was made by `build.rs` with the same wasmtime and is embedded in the
            // program; nothing from outside is ever deserialized here. It lives as long as the
            // program, is never written to, and no other engine uses it.
            Some(_) => unsafe { Component::deserialize_raw(sandbox.engine(), NonNull::from(self.code)) },
            // SAFETY: the same bytes, copied.
            None => unsafe { Component::deserialize(sandbox.engine(), self.code) },
        };
        let component = component
            .map_err(|error| format!("what was compiled for {CPU_BASELINE} does not load on this machine: {error:#}"));
        Ok((sandbox, component))
    }
}

/// The right to run the code where it lies. One engine has it at a time, since wasmtime keeps a list
/// of all code by its address; others make do with a copy.
struct Place(&'static Embedded);

impl Place {
    fn take(embedded: &'static Embedded) -> Option<Self> {
        // Older kernels and linkers may not align a program as it asks for.
        let aligned = embedded.code.as_ptr().addr().is_multiple_of(PAGE);
        // Constructed only if it was free, since dropping it gives it back.
        (aligned && !embedded.taken.swap(true, Ordering::Acquire)).then(|| Self(embedded))
    }
}

/// The engine and its code each hold the place: when it is dropped, both are gone.
impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
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
    // SAFETY: these are whole pages of embedded code, which hold nothing else and are never written
    // to; wasmtime takes the right to execute them away only when nothing runs in them any more.
    unsafe { mprotect(start.cast_mut().cast(), length, flags) }?;
    Ok(())
}
