//! `process`.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use serde::Deserialize;

use super::Texts;

/// A process that is started in a container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Process<'a> {
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Who it runs as, in the container.
    #[serde(borrow)]
    pub user: User<'a>,
    /// The program and its arguments.
    #[serde(borrow)]
    pub args: Texts<'a>,
    /// The environment, as `NAME=VALUE`.
    #[serde(borrow)]
    pub env: Texts<'a>,
    /// The working directory.
    #[serde(borrow)]
    pub cwd: Cow<'a, str>,
    /// Its capabilities. Without them runtimes give the container none, and a further process those of the container.
    #[serde(borrow)]
    pub capabilities: Option<Capabilities<'a>>,
    /// Its limits.
    #[serde(borrow)]
    pub rlimits: Vec<Rlimit<'a>>,
    /// Whether it can gain nothing by running another program.
    pub no_new_privileges: bool,
    /// Its AppArmor profile.
    #[serde(borrow)]
    pub apparmor_profile: Cow<'a, str>,
    /// How likely the kernel kills it when memory runs out.
    pub oom_score_adj: Option<i64>,
    /// Its SELinux label.
    #[serde(borrow)]
    pub selinux_label: Cow<'a, str>,
}

/// `user`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct User<'a> {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
    /// Further groups.
    pub additional_gids: Vec<u32>,
    /// The name; runtimes on Linux do not use it.
    #[serde(borrow)]
    pub username: Cow<'a, str>,
}

/// `capabilities`: names such as `CAP_CHOWN`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Capabilities<'a> {
    /// What it can have at most.
    #[serde(borrow)]
    pub bounding: Texts<'a>,
    /// What it has.
    #[serde(borrow)]
    pub effective: Texts<'a>,
    /// What programs inherit that ask for it.
    #[serde(borrow)]
    pub inheritable: Texts<'a>,
    /// What it may take.
    #[serde(borrow)]
    pub permitted: Texts<'a>,
    /// What every program inherits.
    #[serde(borrow)]
    pub ambient: Texts<'a>,
}

impl<'a> Capabilities<'a> {
    /// All five sets, by their names.
    #[must_use]
    pub fn sets(&self) -> [(&'static str, &Texts<'a>); 5] {
        [
            ("bounding", &self.bounding),
            ("effective", &self.effective),
            ("inheritable", &self.inheritable),
            ("permitted", &self.permitted),
            ("ambient", &self.ambient),
        ]
    }
}

/// An entry of `rlimits`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Rlimit<'a> {
    /// Which one, such as `RLIMIT_NOFILE`.
    #[serde(borrow, rename = "type")]
    pub kind: Cow<'a, str>,
    /// The most that it can be raised to.
    pub hard: u64,
    /// What it is.
    pub soft: u64,
}
