//! Namespaces of its own.

use alloc::format;

use dunnage_guard::oci::{Linux, Namespace};

use super::{Checked, deny};
use crate::path::{is_plain, resolved};
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
        let of_node = linux.namespaces.iter().position(is_of_node);
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

/// Whether a namespace that is joined is, or could be, one of the node. That of a pod is one of another
/// process, or a file of the engine; whose process that is the text does not say.
fn is_of_node(namespace: &Namespace<'_>) -> bool {
    let path = &*namespace.path;
    if path.is_empty() {
        return false;
    }
    // Nobody shares these with a pod.
    if matches!(&*namespace.kind, "mount" | "cgroup") || !is_plain(path) {
        return true;
    }
    let path = resolved(path);
    let mut parts = path.split('/').skip(1);
    match (parts.next(), parts.next()) {
        (Some("proc"), Some(process)) => {
            !process.bytes().all(|byte| byte.is_ascii_digit())
                || process == "1"
                || process == "2"
                || parts.next() != Some("ns")
        }
        _ => path.ends_with("/netns/default"),
    }
}
