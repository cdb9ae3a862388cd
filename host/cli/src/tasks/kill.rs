//! `kill` and `stop`.

use std::time::Duration;

use clap::Args;
use dunnage::{ErrorKind, Step};

use super::{Changed, Container, Global, Profile, seconds, signal_name, with_shim};
use crate::failure::Failed;

/// Send a signal to a container
#[derive(Args)]
#[command(
    after_help = "The kernel keeps signals from the first process of a pid namespace that it has no handler for, all but\n\
    KILL and STOP.\n\nExample:\n  dunnage kill web-1 HUP\n  dunnage kill web-1 KILL --all"
)]
pub(crate) struct Kill {
    #[command(flatten)]
    container: Container,
    /// The signal, by name or number
    #[arg(value_name = "SIGNAL", default_value = "TERM", value_parser = signal_name::parse)]
    signal: u32,
    /// Send it to all processes of the container
    #[arg(long, conflicts_with = "exec")]
    all: bool,
    /// Send it to a process that `exec` has started
    #[arg(long, value_name = "EXEC-ID")]
    exec: Option<String>,
}

impl Kill {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<()> {
        let process = self.exec.as_deref().unwrap_or(&self.container.id);
        with_shim(global, &self.container.id, "kill", &Profile::ASKING, async |_, shim| {
            Ok(shim.client().kill(process, self.signal, self.all).await?)
        })
    }
}

/// Stop a container: ask it to end, and kill it if it does not
#[derive(Args)]
#[command(
    after_help = "Its bundle stays, and with it its exit code and its output.\n\nExample:\n  dunnage stop web-1 --timeout 30"
)]
pub(crate) struct Stop {
    #[command(flatten)]
    container: Container,
    /// Seconds between TERM and KILL
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,
    /// The signal to ask with, by name or number
    #[arg(long, value_name = "SIGNAL", default_value = "TERM", value_parser = signal_name::parse)]
    signal: u32,
}

/// The signal that cannot be ignored.
const SIGKILL: u32 = 9;
/// How long a container that was killed may take to end.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

impl Stop {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<()> {
        let id = self.container.id.as_str();
        with_shim(global, id, "stop", &Profile::ASKING, async |_, shim| {
            let client = shim.client();
            let wait = client.wait(id);
            tokio::pin!(wait);
            client.kill(id, self.signal, false).await?;
            if let Ok(ended) = tokio::time::timeout(self.timeout, &mut wait).await {
                ended?;
                return Ok(());
            }
            // It may have ended just now.
            let killed = client.kill(id, SIGKILL, false).await;
            tokio::time::timeout(KILL_TIMEOUT, &mut wait).await.map_err(|_| {
                let why = killed.err().map(|error| format!(": {}", error.message())).unwrap_or_default();
                let message = format!("it was killed, and has not ended within {} s{why}", KILL_TIMEOUT.as_secs());
                Failed::of(&format!("stop {}", global.id(id)), ErrorKind::Timeout, Step::CallShim, message)
            })??;
            Ok(())
        })?;
        Changed::print(global, &global.id(id), "stopped")
    }
}
