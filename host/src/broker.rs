//! A broker: the part of a program that stays free to act when the rest has confined itself.
//!
//! A program that confines itself with Landlock can no longer unmount a bundle, see or end its shim, or run
//! the container's runtime. [`Broker::start`] splits it before that, while it has a single thread: the
//! child answers requests on a socket, and ends with its parent. A [`Dunnage`](crate::Dunnage) that is
//! [built with it](crate::Builder::broker) asks it; any other does these things itself.
//!
//! What can be asked, how a request is checked, and what an attacker could do with it, is described in the
//! crate `dunnage-broker`.

use std::io;
use std::path::Path;

use dunnage_broker::Domain;

/// A broker, which ends when the last copy of this is dropped.
#[derive(Clone, Debug)]
pub struct Broker(pub(crate) dunnage_broker::Broker);

impl Broker {
    /// Starts a broker for the bundles of a state and a root directory.
    ///
    /// # Errors
    ///
    /// If this process has other threads already, or cannot be forked.
    pub fn start(state: impl AsRef<Path>, root: impl AsRef<Path>) -> io::Result<Self> {
        dunnage_broker::Broker::start(&Domain::new(state.as_ref(), root.as_ref())).map(Self)
    }

    /// Starts a broker that also starts the shims of a bundle manager that will be set up so.
    ///
    /// They are started by these options. Those of a later
    /// [`start_shim`](crate::Dunnage::start_shim) must agree in `publisher`, `debug` and
    /// `settings`; of the rest only its `timeout` matters, and `on_exit` is not called. Without a
    /// `monitor` the broker takes its part, until it ends.
    ///
    /// # Errors
    ///
    /// The same, and if this program's own binary cannot be found.
    #[cfg(feature = "shim")]
    pub fn start_with_shims(setup: &crate::Builder, options: &crate::shim::StartOptions) -> io::Result<Self> {
        let paths = setup.paths();
        let launcher = dunnage_shims::BrokerLauncher::new(options, paths).map_err(io::Error::other)?;
        let domain = Domain::new(&paths.state, &paths.root).with_launcher(Box::new(launcher));
        dunnage_broker::Broker::start(&domain).map(Self)
    }
}
