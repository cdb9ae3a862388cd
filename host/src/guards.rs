//! Guards: components that allow or deny what is about to run.
//!
//! A [`Dunnage`] that was set up with guards ([`Builder::guards`](crate::Builder::guards)) asks them before
//! it makes a bundle; whoever starts processes or changes limits through it asks with [`Dunnage::admit`].
//! One that denies, fails or cannot be loaded denies. Without guards everything is allowed.

use std::sync::OnceLock;

#[cfg(feature = "shim")]
use dunnage_core::{BundleId, Spec};
pub use dunnage_core::{Denial, GuardMetadata, Operation, ReviewRequest, Verdict};
use dunnage_core::{Limits, Result};
use dunnage_guards::Guards;
pub use dunnage_guards::{
    Answer, Decision, DecisionLog, GuardConfig, GuardReport, GuardSource, LoggedDecision, Mode, Review,
};

use crate::Dunnage;
use crate::manager::during;

/// What starts containers here.
pub(crate) const ENGINE: &str = "dunnage";

/// The guards of a bundle manager, loaded when they are needed.
pub(crate) struct Reviewer {
    pub(crate) configs: Vec<GuardConfig>,
    pub(crate) limits: Limits,
    pub(crate) is_pooled: bool,
    guards: OnceLock<Result<Guards>>,
}

impl Reviewer {
    pub(crate) fn new(configs: Vec<GuardConfig>, limits: Limits, is_pooled: bool) -> Self {
        Self { configs, limits, is_pooled, guards: OnceLock::new() }
    }

    fn guards(&self) -> Result<&Guards> {
        let guards = self.guards.get_or_init(|| Guards::load(&self.configs, &self.limits, self.is_pooled));
        guards.as_ref().map_err(Clone::clone)
    }
}

/// The decisions on record below a state directory: what was asked, and which guard denied it.
///
/// # Errors
///
/// If the state directory has no valid path.
pub fn decisions(state: &std::path::Path) -> Result<DecisionLog> {
    dunnage_core::check_directory(state)?;
    Ok(DecisionLog::new(state))
}

impl Dunnage {
    /// What each guard is, or what keeps it from being asked.
    ///
    /// # Errors
    ///
    /// If two have the same name.
    pub fn guards(&self) -> Result<Vec<GuardReport>> {
        Ok(self.1.guards()?.reports().collect())
    }

    /// Asks all guards, and says what each has said. Nothing follows from it, and nothing is recorded.
    ///
    /// # Errors
    ///
    /// If two guards have the same name. One that fails is part of the review.
    pub fn review(&self, request: &ReviewRequest) -> Result<Review> {
        let reviewed = self.1.guards().map(|guards| guards.review(request));
        reviewed.map_err(during(|| format!("review {} of {}", request.operation.as_str(), request.container)))
    }

    /// Asks all guards, records the decision, and fails if it must not be done. Warnings are logged.
    ///
    /// # Errors
    ///
    /// [`Denied`](crate::ErrorKind::Denied) with the guard, its rule and its reason;
    /// [`GuardRejected`](crate::ErrorKind::GuardRejected) and [`GuardFailed`](crate::ErrorKind::GuardFailed) if a
    /// guard cannot be asked.
    pub fn admit(&self, request: &ReviewRequest) -> Result<()> {
        if self.1.configs.is_empty() {
            return Ok(());
        }
        let review = self.review(request)?;
        let id = &request.container;
        if let Err(error) = DecisionLog::new(self.0.layout.state.path()).record(id, &review) {
            tracing::warn!(%error, "cannot record a decision about {id}");
        }
        for (guard, warning) in review.warnings() {
            tracing::warn!("{id}: the guard {guard:?} warns: {warning}");
        }
        review.into_result().map_err(during(|| format!("{} {id}", request.operation.as_str())))
    }

    /// The same about a process or limits of a container whose bundle is here, with its spec.
    ///
    /// # Errors
    ///
    /// As for [`Dunnage::admit`]; if there is no such bundle, or its spec cannot be read.
    #[cfg(feature = "shim")]
    pub fn admit_beside_spec(
        &self,
        operation: Operation,
        id: &BundleId,
        subject: Spec,
        exec_id: Option<&str>,
    ) -> Result<()> {
        if self.1.configs.is_empty() {
            return Ok(());
        }
        let mut request = ReviewRequest::new(operation, id.clone(), subject);
        request.container_spec = Some(self.spec_of(id)?);
        request.exec_id = exec_id.map(str::to_owned);
        request.engine = Some(ENGINE.to_owned());
        self.admit(&request)
    }
}
