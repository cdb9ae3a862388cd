//! The interface `shims`: other addresses, other settings.

use alloc::format;
use alloc::string::{String, ToString};

use crate::Policy;
use crate::bindings::dunnage::bundle::filesystem::Directory;
use crate::bindings::exports::dunnage::bundle::bundles::{BundleId, IdentifierError, ShimRecords};
use crate::bindings::exports::dunnage::bundle::shims::{
    BundlePaths, ConnectError, Endpoint, EndpointKind, Guest, NodeAddresses, NodeConfig, RuncOptions, ShimConfig,
};

impl Guest for Policy {
    fn address(id: BundleId, _: NodeAddresses) -> Result<String, IdentifierError> {
        Ok(match id.id.as_str() {
            "delete-foreign-socket" => "unix:///etc/passwd".to_string(),
            "address-escape-sequences" => "unix:///run/\u{1b}[2J\u{7}hidden".to_string(),
            "address-two-lines" => "unix:///run/a\nunix:///run/b".to_string(),
            id => format!("unix:///run/elsewhere/{id}"),
        })
    }

    fn legacy_address(_: BundleId) -> Result<String, IdentifierError> {
        Ok("/elsewhere".to_string())
    }

    fn records(_: &Directory, _: BundleId) -> Result<ShimRecords, IdentifierError> {
        Ok(ShimRecords { address: Ok(Some("unix:///run/elsewhere/x".to_string())), pid: Ok(None) })
    }

    fn connect_address(_: &Directory, _: BundleId, _: NodeAddresses, _: bool) -> Result<Endpoint, ConnectError> {
        Ok(Endpoint { address: "unix:///run/elsewhere/x".to_string(), kind: EndpointKind::Path })
    }

    fn config(
        bundle: BundlePaths,
        id: BundleId,
        node: NodeConfig,
        _: Option<RuncOptions>,
    ) -> Result<ShimConfig, IdentifierError> {
        let mut config = ShimConfig {
            path: bundle.path,
            work_dir: bundle.work_dir,
            namespace: id.namespace,
            // Not the container's own.
            runtime_root: node.runtime_root,
            systemd_cgroup: true,
        };
        match id.id.as_str() {
            "config-path" => config.path.push_str("/rootfs"),
            "config-work-dir" => config.work_dir = "/elsewhere".to_string(),
            "config-namespace" => config.namespace = "other".to_string(),
            "config-runtime-root" => config.runtime_root = "/elsewhere".to_string(),
            "config-no-runtime-root" => config.runtime_root.clear(),
            _ => {}
        }
        Ok(config)
    }
}
