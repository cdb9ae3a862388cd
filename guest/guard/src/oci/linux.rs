//! `linux`.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::Deserialize;

use super::{Item, Texts};

/// What is special to Linux.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Linux<'a> {
    /// How user ids are mapped in a new user namespace.
    pub uid_mappings: Vec<IdMapping>,
    /// How group ids are mapped in a new user namespace.
    pub gid_mappings: Vec<IdMapping>,
    /// Kernel parameters that are set for the container.
    #[serde(borrow)]
    pub sysctl: BTreeMap<Item<'a>, Item<'a>>,
    /// Limits.
    #[serde(borrow)]
    pub resources: Resources<'a>,
    /// Its cgroup.
    #[serde(borrow)]
    pub cgroups_path: Cow<'a, str>,
    /// The namespaces that it does not share with the node.
    #[serde(borrow)]
    pub namespaces: Vec<Namespace<'a>>,
    /// Devices that are made for it.
    #[serde(borrow)]
    pub devices: Vec<Device<'a>>,
    /// Network devices of the node that are moved into it.
    #[serde(borrow)]
    pub net_devices: BTreeMap<Item<'a>, NetDevice<'a>>,
    /// Which system calls it may make.
    #[serde(borrow)]
    pub seccomp: Option<Seccomp<'a>>,
    /// How mounts at the root are passed on.
    #[serde(borrow)]
    pub rootfs_propagation: Cow<'a, str>,
    /// Paths that are hidden.
    #[serde(borrow)]
    pub masked_paths: Texts<'a>,
    /// Paths that cannot be written to.
    #[serde(borrow)]
    pub readonly_paths: Texts<'a>,
    /// The SELinux label of its mounts.
    #[serde(borrow)]
    pub mount_label: Cow<'a, str>,
}

/// An entry of a list of mappings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct IdMapping {
    /// The first id in the container.
    #[serde(rename = "containerID")]
    pub container_id: u32,
    /// The first id on the node.
    #[serde(rename = "hostID")]
    pub host_id: u32,
    /// How many.
    pub size: u32,
}

/// An entry of `namespaces`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Namespace<'a> {
    /// `pid`, `network`, `mount`, `ipc`, `uts`, `user`, `cgroup`, `time`.
    #[serde(borrow, rename = "type")]
    pub kind: Cow<'a, str>,
    /// One that is there already; a new one if this is empty.
    #[serde(borrow)]
    pub path: Cow<'a, str>,
}

/// An entry of `devices`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Device<'a> {
    /// Where, in the container.
    #[serde(borrow)]
    pub path: Cow<'a, str>,
    /// `c`, `b`, `u` or `p`.
    #[serde(borrow, rename = "type")]
    pub kind: Cow<'a, str>,
    /// The major number.
    pub major: i64,
    /// The minor number.
    pub minor: i64,
    /// Its permission bits.
    pub file_mode: Option<u32>,
}

/// An entry of `netDevices`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NetDevice<'a> {
    /// Its name in the container.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
}

/// `resources`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Resources<'a> {
    /// Which devices it may use.
    #[serde(borrow)]
    pub devices: Vec<DeviceRule<'a>>,
    /// Memory.
    pub memory: Option<Memory>,
    /// Processor time.
    #[serde(borrow)]
    pub cpu: Option<Cpu<'a>>,
    /// Processes.
    pub pids: Option<Pids>,
    /// Block devices.
    #[serde(rename = "blockIO")]
    pub block_io: Option<BlockIo>,
    /// Files of its cgroup that are written.
    #[serde(borrow)]
    pub unified: BTreeMap<Item<'a>, Item<'a>>,
}

/// An entry of `resources.devices`. What is missing stands for all.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct DeviceRule<'a> {
    /// Whether it allows or denies.
    pub allow: bool,
    /// `a` or empty (all), `c`, `b`.
    #[serde(borrow, rename = "type")]
    pub kind: Cow<'a, str>,
    /// The major number.
    pub major: Option<i64>,
    /// The minor number.
    pub minor: Option<i64>,
    /// Of `r`, `w` and `m`.
    #[serde(borrow)]
    pub access: Cow<'a, str>,
}

/// `resources.memory`, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Memory {
    /// Memory.
    pub limit: Option<i64>,
    /// Memory when the node is short of it.
    pub reservation: Option<i64>,
    /// Memory and swap together.
    pub swap: Option<i64>,
    /// Whether it is not killed when it runs out.
    #[serde(rename = "disableOOMKiller")]
    pub disable_oom_killer: Option<bool>,
}

/// `resources.cpu`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Cpu<'a> {
    /// Its weight.
    pub shares: Option<u64>,
    /// Microseconds in a period.
    pub quota: Option<i64>,
    /// The length of a period, in microseconds.
    pub period: Option<u64>,
    /// Which processors.
    #[serde(borrow)]
    pub cpus: Cow<'a, str>,
    /// Which memory nodes.
    #[serde(borrow)]
    pub mems: Cow<'a, str>,
}

/// `resources.pids`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Pids {
    /// How many processes; none or less for no limit.
    pub limit: Option<i64>,
}

/// `resources.blockIO`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct BlockIo {
    /// Its weight.
    pub weight: Option<u16>,
}

/// `seccomp`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Seccomp<'a> {
    /// What is done for system calls without a rule, such as `SCMP_ACT_ERRNO`.
    #[serde(borrow)]
    pub default_action: Cow<'a, str>,
    /// The rules.
    #[serde(borrow)]
    pub syscalls: Vec<SyscallRule<'a>>,
}

/// An entry of `seccomp.syscalls`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct SyscallRule<'a> {
    /// The system calls.
    #[serde(borrow)]
    pub names: Texts<'a>,
    /// What is done.
    #[serde(borrow)]
    pub action: Cow<'a, str>,
}
