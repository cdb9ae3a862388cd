//! What one call of a component may use.

use dunnage_core::{Error, Limits};
use wasmtime::ResourceLimiter;
use wasmtime::component::{Resource, ResourceTable};

/// Why a call of a guest is stopped, for good. An ordinary failure is an error code instead.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GuestFault {
    /// The host could not even open (or make) what it was about to lend.
    #[error(transparent)]
    Host(Error),
    #[error("{0}")]
    Limit(String),
    #[error("{0}")]
    Rule(String),
}

/// The handles of a call, and what is left of its limits.
pub(crate) struct Budget {
    table: ResourceTable,
    memory: usize,
    table_elements: usize,
    bytes: u64,
    steps: u32,
}

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles);
        Self {
            table,
            memory: limits.memory,
            table_elements: limits.table_elements,
            bytes: limits.host_call_bytes,
            steps: limits.steps,
        }
    }

    pub(crate) fn keep<T: Send + 'static>(&mut self, value: T) -> wasmtime::Result<Resource<T>> {
        self.table.push(value).map_err(|_| limit("it holds too many handles"))
    }

    pub(crate) fn forget<T: 'static>(&mut self, handle: Resource<T>) -> wasmtime::Result<()> {
        self.table.delete(handle).map(drop).map_err(unknown_handle)
    }

    pub(crate) fn get<T: 'static>(&self, handle: &Resource<T>) -> wasmtime::Result<&T> {
        self.table.get(handle).map_err(unknown_handle)
    }

    pub(crate) fn count_step(&mut self) -> wasmtime::Result<()> {
        self.steps = self.steps.checked_sub(1).ok_or_else(|| limit("it called too many host functions"))?;
        Ok(())
    }

    pub(crate) fn count_bytes(&mut self, bytes: u64) -> wasmtime::Result<()> {
        self.bytes =
            self.bytes.checked_sub(bytes).ok_or_else(|| limit("it moved too many bytes through host functions"))?;
        Ok(())
    }

    pub(crate) fn bytes_left(&self) -> u64 {
        self.bytes
    }
}

fn limit(message: impl Into<String>) -> wasmtime::Error {
    wasmtime::Error::new(GuestFault::Limit(message.into()))
}

fn unknown_handle(error: impl std::fmt::Display) -> wasmtime::Error {
    wasmtime::Error::new(GuestFault::Rule(format!("it used a handle that it does not have: {error}")))
}

impl ResourceLimiter for Budget {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        within("bytes of memory", desired, self.memory)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        within("table elements", desired, self.table_elements)
    }
}

/// Growing past a limit stops the guest, so that the message can name the limit: a guest that
/// merely sees the growth fail would trap somewhere else.
fn within(what: &str, desired: usize, most: usize) -> wasmtime::Result<bool> {
    if desired <= most { Ok(true) } else { Err(limit(format!("it needs {desired} {what}, but the limit is {most}"))) }
}
