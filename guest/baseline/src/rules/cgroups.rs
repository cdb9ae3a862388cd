//! What a container may do to the cgroups of the node, and to the manager of its services.

use alloc::format;

use dunnage_guard::oci::{Resources, Spec};

use super::{Checked, deny};
use crate::path::{is_within, normal};
use crate::{Rule, Settings};

/// What CRI-O sets of the unit that systemd makes for a container.
const UNIT_PROPERTIES: [&str; 4] = ["After", "CollectMode", "DefaultDependencies", "TimeoutStopUSec"];
/// Where services of the node are.
const SERVICES: [&str; 3] = ["/init.scope", "/system.slice", "/user.slice"];

pub(super) fn check_spec(spec: &Spec<'_>, settings: &Settings) -> Checked {
    if !settings.holds(Rule::Cgroups) {
        return Ok(());
    }
    let path = &*spec.linux.cgroups_path;
    // `SLICE:PREFIX:NAME` is for systemd, which makes a scope of its own.
    let is_path = !path.is_empty() && !path.contains(':');
    let is_of_node = is_path && {
        let path = normal(path);
        path == "/" || SERVICES.iter().any(|service| is_within(&path, service))
    };
    if is_of_node || path.split('/').any(|part| part == "..") {
        return deny(Rule::Cgroups, "it would run in a cgroup of the node", "/linux/cgroupsPath");
    }
    let has_own = spec.linux.namespaces.iter().any(|namespace| namespace.kind == "cgroup" && namespace.path.is_empty());
    for (index, mount) in spec.mounts.iter().enumerate() {
        if matches!(&*mount.kind, "cgroup" | "cgroup2") && !has_own && !super::mounts::is_read_only(mount) {
            let reason = "it could change the cgroups of the node";
            return deny(Rule::Cgroups, reason, format!("/mounts/{index}/options"));
        }
    }
    for key in spec.annotations.keys() {
        let is_property =
            key.strip_prefix("org.systemd.property.").is_some_and(|property| !UNIT_PROPERTIES.contains(&property));
        if is_property || key.starts_with("run.oci.hooks.") {
            let pointer = format!("/annotations/{}", key.replace('~', "~0").replace('/', "~1"));
            return deny(Rule::Cgroups, "an annotation by which the runtime would do more than run it", pointer);
        }
    }
    Ok(())
}

pub(super) fn check_resources(resources: &Resources<'_>, at: &str, settings: &Settings) -> Checked {
    let key = resources.unified.keys().find(|key| key.starts_with("cgroup.") || key.contains('/'));
    match key.filter(|_| settings.holds(Rule::Cgroups)) {
        Some(key) => {
            let reason = format!("the file {:?} of its cgroup is not a limit", &**key);
            deny(Rule::Cgroups, reason, format!("{at}/unified/{}", key.replace('~', "~0").replace('/', "~1")))
        }
        None => Ok(()),
    }
}
