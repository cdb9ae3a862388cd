//! What guards are asked, and what they say.

use crate::{BundleId, Spec};

/// What is about to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A container is made.
    Create,
    /// A further process is started in a container.
    Exec,
    /// The limits of a container are changed.
    Update,
    /// A container is made from a checkpoint.
    Restore,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Create, Self::Exec, Self::Update, Self::Restore];

    /// Its name, in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Exec => "exec",
            Self::Update => "update",
            Self::Restore => "restore",
        }
    }
}

/// What is about to be done, and to what.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReviewRequest {
    /// What is about to be done.
    pub operation: Operation,
    /// The OCI spec for [`Operation::Create`] and [`Operation::Restore`], the process for
    /// [`Operation::Exec`], the limits for [`Operation::Update`]: JSON, byte for byte.
    pub subject: Spec,
    /// The spec of the container for an exec or an update, where it is known.
    pub container_spec: Option<Spec>,
    /// The container.
    pub container: BundleId,
    /// The id of the further process, where it has one.
    pub exec_id: Option<String>,
    /// What starts containers here, where it is known.
    pub engine: Option<String>,
    /// What the engine says of the bundle beside its spec.
    pub annotations: Vec<(String, String)>,
}

impl ReviewRequest {
    /// A request of which only this much is known.
    #[must_use]
    pub fn new(operation: Operation, container: BundleId, subject: Spec) -> Self {
        Self {
            operation,
            subject,
            container_spec: None,
            container,
            exec_id: None,
            engine: None,
            annotations: Vec::new(),
        }
    }
}

/// Why something is denied, as a guard says it: text of one line each, bounded and printable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The rule that denies it.
    pub rule: String,
    /// One sentence for a person.
    pub reason: String,
    /// What offends, as a JSON pointer into the subject.
    pub pointer: Option<String>,
}

/// What a guard says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong; these are its warnings.
    Allow(Vec<String>),
    /// It must not run.
    Deny(Denial),
}

/// What a guard is, as it says itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardMetadata {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it looks at: JSON pointers into the spec.
    pub reads: Vec<String>,
    /// What it is asked about.
    pub operations: Vec<Operation>,
}
