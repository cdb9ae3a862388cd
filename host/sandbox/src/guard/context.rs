//! What belongs to one call of a guard, and the one thing that it may import: reading documents.

use dunnage_core::{Limits, Operation, ReviewRequest, Spec};
use wasmtime::component::Resource;

use super::bindings::dunnage::guard::types as wit;
use crate::engine::Budget;

/// The state of one call.
pub(super) struct GuardContext {
    budget: Budget,
}

impl AsMut<Budget> for GuardContext {
    fn as_mut(&mut self) -> &mut Budget {
        &mut self.budget
    }
}

impl GuardContext {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { budget: Budget::new(limits) }
    }

    /// Lends what a guard is asked about, for this call.
    pub(super) fn lend(&mut self, request: &ReviewRequest, settings: &str) -> wasmtime::Result<wit::Request> {
        let spec = request.container_spec.clone().map(|spec| self.budget.keep(spec)).transpose()?;
        let annotations = request.annotations.iter();
        Ok(wit::Request {
            operation: request.operation.into(),
            subject: self.budget.keep(request.subject.clone())?,
            spec,
            container: wit::ContainerId {
                namespace: request.container.namespace().to_owned(),
                id: request.container.id().to_owned(),
            },
            exec_id: request.exec_id.clone(),
            engine: request.engine.clone(),
            annotations: annotations
                .map(|(key, value)| wit::Annotation { key: key.clone(), value: value.clone() })
                .collect(),
            settings: settings.to_owned(),
        })
    }
}

impl wit::Host for GuardContext {}

impl wit::HostDocument for GuardContext {
    fn size(&mut self, document: Resource<Spec>) -> wasmtime::Result<u64> {
        self.budget.count_step()?;
        Ok(self.budget.get(&document)?.as_bytes().len() as u64)
    }

    fn read(&mut self, document: Resource<Spec>, offset: u64, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.budget.count_step()?;
        let bytes = self.budget.get(&document)?.as_bytes();
        let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(bytes.len());
        let read = bytes.get(at(offset)..at(offset.saturating_add(length))).unwrap_or_default().to_vec();
        self.budget.count_bytes(read.len() as u64)?;
        Ok(read)
    }

    fn drop(&mut self, document: Resource<Spec>) -> wasmtime::Result<()> {
        self.budget.count_step()?;
        self.budget.forget(document)
    }
}

impl From<Operation> for wit::Operation {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Create => Self::Create,
            Operation::Exec => Self::Exec,
            Operation::Update => Self::Update,
            Operation::Restore => Self::Restore,
        }
    }
}
