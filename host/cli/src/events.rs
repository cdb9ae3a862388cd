//! `events` and `publish`.

use std::io::{ErrorKind, Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use dunnage::events::{Event, EventStream, MAX_EVENT_SIZE};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::signal::unix::{SignalKind, signal};

use super::confine::{Profile, confine};
use super::failure::Failed;
use super::options::Global;
use super::output::write_all;

/// How long it may take until `--follow` notices that it is to end.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);

/// Show the events of containers, such as the ends of their processes, as JSON lines
#[derive(Args)]
#[command(
    after_help = "Shows the recorded events of the namespace (option -n), oldest first. The latest mebibyte of events\n\
    is kept; older events are dropped sooner or later.\n\n\
    Keys: topic, namespace, container_id, id, pid, exit_status, time. An event of an unknown type has\n\
    its type, and null for what is unknown.\n\n\
    Example:\n  dunnage events --follow -A"
)]
pub(super) struct Events {
    /// Keep showing new events until SIGINT or SIGTERM, or until the reader of the output is gone
    #[arg(short, long)]
    follow: bool,
    /// Show the events of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
}

impl Events {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        confine(global, if self.follow { &Profile::FOLLOWING } else { &Profile::READING });
        let wanted = |event: &Event| self.all_namespaces || event.namespace == global.namespace;
        if self.follow {
            return follow(dunnage::events::follow(&global.state)?, wanted);
        }
        let mut lines = Vec::new();
        for event in dunnage::events::read(&global.state)?.iter().filter(|event| wanted(event)) {
            lines.extend(line(event)?);
        }
        Ok(write_all(&lines)?)
    }
}

fn follow(mut events: EventStream, wanted: impl Fn(&Event) -> bool) -> anyhow::Result<()> {
    let ended = note_signals()?;
    let mut output = std::io::stdout().lock();
    while !ended.load(Ordering::Relaxed) && is_read(&output) {
        let Some(event) = events.next_within(FOLLOW_INTERVAL)?.filter(&wanted) else { continue };
        match output.write_all(&line(&event)?).and_then(|()| output.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
            result => result.map_err(|error| Failed::output(&error))?,
        }
    }
    Ok(())
}

fn line(event: &Event) -> anyhow::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    Ok(line)
}

/// Whether a process has the other end of a pipe open.
fn is_read(output: &impl std::os::fd::AsFd) -> bool {
    let mut output = [PollFd::new(output, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut output, Some(&now)).is_err() || !output.iter().any(|output| output.revents().contains(PollFlags::ERR))
}

/// Takes SIGINT and SIGTERM from now on; the answer says whether one has come.
fn note_signals() -> anyhow::Result<Arc<AtomicBool>> {
    let why = "follow the events: cannot handle signals";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().context(why)?;
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        (signal(SignalKind::interrupt()).context(why)?, signal(SignalKind::terminate()).context(why)?)
    };
    let ended = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&ended);
    // `thread::spawn` panics if the system cannot start a thread.
    let thread = std::thread::Builder::new().spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        noted.store(true, Ordering::Relaxed);
    });
    thread.context(why)?;
    Ok(ended)
}

/// Record an event of a container, as shims do
#[derive(Args)]
#[command(
    after_help = "Reads the event from standard input: a google.protobuf.Any of at most 64 KiB. Shims run this command\n\
    when a process exits; no other caller needs it.\n\n\
    Example:\n  dunnage publish --topic /tasks/exit --namespace default < event"
)]
pub(super) struct Publish {
    /// Topic of the event, such as /tasks/exit
    #[arg(long)]
    topic: String,
}

impl Publish {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        confine(global, &Profile::RECORDING);
        let mut event = Vec::new();
        // One byte more than is taken, so that a larger one is noticed.
        let mut input = std::io::stdin().lock().take(MAX_EVENT_SIZE as u64 + 1);
        input.read_to_end(&mut event).context("publish an event: publish-event: cannot read standard input")?;
        Ok(dunnage::events::publish(&global.state, &self.topic, &global.namespace, &event)?)
    }
}
