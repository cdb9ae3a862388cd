//! The records of a shim in its bundle, as the policy has read them.

/// The records of a shim: nothing, a value, or something that cannot be used and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShimRecords {
    /// The file `address`.
    pub address: Result<Option<String>, String>,
    /// The file `shim.pid`.
    pub pid: Result<Option<u32>, String>,
}
