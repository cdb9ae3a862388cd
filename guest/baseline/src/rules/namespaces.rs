//! Namespaces of its own.

use alloc::format;

use dunnage_guard::oci::Linux;

use super::{Checked, deny};
use crate::path::normal;
use crate::{Rule, Settings};

/// Those that a container must not share with the node.
const REQUIRED: [&str; 4] = ["pid", "ipc", "network", "mount"];

pub(super) fn check(linux: &Linux<'_>, settings: &Settings) -> Checked {
    let has = |kind: &str| linux.namespaces.iter().any(|namespace| namespace.kind == kind);
    if settings.holds(Rule::HostNamespaces) {
        if let Some(missing) = REQUIRED.iter().find(|kind| !has(kind)) {
            let reason = format!("it would share the {missing} namespace with the node");
            return deny(Rule::HostNamespaces, reason, "/linux/namespaces");
        }
        let of_node = linux.namespaces.iter().position(|namespace| is_of_node(&namespace.path));
        if let Some(index) = of_node {
            let reason = "it would join a namespace of the node";
            return deny(Rule::HostNamespaces, reason, format!("/linux/namespaces/{index}/path"));
        }
    }
    if settings.holds(Rule::UserNamespace) && !has("user") {
        return deny(Rule::UserNamespace, "it has no user namespace of its own", "/linux/namespaces");
    }
    Ok(())
}

/// Whether a path leads to a namespace of the first process or of the runtime itself. That of a pod is
/// one of another process, or a file of the engine.
fn is_of_node(path: &str) -> bool {
    let path = normal(path);
    let Some((process, rest)) = path.strip_prefix("/proc/").and_then(|path| path.split_once('/')) else {
        return false;
    };
    matches!(process, "1" | "self" | "thread-self") && (rest.starts_with("ns/") || rest.contains("/ns/"))
}
