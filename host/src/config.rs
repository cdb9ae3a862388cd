//! The settings of a bundle manager.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result, Step};
use crate::limits::Limits;
use crate::policy::{Policy, PolicySource};
use crate::privileged::Privileged;

/// The groups that bundles may be given to. Empty means any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupRanges(Vec<RangeInclusive<u32>>);

impl GroupRanges {
    /// Allows a range of group ids, and no others but those allowed likewise.
    pub fn allow(&mut self, range: RangeInclusive<u32>) {
        self.0.push(range);
    }

    /// Refuses a group outside the ranges. 0 stands for "not remapped" and is always allowed.
    pub(crate) fn check(&self, group: u32) -> Result<()> {
        if group == 0 || self.0.is_empty() || self.0.iter().any(|range| range.contains(&group)) {
            return Ok(());
        }
        let message = format!("the spec gives the bundle to group {group}, which is not in the allowed ranges {self}");
        Err(Error::new(ErrorKind::GroupNotAllowed, Step::Decide, message))
    }
}

impl fmt::Display for GroupRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(f, "{separator}{}-{}", range.start(), range.end())?;
        }
        Ok(())
    }
}

impl FromStr for GroupRanges {
    type Err = String;

    /// Reads `A-B`, `A`, or several of them separated by commas.
    fn from_str(text: &str) -> Result<Self, String> {
        let number =
            |part: &str| part.trim().parse::<u32>().map_err(|error| format!("`{part}` is no group id: {error}"));
        let mut ranges = Self::default();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let range = number(first)?..=number(last)?;
            if range.is_empty() {
                return Err(format!("`{part}` is an empty range"));
            }
            ranges.allow(range);
        }
        Ok(ranges)
    }
}

/// Where things lie on a node, and how they are handled. The defaults are those of the command
/// line.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) state: PathBuf,
    pub(crate) root: PathBuf,
    pub(crate) socket_root: PathBuf,
    pub(crate) daemon_address: String,
    pub(crate) limits: Limits,
    pub(crate) groups: GroupRanges,
    pub(crate) durable: bool,
    pub(crate) policy: PolicySource,
    pub(crate) pool: bool,
    /// Who unmounts, looks at other processes, and runs the runtime.
    pub(crate) privileged: Privileged,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state: PathBuf::from(crate::DEFAULT_STATE),
            root: PathBuf::from(crate::DEFAULT_ROOT),
            socket_root: PathBuf::from(crate::DEFAULT_SOCKET_ROOT),
            daemon_address: crate::DEFAULT_DAEMON_ADDRESS.to_owned(),
            limits: Limits::default(),
            groups: GroupRanges::default(),
            durable: false,
            policy: PolicySource::Shipped,
            pool: true,
            privileged: Privileged::InProcess,
        }
    }
}

/// Refuses what cannot be the path of a directory of ours.
pub(crate) fn check_directory(path: &Path) -> Result<()> {
    if path.as_os_str().is_empty() || path.to_str().is_none_or(|text| text.contains('\0')) {
        let message = format!("{path:?} is no path of a directory (it has to be UTF-8, since policies read it)");
        return Err(Error::new(ErrorKind::InvalidConfig, Step::Configure, message));
    }
    Ok(())
}

/// Sets up a [`Dunnage`](crate::Dunnage).
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Builder {
    config: Config,
}

impl Builder {
    /// The state directory: bundles lie in `<state>/<namespace>/<id>`. Default `/run/dunnage`.
    pub fn state(mut self, directory: impl Into<PathBuf>) -> Self {
        self.config.state = directory.into();
        self
    }

    /// The root directory: work directories lie in `<root>/<namespace>/<id>`. Default
    /// `/var/lib/dunnage`.
    pub fn root(mut self, directory: impl Into<PathBuf>) -> Self {
        self.config.root = directory.into();
        self
    }

    /// The directory of the shims' sockets. Default `/run/containerd/s`.
    pub fn socket_root(mut self, directory: impl Into<PathBuf>) -> Self {
        self.config.socket_root = directory.into();
        self
    }

    /// The daemon address that is hashed into the addresses of shims; may be empty. Default
    /// `/run/containerd/containerd.sock`.
    pub fn daemon_address(mut self, address: impl Into<String>) -> Self {
        self.config.daemon_address = address.into();
        self
    }

    /// The limits that the policy works under.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// The groups that bundles may be given to. Default: any.
    pub fn groups(mut self, groups: GroupRanges) -> Self {
        self.config.groups = groups;
        self
    }

    /// Whether bundles outlive a power loss: files and directories are written through
    /// (`fsync`). Default: only process deaths are survived.
    pub fn durable(mut self, durable: bool) -> Self {
        self.config.durable = durable;
        self
    }

    /// The policy that decides. Default: the one this crate ships.
    pub fn policy(mut self, policy: PolicySource) -> Self {
        self.config.policy = policy;
        self
    }

    /// Whether instances of the policy come from a pool. Default: yes. Setting it up takes longer than
    /// it saves in a process that makes but a few calls. A policy from a file has a pool in any case,
    /// which also bounds what it may be made of.
    pub fn pool(mut self, pool: bool) -> Self {
        self.config.pool = pool;
        self
    }

    /// Who does what this process, having confined itself, cannot. Default: this process itself.
    pub fn broker(mut self, broker: &crate::broker::Broker) -> Self {
        self.config.privileged = broker.privileged();
        self
    }

    #[cfg(feature = "shim")]
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Loads the policy. Touches no state yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PolicyRejected`] if the policy cannot be used, [`ErrorKind::InvalidConfig`] if
    /// a limit or a path makes no sense.
    pub fn build(self) -> Result<crate::Dunnage> {
        self.build_with(Policy::load)
    }

    /// The same with another way to load the policy.
    pub(crate) fn build_with(mut self, load: impl FnOnce(&Config) -> Result<Policy>) -> Result<crate::Dunnage> {
        for path in [&self.config.state, &self.config.root, &self.config.socket_root] {
            check_directory(path).map_err(|error| error.with_operation("set up"))?;
        }
        // The policy cleans paths; what it answers has to agree with what is opened.
        let sockets = std::path::absolute(&self.config.socket_root).unwrap_or_default();
        if !sockets.is_absolute() || sockets.components().any(|part| part == std::path::Component::ParentDir) {
            let message = format!("the socket root {:?} has to be a path without `..`", self.config.socket_root);
            return Err(Error::new(ErrorKind::InvalidConfig, Step::Configure, message).with_operation("set up"));
        }
        self.config.socket_root = sockets;
        crate::Dunnage::from_config(self.config, load)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_ranges_are_read_and_checked() {
        let ranges: GroupRanges = "100000-165535,7".parse().unwrap();
        assert_eq!(ranges.to_string(), "100000-165535,7-7");
        for allowed in [0, 7, 100_000, 165_535] {
            ranges.check(allowed).unwrap();
        }
        for refused in [1, 8, 99_999, 165_536] {
            assert_eq!(ranges.check(refused).unwrap_err().kind(), ErrorKind::GroupNotAllowed);
        }
        GroupRanges::default().check(1).unwrap();
        for bad in ["", "5-4", "x", "1-", "-1", "1-4294967296", "1,,2"] {
            assert!(bad.parse::<GroupRanges>().is_err(), "{bad:?}");
        }
    }
}
