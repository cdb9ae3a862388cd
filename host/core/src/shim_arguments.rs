//! The arguments of a shim.

use std::path::Path;

use crate::{Bundle, Error, ErrorKind, Result, ShimConfig, Step};

/// The arguments to start the shim of a bundle with, without its name: in the order of containerd's
/// `newCommand`. `daemon` is the daemon's address, `publisher` the binary that the shim runs to publish
/// its events.
///
/// # Errors
///
/// [`ErrorKind::InvalidConfig`] if the settings are another bundle's, or hold what cannot be an
/// argument.
pub fn shim_arguments(
    bundle: &Bundle,
    config: &ShimConfig,
    daemon: &str,
    publisher: &Path,
    debug: bool,
) -> Result<Vec<String>> {
    let own = (bundle.path().to_str(), bundle.work_dir().to_str(), bundle.id().namespace());
    if (Some(&*config.path), Some(&*config.work_dir), &*config.namespace) != own {
        return Err(unusable("the settings do not belong to this bundle"));
    }
    let publisher = publisher.to_str().ok_or_else(|| {
        let message = format!("{} is not UTF-8, as arguments of a shim must be", publisher.display());
        unusable(message).at(publisher)
    })?;
    let mut arguments = vec![
        "-namespace",
        &config.namespace,
        "-workdir",
        &config.work_dir,
        "-address",
        daemon,
        "-containerd-binary",
        publisher,
    ];
    if !config.runtime_root.is_empty() {
        arguments.extend(["-runtime-root", &config.runtime_root]);
    }
    arguments.extend(config.systemd_cgroup.then_some("-systemd-cgroup"));
    arguments.extend(debug.then_some("-debug"));
    if arguments.iter().any(|argument| argument.contains('\0')) {
        return Err(unusable("the settings contain a NUL, which an argument cannot"));
    }
    Ok(arguments.into_iter().map(str::to_owned).collect())
}

fn unusable(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidConfig, Step::Configure, why)
}

#[cfg(test)]
mod tests {
    use crate::BundleId;

    use super::*;

    fn arguments(runtime_root: &str, systemd_cgroup: bool, daemon: &str, debug: bool) -> String {
        let bundle = Bundle::at(BundleId::new("moby", "redis7"), "/b".into(), "/w".into());
        let config = ShimConfig::new("/b".into(), "/w".into(), "moby".into(), runtime_root.into(), systemd_cgroup);
        shim_arguments(&bundle, &config, daemon, "/p".as_ref(), debug).unwrap().join("|")
    }

    #[test]
    fn flags_stand_in_the_order_of_the_original() {
        let always = "-namespace|moby|-workdir|/w|-address|/d.sock|-containerd-binary|/p";
        for (runtime_root, systemd_cgroup, debug, expected) in [
            ("", false, false, ""),
            ("/r", false, false, "|-runtime-root|/r"),
            ("", true, false, "|-systemd-cgroup"),
            ("", false, true, "|-debug"),
            ("/r", true, true, "|-runtime-root|/r|-systemd-cgroup|-debug"),
        ] {
            let found = arguments(runtime_root, systemd_cgroup, "/d.sock", debug);
            assert_eq!(found.strip_prefix(always), Some(expected));
        }
    }

    #[test]
    fn values_that_look_like_flags_stay_values() {
        let found = arguments("-debug", false, "", false);
        assert_eq!(found, "-namespace|moby|-workdir|/w|-address||-containerd-binary|/p|-runtime-root|-debug");
    }

    #[test]
    fn settings_of_another_bundle_are_refused() {
        let bundle = Bundle::at(BundleId::new("moby", "redis7"), "/b".into(), "/w".into());
        for (path, work_dir, namespace) in [("/c", "/w", "moby"), ("/b", "/x", "moby"), ("/b", "/w", "other")] {
            let config = ShimConfig::new(path.into(), work_dir.into(), namespace.into(), String::new(), false);
            let error = shim_arguments(&bundle, &config, "", "/p".as_ref(), false).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        }
    }
}
