//! What a further process of a container keeps of the process in its spec.

/// Values of members of `process`, as the spec spells them: JSON that nobody but the policy has looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessParts {
    /// `process.user`.
    pub user: Option<String>,
    /// `process.cwd`.
    pub cwd: Option<String>,
    /// `process.env`.
    pub env: Option<String>,
    /// The others, which no caller changes, by their keys.
    pub others: [(&'static str, Option<String>); 8],
}
