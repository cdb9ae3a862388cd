//! What a container sees of the kernel, and may ask of it.

use alloc::collections::BTreeMap;
use alloc::format;

use dunnage_guard::oci::{Item, Linux, Seccomp, Texts};

use super::{Checked, deny};
use crate::path::{is_plain, is_within};
use crate::{Rule, Settings};

/// What all engines mask.
const MASKED: [&str; 8] = [
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
/// What all engines make read-only.
const READONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

pub(super) fn check_masks(linux: &Linux<'_>, settings: &Settings) -> Checked {
    if !settings.holds(Rule::MaskedPaths) {
        return Ok(());
    }
    // As they stand: a runtime that does not find a path goes on without it. All of `/` hides nothing of
    // what is mounted below.
    let is_in = |paths: &Texts<'_>, path: &str| {
        paths.iter().any(|other| **other == *path)
            || paths.iter().any(|other| **other != *"/" && is_plain(other) && is_within(path, other))
    };
    if let Some(path) = MASKED.iter().find(|path| !is_in(&linux.masked_paths, path)) {
        return deny(Rule::MaskedPaths, format!("{path} is not masked"), "/linux/maskedPaths");
    }
    let is_protected = |path: &str| is_in(&linux.readonly_paths, path) || is_in(&linux.masked_paths, path);
    if let Some(path) = READONLY.iter().find(|path| !is_protected(path)) {
        return deny(Rule::MaskedPaths, format!("{path} is not read-only"), "/linux/readonlyPaths");
    }
    Ok(())
}

/// Those that only concern the container (the "safe" ones of the standards).
const SAFE_SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

pub(super) fn check_sysctls(sysctls: &BTreeMap<Item<'_>, Item<'_>>, settings: &Settings) -> Checked {
    if !settings.holds(Rule::Sysctls) {
        return Ok(());
    }
    for name in sysctls.keys() {
        // Both separators mean the same.
        let dotted = name.replace('/', ".");
        let is_allowed = SAFE_SYSCTLS.contains(&&*dotted)
            || settings.allowed_sysctls.iter().any(|allowed| allowed.replace('/', ".") == dotted);
        if !is_allowed {
            let pointer = format!("/linux/sysctl/{}", name.replace('~', "~0").replace('/', "~1"));
            return deny(Rule::Sysctls, format!("the kernel parameter {:?} is not allowed", &**name), pointer);
        }
    }
    Ok(())
}

/// Engines leave the profile out where it is not confined, and where nothing was said: only a
/// restricted container has to have one.
pub(super) fn check_seccomp(seccomp: Option<&Seccomp<'_>>, settings: &Settings) -> Checked {
    if !settings.holds(Rule::Seccomp) {
        return Ok(());
    }
    let Some(seccomp) = seccomp else {
        if settings.is_restricted() {
            return deny(Rule::Seccomp, "it has no seccomp profile", "/linux");
        }
        return Ok(());
    };
    // Nothing at all is no filter to runtimes.
    let allows = |action: &str| matches!(action, "" | "SCMP_ACT_ALLOW" | "SCMP_ACT_LOG");
    let denies_nothing = seccomp.syscalls.iter().all(|rule| allows(&rule.action));
    if allows(&seccomp.default_action) && (denies_nothing || settings.is_restricted()) {
        let reason = "its seccomp profile allows what it does not name";
        return deny(Rule::Seccomp, reason, "/linux/seccomp/defaultAction");
    }
    Ok(())
}
