//! `decisions`.

use std::time::SystemTime;

use clap::Args;
use dunnage::guards::{LoggedDecision, decisions};

use super::confine::{Profile, confine};
use super::lines::{follow, print};
use super::options::Global;
use super::times::since;

/// Show what guards have decided, as JSON lines
#[derive(Args)]
#[command(after_help = "The latest eight mebibytes are kept. Of what was asked about only the digest is.\n\n\
    Example:\n  dunnage decisions --denied --since 1h\n  dunnage decisions --follow -A")]
pub(super) struct Decisions {
    /// Keep showing new decisions until SIGINT or SIGTERM, or until the reader of the output is gone
    #[arg(short, long)]
    follow: bool,
    /// Only what was not allowed
    #[arg(long)]
    denied: bool,
    /// Only what was decided since a time (2026-01-31T12:00:00Z) or in the last while (90s, 10m); without it,
    /// --follow starts now
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<SystemTime>,
    /// Show the decisions about all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
}

impl Decisions {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        confine(global, if self.follow { &Profile::FOLLOWING } else { &Profile::READING });
        let wanted = |decision: &LoggedDecision| {
            (self.all_namespaces || decision.namespace == global.namespace)
                && (!self.denied || decision.verdict != "allowed")
                && self.since.is_none_or(|since| decision.time().is_some_and(|time| time >= since))
        };
        let log = decisions(&global.state)?;
        if self.follow {
            let stream = log.follow();
            return follow(if self.since.is_some() { stream } else { stream.from_now()? }, wanted);
        }
        print(&log.read()?, wanted)
    }
}
