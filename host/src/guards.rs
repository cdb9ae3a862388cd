//! Guards: components that allow or deny what is about to run.
//!
//! A [`Dunnage`] that was set up with guards ([`Builder::guards`](crate::Builder::guards)) asks them before
//! it makes a bundle; whoever starts processes or changes limits through it asks with [`Dunnage::admit`].
//! One that denies, fails or cannot be loaded denies. Without guards everything is allowed.

use std::sync::{Arc, Mutex, PoisonError};

use dunnage_core::{BundleId, Limits, Result, Spec};
pub use dunnage_core::{Denial, GuardMetadata, Operation, ReviewRequest, Verdict};
use dunnage_guards::Guards;
pub use dunnage_guards::{
    Answer, Decision, DecisionLog, GuardConfig, GuardReport, GuardSource, LoggedDecision, Mode, Review,
};

use crate::Dunnage;
use crate::manager::during;

/// What starts containers here.
const ENGINE: &str = "dunnage";

/// The guards of a bundle manager, loaded when they are needed.
pub(crate) struct Reviewer {
    pub(crate) configs: Vec<GuardConfig>,
    pub(crate) limits: Limits,
    pub(crate) is_pooled: bool,
    guards: Mutex<Option<Arc<Guards>>>,
}

impl Reviewer {
    pub(crate) fn new(configs: Vec<GuardConfig>, limits: Limits, is_pooled: bool) -> Self {
        Self { configs, limits, is_pooled, guards: Mutex::new(None) }
    }

    /// What could not be loaded is tried again the next time: the reason may be gone.
    fn guards(&self) -> Result<Arc<Guards>> {
        let mut loaded = self.guards.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(guards) = &*loaded {
            return Ok(Arc::clone(guards));
        }
        let guards = Arc::new(Guards::load(&self.configs, &self.limits, self.is_pooled)?);
        if !guards.are_incomplete() {
            *loaded = Some(Arc::clone(&guards));
        }
        Ok(guards)
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

    /// Asks all guards, records the decision, and fails if it must not be done. Warnings are logged. What
    /// cannot be recorded must not be done either.
    ///
    /// # Errors
    ///
    /// [`Denied`](crate::ErrorKind::Denied) with the guard, its rule and its reason;
    /// [`GuardRejected`](crate::ErrorKind::GuardRejected) and [`GuardFailed`](crate::ErrorKind::GuardFailed) if a
    /// guard cannot be asked; [`InvalidIdentifier`](crate::ErrorKind::InvalidIdentifier).
    pub fn admit(&self, request: &ReviewRequest) -> Result<()> {
        if self.1.configs.is_empty() {
            return Ok(());
        }
        let id = &request.container;
        let operation = || format!("{} {id}", request.operation.as_str());
        self.0.policy.check_identifiers(id).map_err(during(operation))?;
        let review = self.review(request)?;
        let recorded = DecisionLog::new(self.0.layout.state.path()).record(id, &review);
        for note in review.notes() {
            tracing::warn!("{id}: {note}");
        }
        // A denial says more than that it could not be recorded.
        review.into_result().and(recorded).map_err(during(operation))
    }

    /// The same about a container that is made from a spec, or made again.
    ///
    /// # Errors
    ///
    /// As for [`Dunnage::admit`].
    pub fn admit_create(&self, id: &BundleId, spec: &Spec) -> Result<()> {
        let mut request = ReviewRequest::new(Operation::Create, id.clone(), spec.clone());
        request.engine = Some(ENGINE.to_owned());
        self.admit(&request)
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
