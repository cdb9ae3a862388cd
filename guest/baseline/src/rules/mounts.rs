//! What a container gets to see of the node's files.

use alloc::format;
use alloc::string::String;

use dunnage_guard::oci::{Mount, Spec};

use super::{Checked, deny};
use crate::path::{is_within, normal, resolved};
use crate::{Rule, Settings};

/// Who has these or something below them has power over the node, or learns its secrets.
const SENSITIVE: [&str; 16] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/lib",
    "/lib64",
    "/proc",
    "/root",
    "/run/systemd",
    "/sbin",
    "/sys",
    "/usr",
    "/var/lib/etcd",
    "/var/log/journal",
    "/var/spool/cron",
];
/// What engines mount single files and volumes from, and what nobody must get as a whole.
const WHOLE: [&str; 9] = [
    "/run/containerd/containerd.sock",
    "/run/containers",
    "/run/crio/crio.sock",
    "/run/docker.sock",
    "/run/dunnage",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/docker",
    "/var/lib/kubelet",
];
/// Sockets of those who start containers, wherever they lie.
const SOCKETS: [&str; 9] = [
    "buildkitd.sock",
    "containerd.sock",
    "containerd.sock.ttrpc",
    "cri-dockerd.sock",
    "crio.sock",
    "docker.sock",
    "dockershim.sock",
    "podman.sock",
    "system_bus_socket",
];
/// Devices that can be mounted one by one, as engines without root do.
const HARMLESS: [&str; 6] = ["/dev/full", "/dev/null", "/dev/random", "/dev/tty", "/dev/urandom", "/dev/zero"];
/// Types of file systems that show nothing of the node's files.
const TYPES: [&str; 7] = ["cgroup", "cgroup2", "devpts", "hugetlbfs", "mqueue", "ramfs", "tmpfs"];

pub(super) fn check(mounts: &[Mount<'_>], settings: &Settings) -> Checked {
    if !settings.holds(Rule::HostPaths) {
        return Ok(());
    }
    for (index, mount) in mounts.iter().enumerate() {
        if let Some((member, reason)) = offence(mount, settings) {
            return deny(Rule::HostPaths, reason, format!("/mounts/{index}/{member}"));
        }
    }
    Ok(())
}

/// What is wrong with a mount: the member, and why.
fn offence(mount: &Mount<'_>, settings: &Settings) -> Option<(&'static str, String)> {
    if is_bind(mount) {
        return power_of(&mount.source, settings).map(|why| ("source", why));
    }
    let destination = normal(&mount.destination);
    match &*mount.kind {
        // Elsewhere nothing of them is masked.
        "proc" if destination != "/proc" => Some(("destination", format!("another /proc, at {destination:?}"))),
        "sysfs" if destination != "/sys" => Some(("destination", format!("another /sys, at {destination:?}"))),
        "sysfs" if !has(mount, &["ro"]) => Some(("options", "/sys can be written to".into())),
        "proc" | "sysfs" => None,
        kind if TYPES.contains(&kind) => None,
        kind => Some(("type", format!("file systems of type {kind:?} are not allowed"))),
    }
}

fn has(mount: &Mount<'_>, options: &[&str]) -> bool {
    mount.options.iter().any(|option| options.contains(&&**option))
}

/// Runtimes differ in what they take for a bind mount; so this is whatever one of them does.
fn is_bind(mount: &Mount<'_>) -> bool {
    matches!(&*mount.kind, "" | "bind" | "rbind" | "none") || has(mount, &["bind", "rbind"])
}

/// What whoever has a path of the node could do; `None` if that is nothing.
fn power_of(source: &str, settings: &Settings) -> Option<String> {
    if !source.starts_with('/') {
        // Something in the bundle.
        let leaves = source.split('/').any(|part| part == "..");
        return leaves.then(|| format!("{source:?} leads out of the bundle"));
    }
    let path = resolved(source);
    let is_allowed = settings.allowed_host_paths.iter().any(|allowed| is_within(&path, &normal(allowed)));
    if is_allowed || HARMLESS.contains(&&*path) {
        return None;
    }
    if path.rsplit('/').next().is_some_and(|name| SOCKETS.contains(&name)) {
        return Some(format!("{source:?} is a socket that has power over the node"));
    }
    let contains = |sensitive: &str| is_within(sensitive, &path);
    if SENSITIVE.iter().any(|sensitive| is_within(&path, sensitive) || contains(sensitive))
        || WHOLE.iter().any(|whole| contains(whole))
    {
        return Some(format!("{source:?} of the node is not allowed"));
    }
    None
}

pub(super) fn check_propagation(spec: &Spec<'_>, settings: &Settings) -> Checked {
    if !settings.holds(Rule::Propagation) {
        return Ok(());
    }
    const SHARED: [&str; 2] = ["rshared", "shared"];
    let reason = "what it mounts would be seen by the node";
    if SHARED.contains(&&*spec.linux.rootfs_propagation) {
        return deny(Rule::Propagation, reason, "/linux/rootfsPropagation");
    }
    match spec.mounts.iter().position(|mount| has(mount, &SHARED)) {
        Some(index) => deny(Rule::Propagation, reason, format!("/mounts/{index}/options")),
        None => Ok(()),
    }
}
