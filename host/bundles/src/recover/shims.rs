//! Records of shims: everything is removed that shims have left which were never started or are
//! gone (defect D7). A container that lives without its shim stays, and what is on record with it.

use std::sync::Arc;

use dunnage_core::{AtStep, BundleId, Error, ErrorKind, Result, Step, names};
use dunnage_store::{DirLock, Layout, LockWait, RecordDir, ShimRecord, check_owner, names_of, socket_name};
use dunnage_sys::trusted_path::{CreatedDirectory, TrustedPathError, open_trusted};
use dunnage_sys::{Directory, Name, is_there, remove_dead_socket, remove_own_socket};
use rustix::io::Errno;

use super::{Fate, Job};
use crate::Container;
use crate::create::{open_work_dir, take_back};
use crate::delete::unmount_rootfs;
use crate::inspect::is_valid;
use crate::{ContainerEnd, Node, terminate};

impl Job<'_> {
    /// `None` if the shim is alive and well, or everything of it is gone already.
    pub(super) fn shim(&self, id: &BundleId) -> Result<Option<Fate>> {
        if !is_valid(self.node, id)? {
            return Ok(None);
        }
        let (_, name) = names_of(id)?;
        let mut made = Vec::new();
        let fate = LockedBundle::open(self, id, &mut made).and_then(|locked| {
            let fate = self.recover_in(id, &locked);
            // Whatever the result, what was made for its lock is removed again.
            match (fate, locked.close(&name)) {
                (Err(error), Err(left)) => Err(error.note(left.to_string())),
                (fate, closed) => closed.and(fate),
            }
        });
        if let Some(left) = take_back(made) {
            tracing::warn!("recover {id}: {left}");
        }
        fate
    }

    fn recover_in(&self, id: &BundleId, locked: &LockedBundle) -> Result<Option<Fate>> {
        let Some(record_dir) = RecordDir::open(&self.node.layout, id)? else { return Ok(None) };
        // A call that has just made FIFOs for a container that is yet to run holds this lock.
        let Some(_in_use) = record_dir.lock()? else { return Ok(None) };
        let record = ShimRecord::read(&record_dir.directory)?;
        let of_bundle = record
            .as_ref()
            .zip(locked.bundle.as_ref())
            .filter(|(record, bundle)| bundle.identity() == Some(record.bundle));
        match (of_bundle, &record) {
            (Some((record, bundle)), _) => self.recover_of_bundle(id, locked, &record_dir, record, bundle),
            (None, Some(record)) => self.recover_without_bundle(id, &record_dir, record),
            // How the container of the bundle has ended.
            (None, None) if locked.bundle.is_some() && record_dir.directory.metadata_at(&names::EXIT).is_ok() => {
                Ok(None)
            }
            (None, None) => self.removed_by(|| record_dir.remove()).map(Some),
        }
    }

    /// The shim of a bundle that is there.
    fn recover_of_bundle(
        &self,
        id: &BundleId,
        locked: &LockedBundle,
        record_dir: &RecordDir,
        record: &ShimRecord,
        bundle: &DirLock,
    ) -> Result<Option<Fate>> {
        // No call is starting it any more: that takes the lock that we hold.
        let is_filed = bundle.metadata_at(&names::ADDRESS).is_ok();
        if is_alive(record) && is_filed {
            return Ok(None);
        }
        let container = Container::of(&self.node.privileged, id, Some(record));
        if is_filed
            && let Some(state) = container.state(bundle)?
            && state.is_running()
        {
            let (status, pid) = (&state.status, state.pid);
            let message = format!("its container is still {status} (pid {pid}), but has no shim");
            return Err(Error::new(ErrorKind::ShimAlive, Step::Recover, message).at(bundle.path()));
        }
        let fate = self.removed_by(|| {
            // A start that was cut short may have left an unrecorded shim.
            terminate::end(&self.node.privileged, id, bundle, None, Some(record), !is_filed, || Ok(true))?;
            unmount_rootfs(self.node, bundle)?;
            clean_recorded_socket(self.node, record)?;
            for name in [names::SHIM_PID, names::ADDRESS] {
                bundle.unlink_if_there(&name).at_step(Step::Recover)?;
            }
            if let Some((_, work_dir)) = &locked.work_dir {
                for name in [names::SHIM_STDOUT, names::SHIM_STDERR] {
                    work_dir.unlink_if_there(&name).at_step(Step::Recover)?;
                }
            }
            ContainerEnd::note(self.node, id, &record_dir.directory);
            record_dir.remove_but_exit()
        })?;
        Ok(Some(fate))
    }

    /// The bundle is gone, or another one has its name.
    fn recover_without_bundle(
        &self,
        id: &BundleId,
        record_dir: &RecordDir,
        record: &ShimRecord,
    ) -> Result<Option<Fate>> {
        let unknown = |message: String| Err(Error::new(ErrorKind::Shim, Step::Recover, message));
        if let Some(process) = record.serving()
            && is_alive(record)
        {
            return unknown(format!("its shim (pid {}) is still running, but its bundle is gone", process.pid));
        }
        if Container::of(&self.node.privileged, id, Some(record)).is_known() {
            return unknown("the runtime still has a container of its bundle, which is gone".to_owned());
        }
        let fate = self.removed_by(|| {
            clean_recorded_socket(self.node, record)?;
            ContainerEnd::note(self.node, id, &record_dir.directory);
            record_dir.remove()
        })?;
        Ok(Some(fate))
    }
}

