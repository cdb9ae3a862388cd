//! Which capabilities are left: capabilities(7).

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities,
};

use crate::Profile;

/// Gives up what the work does not need, in all five sets, and says what is left.
pub(crate) fn drop_all_but(profile: &Profile, reads_elsewhere: bool) -> rustix::io::Result<String> {
    let mut needed = profile.capabilities;
    if reads_elsewhere {
        // The owner of a policy's file or of a log may have kept it from all others.
        needed |= CapabilitySet::DAC_READ_SEARCH;
    }
    let held = capabilities(None)?;
    let left = held.permitted & needed;
    if held.effective.contains(CapabilitySet::SETPCAP) {
        bound(left)?;
    }
    match clear_ambient_capability_set() {
        // Before Linux 4.3 there were no ambient capabilities.
        Ok(()) | Err(Errno::INVAL) => {}
        Err(errno) => return Err(errno),
    }
    set_capabilities(None, CapabilitySets { effective: left, permitted: left, inheritable: CapabilitySet::empty() })?;
    let names: Vec<_> = left.iter_names().map(|(name, _)| name.to_ascii_lowercase()).collect();
    Ok(if names.is_empty() { "none".to_owned() } else { names.join(" ") })
}

/// Takes everything else out of the bounding set, also capabilities that this code does not know.
fn bound(left: CapabilitySet) -> rustix::io::Result<()> {
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if left.contains(capability) {
            continue;
        }
        match remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // The kernel has no more capabilities.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
