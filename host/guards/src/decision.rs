//! What guards have said of something.

use std::time::{Duration, SystemTime};

use dunnage_core::{Denial, Error, ErrorKind, Operation, ReviewRequest, Step, Verdict};
use sha2::{Digest as _, Sha256};

use crate::Mode;

/// What one guard has said, or why it has not.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// Its name.
    pub guard: String,
    /// The digest of its component; empty if it could not be loaded.
    pub digest: String,
    /// What its answer is worth.
    pub mode: Mode,
    /// What it said.
    pub verdict: Result<Verdict, Error>,
    /// How long that took.
    pub took: Duration,
}

/// What all guards have said of something.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Review {
    /// What was about to be done.
    pub operation: Operation,
    /// When they were asked.
    pub time: SystemTime,
    /// The digest of what they were asked about, as `sha256:` and 64 hex digits.
    pub subject_digest: String,
    /// Their answers. All are asked, also after a denial: an operator wants to know all that is wrong.
    pub answers: Vec<Answer>,
}

/// What follows from it.
#[derive(Clone, Debug)]
pub enum Decision<'a> {
    /// It may be done.
    Allowed,
    /// A guard denies it.
    Denied(&'a Answer, &'a Denial),
    /// A guard has failed.
    Failed(&'a Answer, &'a Error),
}

impl Review {
    pub(crate) fn new(request: &ReviewRequest, answers: Vec<Answer>) -> Self {
        let digest: String =
            Sha256::digest(request.subject.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            operation: request.operation,
            time: SystemTime::now(),
            subject_digest: format!("sha256:{digest}"),
            answers,
        }
    }

    /// What follows: what the first guard says that does not allow it and whose answer counts.
    #[must_use]
    pub fn decision(&self) -> Decision<'_> {
        self.answers
            .iter()
            .filter(|answer| answer.mode == Mode::Enforce)
            .find_map(|answer| match &answer.verdict {
                Ok(Verdict::Allow(_)) => None,
                Ok(Verdict::Deny(denial)) => Some(Decision::Denied(answer, denial)),
                Err(error) => Some(Decision::Failed(answer, error)),
            })
            .unwrap_or(Decision::Allowed)
    }

    /// All warnings, each after the name of its guard.
    fn warnings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.answers.iter().flat_map(|answer| {
            let warnings = match &answer.verdict {
                Ok(Verdict::Allow(warnings)) => &**warnings,
                _ => &[],
            };
            warnings.iter().map(|warning| (&*answer.guard, &**warning))
        })
    }

    /// What does not count but should be known: what guards that are only audited would not have allowed, and
    /// all warnings. A sentence each.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        let audited = self.answers.iter().filter(|answer| answer.mode == Mode::Audit);
        let audited = audited.filter_map(|answer| match &answer.verdict {
            Ok(Verdict::Allow(_)) => None,
            Ok(Verdict::Deny(denial)) => {
                Some(format!("{} would deny it by its rule {}: {}", answer.guard, denial.rule, denial.reason))
            }
            Err(error) => Some(format!("{} has failed: {}", answer.guard, error.message())),
        });
        audited.chain(self.warnings().map(|(guard, warning)| format!("{guard} warns: {warning}")))
    }

    /// Nothing, if it may be done.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Denied`] with the guard, the rule and the reason, or why a guard has failed.
    pub fn into_result(self) -> Result<(), Error> {
        match self.decision() {
            Decision::Allowed => Ok(()),
            Decision::Denied(answer, denial) => {
                let place = denial.pointer.as_ref().map(|pointer| format!(" at {pointer}")).unwrap_or_default();
                let message = format!(
                    "the guard {:?} denies it by its rule {}{place}: {}",
                    answer.guard, denial.rule, denial.reason
                );
                Err(Error::new(ErrorKind::Denied, Step::Review, message))
            }
            Decision::Failed(_, error) => Err(error.clone()),
        }
    }
}
