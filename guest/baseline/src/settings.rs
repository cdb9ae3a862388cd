//! What an operator can set.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::Deserialize;

use crate::path::is_plain;

/// Which rules hold where nothing else is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// What prevents known privilege escalations, and lets usual containers run.
    #[default]
    Baseline,
    /// What a hardened container looks like.
    Restricted,
}

/// A rule, which can be switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Not all capabilities.
    Privileged,
    /// The sensitive parts of `/proc` and `/sys` are masked or read-only.
    MaskedPaths,
    /// Namespaces of its own for processes, IPC, network and mounts.
    HostNamespaces,
    /// A user namespace of its own. Off in both profiles.
    UserNamespace,
    /// No capabilities beyond the usual ones; in `restricted` only `CAP_NET_BIND_SERVICE`.
    Capabilities,
    /// No other user than root's. Only in `restricted`.
    RootUser,
    /// No new privileges by another program. Only in `restricted`.
    NoNewPrivileges,
    /// Not without seccomp where something is said about it; in `restricted` a profile is required.
    Seccomp,
    /// Not without AppArmor where something is said about it.
    Apparmor,
    /// No types of SELinux but those for containers.
    Selinux,
    /// No kernel parameters but the safe ones.
    Sysctls,
    /// No devices but the usual ones.
    Devices,
    /// Nothing mounted of what gives power over the node.
    HostPaths,
    /// No mounts that the node would see.
    Propagation,
    /// A root file system that cannot be written to. Off in both profiles.
    ReadonlyRoot,
    /// No programs that run on the node, but Docker's own.
    Hooks,
    /// No cgroups of the node, nothing of its services.
    Cgroups,
}

/// Whether a rule holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// It does.
    On,
    /// It does not.
    Off,
}

/// What an operator can set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Settings {
    /// Which rules hold where nothing else is said.
    pub profile: Profile,
    /// Rules that are switched on or off.
    pub rules: BTreeMap<Rule, Switch>,
    /// Capabilities that are allowed too, such as `NET_ADMIN`.
    pub allowed_capabilities: Vec<String>,
    /// Kernel parameters that are allowed too.
    pub allowed_sysctls: Vec<String>,
    /// Paths of the node that may be mounted all the same, with all below them.
    pub allowed_host_paths: Vec<String>,
    /// Devices that are allowed too, as `MAJOR:MINOR`.
    pub allowed_devices: Vec<String>,
    /// Programs that are allowed as hooks, by their paths.
    pub allowed_hooks: Vec<String>,
}

impl Settings {
    /// What is wrong with them, beside their form.
    pub(crate) fn check(&self) -> Result<(), String> {
        let paths = self.allowed_host_paths.iter().chain(&self.allowed_hooks);
        if let Some(path) = paths.into_iter().find(|path| !is_plain(path)) {
            return Err(format!("{path:?} is not a path from / on, without `..`"));
        }
        let is_device = |text: &String| {
            text.split_once(':')
                .is_some_and(|(major, minor)| major.parse::<u32>().is_ok() && minor.parse::<u32>().is_ok())
        };
        match self.allowed_devices.iter().find(|text| !is_device(text)) {
            Some(text) => Err(format!("{text:?} is not a device as MAJOR:MINOR")),
            None => Ok(()),
        }
    }

    pub(crate) fn is_restricted(&self) -> bool {
        self.profile == Profile::Restricted
    }

    /// Whether a rule holds.
    pub(crate) fn holds(&self, rule: Rule) -> bool {
        let by_default = match rule {
            Rule::UserNamespace | Rule::ReadonlyRoot => false,
            Rule::RootUser | Rule::NoNewPrivileges => self.is_restricted(),
            Rule::Privileged
            | Rule::MaskedPaths
            | Rule::HostNamespaces
            | Rule::Capabilities
            | Rule::Seccomp
            | Rule::Apparmor
            | Rule::Selinux
            | Rule::Sysctls
            | Rule::Devices
            | Rule::Hooks
            | Rule::Cgroups
            | Rule::HostPaths
            | Rule::Propagation => true,
        };
        self.rules.get(&rule).map_or(by_default, |switch| *switch == Switch::On)
    }
}

impl Rule {
    /// Its name in settings and denials.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::MaskedPaths => "masked-paths",
            Self::HostNamespaces => "host-namespaces",
            Self::UserNamespace => "user-namespace",
            Self::Capabilities => "capabilities",
            Self::RootUser => "root-user",
            Self::NoNewPrivileges => "no-new-privileges",
            Self::Seccomp => "seccomp",
            Self::Apparmor => "apparmor",
            Self::Selinux => "selinux",
            Self::Sysctls => "sysctls",
            Self::Devices => "devices",
            Self::HostPaths => "host-paths",
            Self::Propagation => "propagation",
            Self::ReadonlyRoot => "readonly-root",
            Self::Hooks => "hooks",
            Self::Cgroups => "cgroups",
        }
    }
}
