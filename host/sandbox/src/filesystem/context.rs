//! What belongs to one call of the policy: its handles, its budget, and what it has done.

use std::sync::Arc;

use dunnage_core::{GroupRanges, Limits, Spec, StagedContents};
use dunnage_sys::{Directory, Failure, Name};
use rustix::io::Errno;
use wasmtime::component::Resource;

use super::lazy_dir::{Access, DirectoryResource, LazyDir};
use crate::engine::{Budget, GuestFault};

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
    pub(super) budget: Budget,
    lent: LazyDir,
    groups: GroupRanges,
    durable: bool,
    /// The last system call that failed, with the details that the guest did not get.
    pub(crate) last_failure: Option<Failure>,
    pub(crate) made: StagedContents,
}

impl Context {
    pub(crate) fn new(limits: &Limits, groups: &GroupRanges, durable: bool) -> Self {
        Self {
            budget: Budget::new(limits),
            lent: LazyDir::nothing(),
            groups: groups.clone(),
            durable,
            last_failure: None,
            made: StagedContents::default(),
        }
    }

    /// Lends a directory for this call.
    pub(crate) fn lend(&mut self, lent: LazyDir) -> wasmtime::Result<Resource<DirectoryResource>> {
        self.lent = lent;
        self.budget.keep(DirectoryResource(None))
    }

    /// Lends a spec for this call.
    pub(crate) fn lend_spec(&mut self, spec: Spec) -> wasmtime::Result<Resource<Spec>> {
        self.budget.keep(spec)
    }

    pub(super) fn keep_directory(&mut self, directory: Directory) -> Result<Resource<DirectoryResource>, CallError> {
        Ok(self.budget.keep(DirectoryResource(Some(Arc::new(directory))))?)
    }

    pub(super) fn look_up(&mut self, handle: &Resource<DirectoryResource>) -> Result<Arc<Directory>, CallError> {
        match &self.budget.get(handle)?.0 {
            Some(directory) => Ok(Arc::clone(directory)),
            None => Ok(self.lent.open().map_err(GuestFault::Host)?),
        }
    }

    /// Whether a handle is that of the directory that was lent.
    pub(super) fn is_lent(&self, handle: &Resource<DirectoryResource>) -> wasmtime::Result<bool> {
        Ok(self.budget.get(handle)?.0.is_none())
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
}

impl AsMut<Budget> for Context {
    fn as_mut(&mut self) -> &mut Budget {
        &mut self.budget
    }
}
