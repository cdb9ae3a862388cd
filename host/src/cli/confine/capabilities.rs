//! Which capabilities are left: capabilities(7).

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities,
};

use super::Needs;

/// Gives up what a command does not need, in all five sets, and says what is left.
pub(super) fn drop_all_but(needs: Needs, policy_file: bool) -> rustix::io::Result<String> {
    let mut needed = needed(needs);
    if policy_file {
        // Whoever made the file may have kept it from everybody else.
        needed |= CapabilitySet::DAC_READ_SEARCH;
    }
    let held = capabilities(None)?;
    let left = held.permitted & needed;
    if held.effective.contains(CapabilitySet::SETPCAP) {
        bound(left)?;
    }
    match clear_ambient_capability_set() {
        // Before Linux 4.3 there were none.
        Ok(()) | Err(Errno::INVAL) => {}
        Err(errno) => return Err(errno),
    }
    set_capabilities(None, CapabilitySets { effective: left, permitted: left, inheritable: CapabilitySet::empty() })?;
    let names: Vec<_> = left.iter_names().map(|(name, _)| name.to_ascii_lowercase()).collect();
    Ok(if names.is_empty() { "none".to_owned() } else { names.join(" ") })
}

fn needed(needs: Needs) -> CapabilitySet {
    match needs {
        Needs::Nothing | Needs::Recording => CapabilitySet::empty(),
        // What somebody else has closed to us is named as theirs, not just as closed.
        Needs::Reading | Needs::Following | Needs::Inspecting | Needs::Asking { .. } | Needs::Stopping { .. } => {
            CapabilitySet::DAC_READ_SEARCH
        }
        // A bundle is given to the remapped group, in directories that may be closed even to their
        // owner (`/` is 0555 on some systems).
        Needs::Creating => CapabilitySet::CHOWN | CapabilitySet::DAC_OVERRIDE,
        // A container leaves files of others, in directories that may be closed, or sticky.
        Needs::Deleting | Needs::Removing => CapabilitySet::DAC_OVERRIDE | CapabilitySet::FOWNER,
        // It files what it starts in a bundle, which a container may have closed.
        Needs::Starting => CapabilitySet::DAC_OVERRIDE,
        Needs::Cycling | Needs::Running => needed(Needs::Creating) | needed(Needs::Deleting),
    }
}

/// Takes everything else out of the bounding set, also what this code has no name for.
fn bound(left: CapabilitySet) -> rustix::io::Result<()> {
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if left.contains(capability) {
            continue;
        }
        match remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // The kernel knows no more.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
