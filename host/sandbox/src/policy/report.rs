//! What a policy is, for people.

use dunnage_core::Limits;

use super::{Policy, PolicySource, interfaces};
use crate::embedded::{CPU_BASELINE, POLICY};

/// What a loaded policy is, and what confines it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PolicyReport {
    /// Where it comes from.
    pub source: PolicySource,
    /// The SHA-256 of the component's file, as `sha256:` and 64 hex digits.
    pub digest: String,
    /// That of the component whose code runs. It is another one for the shipped policy, which is compiled
    /// from a copy without the post-returns: they would free what an instance that ends has answered.
    pub compiled_digest: String,
    /// The world it fits.
    pub world: &'static str,
    /// The interfaces it imports.
    pub imports: Vec<String>,
    /// The interfaces it exports.
    pub exports: Vec<String>,
    /// What its code was compiled for: a CPU baseline, or this machine.
    pub compiled_for: &'static str,
    /// The limits of every call.
    pub limits: Limits,
}

impl Policy {
    /// What this policy is.
    #[must_use]
    pub fn report(&self) -> PolicyReport {
        let (imports, exports) = interfaces(&self.sandbox, &self.component);
        let (compiled_for, compiled_digest) = match self.config.source {
            PolicySource::Shipped => (CPU_BASELINE, POLICY.compiled_digest),
            PolicySource::File { .. } => ("this machine", &*self.digest),
        };
        PolicyReport {
            source: self.config.source.clone(),
            digest: self.digest.clone(),
            compiled_digest: compiled_digest.to_owned(),
            world: "dunnage:bundle/policy@0.1.0",
            imports,
            exports,
            compiled_for,
            limits: self.config.limits.clone(),
        }
    }
}
