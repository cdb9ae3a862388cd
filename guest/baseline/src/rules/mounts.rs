//! What a container gets to see of the node's files.

use alloc::format;
use alloc::string::String;

use dunnage_guard::oci::{Mount, Spec};

use super::{Checked, deny};
use crate::path::{is_plain, is_within, normal, resolved};
use crate::{Rule, Settings};

/// Who has these or something below them has power over the node, or learns its secrets.
const SENSITIVE: [&str; 48] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix",
    "/opt/cni",
    "/proc",
    "/root",
    "/run/buildkit",
    "/run/containerd/runc",
    "/run/containerd/s",
    "/run/containerd/io.containerd.runtime.v2.task",
    "/run/crio",
    "/run/dbus",
    "/run/docker",
    "/run/dunnage",
    "/run/k3s",
    "/run/libpod",
    "/run/nri",
    "/run/podman",
    "/run/runc",
    "/run/snapd.socket",
    "/run/systemd",
    "/run/udev",
    "/run/user",
    "/sbin",
    "/sys",
    "/usr",
    "/var/cache",
    "/var/lib/cni",
    "/var/lib/dpkg",
    "/var/lib/dunnage",
    "/var/lib/etcd",
    "/var/lib/kubelet/config.yaml",
    "/var/lib/kubelet/device-plugins",
    "/var/lib/kubelet/pki",
    "/var/lib/kubelet/plugins",
    "/var/lib/kubelet/plugins_registry",
    "/var/lib/rancher",
    "/var/lib/rpm",
    "/var/lib/systemd",
    "/var/log/journal",
    "/var/spool",
];
/// What engines mount single files and volumes from, and what nobody must get as a whole.
const WHOLE: [&str; 9] = [
    "/run/containerd/containerd.sock",
    "/run/containers/storage/overlay-containers/",
    "/run/docker.sock",
    "/var/lib/containerd/io.containerd.grpc.v1.cri/",
    "/var/lib/containers/storage/overlay-containers/",
    "/var/lib/docker/containers/",
    "/var/lib/docker/volumes/",
    "/var/lib/kubelet/pods/",
    "/run/lock/",
];
/// What engines mount of the node for every container that wants it, as long as it cannot be written to.
const READ_ONLY: [&str; 5] = [
    "/etc/localtime",
    "/usr/bin/docker-init",
    "/usr/libexec/podman/catatonit",
    "/usr/sbin/docker-init",
    "/usr/share/zoneinfo",
];
/// Where engines keep what belongs to one container or pod: nothing else of the node is there for a
/// restricted container.
const OF_ENGINES: [&str; 8] = [
    "/run/containerd/io.containerd.grpc.v1.cri/sandboxes/",
    "/run/containers/storage/overlay-containers/",
    "/run/containerd/io.containerd.cri.v1.runtime/",
    "/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/",
    "/var/lib/containers/storage/overlay-containers/",
    "/var/lib/docker/containers/",
    "/var/lib/docker/volumes/",
    "/var/lib/kubelet/pods/",
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
const TYPES: [&str; 5] = ["devpts", "hugetlbfs", "mqueue", "ramfs", "tmpfs"];

pub(super) fn check(spec: &Spec<'_>, settings: &Settings) -> Checked {
    if !settings.holds(Rule::HostPaths) {
        return Ok(());
    }
    for (index, mount) in spec.mounts.iter().enumerate() {
        if let Some((member, reason)) = offence(mount, settings) {
            return deny(Rule::HostPaths, reason, format!("/mounts/{index}/{member}"));
        }
    }
    // Beside the bundle, or a place that is a file system of a container.
    let root = spec.root.as_ref().map_or("", |root| &*root.path);
    let offends = if root.starts_with('/') { power_of(root, settings) } else { outside_of_bundle(root) };
    match offends {
        Some(reason) => deny(Rule::HostPaths, reason, "/root/path"),
        None => Ok(()),
    }
}

/// What is wrong with a mount: the member, and why.
fn offence(mount: &Mount<'_>, settings: &Settings) -> Option<(&'static str, String)> {
    let destination = normal(&mount.destination);
    if has(mount, &["remount", "move", "rmove"]) {
        return Some(("options", "it changes a mount that is there already".into()));
    }
    if is_bind(mount) {
        return offence_of_bind(mount, settings).map(|why| ("source", why));
    }
    match &*mount.kind {
        // Elsewhere nothing of them is masked.
        "proc" if destination != "/proc" => Some(("destination", format!("another /proc, at {destination:?}"))),
        "sysfs" if destination != "/sys" => Some(("destination", format!("another /sys, at {destination:?}"))),
        "sysfs" if !is_read_only(mount) => Some(("options", "/sys can be written to".into())),
        "proc" | "sysfs" | "cgroup" | "cgroup2" => None,
        // What is masked would be another one.
        kind if TYPES.contains(&kind) && ["/proc", "/sys"].iter().any(|path| is_within(&destination, path)) => {
            Some(("destination", format!("it would hide {destination:?}")))
        }
        kind if TYPES.contains(&kind) => None,
        kind => Some(("type", format!("file systems of type {kind:?} are not allowed"))),
    }
}

fn has(mount: &Mount<'_>, options: &[&str]) -> bool {
    mount.options.iter().any(|option| options.contains(&&**option))
}

/// Of options that contradict each other the last one holds.
pub(super) fn is_read_only(mount: &Mount<'_>) -> bool {
    let last = mount.options.iter().rev().find(|option| matches!(&***option, "ro" | "rro" | "rw" | "rrw"));
    last.is_some_and(|option| matches!(&**option, "ro" | "rro"))
}

/// Runtimes differ in what they take for a bind mount; so this is whatever one of them does.
fn is_bind(mount: &Mount<'_>) -> bool {
    matches!(&*mount.kind, "" | "bind" | "rbind" | "none") || has(mount, &["bind", "rbind"])
}

fn offence_of_bind(mount: &Mount<'_>, settings: &Settings) -> Option<String> {
    let source = &*mount.source;
    if !source.starts_with('/') {
        // The root file system has a `/proc` of which nothing is masked.
        return Some(format!("{source:?} is something in the bundle, or outside of it"));
    }
    let path = resolved(source);
    let is_of_every_engine = READ_ONLY.iter().any(|allowed| is_within(&path, allowed)) && is_read_only(mount);
    if is_plain(source) && is_of_every_engine {
        return None;
    }
    if let Some(why) = power_of(source, settings) {
        return Some(why);
    }
    let is_of_engines = OF_ENGINES.iter().any(|place| path.starts_with(place));
    let is_free =
        !settings.is_restricted() || is_of_engines || HARMLESS.contains(&&*path) || is_allowed(&path, settings);
    if is_free { None } else { Some(format!("{source:?} of the node is not the container's own")) }
}

fn is_allowed(path: &str, settings: &Settings) -> bool {
    settings.allowed_host_paths.iter().any(|allowed| is_within(path, &resolved(allowed)))
}

/// What is wrong with a root file system that is named from the bundle on.
fn outside_of_bundle(root: &str) -> Option<String> {
    let leaves = root.split('/').any(|part| part == "..");
    leaves.then(|| format!("the root file system {root:?} is outside of the bundle"))
}

/// What whoever has a path of the node could do; `None` if that is nothing.
fn power_of(source: &str, settings: &Settings) -> Option<String> {
    if !is_plain(source) {
        return Some(format!("{source:?} leads elsewhere where a part of it is a link"));
    }
    let path = resolved(source);
    if is_allowed(&path, settings) || HARMLESS.contains(&&*path) {
        return None;
    }
    if path.rsplit('/').next().is_some_and(|name| SOCKETS.contains(&name)) {
        return Some(format!("{source:?} is a socket that has power over the node"));
    }
    let contains = |sensitive: &str| is_within(sensitive.trim_end_matches('/'), &path);
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
