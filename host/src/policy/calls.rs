//! The calls of the policy, one for each function of the contract: lend, call, take the answer
//! apart.

use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Lift, Lower};

use super::answers::{self, ShimRecords};
use super::{Policy, call_error};
use crate::bindings::exports::dunnage::bundle::{bundles as wit, shims};
use crate::bundle::BundleId;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::filesystem::{Context, Lent, Made};
use crate::spec::{Spec, TaskSettings};

/// What the policy says it has built in the staging directory.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) remapped_gid: u32,
    /// What the host has made for it.
    pub(crate) made: Made,
}

impl Policy {
    /// `bundles.check-identifiers`.
    pub(crate) fn check_identifiers(&self, config: &Config, id: &BundleId) -> Result<()> {
        let (answer, _): (Result<(), wit::IdentifierError>, _) =
            self.call(config, &self.exports.bundles.check_identifiers, |_| Ok((wit::BundleId::from(id),)))?;
        answer.map_err(|error| answers::identifier_error(id, error))
    }

    /// `bundles.remapped-gid`.
    pub(crate) fn remapped_gid(&self, config: &Config, spec: &Spec) -> Result<u32> {
        spec.check_size(config.limits.spec_size)?;
        let (answer, _): (Result<u32, wit::SpecError>, _) =
            self.call(config, &self.exports.bundles.remapped_gid, |context| Ok((context.lend_spec(spec.clone())?,)))?;
        let group = answer.map_err(answers::spec_error)?;
        check_answered_group(config, group)?;
        Ok(group)
    }

    /// `bundles.task-settings`.
    pub(crate) fn task_settings(&self, config: &Config, spec: &Spec) -> Result<TaskSettings> {
        spec.check_size(config.limits.spec_size)?;
        let (answer, _): (Result<wit::TaskIo, wit::SpecError>, _) =
            self.call(config, &self.exports.bundles.task_settings, |context| Ok((context.lend_spec(spec.clone())?,)))?;
        let wit::TaskIo { terminal, io_uid, io_gid } = answer.map_err(answers::spec_error)?;
        if io_uid == u32::MAX || io_gid == u32::MAX {
            return Err(answers::broken(format!(
                "it answered user {io_uid} and group {io_gid}, and {} is none",
                u32::MAX
            )));
        }
        Ok(TaskSettings { terminal, io_uid, io_gid })
    }

    /// `bundles.create`.
    pub(crate) fn create(&self, config: &Config, id: &BundleId, spec: &Spec, lent: Lent) -> Result<Built> {
        spec.check_size(config.limits.spec_size)?;
        let (answer, context): (Result<wit::Created, wit::CreateError>, _) =
            self.call(config, &self.exports.bundles.create, |context| {
                let directory = context.lend(lent)?;
                Ok((directory, wit::BundleId::from(id), context.lend_spec(spec.clone())?))
            })?;
        let created = answer.map_err(|error| match error {
            wit::CreateError::Identifier(error) => answers::identifier_error(id, error),
            wit::CreateError::Spec(error) => answers::spec_error(error),
            wit::CreateError::Filesystem(failure) => answers::create_failure(failure, context.last_failure.as_ref()),
        })?;
        check_answered_group(config, created.remapped_gid)?;
        Ok(Built { remapped_gid: created.remapped_gid, made: context.made })
    }

    /// `bundles.delete`.
    pub(crate) fn delete(&self, config: &Config, id: &BundleId, lent: Lent) -> Result<ShimRecords> {
        let (answer, _): (Result<wit::Deletion, wit::IdentifierError>, _) =
            self.call(config, &self.exports.bundles.delete, |context| {
                Ok((context.lend(lent)?, wit::BundleId::from(id)))
            })?;
        let deletion = answer.map_err(|error| answers::identifier_error(id, error))?;
        Ok(deletion.shim.into())
    }

    /// `shims.records`.
    pub(crate) fn shim_records(&self, config: &Config, id: &BundleId, lent: Lent) -> Result<ShimRecords> {
        let (answer, _): (Result<wit::ShimRecords, wit::IdentifierError>, _) =
            self.call(config, &self.exports.shims.records, |context| {
                Ok((context.lend(lent)?, wit::BundleId::from(id)))
            })?;
        Ok(answer.map_err(|error| answers::identifier_error(id, error))?.into())
    }

