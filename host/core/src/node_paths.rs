//! Where things lie on a node.

use std::path::PathBuf;

use crate::{DEFAULT_DAEMON_ADDRESS, DEFAULT_ROOT, DEFAULT_SOCKET_ROOT, DEFAULT_STATE};

/// The directories and the address that an operator names. The defaults are the
/// product's.
#[derive(Clone, Debug)]
pub struct NodePaths {
    /// The state directory: bundles lie in `<state>/<namespace>/<id>`.
    pub state: PathBuf,
    /// The root directory: work directories lie in `<root>/<namespace>/<id>`.
    pub root: PathBuf,
    /// The directory of the shims' sockets.
    pub socket_root: PathBuf,
    /// The daemon address that is hashed into the addresses of shims; may be empty.
    pub daemon_address: String,
}

impl Default for NodePaths {
    fn default() -> Self {
        Self {
            state: PathBuf::from(DEFAULT_STATE),
            root: PathBuf::from(DEFAULT_ROOT),
            socket_root: PathBuf::from(DEFAULT_SOCKET_ROOT),
            daemon_address: DEFAULT_DAEMON_ADDRESS.to_owned(),
        }
    }
}
