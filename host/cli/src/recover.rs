//! `recover`: remove what crashes and reboots have left.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use dunnage::{Fate, Finding, Leftover, RecoverOptions, Recovery};
use serde::Serialize;

use super::confine::{Profile, confine_beside_broker};
use super::failure::Failed;
use super::options::Global;
use super::output::columns;
use super::progress::Progress;

/// Remove what crashes and reboots left behind
#[derive(Args)]
#[command(
    after_help = "This is safe at any time. It only acts if the state and the root directory belong together, and it only\nremoves what no process is working on and what is certainly no longer in use. The exit code is 1 if\nsomething stays undecided.\n\nExample:\n  dunnage recover --dry-run\n  dunnage recover -o json"
)]
pub(super) struct Recover {
    /// Only report what would be done
    #[arg(long)]
    dry_run: bool,
    /// Also remove what deletions by containerd's runtime v1 left behind (.ID)
    #[arg(long)]
    adopt_v1: bool,
    /// Time limit in seconds
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
}

#[derive(Serialize)]
struct RecoveryReport {
    dry_run: bool,
    looked_at: u64,
    /// How many of each kind, by their fate.
    counts: BTreeMap<&'static str, BTreeMap<&'static str, usize>>,
    findings: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    kind: &'static str,
    path: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    fate: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl From<Finding> for Item {
    fn from(finding: Finding) -> Self {
        Self {
            kind: finding.leftover.as_str(),
            path: finding.path,
            namespace: finding.id.as_ref().map(|id| id.namespace().to_owned()),
            id: finding.id.as_ref().map(|id| id.id().to_owned()),
            fate: finding.fate.as_str(),
            why: finding.why,
        }
    }
}

impl Recover {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let progress = Arc::new(Progress::new("recover", "entries checked"));
        let broker = confine_beside_broker(global, &Profile::CYCLING)?;
        let dunnage = global.dunnage_for_many(broker.as_ref(), 8)?;
        let mut options = RecoverOptions::default();
        options.dry_run = self.dry_run;
        options.adopt_v1 = self.adopt_v1;
        options.timeout = Duration::from_secs(self.timeout);
        let shown = Arc::clone(&progress);
        options.progress = Some(Arc::new(move |count| shown.show(count)));
        let recovery = dunnage.recover(&options);
        progress.clear();
        let recovery = recovery?;
        let undecided = recovery.is_undecided();
        global.output.print(&RecoveryReport::of(self.dry_run, recovery), RecoveryReport::table)?;
        if undecided { Err(Failed::reported(1).into()) } else { Ok(()) }
    }
}

impl RecoveryReport {
    fn of(dry_run: bool, recovery: Recovery) -> Self {
        let mut counts = BTreeMap::new();
        for leftover in Leftover::ALL {
            let fates = [Fate::Removed, Fate::WouldRemove, Fate::Kept, Fate::Undecided];
            let of_kind = fates.map(|fate| (fate.as_str(), recovery.count(leftover, fate)));
            counts.insert(leftover.as_str(), of_kind.into_iter().collect());
        }
        let looked_at = recovery.looked_at;
        Self { dry_run, looked_at, counts, findings: recovery.findings.into_iter().map(Item::from).collect() }
    }

    fn table(&self) -> String {
        if self.findings.is_empty() {
            return "nothing to recover\n".to_owned();
        }
        let rows: Vec<_> = self
            .findings
            .iter()
            .map(|item| {
                let why = item.why.clone().unwrap_or_default();
                [item.kind.to_owned(), item.fate.to_owned(), item.path.display().to_string(), why]
            })
            .collect();
        columns(["KIND", "FATE", "PATH", "WHY"], &rows)
    }
}
