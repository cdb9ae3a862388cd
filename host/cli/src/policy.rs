//! `policy inspect`, `policy verify`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use dunnage::{BundleId, Dunnage, Limits, PolicyReport, PolicySource};
use serde::Serialize;

use super::confine::{Profile, confine_with_policy};
use super::failure::usage;
use super::options::Global;
use super::output::pairs;

/// Inspect and verify policies
#[derive(Subcommand)]
pub(super) enum PolicyCommand {
    Inspect(Inspect),
    Verify(Verify),
}

/// Show a policy, and how it is confined
#[derive(Args)]
#[command(after_help = "Example:\n  dunnage policy inspect")]
pub(super) struct Inspect {
    /// Policy component to inspect instead of the one in use
    file: Option<PathBuf>,
}

/// Check that a policy has the right digest, fits the WIT world and can be called
#[derive(Args)]
#[command(
    after_help = "Example:\n  dunnage policy verify\n  dunnage policy verify policy.wasm --policy-digest sha256:…"
)]
pub(super) struct Verify {
    /// Policy component to check instead of the one in use
    file: Option<PathBuf>,
}

impl PolicyCommand {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        match self {
            Self::Inspect(command) => {
                let file = command.file.as_deref().or(global.policy.as_deref());
                let process = confine_with_policy(global, &Profile::NOTHING, file);
                let source = match (&command.file, &global.policy_digest) {
                    (Some(path), None) => PolicySource::file_unchecked(path)?,
                    (file, _) => source(global, file.as_deref())?,
                };
                let dunnage = load(source)?;
                global.check_digest(&dunnage)?;
                show(global, &dunnage, &process, None)
            }
            Self::Verify(command) => {
                let file = command.file.as_deref().or(global.policy.as_deref());
                let process = confine_with_policy(global, &Profile::NOTHING, file);
                let source = source(global, command.file.as_deref())?;
                let dunnage = load(source)?;
                global.check_digest(&dunnage)?;
                // It starts within its limits, and it answers.
                dunnage.locate(&BundleId::new(dunnage::DEFAULT_NAMESPACE, "verify"))?;
                show(global, &dunnage, &process, Some(true))
            }
        }
    }
}

fn source(global: &Global, file: Option<&Path>) -> anyhow::Result<PolicySource> {
    match (file, &global.policy_digest) {
        (None, _) => Ok(global.policy_source()?.unwrap_or_default()),
        (Some(path), Some(digest)) => Ok(PolicySource::File { path: path.to_owned(), digest: digest.clone() }),
        (Some(_), None) => Err(usage("verifying a file needs --policy-digest sha256:HEX")),
    }
}

fn load(source: PolicySource) -> anyhow::Result<Dunnage> {
    Ok(Dunnage::builder().policy(source).build()?)
}

#[derive(Serialize)]
struct Shown {
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<bool>,
    source: String,
    digest: String,
    compiled_digest: String,
    world: &'static str,
    imports: Vec<String>,
    exports: Vec<String>,
    compiled_for: &'static str,
    limits: ShownLimits,
    confinement: Vec<String>,
}

#[derive(Serialize)]
struct ShownLimits {
    spec_bytes: u64,
    time_ms: u128,
    memory_bytes: usize,
    table_elements: usize,
    host_call_bytes: u64,
    handles: usize,
    steps: u32,
    concurrent_calls: u32,
}

impl From<&Limits> for ShownLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            spec_bytes: limits.spec_size,
            time_ms: limits.time.as_millis(),
            memory_bytes: limits.memory,
            table_elements: limits.table_elements,
            host_call_bytes: limits.host_call_bytes,
            handles: limits.handles,
            steps: limits.steps,
            concurrent_calls: limits.concurrent_calls,
        }
    }
}

fn show(global: &Global, dunnage: &Dunnage, process: &str, verified: Option<bool>) -> anyhow::Result<()> {
    let PolicyReport { source, digest, compiled_digest, world, imports, exports, compiled_for, limits, .. } =
        dunnage.policy();
    let shown = Shown {
        verified,
        source: match source {
            PolicySource::File { path, .. } => path.display().to_string(),
            PolicySource::Shipped | _ => "built in".to_owned(),
        },
        digest,
        compiled_digest,
        world,
        imports,
        exports,
        compiled_for,
        limits: ShownLimits::from(&limits),
        confinement: vec![
            "policy: a separate WebAssembly instance for every call".to_owned(),
            process.to_owned(),
            "not confined: bench run, shims and their monitors".to_owned(),
        ],
    };
    Ok(global.output.show(&shown, table)?)
}

fn table(shown: &Shown) -> String {
    let limits = &shown.limits;
    let mut rows = vec![
        ("source", shown.source.clone()),
        ("digest", shown.digest.clone()),
        ("compiled digest", shown.compiled_digest.clone()),
        ("world", shown.world.to_owned()),
        ("imports", shown.imports.join(", ")),
        ("exports", shown.exports.join(", ")),
        ("compiled for", shown.compiled_for.to_owned()),
        ("spec limit", format!("{} bytes", limits.spec_bytes)),
        ("time limit", format!("{} ms", limits.time_ms)),
        ("memory limit", format!("{} bytes", limits.memory_bytes)),
        ("table limit", format!("{} elements", limits.table_elements)),
        (
            "host-call limit",
            format!("{} bytes, {} steps, {} handles", limits.host_call_bytes, limits.steps, limits.handles),
        ),
        ("concurrent calls", limits.concurrent_calls.to_string()),
        ("confinement", shown.confinement.join("; ")),
    ];
    if let Some(verified) = shown.verified {
        rows.push(("verified", if verified { "yes" } else { "no" }.to_owned()));
    }
    pairs(&rows)
}
