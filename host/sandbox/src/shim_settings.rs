//! How the shim of a bundle is to be set up: the policy decides, and the host checks what it answers.

use dunnage_core::{Bundle, Error, ErrorKind, Result, ShimConfig, ShimOptions, Step};

use crate::bindings::exports::dunnage::bundle::shims as wit;
use crate::policy::{Policy, broken};

impl Policy {
    /// `shims.config`: how the shim of a bundle is to be set up. Similar to `shimConfig` of containerd.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidIdentifier`]; [`ErrorKind::PolicyBroken`] if the policy answers other
    /// paths, another namespace or another runtime root than it was given.
    pub fn shim_config(&self, bundle: &Bundle, options: &ShimOptions) -> Result<ShimConfig> {
        let paths = wit::BundlePaths { path: text(bundle.path())?, work_dir: text(bundle.work_dir())? };
        let node = wit::NodeConfig { runtime_root: options.runtime_root.clone() };
        let runc = options.runc.as_ref().map(|runc| wit::RuncOptions {
            runtime_root: runc.runtime_root.clone(),
            systemd_cgroup: runc.systemd_cgroup,
        });
        let answer = self.decide_shim_config(bundle.id(), &paths, &node, runc.as_ref())?;
        check_config(&answer, bundle.id().namespace(), &paths, options)?;
        let wit::ShimConfig { path, work_dir, namespace, runtime_root, systemd_cgroup } = answer;
        Ok(ShimConfig::new(path, work_dir, namespace, runtime_root, systemd_cgroup))
    }
}

/// The host's own check of settings that the policy answered: a shim runs as root, in the
/// directories that are named here.
fn check_config(
    answer: &wit::ShimConfig,
    namespace: &str,
    paths: &wit::BundlePaths,
    options: &ShimOptions,
) -> Result<()> {
    for (what, answered, told) in [
        ("path", &*answer.path, &*paths.path),
        ("work directory", &answer.work_dir, &paths.work_dir),
        ("namespace", &answer.namespace, namespace),
    ] {
        if answered != told {
            return Err(broken(format!("it returned a different {what} than it was given")));
        }
    }
    let own = options.runc.as_ref().map(|runc| &runc.runtime_root);
    if answer.runtime_root != options.runtime_root && Some(&answer.runtime_root) != own {
        return Err(broken("it returned a runtime root that is neither the node's nor the container's"));
    }
    Ok(())
}

fn text(path: &std::path::Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        let message = format!("{} is not UTF-8, but policies read text", path.display());
        Error::new(ErrorKind::InvalidConfig, Step::Configure, message).at(path)
    })
}
