//! Which system calls are left: seccomp(2).

mod program;

use super::{Needs, calls};

/// Installs the filter on this thread, and so on all that it starts. Says how many calls are left.
pub(super) fn install(needs: Needs) -> Result<usize, Box<dyn std::error::Error>> {
    let calls = calls::needed(needs);
    seccompiler::apply_filter(&program::compile(&calls)?)?;
    Ok(calls.len())
}
