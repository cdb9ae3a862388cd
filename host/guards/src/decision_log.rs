//! The record of what guards have decided.

use std::path::Path;
use std::time::{Duration, SystemTime};

use dunnage_core::{BundleId, Error, ErrorKind, Result, Step, names};
use dunnage_store::{BaseDir, LineLog, LineStream};
use serde::{Deserialize, Serialize};

use crate::{Decision, Review};

/// How large a file of it may become, in bytes.
const MAX_SIZE: u64 = 4 << 20;

/// A line of the log. Of what was asked about it holds the digest, and what a guard names in its reason;
/// environments hold secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LoggedDecision {
    /// When, in RFC 3339.
    pub time: String,
    /// What was about to be done.
    pub operation: String,
    /// The namespace of the container.
    pub namespace: String,
    /// The id of the container.
    pub id: String,
    /// The digest of what was asked about.
    pub digest: String,
    /// `allowed`, `denied` or `failed`.
    pub verdict: String,
    /// The guard that has not allowed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<String>,
    /// Its rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What all guards took, in microseconds.
    pub micros: u64,
    /// What guards that are only audited would not have allowed, and the warnings of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The decisions on record below a state directory.
#[derive(Debug)]
pub struct DecisionLog(LineLog);

impl DecisionLog {
    /// The log below a state directory. Touches nothing yet.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        let base = BaseDir::new(state.to_owned(), Step::OpenState);
        Self(LineLog::new(base, names::DECISIONS, MAX_SIZE, Step::RecordDecision, Step::ReadDecisions))
    }

    /// Records what was decided about a container.
    ///
    /// # Errors
    ///
    /// If it cannot be written down.
    pub fn record(&self, container: &BundleId, review: &Review) -> Result<()> {
        let line = serde_json::to_vec(&LoggedDecision::of(container, review))
            .map_err(|error| Error::new(ErrorKind::Filesystem, Step::RecordDecision, error.to_string()))?;
        self.0.append_if(&line, || Ok(true))
    }

    /// All decisions on record, the oldest first.
    ///
    /// # Errors
    ///
    /// If the record cannot be read.
    pub fn read(&self) -> Result<Vec<LoggedDecision>> {
        self.0.read()
    }

    /// The decisions on record, and then those to come.
    #[must_use]
    pub fn follow(self) -> LineStream<LoggedDecision> {
        LineStream::new(self.0, "follow the decisions")
    }
}

impl LoggedDecision {
    /// When it was made.
    #[must_use]
    pub fn time(&self) -> Option<SystemTime> {
        self.time.parse::<jiff::Timestamp>().ok().map(SystemTime::from)
    }

    fn of(container: &BundleId, review: &Review) -> Self {
        let (verdict, answer, rule, reason) = match review.decision() {
            Decision::Allowed => ("allowed", None, None, None),
            Decision::Denied(answer, denial) => {
                ("denied", Some(answer), Some(&denial.rule), Some(denial.reason.clone()))
            }
            Decision::Failed(answer, error) => ("failed", Some(answer), None, Some(error.message().to_owned())),
        };
        let took: Duration = review.answers.iter().map(|answer| answer.took).sum();
        Self {
            time: jiff::Timestamp::try_from(review.time).map(|time| format!("{time:.6}")).unwrap_or_default(),
            operation: review.operation.as_str().to_owned(),
            namespace: container.namespace().to_owned(),
            id: container.id().to_owned(),
            digest: review.subject_digest.clone(),
            verdict: verdict.to_owned(),
            guard: answer.map(|answer| answer.guard.clone()),
            rule: rule.cloned(),
            reason,
            micros: took.as_micros().try_into().unwrap_or(u64::MAX),
            notes: review.notes().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use dunnage_core::{Limits, Operation, ReviewRequest, Spec};

    use super::*;
    use crate::{GuardConfig, Guards};

    #[test]
    fn decisions_are_kept_and_hold_no_secrets() {
        let scratch = tempfile::tempdir().unwrap();
        let state = scratch.path().join("state");
        let guards = Guards::load(&[GuardConfig::shipped()], &Limits::default(), false).unwrap();
        let id = BundleId::new("default", "web");
        let spec = r#"{"process":{"env":["PASSWORD=hunter2"]},"linux":{"namespaces":[]}}"#;
        let request = ReviewRequest::new(Operation::Create, id.clone(), Spec::new(spec.as_bytes()));
        DecisionLog::new(&state).record(&id, &guards.review(&request)).unwrap();
        let kept = DecisionLog::new(&state).read().unwrap();
        let [decision] = &*kept else { panic!("{kept:?}") };
        assert_eq!((&*decision.verdict, decision.rule.as_deref()), ("denied", Some("host-namespaces")));
        assert!(decision.digest.starts_with("sha256:") && decision.time.ends_with('Z'), "{decision:?}");
        let text = std::fs::read_to_string(state.join(".dunnage/decisions/log")).unwrap();
        assert!(!text.contains("hunter2") && text.ends_with("}\n"), "{text}");
    }
}
