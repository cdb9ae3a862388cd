//! The calls of the policy, one for each function of the contract: lend, call, take the answer
//! apart.

use wasmtime::Store;
use wasmtime::component::Instance;

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
        let (answer, _) =
            self.call_bundles(config, |store, policy| policy.call_check_identifiers(store, &id.into()))?;
        answer.map_err(|error| answers::identifier_error(id, error))
    }

    /// `bundles.remapped-gid`.
    pub(crate) fn remapped_gid(&self, config: &Config, spec: &Spec) -> Result<u32> {
        spec.check_size(config.limits.spec_size)?;
        let (answer, _) = self.call_bundles(config, |store, policy| {
            let spec = store.data_mut().lend_spec(spec.clone())?;
            policy.call_remapped_gid(store, spec)
        })?;
        let group = answer.map_err(answers::spec_error)?;
        check_answered_group(config, group)?;
        Ok(group)
    }

    /// `bundles.task-settings`.
    pub(crate) fn task_settings(&self, config: &Config, spec: &Spec) -> Result<TaskSettings> {
        spec.check_size(config.limits.spec_size)?;
        let (answer, _) = self.call_bundles(config, |store, policy| {
            let spec = store.data_mut().lend_spec(spec.clone())?;
            policy.call_task_settings(store, spec)
        })?;
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
        let (answer, context) = self.call_bundles(config, |store, policy| {
            let directory = store.data_mut().lend(lent)?;
            let spec = store.data_mut().lend_spec(spec.clone())?;
            policy.call_create(store, directory, &id.into(), spec)
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
        let (answer, _) = self.call_bundles(config, |store, policy| {
            let directory = store.data_mut().lend(lent)?;
            policy.call_delete(store, directory, &id.into())
        })?;
        let deletion = answer.map_err(|error| answers::identifier_error(id, error))?;
        Ok(deletion.shim.into())
    }

    /// `shims.records`.
    pub(crate) fn shim_records(&self, config: &Config, id: &BundleId, lent: Lent) -> Result<ShimRecords> {
        let (answer, _) = self.call_shims(config, |store, policy| {
            let directory = store.data_mut().lend(lent)?;
            policy.call_records(store, directory, &id.into())
        })?;
        Ok(answer.map_err(|error| answers::identifier_error(id, error))?.into())
    }

    /// `shims.address`.
    pub(crate) fn shim_address(&self, config: &Config, id: &BundleId) -> Result<String> {
        let (answer, _) =
            self.call_shims(config, |store, policy| policy.call_address(store, &id.into(), &node_addresses(config)))?;
        answer.map_err(|error| answers::identifier_error(id, error)).and_then(answers::checked_address)
    }

    /// `shims.legacy-address`.
    pub(crate) fn legacy_shim_address(&self, config: &Config, id: &BundleId) -> Result<String> {
        let (answer, _) = self.call_shims(config, |store, policy| policy.call_legacy_address(store, &id.into()))?;
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
        let (answer, _) = self.call_shims(config, |store, policy| {
            let directory = store.data_mut().lend(lent)?;
            policy.call_connect_address(store, directory, &id.into(), &node_addresses(config), allow_legacy)
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
        let (answer, _) =
            self.call_shims(config, |store, policy| policy.call_config(store, paths, &id.into(), node, runc))?;
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
        let (answer, _) =
            self.call_shims(config, |store, policy| policy.call_start_arguments(store, &id.into(), shim, start))?;
        answer.map_err(|error| answers::identifier_error(id, error))
    }

    /// Calls a function of the interface `bundles`.
    fn call_bundles<T>(
        &self,
        config: &Config,
        call: impl FnOnce(&mut Store<Context>, &wit::Guest) -> wasmtime::Result<T>,
    ) -> Result<(T, Context)> {
        self.call(config, |store, instance| self.bundles.load(store, instance), call)
    }

    /// Calls a function of the interface `shims`.
    fn call_shims<T>(
        &self,
        config: &Config,
        call: impl FnOnce(&mut Store<Context>, &shims::Guest) -> wasmtime::Result<T>,
    ) -> Result<(T, Context)> {
        self.call(config, |store, instance| self.shims.load(store, instance), call)
    }

    /// Starts a fresh instance in a fresh store and calls one of its interfaces. The other is not
    /// even looked up, which takes time that every call would pay for.
    fn call<T, I>(
        &self,
        config: &Config,
        load: impl FnOnce(&mut Store<Context>, &Instance) -> wasmtime::Result<I>,
        call: impl FnOnce(&mut Store<Context>, &I) -> wasmtime::Result<T>,
    ) -> Result<(T, Context)> {
        let context = Context::new(&config.limits, &config.groups, config.durable);
        let mut step = Step::StartPolicy;
        let (result, context) = self.sandbox.run(context, |store| {
            let instance = self.instance.instantiate(&mut *store)?;
            let interface = load(store, &instance)?;
            step = Step::Decide;
            call(store, &interface)
        });
        result.map(|value| (value, context)).map_err(|error| call_error(step, error))
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
