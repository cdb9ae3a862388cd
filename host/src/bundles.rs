//! The bundle manager: create, load, list, inspect, delete.

mod busy;
mod create;
mod delete;
#[cfg(feature = "shim")]
mod hold;
mod inspect;
mod kept;
mod lend;
mod listing;
mod lock;
#[cfg(feature = "shim")]
mod on_file;
mod pairing;
mod places;
mod records;
mod recover;
mod running;
mod runtime;
mod shim_record;
mod staging;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use self::create::names;
pub use self::delete::Deletion;
pub use self::inspect::{Inspection, Listed, Scope};
pub use self::listing::Listing;
#[cfg(feature = "shim")]
pub(crate) use self::lock::{Locked, Waiting};
#[cfg(feature = "shim")]
pub(crate) use self::places::Base;
pub(crate) use self::places::Places;
pub use self::recover::{Fate, Finding, Leftover, RecoverOptions, Recovery};
#[cfg(feature = "shim")]
pub(crate) use self::{
    hold::Hold,
    inspect::{find_shim, lend as lend_to_read, open as open_bundle},
    on_file::OnFile,
    places::socket_name,
    runtime::DEFAULT_RUNTIME_ROOT,
    shim_record::{Kept as KeptShim, Kind as ShimKind},
};
pub(crate) use self::{
    runtime::{Action as RuntimeAction, Runtime},
    shim_record::{Process, ShimRecord},
};
use crate::bundle::{Bundle, BundleId, Incarnation};
use crate::config::{Builder, Config};
use crate::error::Result;
use crate::policy::{Policy, PolicyReport};
use crate::shims::{Endpoint, ShimConfig, ShimOptions};
use crate::spec::{Spec, TaskSettings};
use crate::turns::Turns;

/// A bundle manager: one state directory, one root directory, one policy.
///
/// Cheap to clone, and usable from many threads at once: calls for different bundles run side by
/// side, calls for the same bundle wait for each other. Several managers, in several processes,
/// may share their directories.
#[derive(Clone)]
pub struct Dunnage(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) places: Places,
    pub(crate) policy: Policy,
    turns: Option<Turns>,
}

impl Inner {
    /// The directory of the shims' sockets.
    pub(crate) fn socket_root(&self) -> &Path {
        &self.config.socket_root
    }

    /// A call that changes a bundle begins.
    fn busy(&self) -> busy::Busy<'_> {
        busy::Busy::new(self.turns.as_ref())
    }
}

impl Dunnage {
    /// Starts to set up a bundle manager.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn from_config(config: Config, load: impl FnOnce(&Config) -> Result<Policy>) -> Result<Self> {
        let policy = load(&config).map_err(|error| error.during(|| "start the policy".to_owned()))?;
        let places = Places::new(config.state.clone(), config.root.clone());
        let turns = busy::turns(config.durable);
        Ok(Self(Arc::new(Inner { config, places, policy, turns })))
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
    /// directories, the file system or the policy fail. What a failed call has made is gone, or
    /// the error names what is left.
    pub fn create(&self, id: &BundleId, spec: &Spec) -> Result<Created> {
        let (remapped_gid, incarnation) =
            create::create(&self.0, id, spec).map_err(|error| error.during(|| format!("create {id}")))?;
        Ok(Created { bundle: self.0.places.bundle(id), remapped_gid, incarnation })
    }

    /// Finds a bundle by its id. Similar to `loadBundle` of containerd.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is none.
    pub fn load(&self, id: &BundleId) -> Result<Bundle> {
        inspect::load(&self.0, id).map_err(|error| error.during(|| format!("load {id}")))
    }

    /// Takes a bundle that lies anywhere, as it is: the caller vouches for the paths.
    #[must_use]
    pub fn load_unchecked(&self, id: &BundleId, path: impl Into<PathBuf>, work_dir: impl Into<PathBuf>) -> Bundle {
        Bundle { id: id.clone(), path: path.into(), work_dir: work_dir.into() }
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
        inspect::list(&self.0, scope).map_err(|error| error.during(|| "list bundles".to_owned()))
    }

    /// Says what there is to know about a bundle. Writes nothing.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is none.
    pub fn inspect(&self, id: &BundleId) -> Result<Inspection> {
        inspect::inspect(&self.0, id).map_err(|error| error.during(|| format!("inspect {id}")))
    }

    /// Deletes a bundle and its work directory: unmounts what is mounted at or under `rootfs`,
    /// takes the bundle's name away, removes everything, and cleans the socket of a dead shim.
    /// Similar to `Delete` of containerd's `bundle`.
    ///
    /// A bundle that is not there (any more) is no error. `force` kills a shim that is still
    /// running.
    ///
    /// # Errors
    ///
    /// [`Mounted`](crate::ErrorKind::Mounted) and [`ShimAlive`](crate::ErrorKind::ShimAlive)
    /// before anything is deleted (with `force` the shim may have ended by then, and some of
    /// several mounts may be unmounted). If something cannot be removed after the bundle's name is gone,
    /// the error names what is left behind.
    pub fn delete(&self, id: &BundleId, force: bool) -> Result<Deletion> {
        delete::delete(&self.0, id, None, force).map_err(|error| error.during(|| format!("delete {id}")))
    }

    /// Deletes a bundle as [`Dunnage::delete`] does, if it is still the one that was created:
    /// another bundle that has its name by now is not touched.
    ///
    /// # Errors
    ///
    /// As for [`Dunnage::delete`].
    pub fn delete_created(&self, id: &BundleId, which: Incarnation, force: bool) -> Result<Deletion> {
        delete::delete(&self.0, id, Some(which), force).map_err(|error| error.during(|| format!("delete {id}")))
    }

