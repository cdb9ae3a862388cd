//! The calls of the policy, one for each function of the contract: lend, call, take the answer
//! apart.

use dunnage_core::{
    Built, BundleId, Endpoint, Error, ErrorKind, ProcessParts, Result, ShimRecords, Spec, Step, TaskSettings,
};
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Lift, Lower};

use super::answers;
use super::{Policy, call_error};
use crate::bindings::exports::dunnage::bundle::{bundles as wit, shims, tasks};
use crate::filesystem::{Context, LazyDir};

impl Policy {
    /// `bundles.check-identifiers`.
    pub fn check_identifiers(&self, id: &BundleId) -> Result<()> {
        let (answer, _): (Result<(), wit::IdentifierError>, _) =
            self.call(&self.exports.bundles.check_identifiers, |_| Ok((wit::BundleId::from(id),)))?;
        answer.map_err(|error| answers::identifier_error(id, error))
    }

    /// `bundles.remapped-gid`.
    pub fn remapped_gid(&self, spec: &Spec) -> Result<u32> {
        spec.check_size(self.config.limits.spec_size)?;
        let (answer, _): (Result<u32, wit::SpecError>, _) =
            self.call(&self.exports.bundles.remapped_gid, |context| Ok((context.lend_spec(spec.clone())?,)))?;
        let group = answer.map_err(|error| answers::spec_error(error, spec))?;
        self.check_answered_group(group)?;
        Ok(group)
    }

    /// `bundles.task-settings`.
    pub fn task_settings(&self, spec: &Spec) -> Result<TaskSettings> {
        spec.check_size(self.config.limits.spec_size)?;
        let (answer, _): (Result<wit::TaskIo, wit::SpecError>, _) =
            self.call(&self.exports.bundles.task_settings, |context| Ok((context.lend_spec(spec.clone())?,)))?;
        let wit::TaskIo { terminal, io_uid, io_gid } = answer.map_err(|error| answers::spec_error(error, spec))?;
        if io_uid == u32::MAX || io_gid == u32::MAX {
            return Err(answers::broken(format!(
                "it returned user {io_uid} and group {io_gid}, but {} is not a valid id",
                u32::MAX
            )));
        }
        Ok(TaskSettings::new(terminal, io_uid, io_gid))
    }

    /// `tasks.process-parts-of`.
    pub fn process_parts(&self, spec: &Spec) -> Result<ProcessParts> {
        let tasks = self.exports.tasks.as_ref().ok_or_else(|| {
            let message = "this policy does not export `tasks`; bring the whole process";
            Error::new(ErrorKind::Unsupported, Step::Decide, message)
        })?;
        spec.check_size(self.config.limits.spec_size)?;
        let (answer, _): (Result<tasks::ProcessParts, wit::SpecError>, _) =
            self.call(&tasks.process_parts_of, |context| Ok((context.lend_spec(spec.clone())?,)))?;
        answers::process_parts(answer.map_err(|error| answers::spec_error(error, spec))?, spec)
    }

    /// `bundles.create`.
    pub fn create(&self, id: &BundleId, spec: &Spec, lent: LazyDir) -> Result<Built> {
        spec.check_size(self.config.limits.spec_size)?;
        let (answer, context): (Result<wit::Created, wit::CreateError>, _) =
            self.call(&self.exports.bundles.create, |context| {
                let directory = context.lend(lent)?;
                Ok((directory, wit::BundleId::from(id), context.lend_spec(spec.clone())?))
            })?;
        let created = answer.map_err(|error| match error {
            wit::CreateError::Identifier(error) => answers::identifier_error(id, error),
            wit::CreateError::Spec(error) => answers::spec_error(error, spec),
            wit::CreateError::Filesystem(failure) => answers::create_failure(failure, context.last_failure.as_ref()),
        })?;
        self.check_answered_group(created.remapped_gid)?;
        Ok(Built { remapped_gid: created.remapped_gid, made: context.made })
    }

    /// `bundles.delete`: what there is to clean up when a bundle is deleted.
    pub fn delete(&self, id: &BundleId, lent: LazyDir) -> Result<ShimRecords> {
        let (answer, _): (Result<wit::Deletion, wit::IdentifierError>, _) =
            self.call(&self.exports.bundles.delete, |context| Ok((context.lend(lent)?, wit::BundleId::from(id))))?;
        let deletion = answer.map_err(|error| answers::identifier_error(id, error))?;
        Ok(deletion.shim.into())
    }

