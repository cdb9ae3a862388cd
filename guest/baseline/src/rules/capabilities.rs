//! What a process may do beyond what its user may.

use alloc::format;
use alloc::string::String;

use dunnage_guard::oci::Capabilities;

use super::{Checked, deny};
use crate::{Rule, Settings};

/// All that Linux 5.9 has (capabilities(7)); with all of them a container is privileged.
const ALL: [&str; 40] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
];
/// As many as a node's oldest kernel may have: without `PERFMON`, `BPF` and later ones.
const ALL_OF_OLD: usize = 38;

/// Those that the standards let a pod add, and `NET_RAW`, which engines give to every container.
const USUAL: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// The one that a restricted container may have.
const RESTRICTED: [&str; 1] = ["NET_BIND_SERVICE"];

/// Runtimes give a process none where nothing is said, and a further one those of its container.
pub(super) fn check(capabilities: Option<&Capabilities<'_>>, at: &str, settings: &Settings) -> Checked {
    let Some(capabilities) = capabilities else { return Ok(()) };
    if settings.holds(Rule::Privileged) {
        for (set, names) in capabilities.sets() {
            let has = |capability: &&&str| names.iter().any(|name| plain(name) == **capability);
            if names.len() >= ALL_OF_OLD && ALL.iter().take(ALL_OF_OLD).filter(has).count() == ALL_OF_OLD {
                let reason = "it has all capabilities";
                return deny(Rule::Privileged, reason, format!("{at}/capabilities/{set}"));
            }
        }
    }
    if !settings.holds(Rule::Capabilities) {
        return Ok(());
    }
    let allowed: &[&str] = if settings.is_restricted() { &RESTRICTED } else { &USUAL };
    for (set, names) in capabilities.sets() {
        for (index, name) in names.iter().enumerate() {
            // As it should be written.
            if name.strip_prefix("CAP_").is_some_and(|name| allowed.contains(&name)) {
                continue;
            }
            let capability = plain(name);
            let is_allowed = allowed.contains(&&*capability)
                || settings.allowed_capabilities.iter().any(|allowed| plain(allowed) == capability);
            if !is_allowed {
                let reason = format!("the capability {:?} is not allowed", &**name);
                return deny(Rule::Capabilities, reason, format!("{at}/capabilities/{set}/{index}"));
            }
        }
    }
    Ok(())
}

/// A name without its prefix, in capitals: runtimes differ in what they take.
fn plain(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    name.strip_prefix("CAP_").map(Into::into).unwrap_or(name)
}