    /// Finds what crashes and reboots have left, and removes it: staging and trash, work
    /// directories without a bundle, bundles of an earlier boot, and what shims have left that are
    /// gone or were never started.
    ///
    /// Safe at any time, also beside other calls and other recoveries: it takes only what nobody
    /// has the lock of. What cannot be decided on stays, and [`Recovery::is_undecided`] says so.
    ///
    /// # Errors
    ///
    /// [`NotPaired`](crate::ErrorKind::NotPaired), with nothing changed, if the state and the root
    /// directory do not belong together by what is on record in them; and if that cannot be read.
    pub fn recover(&self, options: &RecoverOptions) -> Result<Recovery> {
        recover::recover(&self.0, options).map_err(|error| error.during(|| "recover".to_owned()))
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
        let inner = &self.0;
        inner.policy.remapped_gid(&inner.config, spec).map_err(|error| error.during(|| "read the spec".to_owned()))
    }

    /// What the caller of a shim has to know of a spec: whether the process has a terminal, and the
    /// host's ids of its user and group, which its standard streams have to belong to.
    ///
    /// # Errors
    ///
    /// [`InvalidSpec`](crate::ErrorKind::InvalidSpec) if the policy refuses the spec, for example
    /// because its mappings do not cover the user.
    pub fn task_settings(&self, spec: &Spec) -> Result<TaskSettings> {
        let inner = &self.0;
        inner.policy.task_settings(&inner.config, spec).map_err(|error| error.during(|| "read the spec".to_owned()))
    }

    /// The address of a bundle's shim. Similar to `shimAddress` of containerd: the same daemon
    /// address, namespace and id give the same address.
    ///
    /// # Errors
    ///
    /// [`InvalidIdentifier`](crate::ErrorKind::InvalidIdentifier).
    pub fn shim_address(&self, id: &BundleId) -> Result<String> {
        let inner = &self.0;
        inner.policy.shim_address(&inner.config, id).map_err(|error| error.during(|| format!("shim address of {id}")))
    }

    /// The abstract address that shims of old containerd versions had. Similar to
    /// `legacyShimAddress` of containerd.
    ///
    /// # Errors
    ///
    /// [`InvalidIdentifier`](crate::ErrorKind::InvalidIdentifier).
    pub fn legacy_shim_address(&self, id: &BundleId) -> Result<String> {
        let inner = &self.0;
        inner
            .policy
            .legacy_shim_address(&inner.config, id)
            .map_err(|error| error.during(|| format!("shim address of {id}")))
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
        let inner = &self.0;
        inner
            .policy
            .connect_address(&inner.config, id, inspect::lend(inner, id), allow_legacy)
            .map(Endpoint::from)
            .map_err(|error| error.during(|| format!("connect address of {id}")))
    }

    /// How the shim of a bundle is to be set up. Similar to `shimConfig` of containerd.
    ///
    /// # Errors
    ///
    /// [`InvalidIdentifier`](crate::ErrorKind::InvalidIdentifier),
    /// [`PolicyBroken`](crate::ErrorKind::PolicyBroken) if the policy answers other paths, another
    /// namespace or another runtime root than it was told.
    pub fn shim_config(&self, bundle: &Bundle, options: &ShimOptions) -> Result<ShimConfig> {
        let inner = &self.0;
        crate::shims::config(&inner.policy, &inner.config, bundle, options)
            .map_err(|error| error.during(|| format!("shim config of {}", bundle.id())))
    }

    /// The arguments, without its name, that the shim of a bundle would be started with; starts
    /// nothing. `publisher` is the binary that the shim runs to publish its events.
    ///
    /// # Errors
    ///
    /// [`InvalidIdentifier`](crate::ErrorKind::InvalidIdentifier),
    /// [`InvalidConfig`](crate::ErrorKind::InvalidConfig) if the settings are another bundle's or
    /// hold what cannot be an argument, [`PolicyBroken`](crate::ErrorKind::PolicyBroken) if the
    /// policy answers other arguments than the settings call for.
    pub fn shim_start_arguments(
        &self,
        bundle: &Bundle,
        config: &ShimConfig,
        publisher: &Path,
        debug: bool,
    ) -> Result<Vec<String>> {
        let inner = &self.0;
        crate::shims::start_arguments(&inner.policy, &inner.config, bundle, config, publisher, debug)
            .map_err(|error| error.during(|| format!("shim arguments of {}", bundle.id())))
    }

    /// Where a bundle of that id lies, or would lie: only text, checked by the policy.
    ///
    /// # Errors
    ///
    /// [`InvalidIdentifier`](crate::ErrorKind::InvalidIdentifier).
    pub fn locate(&self, id: &BundleId) -> Result<Bundle> {
        let inner = &self.0;
        inner
            .policy
            .check_identifiers(&inner.config, id)
            .and_then(|()| names(id).map(drop))
            .map_err(|error| error.during(|| format!("locate {id}")))?;
        Ok(inner.places.bundle(id))
    }

    /// The events on record below the state directory.
    #[cfg(feature = "shim")]
    pub(crate) fn event_log(&self) -> crate::events::EventLog {
        crate::events::EventLog::new(self.0.places.state.path())
    }

    /// What the policy is, and what confines it.
    #[must_use]
    pub fn policy(&self) -> PolicyReport {
        self.0.policy.report(&self.0.config.limits)
    }
}

impl std::fmt::Debug for Dunnage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dunnage").field("config", &self.0.config).finish_non_exhaustive()
    }
}

/// A bundle that was created.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Created {
    /// The bundle.
    pub bundle: Bundle,
    /// The host's group id that GID 0 of the container is mapped to, and the bundle was given to;
    /// 0 if it is not remapped.
    pub remapped_gid: u32,
    /// Which bundle it is, whatever has its name later.
    pub incarnation: Incarnation,
}
