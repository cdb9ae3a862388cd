//! How a shim is set up, and where it listens.

/// A shim's address, and whether it is an abstract name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Endpoint {
    /// The address: `unix://` and a path, or an abstract name without its leading NUL.
    pub address: String,
    /// Whether it is an abstract name, which any process in the same network namespace can hold.
    pub is_abstract: bool,
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
    #[must_use]
    pub fn absolute(&self) -> Self {
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

impl Endpoint {
    /// A socket in the file system.
    #[must_use]
    #[doc(hidden)]
    pub fn path(address: String) -> Self {
        Self { address, is_abstract: false }
    }

    /// An abstract name.
    #[must_use]
    #[doc(hidden)]
    pub fn abstract_name(address: String) -> Self {
        Self { address, is_abstract: true }
    }
}

impl ShimConfig {
    /// The settings of the shim of a bundle that lies at these paths.
    #[must_use]
    #[doc(hidden)]
    pub fn new(path: String, work_dir: String, namespace: String, runtime_root: String, systemd_cgroup: bool) -> Self {
        Self { path, work_dir, namespace, runtime_root, systemd_cgroup }
    }
}
