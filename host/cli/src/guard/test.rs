//! `guard test`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use dunnage::guards::{Operation, ReviewRequest};
use dunnage::{Dunnage, ErrorKind, Spec, Step};
use serde::Serialize;

use super::check::Verdict;
use super::{Global, asking, known, unknown};
use crate::failure::Failed;
use crate::output::columns;

/// The file with the expected verdicts.
const EXPECTED: &str = "expected";

/// Ask a guard about a directory of specs, and compare
#[derive(Args)]
#[command(
    after_help = "The directory has a file `expected` with a line for each case: FILE allow, or FILE deny RULE [POINTER]; before\n\
    FILE may stand exec, update or restore, and # begins a comment. The exit code is 1 if a verdict is another.\n\n\
    Example:\n  echo 'config.json deny capabilities' > cases/expected\n  dunnage guard test baseline --cases cases"
)]
pub(crate) struct Test {
    /// Name of the guard
    guard: String,
    /// Directory of specs
    #[arg(long, value_name = "DIR")]
    cases: PathBuf,
}

/// What is expected of a file.
struct Case {
    operation: Operation,
    file: String,
    spec: Spec,
    expected: String,
}

#[derive(Serialize)]
struct Report {
    cases: usize,
    different: Vec<Difference>,
}

#[derive(Serialize)]
struct Difference {
    file: String,
    expected: String,
    found: String,
}

impl Test {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<()> {
        let known = known(global).into_iter().find(|(config, _)| config.name == self.guard);
        let (config, _) = known.ok_or_else(|| unknown(&self.guard))?;
        let cases = read(global, &self.cases)?;
        let dunnage = asking(global, vec![config])?;
        let mut different = Vec::new();
        for case in &cases {
            let found = case.ask(global, &dunnage)?;
            if found != case.expected && !found.starts_with(&format!("{} ", case.expected)) {
                different.push(Difference { file: case.file.clone(), expected: case.expected.clone(), found });
            }
        }
        let report = Report { cases: cases.len(), different };
        global.output.print(&report, Report::table)?;
        if report.different.is_empty() { Ok(()) } else { Err(Failed::reported(1).into()) }
    }
}

/// Reads all cases, before this process gives up the right to.
fn read(global: &Global, directory: &Path) -> anyhow::Result<Vec<Case>> {
    let file = directory.join(EXPECTED);
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("guard test: configure: cannot read {}", file.display()))?;
    let lines =
        (1..).zip(text.lines()).map(|(number, line)| (number, line.split('#').next().unwrap_or_default().trim()));
    lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| {
            let wrong = || {
                let message =
                    format!("{}, line {number}: {line:?} is not FILE allow, or FILE deny RULE", file.display());
                Failed::of("guard test", ErrorKind::InvalidConfig, Step::Configure, message)
            };
            let mut words: Vec<_> = line.split_whitespace().collect();
            let operation =
                words.first().and_then(|word| Operation::ALL.into_iter().find(|operation| operation.as_str() == *word));
            if operation.is_some() {
                words.remove(0);
            }
            let (name, expected) = words.split_first().ok_or_else(wrong)?;
            if !matches!(expected, ["allow"] | ["deny", _] | ["deny", _, _]) {
                return Err(wrong().into());
            }
            let spec = global.open_spec(&directory.join(name)).and_then(|spec| spec.read());
            Ok(Case {
                operation: operation.unwrap_or(Operation::Create),
                file: (*name).to_owned(),
                spec: spec.map_err(|error| error.with_operation("guard test"))?,
                expected: expected.join(" "),
            })
        })
        .collect()
}

impl Case {
    fn ask(&self, global: &Global, dunnage: &Dunnage) -> anyhow::Result<String> {
        let request = ReviewRequest::new(self.operation, global.id("test"), self.spec.clone());
        let verdict = Verdict::of(&dunnage.review(&request)?)?;
        let words = [Some(verdict.verdict.to_owned()), verdict.rule, verdict.pointer];
        Ok(words.into_iter().flatten().collect::<Vec<_>>().join(" "))
    }
}

impl Report {
    fn table(&self) -> String {
        if self.different.is_empty() {
            return format!("{} cases, all as expected", self.cases);
        }
        let rows: Vec<_> = self
            .different
            .iter()
            .map(|different| [different.file.clone(), different.expected.clone(), different.found.clone()])
            .collect();
        columns(["FILE", "EXPECTED", "FOUND"], &rows)
    }
}
