//! A small policy, for nodes where teams own containers and no container has a user namespace. An id has
//! to start with the name of a team; a bundle is never given to another group.
//!
//! It reads no spec and no file: what it cannot reach cannot mislead it. Natively this is empty.

#![no_std]
#![cfg(target_family = "wasm")]

extern crate alloc;

use dunnage_guest_runtime as _;

use alloc::format;
use alloc::string::{String, ToString as _};

use self::bindings::dunnage::bundle::filesystem::{Directory, ErrorCode, Spec};
use self::bindings::exports::dunnage::bundle::bundles::{
    self, BundleId, CreateError, Created, Deletion, Failure, IdentifierError, IdentifierFault, IdentifierPart,
    MisplacedCharacter, ShimRecords, SpecError, Step, TaskIo,
};
use self::bindings::exports::dunnage::bundle::shims::{
    self, BundlePaths, ConnectError, Endpoint, EndpointKind, NodeAddresses, NodeConfig, RuncOptions, ShimConfig,
};

#[expect(unsafe_code, unreachable_pub, missing_docs, reason = "generated code crosses the boundary of the component")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../../wit", world: "policy", generate_all });

    use crate::Policy;
    export!(Policy);
}

pub(crate) struct Policy;

/// Who may have containers on this node.
const TEAMS: [&str; 2] = ["blue", "green"];

/// Letters, digits and `-`; the id starts with a team and `-`.
fn check(id: &BundleId) -> Result<(), IdentifierError> {
    for (part, text) in [(IdentifierPart::Namespace, &id.namespace), (IdentifierPart::Id, &id.id)] {
        let fault = match text.chars().position(|c| !c.is_ascii_alphanumeric() && c != '-') {
            _ if text.is_empty() => IdentifierFault::Empty,
            _ if text.len() > 76 => IdentifierFault::TooLong(text.len() as u64),
            Some(position) => misplaced(text, position),
            None => continue,
        };
        return Err(IdentifierError { part, fault });
    }
    match id.id.split_once('-') {
        Some((team, name)) if TEAMS.contains(&team) && !name.is_empty() => Ok(()),
        _ => Err(IdentifierError { part: IdentifierPart::Id, fault: misplaced(&id.id, 0) }),
    }
}

fn misplaced(text: &str, position: usize) -> IdentifierFault {
    let character = text.chars().nth(position).unwrap_or_default();
    IdentifierFault::Character(MisplacedCharacter { character, position: position as u32 })
}

impl bundles::Guest for Policy {
    fn check_identifiers(id: BundleId) -> Result<(), IdentifierError> {
        check(&id)
    }

    fn remapped_gid(_: &Spec) -> Result<u32, SpecError> {
        Ok(0)
    }

    fn task_settings(_: &Spec) -> Result<TaskIo, SpecError> {
        Ok(TaskIo { terminal: false, io_uid: 0, io_gid: 0 })
    }

    fn create(bundle: &Directory, id: BundleId, spec: &Spec) -> Result<Created, CreateError> {
        check(&id).map_err(CreateError::Identifier)?;
        let failed = |step| move |code: ErrorCode| CreateError::Filesystem(Failure { step, code });
        bundle.create_directory_at("rootfs", 0o711).map_err(failed(Step::CreateRootfs))?;
        bundle.write_spec_at("config.json", spec, 0o600, None).map_err(failed(Step::WriteSpec))?;
        Ok(Created { remapped_gid: 0 })
    }

    fn delete(bundle: &Directory, id: BundleId) -> Result<Deletion, IdentifierError> {
        <Self as shims::Guest>::records(bundle, id).map(|shim| Deletion { shim })
    }
}

impl shims::Guest for Policy {
    /// Readable, unlike a hash; a socket's path has room for 107 bytes.
    fn address(id: BundleId, node: NodeAddresses) -> Result<String, IdentifierError> {
        check(&id).map(|()| format!("unix://{}/{}.{}", node.socket_root, id.namespace, id.id))
    }

    fn legacy_address(id: BundleId) -> Result<String, IdentifierError> {
        check(&id).map(|()| format!("/containerd-shim/{}/{}/shim.sock", id.namespace, id.id))
    }

    /// This policy keeps no shims of its own: none is on file.
    fn records(_: &Directory, id: BundleId) -> Result<ShimRecords, IdentifierError> {
        check(&id).map(|()| ShimRecords { address: Ok(None), pid: Ok(None) })
    }

    fn connect_address(_: &Directory, id: BundleId, node: NodeAddresses, _: bool) -> Result<Endpoint, ConnectError> {
        let address = <Self as shims::Guest>::address(id, node).map_err(ConnectError::Identifier)?;
        Ok(Endpoint { address, kind: EndpointKind::Path })
    }

    fn config(
        bundle: BundlePaths,
        id: BundleId,
        node: NodeConfig,
        runc: Option<RuncOptions>,
    ) -> Result<ShimConfig, IdentifierError> {
        check(&id)?;
        let own = runc.as_ref().map(|runc| runc.runtime_root.to_string()).filter(|root| !root.is_empty());
        Ok(ShimConfig {
            path: bundle.path,
            work_dir: bundle.work_dir,
            namespace: id.namespace,
            runtime_root: own.unwrap_or(node.runtime_root),
            systemd_cgroup: runc.is_some_and(|runc| runc.systemd_cgroup),
        })
    }
}
