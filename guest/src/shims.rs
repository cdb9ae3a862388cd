//! The interface `shims`: convert, decide, convert back.

use alloc::string::String;

use crate::bindings::dunnage::bundle::filesystem::{Directory, ErrorCode};
use crate::bindings::exports::dunnage::bundle::bundles::{BundleId, IdentifierError, ShimRecords};
use crate::bindings::exports::dunnage::bundle::shims as wit;
use crate::component::Policy;
use crate::directory::Lent;
use crate::{address, config, delete};

impl wit::Guest for Policy {
    fn address(id: BundleId, node: wit::NodeAddresses) -> Result<String, IdentifierError> {
        Ok(address::shim(&id.namespace, &id.id, addresses(&node))?)
    }

    fn legacy_address(id: BundleId) -> Result<String, IdentifierError> {
        Ok(address::legacy(&id.namespace, &id.id)?)
    }

    fn records(bundle: &Directory, id: BundleId) -> Result<ShimRecords, IdentifierError> {
        let lent = Lent { directory: bundle, spec: None };
        Ok(delete::delete(&lent, &id.namespace, &id.id)?.into())
    }

    fn connect_address(
        bundle: &Directory,
        id: BundleId,
        node: wit::NodeAddresses,
        allow_legacy: bool,
    ) -> Result<wit::Endpoint, wit::ConnectError> {
        let lent = Lent { directory: bundle, spec: None };
        let endpoint = address::connect(&lent, &id.namespace, &id.id, addresses(&node), allow_legacy)?;
        Ok(match endpoint {
            address::Endpoint::Path(address) => wit::Endpoint { address, kind: wit::EndpointKind::Path },
            address::Endpoint::Abstract(address) => wit::Endpoint { address, kind: wit::EndpointKind::AbstractName },
        })
    }

    fn config(
        bundle: wit::BundlePaths,
        id: BundleId,
        node: wit::NodeConfig,
        runc: Option<wit::RuncOptions>,
    ) -> Result<wit::ShimConfig, IdentifierError> {
        let runc = runc
            .as_ref()
            .map(|runc| config::RuncOptions { runtime_root: &runc.runtime_root, systemd_cgroup: runc.systemd_cgroup });
        let decision = config::decide(&id.namespace, &id.id, &node.runtime_root, runc)?;
        Ok(wit::ShimConfig {
            path: bundle.path,
            work_dir: bundle.work_dir,
            runtime_root: decision.runtime_root.into(),
            systemd_cgroup: decision.systemd_cgroup,
            namespace: id.namespace,
        })
    }
}

fn addresses(node: &wit::NodeAddresses) -> address::Node<'_> {
    address::Node { daemon: &node.daemon, socket_root: &node.socket_root }
}

impl From<address::ConnectError<ErrorCode>> for wit::ConnectError {
    fn from(error: address::ConnectError<ErrorCode>) -> Self {
        match error {
            address::ConnectError::Identifier(error) => Self::Identifier(error.into()),
            address::ConnectError::NoAddress => Self::NoAddress,
            address::ConnectError::LegacyRefused(address) => Self::LegacyRefused(address),
            address::ConnectError::Record(fault) => Self::Record(fault.into()),
        }
    }
}
