//! What a policy is, for people.

use dunnage_core::Limits;

use super::{Policy, PolicySource, interfaces};

/// What a loaded policy is, and what confines it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PolicyReport {
    /// Where it comes from.
    pub source: PolicySource,
    /// The SHA-256 of the component's file, as `sha256:` and 64 hex digits. The shipped policy is compiled
    /// from that file without its post-returns, which would free what an instance that ends has answered.
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
    /// What this policy is.
    #[must_use]
    pub fn report(&self) -> PolicyReport {
        let (imports, exports) = interfaces(&self.sandbox, &self.component);
        PolicyReport {
            source: self.config.source.clone(),
            digest: self.digest.clone(),
            world: "dunnage:bundle/policy@0.1.0",
            imports,
            exports,
            compiled_for: match self.config.source {
                PolicySource::Shipped => super::shipped::BASELINE,
                PolicySource::File { .. } => "this machine",
            },
            limits: self.config.limits.clone(),
        }
    }
}
