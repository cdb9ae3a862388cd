//! The bundle manager.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dunnage_bundles::{
    Created, Deletion, Inspection, Listing, Node, NodeConfig, RecoverOptions, Recovery, Scope, lend_to_read,
};
use dunnage_core::{
    Bundle, BundleId, Endpoint, Error, Incarnation, Result, ShimConfig, ShimOptions, Spec, TaskSettings, shim_arguments,
};
use dunnage_sandbox::{Policy, PolicyConfig, PolicyReport};
use dunnage_store::names_of;

use crate::Builder;
use crate::guards::Reviewer;

/// A bundle manager: one state directory, one root directory, one policy.
///
/// Cheap to clone, and usable from many threads at once: calls for different bundles run side by
/// side, calls for the same bundle wait for each other. Several managers, in several processes,
/// may share their directories.
#[derive(Clone)]
pub struct Dunnage(pub(crate) Arc<Node>, pub(crate) Arc<Reviewer>);

impl Dunnage {
    /// Starts to set up a bundle manager.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn set_up(
        config: NodeConfig,
        guards: Reviewer,
        load: impl FnOnce(PolicyConfig) -> Result<Policy>,
    ) -> Result<Self> {
        Ok(Self(Arc::new(Node::with_policy(config, load)?), Arc::new(guards)))
    }

    /// Creates a bundle from a spec, and its work directory. Similar to `newBundle` of containerd.
    ///
    /// The bundle appears under its name complete, or not at all.
    ///
    /// # Errors
    ///
    /// [`Exists`](crate::ErrorKind::Exists) if there is one of that name,
    /// [`InvalidIdentifier`](crate::ErrorKind::InvalidIdentifier),
    /// [`InvalidSpec`](crate::ErrorKind::InvalidSpec) and
    /// [`GroupNotAllowed`](crate::ErrorKind::GroupNotAllowed) for bad input, and others if the
    /// directories, the file system or the policy fail; and as for [`Dunnage::admit`], since the guards are
    /// asked first. What a failed call has made is gone, or the error names what is left.
    pub fn create(&self, id: &BundleId, spec: &Spec) -> Result<Created> {
        self.admit_create(id, spec)?;
        dunnage_bundles::create(&self.0, id, spec).map_err(during(|| format!("create {id}")))
    }

    /// Finds a bundle by its id. Similar to `loadBundle` of containerd.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is none.
    pub fn load(&self, id: &BundleId) -> Result<Bundle> {
        dunnage_bundles::load(&self.0, id).map_err(during(|| format!("load {id}")))
    }

    /// Takes a bundle that lies anywhere, as it is: the caller vouches for the paths.
    #[must_use]
    pub fn load_unchecked(&self, id: &BundleId, path: impl Into<PathBuf>, work_dir: impl Into<PathBuf>) -> Bundle {
        Bundle::at(id.clone(), path.into(), work_dir.into())
    }

    /// Lists bundles, by namespace and id. Writes nothing.
    ///
    /// A namespace that cannot be read is an error if it was asked for, and left out (with a
    /// warning in the log) if all were.
    ///
    /// # Errors
    ///
    /// If the state directory or the namespace cannot be read. A missing one holds no bundles.
    pub fn list(&self, scope: Scope<'_>) -> Result<Listing> {
        self.list_with_progress(scope, &|_| {})
    }

    /// The same, telling after each bundle how many were found so far.
    ///
    /// # Errors
    ///
    /// As for [`Dunnage::list`].
    pub fn list_with_progress(&self, scope: Scope<'_>, progress: &dyn Fn(u64)) -> Result<Listing> {
        dunnage_bundles::list(&self.0, scope, progress).map_err(during(|| "list bundles".to_owned()))
    }

    /// Says what there is to know about a bundle. Writes nothing.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is none.
    pub fn inspect(&self, id: &BundleId) -> Result<Inspection> {
        dunnage_bundles::inspect(&self.0, id).map_err(during(|| format!("inspect {id}")))
    }

    /// Deletes a bundle and its work directory: unmounts what is mounted at or under `rootfs`,
    /// takes the bundle's name away, removes everything, and cleans the socket of a dead shim.
    /// Similar to `Delete` of containerd's `bundle`.
    ///
    /// It is not an error if the bundle is not there (any more). `force` kills a shim that is still
    /// running.
    ///
    /// # Errors
    ///
    /// [`Mounted`](crate::ErrorKind::Mounted) and [`ShimAlive`](crate::ErrorKind::ShimAlive)
    /// before anything is deleted (with `force` the shim may have ended by then, and some of
    /// several mounts may be unmounted). If something cannot be removed after the bundle's name is gone,
    /// the error names what is left behind.
    pub fn delete(&self, id: &BundleId, force: bool) -> Result<Deletion> {
        self.delete_one(id, None, force)
    }

    /// Deletes a bundle as [`Dunnage::delete`] does, if it is still the one that was created:
    /// another bundle that has its name by now is not touched.
    ///
    /// # Errors
    ///
    /// As for [`Dunnage::delete`].
    pub fn delete_created(&self, id: &BundleId, which: Incarnation, force: bool) -> Result<Deletion> {
        self.delete_one(id, Some(which), force)
    }

    fn delete_one(&self, id: &BundleId, only: Option<Incarnation>, force: bool) -> Result<Deletion> {
        let deletion = dunnage_bundles::delete(&self.0, id, only, force);
        #[cfg(feature = "shim")]
        crate::events::tell_ends(self);
        deletion.map_err(during(|| format!("delete {id}")))
    }

    /// Finds what crashes and reboots have left, and removes it: staging and trash, work
    /// directories without a bundle, bundles of an earlier boot, and what shims have left that are
    /// gone or were never started.
    ///
    /// Safe at any time, also beside other calls and other recoveries: it skips anything that is
    /// locked. Undecidable leftovers are kept, and [`Recovery::is_undecided`] reports them.
    ///
    /// # Errors
    ///
    /// [`NotPaired`](crate::ErrorKind::NotPaired), with nothing changed, if the records in the
    /// state and the root directory do not pair them, and others if the records cannot be read.
    pub fn recover(&self, options: &RecoverOptions) -> Result<Recovery> {
        let recovery = dunnage_bundles::recover(&self.0, options);
        #[cfg(feature = "shim")]
        crate::events::tell_ends(self);
        recovery.map_err(during(|| "recover".to_owned()))
    }

    /// The host's group id that GID 0 of the container is mapped to; 0 if it is not remapped.
    /// Similar to `remappedGID` of containerd.
    ///
    /// # Errors
    ///
    /// [`InvalidSpec`](crate::ErrorKind::InvalidSpec) if the policy refuses the spec,
    /// [`GroupNotAllowed`](crate::ErrorKind::GroupNotAllowed) if the operator does not allow the
    /// group.
    pub fn remapped_gid(&self, spec: &Spec) -> Result<u32> {
        self.0.policy.remapped_gid(spec).map_err(during(|| "read the spec".to_owned()))
    }

    /// What the caller of a shim needs to know about a spec: whether the process has a terminal,
    /// and the host's ids of its user and group, which must own its standard streams.
    ///
    /// # Errors
    ///
    /// [`InvalidSpec`](crate::ErrorKind::InvalidSpec) if the policy refuses the spec, for example
    /// because its mappings do not cover the user.
    pub fn task_settings(&self, spec: &Spec) -> Result<TaskSettings> {
        self.0.policy.task_settings(spec).map_err(during(|| "read the spec".to_owned()))
    }

    /// The address of a bundle's shim. Similar to `shimAddress` of containerd: the same daemon
    /// address, namespace and id give the same address.
    ///
    /// # Errors
    ///
    /// [`InvalidIdentifier`](crate::ErrorKind::InvalidIdentifier).
    pub fn shim_address(&self, id: &BundleId) -> Result<String> {
        self.0.policy.shim_address(id).map_err(during(|| format!("shim address of {id}")))
    }

    /// The abstract address that shims of old containerd versions had. Similar to
    /// `legacyShimAddress` of containerd.
    ///
    /// # Errors
    ///
    /// [`InvalidIdentifier`](crate::ErrorKind::InvalidIdentifier).
    pub fn legacy_shim_address(&self, id: &BundleId) -> Result<String> {
        self.0.policy.legacy_shim_address(id).map_err(during(|| format!("shim address of {id}")))
    }

    /// The address to connect to: the one on file; the legacy one only if there is no such file
    /// and `allow_legacy` is set. Similar to `decideShimAddress` of containerd.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) without a bundle,
    /// [`NoAddress`](crate::ErrorKind::NoAddress) if nothing usable is on file,
    /// [`BadRecord`](crate::ErrorKind::BadRecord) if the file is not what it should be.
    pub fn connect_address(&self, id: &BundleId, allow_legacy: bool) -> Result<Endpoint> {
        self.0
            .policy
            .connect_address(id, lend_to_read(&self.0, id), allow_legacy)
            .map_err(during(|| format!("connect address of {id}")))
    }

    /// How the shim of a bundle is to be set up. Similar to `shimConfig` of containerd.
    ///
    /// # Errors
    ///
    /// [`InvalidIdentifier`](crate::ErrorKind::InvalidIdentifier),
    /// [`PolicyBroken`](crate::ErrorKind::PolicyBroken) if the policy answers other paths, another
    /// namespace or another runtime root than it was given.
    pub fn shim_config(&self, bundle: &Bundle, options: &ShimOptions) -> Result<ShimConfig> {
        let decided = self.0.policy.shim_config(bundle, options);
        decided.map_err(during(|| format!("shim config of {}", bundle.id())))
    }

    /// The arguments, without its name, that the shim of a bundle would be started with; starts
    /// nothing. `publisher` is the binary that the shim runs to publish its events.
    ///
    /// # Errors
    ///
    /// [`InvalidIdentifier`](crate::ErrorKind::InvalidIdentifier),
    /// [`InvalidConfig`](crate::ErrorKind::InvalidConfig) if the settings are another bundle's or
    /// hold what cannot be an argument.
    pub fn shim_start_arguments(
        &self,
        bundle: &Bundle,
        config: &ShimConfig,
        publisher: &Path,
        debug: bool,
    ) -> Result<Vec<String>> {
        let daemon = &self.0.paths.daemon_address;
        let checked = self.0.policy.check_identifiers(bundle.id());
        checked
            .and_then(|()| shim_arguments(bundle, config, daemon, publisher, debug))
            .map_err(during(|| format!("shim arguments of {}", bundle.id())))
    }

    /// Where a bundle of that id lies, or would lie: only text, checked by the policy.
    ///
    /// # Errors
    ///
    /// [`InvalidIdentifier`](crate::ErrorKind::InvalidIdentifier).
    pub fn locate(&self, id: &BundleId) -> Result<Bundle> {
        self.0
            .policy
            .check_identifiers(id)
            .and_then(|()| names_of(id).map(drop))
            .map_err(during(|| format!("locate {id}")))?;
        Ok(self.0.layout.bundle(id))
    }

    /// What the policy is, and what confines it.
    #[must_use]
    pub fn policy(&self) -> PolicyReport {
        self.0.policy.report()
    }
}

impl std::fmt::Debug for Dunnage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dunnage").field("paths", &self.0.paths).finish_non_exhaustive()
    }
}

/// Says what was being done, unless something closer to the failure has said so.
pub(crate) fn during(operation: impl FnOnce() -> String) -> impl FnOnce(Error) -> Error {
    |error| error.during(operation)
}
