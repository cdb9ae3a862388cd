//! Loading guards, and asking them.

use std::time::Instant;

use dunnage_core::{Error, ErrorKind, GuardMetadata, Limits, Operation, Result, ReviewRequest, Step};
use dunnage_sandbox::{Guard, GuardCode};

use crate::{Answer, GuardConfig, GuardSource, Review};

/// Guards that are ready to be asked, from many threads at once.
pub struct Guards {
    list: Vec<Loaded>,
}

/// What a guard is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GuardReport {
    /// How it is asked.
    pub config: GuardConfig,
    /// The digest of its component and what it says of itself, or what keeps it from being asked.
    pub guard: Result<(String, GuardMetadata)>,
}

struct Loaded {
    config: GuardConfig,
    /// What keeps it from being asked, if anything does.
    guard: Result<Ready>,
}

struct Ready {
    guard: Guard,
    /// What it is asked about.
    operations: Vec<Operation>,
}

impl Guards {
    /// Loads guards, and has each check its settings. One that cannot be loaded is not an error yet: what
    /// it would be asked about is denied. With `is_pooled` their instances come from pools, for whoever
    /// asks more than a few times.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`] if two have the same name, or one has none.
    pub fn load(configs: &[GuardConfig], limits: &Limits, is_pooled: bool) -> Result<Self> {
        for (index, config) in configs.iter().enumerate() {
            config.check_name()?;
            if configs.iter().take(index).any(|other| other.name == config.name) {
                let message = format!("two guards are called {:?}", config.name);
                return Err(Error::new(ErrorKind::InvalidConfig, Step::LoadGuard, message));
            }
        }
        let load =
            |config: &GuardConfig| Loaded { guard: Ready::load(config, limits, is_pooled), config: config.clone() };
        Ok(Self { list: configs.iter().map(load).collect() })
    }

    /// What each is, in order.
    pub fn reports(&self) -> impl Iterator<Item = GuardReport> {
        self.list.iter().map(|loaded| GuardReport {
            config: loaded.config.clone(),
            guard: match &loaded.guard {
                Ok(ready) => ready.guard.describe().map(|metadata| (ready.guard.digest().to_owned(), metadata)),
                Err(error) => Err(error.clone()),
            },
        })
    }

    /// Whether something keeps one of them from being asked.
    #[must_use]
    pub fn are_incomplete(&self) -> bool {
        self.list.iter().any(|loaded| loaded.guard.is_err())
    }

    /// Asks all guards that want to be asked about this operation.
    #[must_use]
    pub fn review(&self, request: &ReviewRequest) -> Review {
        let answers = self.list.iter().filter_map(|loaded| loaded.ask(request)).collect();
        Review::new(request, answers)
    }
}

impl Loaded {
    fn ask(&self, request: &ReviewRequest) -> Option<Answer> {
        let GuardConfig { name, settings, mode, .. } = &self.config;
        let start = Instant::now();
        let (digest, verdict) = match &self.guard {
            Ok(ready) if !ready.operations.contains(&request.operation) => return None,
            Ok(ready) => (ready.guard.digest().to_owned(), ready.guard.review(request, settings)),
            Err(error) => (String::new(), Err(error.clone())),
        };
        Some(Answer { guard: name.clone(), digest, mode: *mode, verdict, took: start.elapsed() })
    }
}

impl Ready {
    fn load(config: &GuardConfig, limits: &Limits, is_pooled: bool) -> Result<Self> {
        let GuardConfig { name, source, digest, settings, .. } = config;
        let (guard, operations) = match source {
            GuardSource::Shipped => {
                (Guard::load(name, GuardCode::Baseline, limits.clone(), is_pooled)?, Operation::ALL.to_vec())
            }
        };
        if let Some(wanted) = digest.as_ref().filter(|wanted| !wanted.eq_ignore_ascii_case(guard.digest())) {
            let message = format!("the guard {name:?} has the digest {}, not {wanted}", guard.digest());
            return Err(Error::new(ErrorKind::GuardRejected, Step::LoadGuard, message));
        }
        // The default needs no check, which would take another instance.
        if settings != "{}" {
            guard.check_settings(settings)?;
        }
        Ok(Self { guard, operations })
    }
}

#[cfg(test)]
mod tests {
    use dunnage_core::{BundleId, Spec, Verdict};

    use super::*;
    use crate::{Decision, Mode};

    const USUAL: &str = include_str!("../../../guest/baseline/src/tests/usual.json");

    fn review(configs: &[GuardConfig], spec: &str) -> Review {
        let id = BundleId::new("default", "web");
        let request = ReviewRequest::new(Operation::Create, id, Spec::new(spec.as_bytes()));
        Guards::load(configs, &Limits::default(), false).unwrap().review(&request)
    }

    #[test]
    fn one_denial_denies() {
        let strict = GuardConfig {
            name: "strict".into(),
            settings: r#"{"profile":"restricted"}"#.into(),
            ..GuardConfig::shipped()
        };
        let both = [GuardConfig::shipped(), strict.clone()];
        let denied = review(&both, USUAL);
        assert!(matches!(denied.answers[0].verdict, Ok(Verdict::Allow(_))));
        let Decision::Denied(answer, denial) = denied.decision() else { panic!("{denied:?}") };
        assert_eq!((&*answer.guard, &*denial.rule), ("strict", "seccomp"));
        let error = denied.into_result().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.to_string().contains("\"strict\" denies it by its rule seccomp at /linux: "), "{error}");
        // In audit mode it is only told.
        let audited = [GuardConfig { mode: Mode::Audit, ..strict }];
        let allowed = review(&audited, USUAL);
        assert!(matches!(allowed.answers[0].verdict, Ok(Verdict::Deny(_))));
        assert!(allowed.into_result().is_ok());
    }

    #[test]
    fn a_guard_that_cannot_be_asked_denies() {
        for wrong in [
            GuardConfig { digest: Some(format!("sha256:{:064}", 0)), ..GuardConfig::shipped() },
            GuardConfig { settings: r#"{"profile":"x"}"#.into(), ..GuardConfig::shipped() },
        ] {
            let failed = review(std::slice::from_ref(&wrong), USUAL);
            assert!(matches!(failed.decision(), Decision::Failed(..)), "{failed:?}");
            assert_eq!(failed.into_result().unwrap_err().kind(), ErrorKind::GuardRejected);
            assert!(review(&[GuardConfig { mode: Mode::Audit, ..wrong }], USUAL).into_result().is_ok());
        }
        let limits = {
            let mut limits = Limits::default();
            limits.memory = 1 << 16;
            limits
        };
        let id = BundleId::new("default", "web");
        let request = ReviewRequest::new(Operation::Create, id, Spec::new(USUAL.as_bytes()));
        let guards = Guards::load(&[GuardConfig::shipped()], &limits, false).unwrap();
        let error = guards.review(&request).into_result().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::GuardFailed, "{error}");
        let twice = [GuardConfig::shipped(), GuardConfig::shipped()];
        assert!(Guards::load(&twice, &limits, false).is_err());
    }
}
