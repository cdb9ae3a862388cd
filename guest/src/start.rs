//! The arguments that a shim is started with.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::identifier;

/// What a shim is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start<'a> {
    /// The bundle's work directory.
    pub work_dir: &'a str,
    /// The directory where runc keeps its state; empty leaves it to the shim.
    pub runtime_root: &'a str,
    /// Whether systemd manages the container's cgroup.
    pub systemd_cgroup: bool,
    /// The daemon's address; may be empty.
    pub daemon: &'a str,
    /// The path of the binary that the shim runs to publish its events.
    pub publisher: &'a str,
    /// Whether the shim writes what it does to its log.
    pub debug: bool,
}

/// The arguments, without the shim's name. The shim learns the container's id later, from the
/// request that creates it. Similar to `newCommand` of containerd's shim client.
///
/// # Errors
///
/// If the namespace or the id is refused.
pub fn arguments(namespace: &str, id: &str, start: Start<'_>) -> Result<Vec<String>, identifier::Error> {
    identifier::check_both(namespace, id)?;
    let mut arguments = vec![
        "-namespace",
        namespace,
        "-workdir",
        start.work_dir,
        "-address",
        start.daemon,
        "-containerd-binary",
        start.publisher,
    ];
    if !start.runtime_root.is_empty() {
        arguments.extend(["-runtime-root", start.runtime_root]);
    }
    arguments.extend(start.systemd_cgroup.then_some("-systemd-cgroup"));
    arguments.extend(start.debug.then_some("-debug"));
    Ok(arguments.into_iter().map(String::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Start<'_> = Start {
        work_dir: "/w",
        runtime_root: "",
        systemd_cgroup: false,
        daemon: "/d.sock",
        publisher: "/p",
        debug: false,
    };

    #[test]
    fn flags_stand_in_the_order_of_the_original() {
        let always = "-namespace|moby|-workdir|/w|-address|/d.sock|-containerd-binary|/p";
        for (start, expected) in [
            (PLAIN, ""),
            (Start { runtime_root: "/r", ..PLAIN }, "|-runtime-root|/r"),
            (Start { systemd_cgroup: true, ..PLAIN }, "|-systemd-cgroup"),
            (Start { debug: true, ..PLAIN }, "|-debug"),
            (
                Start { runtime_root: "/r", systemd_cgroup: true, debug: true, ..PLAIN },
                "|-runtime-root|/r|-systemd-cgroup|-debug",
            ),
        ] {
            let found = arguments("moby", "redis7", start).unwrap().join("|");
            assert_eq!(found.strip_prefix(always), Some(expected), "{start:?}");
        }
    }

    #[test]
    fn an_empty_daemon_address_is_an_argument_too() {
        let found = arguments("moby", "redis7", Start { daemon: "", ..PLAIN }).unwrap();
        assert_eq!(found.join("|"), "-namespace|moby|-workdir|/w|-address||-containerd-binary|/p");
    }

    #[test]
    fn values_that_look_like_flags_stay_values() {
        let found = arguments("a", "b", Start { work_dir: "-debug", daemon: "a b=c\"", ..PLAIN }).unwrap();
        assert_eq!(found.join("|"), "-namespace|a|-workdir|-debug|-address|a b=c\"|-containerd-binary|/p");
    }

    #[test]
    fn identifiers_are_checked() {
        for (namespace, id) in [("", "a"), ("-debug", "a"), ("a", ".."), ("a", "b/c"), ("a\0", "b")] {
            assert!(arguments(namespace, id, PLAIN).is_err(), "{namespace:?} {id:?}");
        }
    }
}
