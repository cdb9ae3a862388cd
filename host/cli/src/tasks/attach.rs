//! `attach`.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use dunnage::shim::{LogReader, LogStream, log_file_of};
use dunnage::{BundleId, Dunnage, ErrorKind, Step};

use super::logs::kept_output;
use super::{Container, Global, during, running_shim, set_up};
use crate::confine::{Profile, confine_beside_broker_with_log};
use crate::failure::Failed;
use crate::foreground::{Attached, Event, Over, Signals, Streams, resize};
use crate::shim::block_on;

/// How long the last output of a container that has ended may take to arrive.
const LAST_OUTPUT_TIMEOUT: Duration = Duration::from_millis(500);
/// How often to look whether it is over.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Attach to a container that was left running
#[derive(Args)]
#[command(
    after_help = "Shows what the container writes from now on, passes signals on (but for HUP and TERM, with which it leaves the\n\
    container), and exits with its exit code. Our input\n\
    goes to one that has a terminal or was run with --interactive. At a terminal, Ctrl-P Ctrl-Q leaves it.\n\n\
    Example:\n  dunnage run web-1 --spec config.json --rootfs /srv/web --detach\n  dunnage attach web-1"
)]
pub(crate) struct Attach {
    #[command(flatten)]
    container: Container,
    /// Only show what it writes
    #[arg(long)]
    no_stdin: bool,
}

impl Attach {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<()> {
        let file = log_file_of(&global.state, &global.id(&self.container.id));
        let broker = confine_beside_broker_with_log(global, &Profile::CONTROLLING, file.as_deref())?;
        let (dunnage, id) = set_up(global, broker.as_ref(), &self.container.id)?;
        let operation = format!("attach to {id}");
        let code = block_on(self.attach(&dunnage, &id, file.as_deref())).map_err(|error| during(error, &operation))?;
        if code == 0 { Ok(()) } else { Err(Failed::reported(code).into()) }
    }

    async fn attach(&self, dunnage: &Dunnage, id: &BundleId, file: Option<&Path>) -> anyhow::Result<u8> {
        let mut signals = Signals::new()?;
        let shim = running_shim(dunnage, id, "attach to").await?;
        let mut log = kept_output(dunnage, id, file)?.ok_or_else(|| {
            let why = "nothing that it writes is kept: it was not started with --detach";
            Failed::of(&format!("attach to {id}"), ErrorKind::Unsupported, Step::ReadLog, why)
        })?;
        // From now on.
        while log.next_now()?.is_some() {}
        let terminal = shim.client().state(id.id()).await?.terminal;
        let input = if self.no_stdin { None } else { dunnage.attach_input(id)? };
        let (over, is_over) = std::sync::mpsc::channel::<()>();
        let (streams, leave) = Streams::input_only(input, terminal)?;
        let output = std::thread::Builder::new().spawn(move || {
            if follow(log, &is_over).is_err() {
                // Nobody looks any more; the container goes on.
                let _ = leave.send(Event::Detached);
            }
        })?;
        if terminal && let Some(size) = streams.size() {
            resize(shim.client(), id.id(), size).await;
        }
        let mut attached = Attached::new(shim.client(), id.id(), Some(streams), None).that_goes_on();
        let ended = attached.wait(&mut signals).await?;
        drop(over);
        if let Over::Ended(status) = ended {
            // What it wrote last is on its way.
            let _ = signals.bound(dunnage_async::on_thread(move || output.join())).await;
            return Ok(attached.exit_code(status));
        }
        Ok(0)
    }
}

/// Copies what is written to our streams, until it is over and nothing more comes.
fn follow(mut log: LogReader, over: &std::sync::mpsc::Receiver<()>) -> std::io::Result<()> {
    let mut is_over = false;
    loop {
        let most = if is_over { LAST_OUTPUT_TIMEOUT } else { LOOK_INTERVAL };
        match log.next_within(most) {
            Ok(Some(line)) => {
                let stream = line.stream;
                let bytes = line.into_bytes();
                match stream {
                    LogStream::Stdout => {
                        let mut output = std::io::stdout().lock();
                        output.write_all(&bytes).and_then(|()| output.flush())?;
                    }
                    LogStream::Stderr => std::io::stderr().write_all(&bytes)?,
                }
            }
            Ok(None) if is_over => return Ok(()),
            Ok(None) => is_over = over.try_recv() == Err(std::sync::mpsc::TryRecvError::Disconnected),
            Err(error) => return Err(std::io::Error::other(error)),
        }
    }
}
