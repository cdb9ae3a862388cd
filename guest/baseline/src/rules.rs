//! The rules, by the part of the spec that they are about.

mod capabilities;
mod cgroups;
mod devices;
mod kernel;
mod mounts;
mod namespaces;
mod process;

use alloc::format;
use alloc::string::String;

use dunnage_guard::Denial;
use dunnage_guard::oci::{Hook, Process, Resources, Spec};

use crate::{Rule, Settings};

type Checked = Result<(), Denial>;

/// What a container is made from, but for its process and its resources.
pub(crate) fn check_spec(spec: &Spec<'_>, settings: &Settings) -> Checked {
    namespaces::check(&spec.linux, settings)?;
    mounts::check(spec, settings)?;
    mounts::check_propagation(spec, settings)?;
    kernel::check_masks(&spec.linux, settings)?;
    kernel::check_sysctls(&spec.linux.sysctl, settings)?;
    kernel::check_seccomp(spec.linux.seccomp.as_ref(), settings)?;
    process::check_selinux(&spec.linux.mount_label, "/linux/mountLabel", settings)?;
    devices::check_made(&spec.linux.devices, settings)?;
    devices::check_denied_first(&spec.linux.resources.devices, settings)?;
    if let Some(name) = spec.linux.net_devices.keys().next().filter(|_| settings.holds(Rule::Devices)) {
        return deny(
            Rule::Devices,
            format!("it would take the network device {:?} from the node", &**name),
            "/linux/netDevices",
        );
    }
    cgroups::check_spec(spec, settings)?;
    check_root(spec, settings)?;
    check_hooks(spec, settings)
}

/// A process, whose pointer is given.
pub(crate) fn check_process(process: &Process<'_>, at: &str, settings: &Settings) -> Checked {
    capabilities::check(process.capabilities.as_ref(), at, settings)?;
    process::check(process, at, settings)
}

/// Limits, whose pointer is given.
pub(crate) fn check_resources(resources: &Resources<'_>, at: &str, settings: &Settings) -> Checked {
    cgroups::check_resources(resources, at, settings)?;
    devices::check_allowed(&resources.devices, at, settings)
}

fn deny(rule: Rule, reason: impl Into<String>, pointer: impl Into<String>) -> Checked {
    Err(Denial::new(rule.as_str(), reason).at(pointer))
}

fn check_root(spec: &Spec<'_>, settings: &Settings) -> Checked {
    if settings.holds(Rule::ReadonlyRoot) && !spec.root.as_ref().is_some_and(|root| root.readonly) {
        return deny(Rule::ReadonlyRoot, "its root file system can be written to", "/root/readonly");
    }
    Ok(())
}

fn check_hooks(spec: &Spec<'_>, settings: &Settings) -> Checked {
    let Some(hooks) = spec.hooks.as_ref().filter(|_| settings.holds(Rule::Hooks)) else { return Ok(()) };
    for (name, list) in [
        ("prestart", &hooks.prestart),
        ("createRuntime", &hooks.create_runtime),
        ("createContainer", &hooks.create_container),
        ("startContainer", &hooks.start_container),
        ("poststart", &hooks.poststart),
        ("poststop", &hooks.poststop),
    ] {
        if let Some(index) = list.iter().position(|hook| !is_allowed_hook(hook, settings)) {
            return deny(Rule::Hooks, "it has programs of its own run on the node", format!("/hooks/{name}/{index}"));
        }
    }
    Ok(())
}

/// Docker gives every container with a network of its own one of its hooks.
fn is_allowed_hook(hook: &Hook<'_>, settings: &Settings) -> bool {
    let process = hook.path.strip_prefix("/proc/").and_then(|rest| rest.strip_suffix("/exe"));
    let is_docker = process.is_some_and(|process| process.bytes().all(|byte| byte.is_ascii_digit()))
        && hook.args.first().is_some_and(|name| **name == *"libnetwork-setkey");
    is_docker || settings.allowed_hooks.iter().any(|allowed| **allowed == *hook.path)
}
