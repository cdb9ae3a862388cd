//! The remover: what `run --rm --detach` leaves behind. It waits for the container to end, and
//! removes it with its shim and its bundle.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use dunnage::shim::ConnectOptions;
use dunnage::{BundleId, Dunnage};

/// The name that this program is called by when it is a remover.
pub(in crate::cli) const REMOVER: &str = "dunnage-remover";

/// Starts a remover: this program with the same command line. If somebody ends it, the container
/// stays as it would without `--rm`.
pub(super) fn start() -> io::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg0(REMOVER).args(std::env::args_os().skip(1));
    // Neither a Ctrl-C nor the end of our terminal is meant for it.
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map(drop)
}

/// Is the remover.
pub(super) async fn run(dunnage: &Dunnage, id: &BundleId) -> anyhow::Result<()> {
    let shim = dunnage.connect_shim(id, ConnectOptions::default()).await?;
    shim.client().wait(id.id()).await?;
    shim.client().delete().await?;
    shim.remove().await?;
    dunnage.delete(id, false)?;
    Ok(())
}