/// Removes the socket that was bound for a shim, unless another one has its name. (One that is not
/// on record yet is not served either.)
fn clean_recorded_socket(node: &Node, record: &ShimRecord) -> Result<()> {
    let Some(name) = socket_name(&node.paths.socket_root, &record.address) else { return Ok(()) };
    let sockets = match open_trusted(&node.paths.socket_root) {
        Err(TrustedPathError::Failure(failure)) if failure.errno() == Errno::NOENT => return Ok(()),
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
    record.serving().is_some_and(|process| is_there(process).unwrap_or(true))
}

/// A bundle and its work directory, locked: no other call is starting, deleting or creating them.
struct LockedBundle {
    bundle: Option<DirLock>,
    work_dir: Option<(Arc<Directory>, DirLock)>,
    made_work_dir: bool,
}

impl LockedBundle {
    /// The lock of the id is that of its work directory, which is made for the purpose if there is
    /// none.
    fn open(job: &Job<'_>, id: &BundleId, made: &mut Vec<CreatedDirectory>) -> Result<Self> {
        let (namespace, name) = names_of(id)?;
        let layout = &job.node.layout;
        let (work_dir, made_work_dir) = if job.options.dry_run {
            let found = match layout.root.namespace(&namespace)? {
                Some(parent) => {
                    DirLock::open(&parent, &name, LockWait::Never, Step::OpenWorkDir)?.map(|dir| (parent, dir))
                }
                None => None,
            };
            (found, false)
        } else {
            let parent = layout.root.namespace_or_make(&namespace, made)?;
            let (directory, made_it) = open_work_dir(&parent, &name, LockWait::Never)?;
            (Some((parent, directory)), made_it)
        };
        let locked = Self { bundle: None, work_dir, made_work_dir };
        match lock_bundle(layout, &namespace, &name) {
            Ok(bundle) => Ok(Self { bundle, ..locked }),
            Err(error) => Err(locked.close(&name).err().map_or(error.clone(), |left| error.note(left.to_string()))),
        }
    }

    /// Gives the locks back, and removes a work directory that was made for them.
    fn close(self, name: &Name) -> Result<()> {
        let Self { bundle, work_dir, made_work_dir } = self;
        drop(bundle);
        match work_dir {
            Some((parent, _locked)) if made_work_dir => parent.remove_directory(name).at_step(Step::Recover),
            _ => Ok(()),
        }
    }
}

fn lock_bundle(layout: &Layout, namespace: &Name, name: &Name) -> Result<Option<DirLock>> {
    let Some(bundles) = layout.state.namespace(namespace)? else { return Ok(None) };
    let bundle = DirLock::open(&bundles, name, LockWait::Never, Step::OpenBundle)?;
    if let Some(bundle) = &bundle {
        check_owner(bundle, bundle.metadata(), Step::OpenBundle)?;
    }
    Ok(bundle)
}
