//! How a shim is to be set up.

use crate::identifier;

/// Options for runc that came with one container. Similar to `RuncOptions` of containerd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuncOptions<'a> {
    /// The container's own runtime root.
    pub runtime_root: &'a str,
    /// Whether systemd manages the container's cgroup.
    pub systemd_cgroup: bool,
}

/// The part of a shim's settings that is decided here; the rest is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// The directory where runc keeps its state; empty leaves it to the shim.
    pub runtime_root: &'a str,
    /// Whether systemd manages the container's cgroup.
    pub systemd_cgroup: bool,
}

/// Decides on a shim's settings: the container's own runtime root wins over the node's when it is
/// not empty. Similar to `shimConfig` of containerd.
///
/// # Errors
///
/// If the namespace or the id is refused.
pub fn decide<'a>(
    namespace: &str,
    id: &str,
    node_runtime_root: &'a str,
    runc: Option<RuncOptions<'a>>,
) -> Result<Decision<'a>, identifier::Error> {
    identifier::check_both(namespace, id)?;
    let (own, systemd_cgroup) = runc.map_or(("", false), |runc| (runc.runtime_root, runc.systemd_cgroup));
    let runtime_root = if own.is_empty() { node_runtime_root } else { own };
    Ok(Decision { runtime_root, systemd_cgroup })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_containers_own_runtime_root_wins_when_it_is_not_empty() {
        let own = |runtime_root| Some(RuncOptions { runtime_root, systemd_cgroup: false });
        for (node, runc, expected) in [
            ("", None, ""),
            ("/run/node", None, "/run/node"),
            ("/run/node", own(""), "/run/node"),
            ("/run/node", own("/run/own"), "/run/own"),
            ("", own("/run/own"), "/run/own"),
            ("", own(""), ""),
        ] {
            assert_eq!(decide("default", "a", node, runc).unwrap().runtime_root, expected);
        }
    }

    #[test]
    fn systemd_is_asked_for_by_the_container_only() {
        assert!(!decide("default", "a", "", None).unwrap().systemd_cgroup);
        let runc = RuncOptions { runtime_root: "", systemd_cgroup: true };
        assert!(decide("default", "a", "", Some(runc)).unwrap().systemd_cgroup);
    }

    #[test]
    fn identifiers_are_checked() {
        assert!(decide("default", "..", "", None).is_err());
        assert!(decide("", "a", "", None).is_err());
    }
}
