//! What is on record about shims: of those that were never started, or that are gone, everything
//! is removed that they left (defect D7). A container that lives without its shim stays, and what
//! is on record with it.

use std::sync::Arc;

use rustix::io::Errno;

use super::{Fate, Job};
use crate::bundle::BundleId;
use crate::bundles::Inner;
use crate::bundles::create::{names, open_work_dir, take_back};
use crate::bundles::delete::unmount_rootfs;
use crate::bundles::inspect::is_valid;
use crate::bundles::lock::{Locked, Waiting};
use crate::bundles::places::{check_owner, socket_name};
use crate::bundles::running;
use crate::bundles::runtime::Runtime;
use crate::bundles::shim_record::{Kept, ShimRecord};
use crate::error::{AtStep, Error, ErrorKind, Result, Step};
use crate::name::Name;
use crate::sys::ambient::{AmbientError, Made, open_trusted};
use crate::sys::{Directory, is_there, remove_dead_socket, remove_own_socket};

impl Job<'_> {
    /// `None` if the shim is alive and well, or everything of it is gone already.
    pub(super) fn shim(&self, id: &BundleId) -> Result<Option<Fate>> {
        if !is_valid(self.inner, id)? {
            return Ok(None);
        }
        let (_, name) = names(id)?;
        let mut made = Vec::new();
        let site = Site::open(self, id, &mut made)?;
        let fate = self.recover_in(id, &site);
        let Site { bundle, work_dir, made_work_dir } = site;
        drop(bundle);
        if let Some((parent, work_dir)) = work_dir {
            if made_work_dir {
                parent.remove_directory(&name).at_step(Step::Recover)?;
            }
            drop(work_dir);
        }
        if let Some(left) = take_back(made) {
            tracing::warn!("recover {id}: {left}");
        }
        fate
    }

    fn recover_in(&self, id: &BundleId, site: &Site) -> Result<Option<Fate>> {
        let Some(kept) = Kept::open(&self.inner.places, id)? else { return Ok(None) };
        // Whoever has just made FIFOs for a container that is yet to run has this lock.
        let Some(_in_use) = kept.lock()? else { return Ok(None) };
        let record = ShimRecord::read(&kept.directory)?;
        let of_bundle = record
            .as_ref()
            .zip(site.bundle.as_ref())
            .filter(|(record, bundle)| bundle.identity() == Some(record.bundle));
        match (of_bundle, &record) {
            (Some((record, bundle)), _) => self.recover_of_bundle(id, site, &kept, record, bundle),
            (None, Some(record)) => self.recover_without_bundle(id, &kept, record),
            (None, None) => self.removed_by(|| kept.remove()).map(Some),
        }
    }

    /// The shim of a bundle that is there.
    fn recover_of_bundle(
        &self,
        id: &BundleId,
        site: &Site,
        kept: &Kept,
        record: &ShimRecord,
        bundle: &Locked,
    ) -> Result<Option<Fate>> {
        // Nobody is starting it any more: that takes the lock that we have.
        let is_filed = bundle.metadata_at(&Name::ADDRESS).is_ok();
        if is_alive(record) && is_filed {
            return Ok(None);
        }
        let runtime = Runtime::of(&self.inner.config.privileged, id, Some(record));
        if is_filed
            && let Some(state) = runtime.state(bundle)?
            && state.is_running()
        {
            let (status, pid) = (&state.status, state.pid);
            let message = format!("its container is still {status} (pid {pid}), without a shim");
            return Err(Error::new(ErrorKind::ShimAlive, Step::Recover, message).at(bundle.path()));
        }
        let fate = self.removed_by(|| {
            // A start that was cut short may have left a shim that nobody can find.
            running::end(&self.inner.config.privileged, id, bundle, None, Some(record), !is_filed)?;
            unmount_rootfs(self.inner, bundle)?;
            clean_recorded_socket(self.inner, record)?;
            for name in [Name::SHIM_PID, Name::ADDRESS] {
                bundle.unlink_if_there(&name).at_step(Step::Recover)?;
            }
            if let Some((_, work_dir)) = &site.work_dir {
                for name in [Name::SHIM_STDOUT, Name::SHIM_STDERR] {
                    work_dir.unlink_if_there(&name).at_step(Step::Recover)?;
                }
            }
            kept.remove()
        })?;
        Ok(Some(fate))
    }

    /// The bundle is gone, or another one has its name.
    fn recover_without_bundle(&self, id: &BundleId, kept: &Kept, record: &ShimRecord) -> Result<Option<Fate>> {
        let unknown = |message: String| Err(Error::new(ErrorKind::Shim, Step::Recover, message));
        if let Some(process) = record.serving()
            && is_alive(record)
        {
            return unknown(format!("its shim (pid {}) is still running, and its bundle is gone", process.pid));
        }
        if Runtime::of(&self.inner.config.privileged, id, Some(record)).has_state() {
            return unknown("the runtime still has a container of its bundle, which is gone".to_owned());
        }
        let fate = self.removed_by(|| {
            clean_recorded_socket(self.inner, record)?;
            kept.remove()
        })?;
        Ok(Some(fate))
    }
}

/// Removes the socket that was bound for a shim, unless another one has its name. (One that is not
/// on record yet is not served either.)
fn clean_recorded_socket(inner: &Inner, record: &ShimRecord) -> Result<()> {
    let Some(name) = socket_name(inner.socket_root(), &record.address) else { return Ok(()) };
    let sockets = match open_trusted(inner.socket_root()) {
        Err(AmbientError::Failure(failure)) if failure.errno() == Errno::NOENT => return Ok(()),
        sockets => sockets.at_step(Step::Recover)?,
    };
    let removed = match record.socket {
        None => remove_dead_socket(&sockets, &name),
        Some(identity) => remove_own_socket(&sockets, &name, identity),
    };
    removed.map(drop).at_step(Step::Recover)
}

/// Unknown is not dead.
fn is_alive(record: &ShimRecord) -> bool {
    record.serving().is_some_and(|process| is_there(process.pid, process.started).unwrap_or(true))
}

/// A bundle and its work directory, locked: nobody else is starting, deleting or creating them.
struct Site {
    bundle: Option<Locked>,
    work_dir: Option<(Arc<Directory>, Locked)>,
    made_work_dir: bool,
}

impl Site {
    /// The lock of the id is that of its work directory, which is made for the purpose if there is
    /// none.
    fn open(job: &Job<'_>, id: &BundleId, made: &mut Vec<Made>) -> Result<Self> {
        let (namespace, name) = names(id)?;
        let places = &job.inner.places;
        let (work_dir, made_work_dir) = if job.options.dry_run {
            let found = match places.root.namespace(&namespace)? {
                Some(parent) => {
                    Locked::open(&parent, &name, Waiting::Never, Step::OpenWorkDir)?.map(|dir| (parent, dir))
                }
                None => None,
            };
            (found, false)
        } else {
            let parent = places.root.namespace_or_make(&namespace, made)?;
            let (directory, made_it) = open_work_dir(&parent, &name, Waiting::Never)?;
            (Some((parent, directory)), made_it)
        };
        let bundle = match places.state.namespace(&namespace)? {
            Some(bundles) => Locked::open(&bundles, &name, Waiting::Never, Step::OpenBundle)?,
            None => None,
        };
        if let Some(bundle) = &bundle {
            check_owner(bundle, bundle.metadata(), Step::OpenBundle)?;
        }
        Ok(Self { bundle, work_dir, made_work_dir })
    }
}
