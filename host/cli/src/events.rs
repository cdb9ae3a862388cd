//! `events` and `publish`.

use std::io::Read as _;
use std::time::SystemTime;

use anyhow::Context as _;
use clap::Args;
use dunnage::events::{Event, MAX_EVENT_SIZE};

use super::confine::{Profile, confine};
use super::lines::{follow, print};
use super::options::Global;
use super::times::since;

/// Show the events of containers, such as the ends of their processes, as JSON lines
#[derive(Args)]
#[command(
    after_help = "Shows the recorded events of the namespace (option -n), oldest first. The latest mebibyte of events\n\
    is kept; older events are dropped sooner or later.\n\n\
    Keys: topic, namespace, container_id, id, pid, exit_status, time. An event of an unknown type has\n\
    its type, and null for what is unknown. Topics: /tasks/create, start, exec-added, exec-started, paused,\n\
    resumed, oom, exit, delete; a filter takes the last part alone.\n\n\
    Example:\n  dunnage events --follow -A\n  dunnage events --since 1h --filter topic=exit"
)]
pub(super) struct Events {
    /// Keep showing new events until SIGINT or SIGTERM, or until the reader of the output is gone
    #[arg(short, long)]
    follow: bool,
    /// Only what happened since a time (2026-01-31T12:00:00Z) or in the last while (90s, 10m); without it,
    /// --follow starts now
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<SystemTime>,
    /// Only events of which this holds, such as topic=exit or container_id=web-1; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = Filter::parse)]
    filter: Vec<Filter>,
    /// Show the events of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
}

impl Events {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        confine(global, if self.follow { &Profile::FOLLOWING } else { &Profile::READING });
        let wanted = |event: &Event| {
            (self.all_namespaces || event.namespace == global.namespace)
                && self.since.is_none_or(|since| event.time >= since)
                && self.filter.iter().all(|filter| filter.holds(event))
        };
        if self.follow {
            let events = dunnage::events::follow(&global.state)?;
            return follow(if self.since.is_some() { events } else { events.from_now()? }, wanted);
        }
        print(&dunnage::events::read(&global.state)?, wanted)
    }
}

/// What an event must be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Filter {
    key: &'static str,
    value: String,
}

impl Filter {
    const KEYS: [&str; 6] = ["topic", "namespace", "container_id", "id", "pid", "exit_status"];

    fn parse(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not KEY=VALUE"))?;
        let known = Self::KEYS.into_iter().find(|known| *known == key);
        let key = known.ok_or_else(|| format!("{key:?} is not a key; use one of {}", Self::KEYS.join(", ")))?;
        Ok(Self { key, value: value.to_owned() })
    }

    fn holds(&self, event: &Event) -> bool {
        let number = |number: Option<u32>| number.is_some_and(|number| number.to_string() == self.value);
        match self.key {
            "topic" => event.topic == self.value || event.topic.strip_prefix("/tasks/") == Some(&self.value),
            "namespace" => event.namespace == self.value,
            "container_id" => event.container_id.as_deref() == Some(&self.value),
            "id" => event.id.as_deref() == Some(&self.value),
            "pid" => number(event.pid),
            _ => number(event.exit_status),
        }
    }
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
