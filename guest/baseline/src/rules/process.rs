//! Who a process is, and what confines it.

use alloc::format;

use dunnage_guard::oci::Process;

use super::{Checked, deny};
use crate::path::{is_within, normal};
use crate::{Rule, Settings};

/// The SELinux types of containers, and of their files.
const TYPES: [&str; 7] = [
    "container_t",
    "container_init_t",
    "container_kvm_t",
    "container_engine_t",
    "container_file_t",
    "container_ro_file_t",
    "svirt_lxc_net_t",
];

pub(super) fn check(process: &Process<'_>, at: &str, settings: &Settings) -> Checked {
    if settings.holds(Rule::RootUser) && process.user.uid == 0 {
        return deny(Rule::RootUser, "it runs as root", format!("{at}/user/uid"));
    }
    if settings.holds(Rule::NoNewPrivileges) && !process.no_new_privileges {
        let reason = "it may gain privileges by another program";
        return deny(Rule::NoNewPrivileges, reason, format!("{at}/noNewPrivileges"));
    }
    if settings.holds(Rule::Apparmor) && process.apparmor_profile == "unconfined" {
        return deny(Rule::Apparmor, "it is not confined by AppArmor", format!("{at}/apparmorProfile"));
    }
    // A descriptor that a runtime has forgotten to close leads out of the container (CVE-2024-21626).
    if settings.holds(Rule::HostPaths) && is_within(&normal(&process.cwd), "/proc") {
        return deny(Rule::HostPaths, "its working directory is below /proc", format!("{at}/cwd"));
    }
    check_selinux(&process.selinux_label, &format!("{at}/selinuxLabel"), settings)
}

/// A label is `user:role:type:level`; none stands for the engine's own.
pub(super) fn check_selinux(label: &str, pointer: &str, settings: &Settings) -> Checked {
    if !settings.holds(Rule::Selinux) || label.is_empty() {
        return Ok(());
    }
    let mut parts = label.split(':');
    let [user, role, kind] = [(); 3].map(|()| parts.next().unwrap_or_default());
    if !TYPES.contains(&kind) {
        return deny(Rule::Selinux, format!("the SELinux type {kind:?} is not one for containers"), pointer);
    }
    if user != "system_u" || !matches!(role, "system_r" | "object_r") {
        return deny(Rule::Selinux, format!("the SELinux user {user:?} or role {role:?} is not allowed"), pointer);
    }
    Ok(())
}
