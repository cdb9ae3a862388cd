//! What belongs to one call of the policy: its handles, its budget, and what it has done.

use std::sync::Arc;

use dunnage_core::{Error, GroupRanges, Limits, Spec, StagedContents};
use dunnage_sys::{Directory, Failure, Name};
use rustix::io::Errno;
use wasmtime::ResourceLimiter;
use wasmtime::component::{Resource, ResourceTable};

use super::lazy_dir::{Access, DirectoryResource, LazyDir};

/// Why a call of the guest is stopped, for good. An ordinary failure is an error code instead.
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

/// How a host function fails.
#[derive(Debug)]
pub(crate) enum CallError {
    Failed(Failure),
    Stopped(wasmtime::Error),
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<GuestFault> for CallError {
    fn from(stop: GuestFault) -> Self {
        Self::Stopped(wasmtime::Error::new(stop))
    }
}

impl From<wasmtime::Error> for CallError {
    fn from(error: wasmtime::Error) -> Self {
        Self::Stopped(error)
    }
}

/// The state of one call.
pub(crate) struct Context {
    table: ResourceTable,
    lent: LazyDir,
    groups: GroupRanges,
    durable: bool,
    memory: usize,
    table_elements: usize,
    bytes: u64,
    steps: u32,
    /// The last system call that failed, with the details that the guest did not get.
    pub(crate) last_failure: Option<Failure>,
    pub(crate) made: StagedContents,
}

impl Context {
    pub(crate) fn new(limits: &Limits, groups: &GroupRanges, durable: bool) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles);
        Self {
            table,
            lent: LazyDir::nothing(),
            groups: groups.clone(),
            durable,
            memory: limits.memory,
            table_elements: limits.table_elements,
            bytes: limits.host_call_bytes,
            steps: limits.steps,
            last_failure: None,
            made: StagedContents::default(),
        }
    }

    /// Lends a directory for this call.
    pub(crate) fn lend(&mut self, lent: LazyDir) -> wasmtime::Result<Resource<DirectoryResource>> {
        self.lent = lent;
        self.keep(DirectoryResource(None))
    }

    /// Lends a spec for this call.
    pub(crate) fn lend_spec(&mut self, spec: Spec) -> wasmtime::Result<Resource<Spec>> {
        self.keep(spec)
    }

    pub(super) fn keep_directory(&mut self, directory: Directory) -> Result<Resource<DirectoryResource>, CallError> {
        Ok(self.keep(DirectoryResource(Some(Arc::new(directory))))?)
    }

    fn keep<T: Send + 'static>(&mut self, value: T) -> wasmtime::Result<Resource<T>> {
        self.table
            .push(value)
            .map_err(|_| wasmtime::Error::new(GuestFault::Limit("it holds too many handles".to_owned())))
    }

    pub(super) fn forget<T: 'static>(&mut self, handle: Resource<T>) -> wasmtime::Result<()> {
        self.table.delete(handle).map(drop).map_err(unknown_handle)
    }

    pub(super) fn spec(&self, handle: &Resource<Spec>) -> wasmtime::Result<&Spec> {
        self.table.get(handle).map_err(unknown_handle)
    }

    pub(super) fn look_up(&mut self, handle: &Resource<DirectoryResource>) -> Result<Arc<Directory>, CallError> {
        match &self.table.get(handle).map_err(unknown_handle)?.0 {
            Some(directory) => Ok(Arc::clone(directory)),
            None => Ok(self.lent.open().map_err(GuestFault::Host)?),
        }
    }

    /// Whether a handle is that of the directory that was lent.
    pub(super) fn is_lent(&self, handle: &Resource<DirectoryResource>) -> wasmtime::Result<bool> {
        Ok(self.table.get(handle).map_err(unknown_handle)?.0.is_none())
    }

    /// Whether it is known without another system call that there is no such entry.
    pub(super) fn surely_lacks(&self, handle: &Resource<DirectoryResource>, name: &Name) -> wasmtime::Result<bool> {
        Ok(self.is_lent(handle)? && self.lent.surely_lacks(name))
    }

    pub(super) fn check_writable(&self, directory: &Directory) -> Result<(), CallError> {
        match self.lent.access() {
            Access::Build => Ok(()),
            Access::Read => Err(Failure::new("lend", directory.path(), Errno::PERM).with("for reading").into()),
        }
    }

    /// The host's own check of a name that the guest gave.
    pub(super) fn name(&self, name: &str) -> Result<Name, CallError> {
        Name::new(name).map_err(|error| {
            // It may be as long as the guest's memory.
            let shown: String = name.chars().take(256).collect();
            GuestFault::Rule(format!("it named {shown:?} where a single name is needed: {error}")).into()
        })
    }

    /// The host's own check of a group that the guest gave.
    pub(super) fn check_group(&self, group: u32) -> Result<(), CallError> {
        if group == u32::MAX {
            return Err(GuestFault::Rule(format!("it named group {group}, which is not a group")).into());
        }
        self.groups.check(group).map_err(|error| GuestFault::Host(error).into())
    }

    pub(super) fn durable(&self) -> bool {
        self.durable
    }

    pub(super) fn count_step(&mut self) -> wasmtime::Result<()> {
        self.steps = self.steps.checked_sub(1).ok_or_else(|| limit("it called too many host functions"))?;
        Ok(())
    }

    pub(super) fn count_bytes(&mut self, bytes: u64) -> wasmtime::Result<()> {
        self.bytes =
            self.bytes.checked_sub(bytes).ok_or_else(|| limit("it moved too many bytes through host functions"))?;
        Ok(())
    }

    pub(super) fn bytes_left(&self) -> u64 {
        self.bytes
    }
}

fn limit(message: impl Into<String>) -> wasmtime::Error {
    wasmtime::Error::new(GuestFault::Limit(message.into()))
}

fn unknown_handle(error: impl std::fmt::Display) -> wasmtime::Error {
    wasmtime::Error::new(GuestFault::Rule(format!("it used a handle that it does not have: {error}")))
}

impl ResourceLimiter for Context {
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