    /// `shims.records`.
    pub fn shim_records(&self, id: &BundleId, lent: LazyDir) -> Result<ShimRecords> {
        let (answer, _): (Result<wit::ShimRecords, wit::IdentifierError>, _) =
            self.call(&self.exports.shims.records, |context| Ok((context.lend(lent)?, wit::BundleId::from(id))))?;
        Ok(answer.map_err(|error| answers::identifier_error(id, error))?.into())
    }

    /// `shims.address`.
    pub fn shim_address(&self, id: &BundleId) -> Result<String> {
        let (answer, _): (Result<String, wit::IdentifierError>, _) =
            self.call(&self.exports.shims.address, |_| Ok((wit::BundleId::from(id), self.node_addresses())))?;
        answer.map_err(|error| answers::identifier_error(id, error)).and_then(answers::checked_address)
    }

    /// `shims.legacy-address`.
    pub fn legacy_shim_address(&self, id: &BundleId) -> Result<String> {
        let (answer, _): (Result<String, wit::IdentifierError>, _) =
            self.call(&self.exports.shims.legacy_address, |_| Ok((wit::BundleId::from(id),)))?;
        answer.map_err(|error| answers::identifier_error(id, error)).and_then(answers::checked_address)
    }

    /// `shims.connect-address`.
    pub fn connect_address(&self, id: &BundleId, lent: LazyDir, allow_legacy: bool) -> Result<Endpoint> {
        let (answer, _): (Result<shims::Endpoint, shims::ConnectError>, _) = self
            .call(&self.exports.shims.connect_address, |context| {
                Ok((context.lend(lent)?, wit::BundleId::from(id), self.node_addresses(), allow_legacy))
            })?;
        let endpoint = answer.map_err(|error| match error {
            shims::ConnectError::Identifier(error) => answers::identifier_error(id, error),
            shims::ConnectError::NoAddress => {
                Error::new(ErrorKind::NoAddress, Step::Decide, "no shim address is on file, and the legacy address is not allowed")
            }
            shims::ConnectError::LegacyRefused(address) => {
                let message = format!("the address on file, {address:?}, is an abstract name, which any process may hold; legacy addresses are not allowed");
                Error::new(ErrorKind::NoAddress, Step::Decide, message)
            }
            shims::ConnectError::Record(fault) => answers::bad_record("address", fault),
        })?;
        let address = answers::checked_address(endpoint.address)?;
        Ok(match endpoint.kind {
            shims::EndpointKind::Path => Endpoint::path(address),
            shims::EndpointKind::AbstractName => Endpoint::abstract_name(address),
        })
    }

    /// `shims.config`.
    pub(crate) fn decide_shim_config(
        &self,
        id: &BundleId,
        paths: &shims::BundlePaths,
        node: &shims::NodeConfig,
        runc: Option<&shims::RuncOptions>,
    ) -> Result<shims::ShimConfig> {
        let (answer, _): (Result<shims::ShimConfig, wit::IdentifierError>, _) =
            self.call(&self.exports.shims.config, |_| Ok((paths, wit::BundleId::from(id), node, runc)))?;
        answer.map_err(|error| answers::identifier_error(id, error))
    }

    /// Starts a fresh instance in a fresh store and calls one of its functions.
    fn call<P, A>(
        &self,
        function: &ComponentExportIndex,
        lend: impl FnOnce(&mut Context) -> wasmtime::Result<P>,
    ) -> Result<(A, Context)>
    where
        P: ComponentNamedList + Lower,
        (A,): ComponentNamedList + Lift,
    {
        let context = Context::new(&self.config.limits, &self.config.groups, self.config.durable);
        let mut step = Step::StartPolicy;
        let (result, context) = self.sandbox.run(context, |store: &mut Store<Context>| {
            let instance = self.instance.instantiate(&mut *store)?;
            let function = instance.get_typed_func::<P, (A,)>(&mut *store, function)?;
            step = Step::Decide;
            let parameters = lend(store.data_mut())?;
            function.call(store, parameters)
        });
        result.map(|(answer,)| (answer, context)).map_err(|error| call_error(step, error))
    }

    /// The host's own check of a group that the policy answered.
    fn check_answered_group(&self, group: u32) -> Result<()> {
        if group == u32::MAX {
            return Err(answers::broken(format!("it returned group {group}, which is not a group")));
        }
        self.config.groups.check(group)
    }

    fn node_addresses(&self) -> shims::NodeAddresses {
        shims::NodeAddresses {
            daemon: self.config.daemon_address.clone(),
            socket_root: self.config.socket_root.to_string_lossy().into_owned(),
        }
    }
}

impl From<&BundleId> for wit::BundleId {
    fn from(id: &BundleId) -> Self {
        Self { namespace: id.namespace().to_owned(), id: id.id().to_owned() }
    }
}
