//! Shims as far as they are addresses, settings and arguments.

mod arguments;

#[cfg(feature = "shim")]
pub(crate) use self::arguments::check_start_arguments;
pub(crate) use self::arguments::start_arguments;
use crate::bindings::exports::dunnage::bundle::shims as wit;
use crate::bundle::Bundle;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::policy::{Policy, broken};

/// A shim's address, and whether it is an abstract name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Endpoint {
    /// The address: `unix://` and a path, or an abstract name without its leading NUL.
    pub address: String,
    /// Whether it is an abstract name, which anybody in the same network namespace can hold.
    pub is_abstract: bool,
}

impl From<wit::Endpoint> for Endpoint {
    fn from(endpoint: wit::Endpoint) -> Self {
        Self { address: endpoint.address, is_abstract: endpoint.kind == wit::EndpointKind::AbstractName }
    }
}

/// What the caller says about runc.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShimOptions {
    /// The node's runtime root: where runc keeps its state. Empty leaves it to the shim.
    pub runtime_root: String,
    /// Options that came with the container.
    pub runc: Option<RuncOptions>,
}

/// Options for runc that came with one container. Similar to `RuncOptions` of containerd.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuncOptions {
    /// The container's own runtime root; wins over the node's when it is not empty.
    pub runtime_root: String,
    /// Whether systemd manages the container's cgroup.
    pub systemd_cgroup: bool,
}

/// How a shim is to be set up. Similar to `shim.Config` of containerd.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShimConfig {
    /// The bundle's directory.
    pub path: String,
    /// The bundle's work directory.
    pub work_dir: String,
    /// The namespace of the container.
    pub namespace: String,
    /// The directory where runc keeps its state; empty leaves it to the shim.
    pub runtime_root: String,
    /// Whether systemd manages the container's cgroup.
    pub systemd_cgroup: bool,
}

impl ShimOptions {
    /// The same with absolute paths: shims resolve them from the bundle, and we from elsewhere.
    #[cfg(feature = "shim")]
    pub(crate) fn absolute(&self) -> Self {
        let absolute = |path: &str| match std::path::absolute(path) {
            Ok(absolute) if !path.is_empty() => absolute.to_string_lossy().into_owned(),
            _ => path.to_owned(),
        };
        let mut options = self.clone();
        options.runtime_root = absolute(&options.runtime_root);
        if let Some(runc) = &mut options.runc {
            runc.runtime_root = absolute(&runc.runtime_root);
        }
        options
    }
}

pub(crate) fn config(policy: &Policy, config: &Config, bundle: &Bundle, options: &ShimOptions) -> Result<ShimConfig> {
    let paths = wit::BundlePaths { path: text(bundle.path())?, work_dir: text(bundle.work_dir())? };
    let node = wit::NodeConfig { runtime_root: options.runtime_root.clone() };
    let runc = options
        .runc
        .as_ref()
        .map(|runc| wit::RuncOptions { runtime_root: runc.runtime_root.clone(), systemd_cgroup: runc.systemd_cgroup });
    let answer = policy.shim_config(config, bundle.id(), &paths, &node, runc.as_ref())?;
    check_config(&answer, bundle.id().namespace(), &paths, options)?;
    Ok(ShimConfig {
        path: answer.path,
        work_dir: answer.work_dir,
        namespace: answer.namespace,
        runtime_root: answer.runtime_root,
        systemd_cgroup: answer.systemd_cgroup,
    })
}

/// The host's own check of settings that the policy answered: a shim runs as root, in directories
/// that are told here.
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
            return Err(broken(format!("it answered another {what} than it was told")));
        }
    }
    let own = options.runc.as_ref().map(|runc| &runc.runtime_root);
    if answer.runtime_root != options.runtime_root && Some(&answer.runtime_root) != own {
        return Err(broken("it answered a runtime root that is neither the node's nor the container's"));
    }
    Ok(())
}

fn text(path: &std::path::Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        let message = format!("{} is not UTF-8, and policies read text", path.display());
        Error::new(ErrorKind::InvalidConfig, Step::Configure, message).at(path)
    })
}
