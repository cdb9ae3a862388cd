//! The policy that misbehaves in the way that the container's id names (`tests/policies`).

use dunnage::{Dunnage, PolicySource};

use crate::Scratch;

/// The component.
pub const POLICY: &str = env!("DUNNAGE_HOSTILE_POLICY");

/// The group that it gives bundles to where it decides otherwise.
pub const GROUP: u32 = 4242;

/// The component as the policy of a bundle manager.
#[must_use]
pub fn policy() -> PolicySource {
    PolicySource::file_unchecked(POLICY).expect("the hostile policy")
}

/// Its digest, as the command line takes it.
#[must_use]
pub fn digest() -> String {
    let PolicySource::File { digest, .. } = policy() else { panic!("not a file") };
    digest
}

/// A bundle manager that it decides for.
#[must_use]
pub fn dunnage(scratch: &Scratch) -> Dunnage {
    scratch.builder().policy(policy()).build().expect("a bundle manager with the hostile policy")
}

/// The options of the command line that make it decide.
#[must_use]
pub fn options() -> [String; 2] {
    [format!("--policy={POLICY}"), format!("--policy-digest={}", digest())]
}
