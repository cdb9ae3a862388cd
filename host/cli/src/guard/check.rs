//! `guard check`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use dunnage::guards::{Decision, GuardConfig, Operation, Review, ReviewRequest};
use serde::Serialize;

use super::{Global, asking, known, unknown};
use crate::failure::Failed;

/// Ask guards about a spec, and change nothing
#[derive(Args)]
#[command(
    after_help = "Asks all guards of the settings file, or the built-in one if there is none. The exit code is 0 if they\n\
    allow it, 8 if one denies it, 7 if one fails. With a process (exec) or limits (update) the spec of the container\n\
    can be given too.\n\n\
    Example:\n  dunnage guard check --spec config.json\n  dunnage guard check --spec process.json --operation exec --guard baseline"
)]
pub(crate) struct Check {
    /// OCI runtime spec, process or limits, as JSON; `-` for standard input
    #[arg(long, value_name = "FILE")]
    spec: PathBuf,
    /// What is about to be done
    #[arg(long, value_enum, default_value_t = Wanted::Create)]
    operation: Wanted,
    /// Ask this guard alone
    #[arg(long, value_name = "NAME")]
    guard: Option<String>,
    /// Settings to ask it with, as JSON, in the place of those in the settings file
    #[arg(long, value_name = "FILE", requires = "guard")]
    settings: Option<PathBuf>,
    /// The spec of the container that an exec or an update is about
    #[arg(long, value_name = "FILE")]
    container_spec: Option<PathBuf>,
    /// The id of the container
    #[arg(long, value_name = "ID", default_value = "check")]
    id: String,
    /// What starts containers here, such as containerd
    #[arg(long, value_name = "NAME")]
    engine: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wanted {
    /// A container is made
    Create,
    /// A further process is started
    Exec,
    /// Limits are changed
    Update,
    /// A container is made from a checkpoint
    Restore,
}

impl From<Wanted> for Operation {
    fn from(wanted: Wanted) -> Self {
        match wanted {
            Wanted::Create => Self::Create,
            Wanted::Exec => Self::Exec,
            Wanted::Update => Self::Update,
            Wanted::Restore => Self::Restore,
        }
    }
}

/// What guards have said.
#[derive(Serialize)]
pub(super) struct Verdict {
    pub(super) verdict: &'static str,
    pub(super) guard: Option<String>,
    pub(super) rule: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) pointer: Option<String>,
    pub(super) warnings: Vec<String>,
}

impl Check {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<()> {
        let settings = match &self.settings {
            Some(file) => Some(
                std::fs::read_to_string(file)
                    .with_context(|| format!("guard check: configure: cannot read {}", file.display()))?,
            ),
            None => None,
        };
        let guards = chosen(global, self.guard.as_deref(), settings)?;
        let during = |error: dunnage::Error| error.with_operation("guard check");
        let spec = global.open_spec(&self.spec).map_err(during)?;
        let container_spec = self.container_spec.as_deref().map(|file| global.open_spec(file)).transpose();
        let container_spec = container_spec.map_err(during)?;
        let dunnage = asking(global, guards)?;
        let spec = spec.read().map_err(during)?;
        let mut request = ReviewRequest::new(self.operation.into(), global.id(&self.id), spec);
        request.container_spec = container_spec.map(|spec| spec.read()).transpose().map_err(during)?;
        request.engine = self.engine;
        let review = dunnage.review(&request)?;
        let verdict = Verdict::of(&review)?;
        let code = if verdict.verdict == "deny" { 8 } else { 0 };
        global.output.print(&verdict, Verdict::table)?;
        if code == 0 { Ok(()) } else { Err(Failed::reported(code).into()) }
    }
}

/// The guards to ask.
fn chosen(global: &Global, name: Option<&str>, settings: Option<String>) -> anyhow::Result<Vec<GuardConfig>> {
    let mut known = known(global);
    let Some(name) = name else {
        let is_any_asked = known.iter().any(|(_, asked)| *asked);
        return Ok(known.into_iter().filter(|(_, asked)| *asked || !is_any_asked).map(|(config, _)| config).collect());
    };
    known.retain(|(config, _)| config.name == name);
    let (mut config, _) = known.pop().ok_or_else(|| unknown(name))?;
    config.mode = dunnage::guards::Mode::Enforce;
    if let Some(settings) = settings {
        config.settings = settings;
    }
    Ok(vec![config])
}

impl Verdict {
    /// Fails if a guard has failed.
    pub(super) fn of(review: &Review) -> dunnage::Result<Self> {
        let warnings = review.notes().collect();
        let allowed = Self { verdict: "allow", guard: None, rule: None, reason: None, pointer: None, warnings };
        match review.decision() {
            Decision::Allowed => Ok(allowed),
            Decision::Denied(answer, denial) => Ok(Self {
                verdict: "deny",
                guard: Some(answer.guard.clone()),
                rule: Some(denial.rule.clone()),
                reason: Some(denial.reason.clone()),
                pointer: denial.pointer.clone(),
                ..allowed
            }),
            Decision::Failed(_, error) => Err(error.clone().with_operation("guard check")),
        }
    }

    fn table(&self) -> String {
        let mut lines = vec![match (&self.guard, &self.rule, &self.reason) {
            (Some(guard), Some(rule), Some(reason)) => {
                let place = self.pointer.as_ref().map(|pointer| format!(" at {pointer}")).unwrap_or_default();
                format!("denied by {guard}, rule {rule}{place}: {reason}")
            }
            _ => "allowed".to_owned(),
        }];
        lines.extend(self.warnings.iter().map(|warning| format!("warning: {warning}")));
        lines.join("\n")
    }
}
