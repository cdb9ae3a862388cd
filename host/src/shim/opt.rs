//! How a caller gets a client of a bundle's shim: as containerd does, or in a way of its own.

use dunnage_core::{Bundle, Error, Result, RuncOptions, ShimConfig};
use dunnage_shims::{ConnectOptions, Shim, StartOptions};

use crate::Dunnage;
use crate::manager::during;

/// What a [`ShimOpt`] gets.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShimRequest {
    /// The bundle manager that asks.
    pub dunnage: Dunnage,
    /// The bundle, with its namespace and id.
    pub bundle: Bundle,
    /// How the shim is to be set up, as the policy has decided.
    pub config: ShimConfig,
    /// The options for runc that came with the container.
    pub runc: Option<RuncOptions>,
}

/// How to get a client of a bundle's shim. Similar to `ShimOpt` of containerd.
///
/// A closure is one too: it gets the [`ShimRequest`] and answers whatever it calls a client, for
/// example a [`ShimClient`](super::ShimClient) on a socket of its own.
pub trait ShimOpt {
    /// The client.
    type Client;
    /// What may go wrong.
    type Error: From<Error>;

    /// Gets the client.
    fn open(self, request: ShimRequest) -> impl Future<Output = std::result::Result<Self::Client, Self::Error>>;
}

impl<F, A, C, E> ShimOpt for F
where
    F: FnOnce(ShimRequest) -> A,
    A: Future<Output = std::result::Result<C, E>>,
    E: From<Error>,
{
    type Client = C;
    type Error = E;

    fn open(self, request: ShimRequest) -> impl Future<Output = std::result::Result<C, E>> {
        self(request)
    }
}

/// Starts the shim; what [`Dunnage::start_shim`] does. `settings` of the options do not matter.
pub struct ShimRemote(pub StartOptions);

/// Serves the shim in this process; what [`Dunnage::local_shim`] does. `settings` of the options do
/// not matter.
pub struct ShimLocal(pub StartOptions);

/// Connects to the shim that is there; what [`Dunnage::connect_shim`] does.
pub struct ShimConnect(pub ConnectOptions);

impl ShimOpt for ShimRemote {
    type Client = Shim;
    type Error = Error;

    async fn open(self, request: ShimRequest) -> Result<Shim> {
        let id = request.bundle.id();
        dunnage_shims::start(&request.dunnage.0, id, request.config, self.0)
            .await
            .map_err(during(|| format!("start the shim of {id}")))
    }
}

impl ShimOpt for ShimLocal {
    type Client = Shim;
    type Error = Error;

    async fn open(self, request: ShimRequest) -> Result<Shim> {
        let id = request.bundle.id();
        dunnage_shims::serve_in_process(&request.dunnage.0, id, request.config, self.0)
            .await
            .map_err(during(|| format!("serve the shim of {id}")))
    }
}

impl ShimOpt for ShimConnect {
    type Client = Shim;
    type Error = Error;

    async fn open(self, request: ShimRequest) -> Result<Shim> {
        let id = request.bundle.id();
        dunnage_shims::connect(&request.dunnage.0, id, self.0)
            .await
            .map_err(during(|| format!("connect to the shim of {id}")))
    }
}
