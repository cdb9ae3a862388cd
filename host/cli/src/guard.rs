//! `guard` and `config`.

mod check;
mod test;

use std::path::Path;

use clap::{Args, Subcommand};
use dunnage::guards::{GuardConfig, GuardReport};
use dunnage::{Dunnage, ErrorKind, Step};
use serde::Serialize;

use self::check::Check;
use self::test::Test;
use super::confine::{Profile, confine};
use super::failure::Failed;
use super::options::Global;
use super::output::pairs;

/// Guards: components that allow or deny what is about to run
#[derive(Subcommand)]
pub(super) enum GuardCommand {
    /// List the guards that are asked, and the one that is shipped
    #[command(after_help = "Example:\n  dunnage guard list")]
    List,
    /// Show what a guard is
    #[command(after_help = "Example:\n  dunnage guard inspect baseline -o json")]
    Inspect(Name),
    /// Check that guards can be asked: digest, world, settings
    #[command(after_help = "Without a name, all guards of the settings file.\n\nExample:\n  dunnage guard verify")]
    Verify(Names),
    Check(Check),
    Test(Test),
}

/// Settings
#[derive(Subcommand)]
pub(super) enum ConfigCommand {
    /// Check the settings file, and that its guards can be asked
    #[command(after_help = "Example:\n  dunnage config check --config dunnage.toml")]
    Check,
}

#[derive(Args)]
pub(super) struct Name {
    /// Name of the guard
    name: String,
}

#[derive(Args)]
pub(super) struct Names {
    /// Names of guards
    names: Vec<String>,
}

#[derive(Serialize)]
struct Shown {
    name: String,
    source: &'static str,
    mode: &'static str,
    /// Whether it is asked.
    configured: bool,
    digest: Option<String>,
    version: Option<String>,
    operations: Vec<&'static str>,
    reads: Vec<String>,
    settings: serde_json::Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct Checked<'a> {
    file: Option<&'a Path>,
    guards: Vec<String>,
}

impl GuardCommand {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        match self {
            Self::List => {
                let shown = all(global)?;
                let headings = ["NAME", "SOURCE", "MODE", "ASKED", "DIGEST", "ERROR"];
                Ok(global.output.print_each(|| shown.iter(), headings, |shown| shown.row())?)
            }
            Self::Inspect(Name { name }) => {
                let shown = all(global)?.into_iter().find(|shown| shown.name == name).ok_or_else(|| unknown(&name))?;
                Ok(global.output.show(&shown, Shown::table)?)
            }
            Self::Verify(Names { names }) => {
                let names = verify(global, &names)?;
                Ok(global.output.print(&names, |names| names.join("\n"))?)
            }
            Self::Check(command) => command.run(global),
            Self::Test(command) => command.run(global),
        }
    }
}

impl ConfigCommand {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let Self::Check = self;
        let guards = verify(global, &[])?;
        let checked = Checked { file: global.settings.file.as_deref(), guards };
        let file = checked.file.map_or("there is no settings file".to_owned(), |file| file.display().to_string());
        Ok(global.output.print(&checked, |checked| format!("{file}: {} guards", checked.guards.len()))?)
    }
}

fn unknown(name: &str) -> anyhow::Error {
    Failed::of(&format!("guard {name}"), ErrorKind::NotFound, Step::LoadGuard, "there is no such guard").into()
}

/// The guards that are asked, and the one that is shipped.
fn known(global: &Global) -> Vec<(GuardConfig, bool)> {
    let mut known: Vec<_> = global.settings.guards.iter().map(|config| (config.clone(), true)).collect();
    let shipped = GuardConfig::shipped();
    if known.iter().all(|(config, _)| config.name != shipped.name) {
        known.push((shipped, false));
    }
    known
}

/// A bundle manager with these guards, in a process that can touch nothing any more.
fn asking(global: &Global, guards: Vec<GuardConfig>) -> anyhow::Result<Dunnage> {
    confine(global, &Profile::NOTHING);
    global.dunnage_with_guards(guards)
}

fn all(global: &Global) -> anyhow::Result<Vec<Shown>> {
    let (configs, asked): (Vec<_>, Vec<_>) = known(global).into_iter().unzip();
    let reports = asking(global, configs)?.guards()?;
    Ok(reports.into_iter().zip(asked).map(|(report, configured)| Shown::of(report, configured)).collect())
}

/// Checks guards, by their names or all that are asked, and returns their names.
fn verify(global: &Global, names: &[String]) -> anyhow::Result<Vec<String>> {
    let known = known(global);
    if let Some(name) = names.iter().find(|name| known.iter().all(|(config, _)| config.name != **name)) {
        return Err(unknown(name));
    }
    let wanted = |config: &GuardConfig, asked| if names.is_empty() { asked } else { names.contains(&config.name) };
    let configs: Vec<_> = known.into_iter().filter(|(config, asked)| wanted(config, *asked)).collect();
    let configs: Vec<_> = configs.into_iter().map(|(config, _)| config).collect();
    let mut verified = Vec::new();
    for report in asking(global, configs)?.guards()? {
        report.guard?;
        verified.push(report.config.name);
    }
    Ok(verified)
}

impl Shown {
    fn of(report: GuardReport, configured: bool) -> Self {
        let GuardConfig { name, mode, settings, .. } = report.config;
        let (digest, metadata, error) = match report.guard {
            Ok((digest, metadata)) => (Some(digest), Some(metadata), None),
            Err(error) => (None, None, Some(error.message().to_owned())),
        };
        Self {
            name,
            source: "built in",
            mode: mode.as_str(),
            configured,
            digest,
            version: metadata.as_ref().map(|metadata| metadata.version.clone()),
            operations: metadata
                .iter()
                .flat_map(|metadata| metadata.operations.iter().map(|operation| operation.as_str()))
                .collect(),
            reads: metadata.map(|metadata| metadata.reads).unwrap_or_default(),
            settings: serde_json::from_str(&settings).unwrap_or_default(),
            error,
        }
    }

    fn row(&self) -> [String; 6] {
        [
            self.name.clone(),
            self.source.to_owned(),
            self.mode.to_owned(),
            if self.configured { "yes" } else { "no" }.to_owned(),
            self.digest.clone().unwrap_or_default(),
            self.error.clone().unwrap_or_default(),
        ]
    }

    fn table(&self) -> String {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let mut rows = vec![
            ("name", self.name.clone()),
            ("source", self.source.to_owned()),
            ("version", text(&self.version)),
            ("digest", text(&self.digest)),
            ("mode", self.mode.to_owned()),
            ("asked", if self.configured { "yes" } else { "no" }.to_owned()),
            ("operations", self.operations.join(", ")),
            ("reads", self.reads.join(", ")),
            ("settings", self.settings.to_string()),
        ];
        if let Some(error) = &self.error {
            rows.push(("error", error.clone()));
        }
        pairs(&rows)
    }
}
