//! The limits that a policy works under, in numbers.

use std::time::Duration;

/// What one call of the policy may use. Every field can be set; the defaults are far above what
/// real specs need and far below what could hurt a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest spec that is accepted, in bytes. Default 16 MiB.
    pub spec_size: u64,
    /// How long a call may compute, as wall-clock time, with a resolution of 10 ms. Default 2 s.
    /// The host's system calls on its behalf count too.
    pub time: Duration,
    /// The linear memory of an instance, in bytes. Default 128 MiB.
    pub memory: usize,
    /// The elements of each table of an instance. Default 4096.
    pub table_elements: usize,
    /// The bytes that a call may move through host functions. Default 64 MiB.
    pub host_call_bytes: u64,
    /// The handles that a call may hold at the same time. Default 16.
    pub handles: usize,
    /// The host functions that a call may call. Default 256.
    pub steps: u32,
    /// The calls that may run at the same time; further ones wait. Default 64.
    pub concurrent_calls: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            spec_size: 16 << 20,
            time: Duration::from_secs(2),
            memory: 128 << 20,
            table_elements: 4096,
            host_call_bytes: 64 << 20,
            handles: 16,
            steps: 256,
            concurrent_calls: 64,
        }
    }
}
