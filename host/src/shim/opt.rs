//! How a caller comes by a client of a bundle's shim: as containerd does, or in a way of its own.

use crate::bundle::{Bundle, BundleId};
use crate::error::{Error, Result};
use crate::shims::{RuncOptions, ShimConfig, ShimOptions};
use crate::{Dunnage, shim};

use shim::connect;
use shim::options::{ConnectOptions, StartOptions};
use shim::{Shim, start};

/// What a [`ShimOpt`] is told.
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
        start::start(&request.dunnage.0, id, request.config, self.0)
            .await
            .map_err(|error| error.during(|| format!("start the shim of {id}")))
    }
}

impl ShimOpt for ShimLocal {
    type Client = Shim;
    type Error = Error;

    async fn open(self, request: ShimRequest) -> Result<Shim> {
        let id = request.bundle.id();
        start::serve(&request.dunnage.0, id, request.config, self.0)
            .await
            .map_err(|error| error.during(|| format!("serve the shim of {id}")))
    }
}

impl ShimOpt for ShimConnect {
    type Client = Shim;
    type Error = Error;

    async fn open(self, request: ShimRequest) -> Result<Shim> {
        let id = request.bundle.id();
        connect::connect(&request.dunnage.0, id, self.0)
            .await
            .map_err(|error| error.during(|| format!("connect to the shim of {id}")))
    }
}

impl Dunnage {
    /// Gets a client of a bundle's shim in the way that `opt` says. Similar to `NewShimClient` of
    /// containerd.
    ///
    /// ```no_run
    /// use dunnage::shim::{ShimClient, ShimRequest};
    /// use dunnage::{BundleId, Dunnage, Error, ShimOptions};
    ///
    /// # async fn example(dunnage: &Dunnage) -> Result<(), Box<dyn std::error::Error>> {
    /// let own = async |request: ShimRequest| {
    ///     // A shim that was started from `request.config`, somewhere else.
    ///     let socket = std::os::unix::net::UnixStream::connect("/run/mydaemon/shim.sock")?;
    ///     Ok::<_, Box<dyn std::error::Error>>(ShimClient::on(socket)?)
    /// };
    /// let client = dunnage.shim_client(&BundleId::new("default", "web-1"), own, &ShimOptions::default()).await?;
    /// println!("shim {}", client.shim_info().await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the policy refuses the id or the settings; whatever `opt` fails with.
    pub async fn shim_client<O: ShimOpt>(
        &self,
        id: &BundleId,
        opt: O,
        settings: &ShimOptions,
    ) -> std::result::Result<O::Client, O::Error> {
        let settings = settings.absolute();
        let bundle = self.locate(id)?;
        let config = self.shim_config(&bundle, &settings)?;
        opt.open(ShimRequest { dunnage: self.clone(), bundle, config, runc: settings.runc }).await
    }
}
