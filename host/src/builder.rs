//! Setting up a bundle manager.

use std::path::PathBuf;

use dunnage_bundles::NodeConfig;
#[cfg(feature = "shim")]
use dunnage_core::NodePaths;
use dunnage_core::{GroupRanges, Limits, Result};
use dunnage_sandbox::{Policy, PolicySource};

use crate::Dunnage;
use crate::broker::Broker;
use crate::guards::{GuardConfig, Reviewer};

/// Sets up a [`Dunnage`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Builder {
    config: NodeConfig,
    guards: Vec<GuardConfig>,
    guard_limits: Limits,
}

impl Builder {
    /// The state directory: bundles lie in `<state>/<namespace>/<id>`. Default `/run/dunnage`.
    pub fn state(mut self, directory: impl Into<PathBuf>) -> Self {
        self.config.paths.state = directory.into();
        self
    }

    /// The root directory: work directories lie in `<root>/<namespace>/<id>`. Default
    /// `/var/lib/dunnage`.
    pub fn root(mut self, directory: impl Into<PathBuf>) -> Self {
        self.config.paths.root = directory.into();
        self
    }

    /// The directory of the shims' sockets. Default `/run/containerd/s`.
    pub fn socket_root(mut self, directory: impl Into<PathBuf>) -> Self {
        self.config.paths.socket_root = directory.into();
        self
    }

    /// The daemon address that is hashed into the addresses of shims; may be empty. Default
    /// `/run/containerd/containerd.sock`.
    pub fn daemon_address(mut self, address: impl Into<String>) -> Self {
        self.config.paths.daemon_address = address.into();
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

    /// The guards that are asked before a bundle is made, and by [`Dunnage::admit`]. Default: none.
    pub fn guards(mut self, guards: impl Into<Vec<GuardConfig>>) -> Self {
        self.guards = guards.into();
        self
    }

    /// The limits that each call of a guard works under.
    pub fn guard_limits(mut self, limits: Limits) -> Self {
        self.guard_limits = limits;
        self
    }

    /// Whether instances of the policy and the guards come from a pool. Default: yes. Setting it up takes longer than
    /// it saves in a process that makes but a few calls. A policy from a file has a pool in any case,
    /// which also bounds what it may be made of.
    pub fn pool(mut self, pool: bool) -> Self {
        self.config.pool = pool;
        self
    }

    /// What acts for this process where, having confined itself, it cannot. Default: this process
    /// itself.
    pub fn broker(mut self, broker: &Broker) -> Self {
        self.config.privileged = broker.0.privileged();
        self
    }

    #[cfg(feature = "shim")]
    pub(crate) fn paths(&self) -> &NodePaths {
        &self.config.paths
    }

    /// Loads the policy. Touches no state yet.
    ///
    /// # Errors
    ///
    /// [`PolicyRejected`](crate::ErrorKind::PolicyRejected) if the policy cannot be used,
    /// [`InvalidConfig`](crate::ErrorKind::InvalidConfig) if a limit or a path is invalid.
    pub fn build(self) -> Result<Dunnage> {
        let guards = Reviewer::new(self.guards, self.guard_limits, self.config.pool);
        Dunnage::set_up(self.config, guards, Policy::load)
    }

    /// The same with another way to load the policy.
    #[cfg(fuzzing)]
    pub(crate) fn build_with(
        self,
        load: impl FnOnce(dunnage_sandbox::PolicyConfig) -> Result<Policy>,
    ) -> Result<Dunnage> {
        let guards = Reviewer::new(self.guards, self.guard_limits, self.config.pool);
        Dunnage::set_up(self.config, guards, load)
    }
}