    /// `shims.address`.
    pub(crate) fn shim_address(&self, config: &Config, id: &BundleId) -> Result<String> {
        let (answer, _): (Result<String, wit::IdentifierError>, _) =
            self.call(config, &self.exports.shims.address, |_| Ok((wit::BundleId::from(id), node_addresses(config))))?;
        answer.map_err(|error| answers::identifier_error(id, error)).and_then(answers::checked_address)
    }

    /// `shims.legacy-address`.
    pub(crate) fn legacy_shim_address(&self, config: &Config, id: &BundleId) -> Result<String> {
        let (answer, _): (Result<String, wit::IdentifierError>, _) =
            self.call(config, &self.exports.shims.legacy_address, |_| Ok((wit::BundleId::from(id),)))?;
        answer.map_err(|error| answers::identifier_error(id, error)).and_then(answers::checked_address)
    }

    /// `shims.connect-address`.
    pub(crate) fn connect_address(
        &self,
        config: &Config,
        id: &BundleId,
        lent: Lent,
        allow_legacy: bool,
    ) -> Result<shims::Endpoint> {
        let (answer, _): (Result<shims::Endpoint, shims::ConnectError>, _) =
            self.call(config, &self.exports.shims.connect_address, |context| {
                Ok((context.lend(lent)?, wit::BundleId::from(id), node_addresses(config), allow_legacy))
            })?;
        let endpoint = answer.map_err(|error| match error {
            shims::ConnectError::Identifier(error) => answers::identifier_error(id, error),
            shims::ConnectError::NoAddress => {
                Error::new(ErrorKind::NoAddress, Step::Decide, "no shim address is on file, and the legacy address is not allowed")
            }
            shims::ConnectError::LegacyRefused(address) => {
                let message = format!("the address on file, {address:?}, is an abstract name, which anybody may hold; legacy addresses are not allowed");
                Error::new(ErrorKind::NoAddress, Step::Decide, message)
            }
            shims::ConnectError::Record(fault) => answers::bad_record("address", fault),
        })?;
        let address = answers::checked_address(endpoint.address)?;
        Ok(shims::Endpoint { address, ..endpoint })
    }

    /// `shims.config`.
    pub(crate) fn shim_config(
        &self,
        config: &Config,
        id: &BundleId,
        paths: &shims::BundlePaths,
        node: &shims::NodeConfig,
        runc: Option<&shims::RuncOptions>,
    ) -> Result<shims::ShimConfig> {
        let (answer, _): (Result<shims::ShimConfig, wit::IdentifierError>, _) =
            self.call(config, &self.exports.shims.config, |_| Ok((paths, wit::BundleId::from(id), node, runc)))?;
        answer.map_err(|error| answers::identifier_error(id, error))
    }

    /// `shims.start-arguments`. What is answered is not checked here.
    pub(crate) fn start_arguments(
        &self,
        config: &Config,
        id: &BundleId,
        shim: &shims::ShimConfig,
        start: &shims::StartOptions,
    ) -> Result<Vec<String>> {
        let (answer, _): (Result<Vec<String>, wit::IdentifierError>, _) =
            self.call(config, &self.exports.shims.start_arguments, |_| Ok((wit::BundleId::from(id), shim, start)))?;
        answer.map_err(|error| answers::identifier_error(id, error))
    }

    /// Starts a fresh instance in a fresh store and calls one of its functions.
    fn call<P, A>(
        &self,
        config: &Config,
        function: &ComponentExportIndex,
        lend: impl FnOnce(&mut Context) -> wasmtime::Result<P>,
    ) -> Result<(A, Context)>
    where
        P: ComponentNamedList + Lower,
        (A,): ComponentNamedList + Lift,
    {
        let context = Context::new(&config.limits, &config.groups, config.durable);
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
}

/// The host's own check of a group that the policy answered.
fn check_answered_group(config: &Config, group: u32) -> Result<()> {
    if group == u32::MAX {
        return Err(answers::broken(format!("it answered group {group}, which is no group")));
    }
    config.groups.check(group)
}

fn node_addresses(config: &Config) -> shims::NodeAddresses {
    shims::NodeAddresses {
        daemon: config.daemon_address.clone(),
        socket_root: config.socket_root.to_string_lossy().into_owned(),
    }
}

impl From<&BundleId> for wit::BundleId {
    fn from(id: &BundleId) -> Self {
        Self { namespace: id.namespace().to_owned(), id: id.id().to_owned() }
    }
}
