//! What every call needs: the directories of a node, its policy, and what makes privileged calls.

use std::path::Component;
use std::sync::{Mutex, PoisonError};

use dunnage_broker::Privileged;
use dunnage_core::{Error, ErrorKind, FairSemaphore, GroupRanges, Limits, NodePaths, Result, Step, check_directory};
use dunnage_sandbox::{Policy, PolicyConfig, PolicySource};
use dunnage_store::Layout;

use crate::{ContainerEnd, throttle};

/// How a node is set up. The defaults are the product's.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Where things lie.
    pub paths: NodePaths,
    /// What each call of the policy may use.
    pub limits: Limits,
    /// The groups that bundles may be given to.
    pub groups: GroupRanges,
    /// Whether files and directories are written through to the disk.
    pub durable: bool,
    /// Which policy decides.
    pub policy: PolicySource,
    /// Whether instances of the policy come from a pool.
    pub pool: bool,
    /// What unmounts, looks at other processes, and runs the runtime.
    pub privileged: Privileged,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            paths: NodePaths::default(),
            limits: Limits::default(),
            groups: GroupRanges::default(),
            durable: false,
            policy: PolicySource::Shipped,
            pool: true,
            privileged: Privileged::InProcess,
        }
    }
}

/// A node: one state directory, one root directory, one policy.
pub struct Node {
    /// Where things lie, as they were named.
    pub paths: NodePaths,
    /// The state and the root directory.
    pub layout: Layout,
    /// What decides.
    pub policy: Policy,
    /// What unmounts, looks at other processes, and runs the runtime.
    pub privileged: Privileged,
    /// Ends of containers that were noticed, and are to be told of; kept here, since they are to be told of
    /// also if the call fails that noticed them.
    ends: Mutex<Vec<ContainerEnd>>,
    pub(crate) durable: bool,
    throttle: Option<FairSemaphore>,
}

impl Node {
    /// Checks the paths and loads the policy, usually by [`Policy::load`]. Touches no state yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PolicyRejected`] if the policy cannot be used, [`ErrorKind::InvalidConfig`] if
    /// a limit or a path is invalid.
    pub fn with_policy(config: NodeConfig, load: impl FnOnce(PolicyConfig) -> Result<Policy>) -> Result<Self> {
        let NodeConfig { mut paths, limits, groups, durable, policy, pool, privileged } = config;
        check_paths(&mut paths).map_err(|error| error.with_operation("set up"))?;
        let policy = PolicyConfig {
            source: policy,
            limits,
            groups,
            durable,
            pool,
            daemon_address: paths.daemon_address.clone(),
            socket_root: paths.socket_root.clone(),
        };
        let policy = load(policy).map_err(|error| error.during(|| "start the policy".to_owned()))?;
        let layout = Layout::new(paths.state.clone(), paths.root.clone());
        let throttle = throttle::semaphore(durable);
        Ok(Self { paths, layout, policy, privileged, ends: Mutex::default(), durable, throttle })
    }

    /// Notes the end of a container.
    pub(crate) fn note_end(&self, end: ContainerEnd) {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).push(end);
    }

    /// Takes the ends of containers that are to be told of.
    pub fn take_ends(&self) -> Vec<ContainerEnd> {
        std::mem::take(&mut *self.ends.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins a call that changes a bundle.
    pub(crate) fn begin(&self) -> throttle::Slot<'_> {
        throttle::Slot::new(self.throttle.as_ref())
    }
}

fn check_paths(paths: &mut NodePaths) -> Result<()> {
    for path in [&paths.state, &paths.root, &paths.socket_root] {
        check_directory(path)?;
    }
    // The policy cleans paths; what it answers must agree with what is opened.
    let sockets = std::path::absolute(&paths.socket_root).unwrap_or_default();
    if !sockets.is_absolute() || sockets.components().any(|part| part == Component::ParentDir) {
        let message = format!("the socket root {:?} must be a path without `..`", paths.socket_root);
        return Err(Error::new(ErrorKind::InvalidConfig, Step::Configure, message));
    }
    paths.socket_root = sockets;
    Ok(())
}
