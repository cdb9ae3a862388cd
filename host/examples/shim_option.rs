//! A `ShimOpt` of one's own: the program decides how it comes by the client of a bundle's shim. Here the
//! shim is a task of this process that listens on a socket of its own and answers one method. It could as
//! well run in a virtual machine.
//!
//! `cargo run -p dunnage --example shim_option -- DIRECTORY SPEC`

use std::error::Error;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use dunnage::shim::protocol::shim::ShimInfoResponse;
use dunnage::shim::protocol::shim_ttrpc;
use dunnage::shim::{ShimClient, ShimOpt, ShimRequest};
use dunnage::{BundleId, Dunnage, ShimOptions, Spec};
use protobuf::well_known_types::empty::Empty;
use ttrpc::r#async::{Server, TtrpcContext};

/// A shim with one method; the others answer that they are not implemented.
struct Minimal;

#[async_trait]
impl shim_ttrpc::Shim for Minimal {
    async fn shim_info(&self, _: &TtrpcContext, _: Empty) -> ttrpc::Result<ShimInfoResponse> {
        Ok(ShimInfoResponse { shim_pid: std::process::id(), ..ShimInfoResponse::default() })
    }
}

/// Serves the shim in the bundle's work directory and connects to it.
struct InWorkDir<'a> {
    server: &'a mut Option<Server>,
}

impl ShimOpt for InWorkDir<'_> {
    type Client = ShimClient;
    type Error = Box<dyn Error>;

    async fn open(self, request: ShimRequest) -> Result<ShimClient, Self::Error> {
        // What the policy has decided, and the host has checked.
        println!("set up the shim of {} with {:?}", request.bundle.id(), request.config);
        let socket = request.bundle.work_dir().join("own.sock");
        let mut server = Server::new()
            .bind(&format!("unix://{}", socket.display()))?
            .register_service(shim_ttrpc::create_shim(Arc::new(Minimal)));
        server.start().await?;
        *self.server = Some(server);
        Ok(ShimClient::on(UnixStream::connect(socket)?)?)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(directory), Some(spec)) = (arguments.next().map(PathBuf::from), arguments.next()) else {
        return Err("usage: shim_option DIRECTORY SPEC".into());
    };
    let dunnage = Dunnage::builder().state(directory.join("state")).root(directory.join("root")).build()?;
    let id = BundleId::new("example", "web-1");
    dunnage.create(&id, &Spec::read_file(spec, 1 << 20)?)?;

    let mut server = None;
    let client = dunnage.shim_client(&id, InWorkDir { server: &mut server }, &ShimOptions::default()).await?;
    println!("the shim is process {}, this is {}", client.shim_info().await?, std::process::id());
    if let Some(mut server) = server {
        server.shutdown().await?;
    }
    println!("deleted: {}", dunnage.delete(&id, false)?.deleted);
    Ok(())
}
