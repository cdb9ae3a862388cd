//! Devices of the node.

use alloc::format;

use dunnage_guard::oci::{Device, DeviceRule};

use super::{Checked, deny};
use crate::{Rule, Settings};

/// Those that every container has: `null`, `zero`, `full`, `random`, `urandom`, `tty`, `console`,
/// `ptmx`, and `net/tun`, which engines allow and do not make.
const USUAL: [(i64, i64); 9] = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (10, 200)];
/// The pseudo-terminals.
const TERMINALS: i64 = 136;

/// Devices that are made in it.
pub(super) fn check_made(devices: &[Device<'_>], settings: &Settings) -> Checked {
    if !settings.holds(Rule::Devices) {
        return Ok(());
    }
    for (index, device) in devices.iter().enumerate() {
        // A FIFO is no device.
        if device.kind != "p" && !is_allowed(&device.kind, Some(device.major), Some(device.minor), settings) {
            let reason = format!("the device {}:{} of the node is not allowed", device.major, device.minor);
            return deny(Rule::Devices, reason, format!("/linux/devices/{index}"));
        }
    }
    Ok(())
}

/// What it may use of the node's devices, for a container that is made. All has to be denied first: crun
/// sets no rules where there are none.
pub(super) fn check_denied_first(rules: &[DeviceRule<'_>], settings: &Settings) -> Checked {
    let denies_all = |rule: &DeviceRule<'_>| {
        let is_all = |number: Option<i64>| number.is_none_or(|number| number < 0);
        !rule.allow && matches!(&*rule.kind, "" | "a") && is_all(rule.major) && is_all(rule.minor)
    };
    if !settings.holds(Rule::Devices) || rules.first().is_some_and(denies_all) {
        return Ok(());
    }
    deny(Rule::Devices, "not all devices are denied before some are allowed", "/linux/resources/devices")
}

/// Devices that it may use.
pub(super) fn check_allowed(rules: &[DeviceRule<'_>], at: &str, settings: &Settings) -> Checked {
    if !settings.holds(Rule::Devices) {
        return Ok(());
    }
    for (index, rule) in rules.iter().enumerate() {
        // A file of a device may be made: to open it takes more.
        let is_harmless = !rule.allow || rule.access == "m";
        if !is_harmless && !is_allowed(&rule.kind, rule.major, rule.minor, settings) {
            let reason = "it may use devices of the node that are not allowed";
            return deny(Rule::Devices, reason, format!("{at}/devices/{index}"));
        }
    }
    Ok(())
}

fn is_allowed(kind: &str, major: Option<i64>, minor: Option<i64>, settings: &Settings) -> bool {
    let Some(major) = major else { return false };
    let is_usual =
        matches!(kind, "c" | "u") && (major == TERMINALS || minor.is_some_and(|minor| USUAL.contains(&(major, minor))));
    let is_set = || {
        let named = minor.map(|minor| format!("{major}:{minor}"));
        settings.allowed_devices.iter().any(|allowed| Some(allowed) == named.as_ref())
    };
    is_usual || is_set()
}
