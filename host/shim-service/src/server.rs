//! Serving a shim on a socket.

use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use dunnage_core::{Error, ErrorKind, Result, Step};
use dunnage_shim_proto::shim_ttrpc::create_shim;
use dunnage_sys::effective_ids;
use futures::stream::unfold;
use tokio::net::UnixStream;
use ttrpc::r#async::transport::Listener;

use super::LocalShim;

/// A shim that is served, until this is dropped or shut down.
pub struct Server {
    /// `None` once it was shut down.
    server: Option<ttrpc::r#async::Server>,
    shim: Arc<LocalShim>,
}

/// Serves a shim to processes of our own user.
pub async fn serve(listener: UnixListener, shim: Arc<LocalShim>) -> Result<Server> {
    let fail = |error: &dyn std::fmt::Display| Error::new(ErrorKind::Shim, Step::StartShim, error.to_string());
    shim.shared.children.reap_orphans().map_err(|error| fail(&error))?;
    listener.set_nonblocking(true).map_err(|error| fail(&error))?;
    let listener = tokio::net::UnixListener::from_std(listener).map_err(|error| fail(&error))?;
    let clients = unfold(listener, async |listener| {
        let client = accept(&listener).await;
        Some((Ok::<_, io::Error>(client), listener))
    });
    let server = ttrpc::r#async::Server::new().add_listener(Listener::new(clients));
    let mut server = server.register_service(create_shim(Arc::<LocalShim>::clone(&shim)));
    server.start().await.map_err(|error| fail(&error))?;
    Ok(Server { server: Some(server), shim })
}

/// The next client of our own user. Others are cut off.
async fn accept(listener: &tokio::net::UnixListener) -> UnixStream {
    loop {
        match listener.accept().await {
            Ok((client, _)) => match client.peer_cred() {
                Ok(peer) if peer.uid() == effective_ids().0 => return client,
                peer => tracing::warn!(?peer, "refused a client that does not belong to this user"),
            },
            Err(error) => {
                // Out of descriptors, most likely: that does not pass at once.
                tracing::warn!(%error, "cannot accept a client");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

impl Server {
    /// The shim that is served.
    pub fn shim(&self) -> Arc<LocalShim> {
        Arc::clone(&self.shim)
    }

    /// Stops serving. Requests that change something are done to their end.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Shim`] if the server does not stop.
    pub async fn shutdown(mut self) -> Result<()> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        server.shutdown().await.map_err(|error| Error::new(ErrorKind::Shim, Step::StopShim, error.to_string()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        // Without a runtime nothing is served any more anyway.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = server.shutdown().await {
                    tracing::warn!(%error, "cannot stop serving");
                }
            });
        }
    }
}
