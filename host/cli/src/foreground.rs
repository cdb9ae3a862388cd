//! A process of a container that this command is attached to: fed, sent our signals, waited for.

mod input;
mod raw_terminal;
mod signals;
mod streams;

use std::time::Duration;

use dunnage::ErrorKind;
use dunnage::shim::ShimClient;

pub(crate) use self::signals::{Init, Interrupted, Signals};
use self::signals::{PIPE, Received, asks_for_the_end, ends};
pub(crate) use self::streams::Event;
pub(crate) use self::streams::{Copied, Streams, terminal_size};

/// The signal that cannot be ignored.
const SIGKILL: u32 = 9;
/// A terminal that is closed, and a request to end: SIGHUP, SIGTERM.
const LEAVING: [u32; 2] = [1, 15];
/// How long a shim may take to pass a signal on. One that takes longer is taken for stuck.
const SIGNAL_TIMEOUT: Duration = Duration::from_secs(4);
/// How long the rest of the output of a process may take that was asked to end.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(3);

/// A process that runs.
pub(crate) struct Attached<'a> {
    client: ShimClient,
    /// The container's id for its init, else that of the exec.
    process: &'a str,
    streams: Option<Streams>,
    /// `None` if it is not the container's init.
    init: Option<Init>,
    /// The signal that the process was killed for in its place.
    ended_by: Option<u32>,
    /// Whether the process was asked to end.
    asked: bool,
    /// Whether a signal that is meant to end us leaves the process to itself.
    can_leave: bool,
}

/// Why the wait for a process is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// It has ended, with this status.
    Ended(u32),
    /// It is left to itself.
    Detached,
}

impl<'a> Attached<'a> {
    pub(crate) fn new(client: &ShimClient, process: &'a str, streams: Option<Streams>, init: Option<Init>) -> Self {
        Self { client: client.clone(), process, streams, init, ended_by: None, asked: false, can_leave: false }
    }

    /// The same for a process that was there before us, and goes on without us.
    pub(crate) fn that_goes_on(self) -> Self {
        Self { can_leave: true, ..self }
    }

    /// Waits for the process to end, passing on what we are sent meanwhile.
    pub(crate) async fn wait(&mut self, signals: &mut Signals) -> anyhow::Result<Over> {
        let client = self.client.clone();
        let wait = client.wait(self.process);
        tokio::pin!(wait);
        loop {
            tokio::select! {
                ended = &mut wait => return Ok(Over::Ended(ended?.exit_status)),
                received = signals.next() => {
                    if self.can_leave && LEAVING.map(Received::Signal).contains(&received) {
                        return Ok(Over::Detached);
                    }
                    self.pass_on(received).await?;
                },
                event = next_event(&mut self.streams) => match event {
                    Event::StdinEnded => {
                        // The process may have ended meanwhile.
                        let _ = client.close_stdin(self.process).await;
                    }
                    Event::OutputBroken => self.pass_on(Received::Signal(PIPE)).await?,
                    Event::Detached => return Ok(Over::Detached),
                },
            }
        }
    }

    /// Copies what is left of the process's output: all of it is in the FIFOs by now. The reader of our
    /// output may have stopped; then a signal ends the wait.
    pub(crate) async fn finish_streams(&mut self, signals: &mut Signals) {
        let Some(streams) = self.streams.take() else { return };
        let finished = streams.finish();
        if self.asked {
            let _ = tokio::time::timeout(OUTPUT_TIMEOUT, finished).await;
        } else if let Err(Interrupted(signal)) = signals.bound(finished).await {
            self.ended_by.get_or_insert(signal);
        }
    }

    /// Our exit code for a status of the process.
    pub(crate) fn exit_code(&self, status: u32) -> u8 {
        let status = self.ended_by.map_or(status, |signal| 128 + signal);
        u8::try_from(status & 0xff).unwrap_or(u8::MAX)
    }

    /// Passes a signal on to the process. Fails if it was to end it and the shim does not answer.
    ///
    /// The kernel keeps signals from the init of a pid namespace that it has no handler for; what
    /// they would do to any other process, end it, is done in its place.
    async fn pass_on(&mut self, received: Received) -> Result<(), Interrupted> {
        let client = &self.client.with_timeout(SIGNAL_TIMEOUT);
        let signal = match received {
            Received::Signal(signal) => signal,
            Received::Resized | Received::Continued => {
                if let Some(streams) = &self.streams {
                    if received == Received::Continued {
                        streams.continued();
                    }
                    if let Some(size) = streams.size() {
                        resize(client, self.process, size).await;
                    }
                }
                return Ok(());
            }
        };
        let asked = asks_for_the_end(signal);
        self.asked |= asked;
        if let Some(init) = &mut self.init {
            init.has_become_the_program().await;
        }
        if let Err(error) = client.kill(self.process, signal, false).await {
            tracing::debug!(%error, "cannot pass signal {signal} on");
            return if asked && error.kind() == ErrorKind::Timeout { Err(Interrupted(signal)) } else { Ok(()) };
        }
        if let Some(init) = &self.init
            && ends(signal)
            && init.keeps_out(signal).await
        {
            tracing::debug!("signal {signal} does not reach the container's init, which is killed");
            self.ended_by.get_or_insert(signal);
            self.asked = true;
            let _ = client.kill(self.process, SIGKILL, false).await;
        }
        Ok(())
    }
}

async fn next_event(streams: &mut Option<Streams>) -> Event {
    match streams {
        Some(streams) => streams.next().await,
        None => std::future::pending().await,
    }
}

/// Gives the terminal of a process the size of ours.
pub(crate) async fn resize(client: &ShimClient, process: &str, (width, height): (u32, u32)) {
    if let Err(error) = client.resize_pty(process, width, height).await {
        tracing::debug!(%error, "cannot set the size of the terminal");
    }
}
