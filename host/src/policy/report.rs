//! What a policy is, for people.

use super::{Policy, PolicySource, interfaces};
use crate::limits::Limits;

/// What a loaded policy is, and what confines it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PolicyReport {
    /// Where it comes from.
    pub source: PolicySource,
    /// The SHA-256 of the component, as `sha256:` and 64 hex digits.
    pub digest: String,
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
    pub(crate) fn report(&self, limits: &Limits) -> PolicyReport {
        let (imports, exports) = interfaces(&self.sandbox, &self.component);
        PolicyReport {
            source: self.source.clone(),
            digest: self.digest.clone(),
            world: "dunnage:bundle/policy@0.1.0",
            imports,
            exports,
            compiled_for: match self.source {
                PolicySource::Shipped => super::shipped::BASELINE,
                PolicySource::File { .. } => "this machine",
            },
            limits: limits.clone(),
        }
    }
}
