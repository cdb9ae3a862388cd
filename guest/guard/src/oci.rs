//! The parts of the OCI runtime spec that guards look at, with the names of the spec. What is missing
//! or null is at its zero value, as in Go. Paths, names and values are text as it stands there.

mod linux;
mod process;

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::Deserialize;

pub use self::linux::{
    BlockIo, Cpu, Device, DeviceRule, IdMapping, Linux, Memory, Namespace, NetDevice, Pids, Resources, Seccomp,
    SyscallRule,
};
pub use self::process::{Capabilities, Process, Rlimit, User};

/// A list of texts.
pub type Texts<'a> = Vec<Item<'a>>;

/// A text in a list, which serde would copy otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub struct Item<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl core::ops::Deref for Item<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// `config.json`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec<'a> {
    /// The version of the OCI spec that it follows.
    #[serde(borrow)]
    pub oci_version: Cow<'a, str>,
    /// The container's first process.
    #[serde(borrow)]
    pub process: Option<Process<'a>>,
    /// The root file system.
    #[serde(borrow)]
    pub root: Option<Root<'a>>,
    /// The name of the host.
    #[serde(borrow)]
    pub hostname: Cow<'a, str>,
    /// What is mounted, in this order.
    #[serde(borrow)]
    pub mounts: Vec<Mount<'a>>,
    /// Programs that the runtime starts on the node.
    #[serde(borrow)]
    pub hooks: Option<Hooks<'a>>,
    /// What others say about the container.
    #[serde(borrow)]
    pub annotations: BTreeMap<Item<'a>, Item<'a>>,
    /// What is special to Linux.
    #[serde(borrow)]
    pub linux: Linux<'a>,
}

/// `root`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Root<'a> {
    /// Where it is, from the bundle on.
    #[serde(borrow)]
    pub path: Cow<'a, str>,
    /// Whether it cannot be written to.
    pub readonly: bool,
}

/// An entry of `mounts`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Mount<'a> {
    /// Where, in the container.
    #[serde(borrow)]
    pub destination: Cow<'a, str>,
    /// The type of the file system.
    #[serde(borrow, rename = "type")]
    pub kind: Cow<'a, str>,
    /// What: a device, a path of the node, or a name.
    #[serde(borrow)]
    pub source: Cow<'a, str>,
    /// How.
    #[serde(borrow)]
    pub options: Texts<'a>,
    /// How its user ids are mapped.
    pub uid_mappings: Vec<IdMapping>,
    /// How its group ids are mapped.
    pub gid_mappings: Vec<IdMapping>,
}

/// `hooks`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Hooks<'a> {
    /// Before the container's process is started (deprecated).
    #[serde(borrow)]
    pub prestart: Vec<Hook<'a>>,
    /// In the namespaces of the runtime, while the container is made.
    #[serde(borrow)]
    pub create_runtime: Vec<Hook<'a>>,
    /// In the namespaces of the container, while it is made.
    #[serde(borrow)]
    pub create_container: Vec<Hook<'a>>,
    /// In the container, before its process is started.
    #[serde(borrow)]
    pub start_container: Vec<Hook<'a>>,
    /// After its process was started.
    #[serde(borrow)]
    pub poststart: Vec<Hook<'a>>,
    /// After the container was deleted.
    #[serde(borrow)]
    pub poststop: Vec<Hook<'a>>,
}

/// An entry of a list of hooks.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Hook<'a> {
    /// The program.
    #[serde(borrow)]
    pub path: Cow<'a, str>,
    /// Its arguments.
    #[serde(borrow)]
    pub args: Texts<'a>,
}
