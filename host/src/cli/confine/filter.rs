//! Which system calls are left: seccomp(2).

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use super::{Needs, calls};

/// Installs the filter on this thread, and so on all that it starts. Says how many calls are left.
pub(super) fn install(needs: Needs) -> Result<usize, Box<dyn std::error::Error>> {
    let calls = calls::needed(needs)?;
    let count = calls.len();
    // What the list does not know is answered like a kernel that does not know it: libraries then
    // take another way (of `clone3`, whose flags a filter cannot see, to `clone`).
    let unknown = SeccompAction::Errno(rustix::io::Errno::NOSYS.raw_os_error().unsigned_abs());
    let filter = SeccompFilter::new(calls, unknown, SeccompAction::Allow, std::env::consts::ARCH.try_into()?)?;
    let program: BpfProgram = filter.try_into()?;
    seccompiler::apply_filter(&program)?;
    Ok(count)
}
