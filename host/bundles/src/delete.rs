//! `delete`: look before anything is touched, take the name away, remove what is left.

mod end_container;

use std::sync::Arc;

use dunnage_core::{AtStep, BundleId, Error, ErrorKind, Incarnation, Result, ShimRecords, Step, names};
use dunnage_sandbox::Access;
use dunnage_store::{DirLock, LockWait, RecordDir, ShimRecord, check_owner, names_of, socket_name};
use dunnage_sys::trusted_path::open_trusted;
use dunnage_sys::{Directory, Metadata, Mounts, Name, SocketFate, SocketIdentity, remove_recorded_socket};
use rustix::io::Errno;

pub use self::end_container::end_container;
use crate::policy_call::{Lendable, call_policy};
use crate::staging::cannot_rename;
use crate::throttle::Slot;
use crate::{ContainerEnd, Node, terminate};

/// What a deletion has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deletion {
    /// Whether this call deleted the bundle; `false` if there was none (any more). Of several
    /// callers exactly one reads `true`.
    pub deleted: bool,
    /// What could not be cleaned up, and is not a reason to fail.
    pub warnings: Vec<String>,
}

/// Deletes a bundle and its work directory; `force` kills a shim that is still running. With
/// `only`, a bundle of another incarnation stays.
///
/// # Errors
///
/// If something refuses it before anything is deleted, or cannot be removed afterwards.
pub fn delete(node: &Arc<Node>, id: &BundleId, only: Option<Incarnation>, force: bool) -> Result<Deletion> {
    let open = {
        let (node, id) = (Arc::clone(node), id.clone());
        move |waiting| Target::open(&node, &id, waiting)
    };
    let mut slot = node.begin();
    let (records, opened) = call_policy(&mut slot, Access::Read, open.clone(), |lent| node.policy.delete(id, lent));
    let outcome = records.and_then(|records| {
        // A policy need not look at the bundle to have it deleted.
        let target = opened.map_or_else(|| slot.pause(|| open(LockWait::patiently())), Ok)?;
        // Checked under its lock, or another process could replace it meanwhile.
        if only.is_some_and(|only| only != Incarnation::of(target.bundle.metadata())) {
            return Ok(Deletion::default());
        }
        target.delete(&mut slot, node, id, &records, force)
    });
    match outcome {
        Err(error) if error.kind() == ErrorKind::NotFound => remove_orphan(node, id),
        outcome => outcome,
    }
}

/// A bundle that is to be deleted: it and its work directory, locked.
pub(super) struct Target {
    name: Name,
    bundles: Arc<Directory>,
    bundle: DirLock,
    work: Option<WorkDir>,
}

/// The records of a shim.
struct FoundShim {
    pid: Option<u32>,
    record: Option<ShimRecord>,
}

/// A work directory, locked.
pub(super) struct WorkDir {
    parent: Arc<Directory>,
    directory: DirLock,
}

impl Lendable for Target {
    fn directory(&self) -> Arc<Directory> {
        self.bundle.share()
    }
}

impl Target {
    pub(super) fn open(node: &Node, id: &BundleId, waiting: LockWait) -> Result<Self> {
        let (namespace, name) = names_of(id)?;
        let bundles = node.layout.state.namespace_to_change(&namespace)?.ok_or_else(|| not_found(node, id))?;
        let work = WorkDir::open(node, &namespace, &name, waiting)?;
        let bundle = DirLock::open(&bundles, &name, waiting, Step::OpenBundle)?.ok_or_else(|| not_found(node, id))?;
        check_owner(&bundle, bundle.metadata(), Step::OpenBundle)?;
        Ok(Self { name, bundles, bundle, work })
    }

    /// What the bundle was when its lock was taken.
    pub(super) fn metadata(&self) -> &Metadata {
        self.bundle.metadata()
    }

    pub(super) fn delete(
        mut self,
        slot: &mut Slot<'_>,
        node: &Node,
        id: &BundleId,
        records: &ShimRecords,
        force: bool,
    ) -> Result<Deletion> {
        let mut warnings = Vec::new();
        // Everything that can refuse comes first: until the name is taken away, nothing has been
        // lost. The shim's pid is read while there is a file to read it from (defect D2).
        let mut mounted = self.find_mounts()?;
        let record_dir = overlook_broken(RecordDir::open(&node.layout, id), force, &mut warnings)?;
        let mut container = None;
        if let Some(shim) = self.find_shim(records, record_dir.as_ref(), force, &mut warnings)? {
            if slot.pause(|| self.end_shim(node, id, &shim, force))? {
                // It may have mounted something while it lived.
                mounted = self.find_mounts()?;
            }
            container = record_dir.as_ref().and_then(|record_dir| ContainerEnd::settle(id, &record_dir.directory));
        }
        let retired = if mounted { slot.pause(|| unmount_rootfs(node, &self.bundle)) } else { Ok(()) };
        let retired = retired.and_then(|()| self.retire());
        // Told of also if the bundle cannot go: its container has ended.
        if let Some(end) = container {
            node.note_end(ContainerEnd { is_deleted: retired.is_ok(), ..end });
        }
        let trash = retired?;

        // The bundle is deleted. From here on every step is tried, and every failure is reported.
        let durable = node.durable;
        let mut results = Vec::new();
        if durable {
            results.push(self.bundles.sync().at_step(Step::Retire));
        }
        results.push(self.remove(&trash));
        self.clean_socket(node, id, records, record_dir.as_ref(), &mut warnings);
        if let Some(record_dir) = record_dir {
            results.push(record_dir.remove());
        }
        if let Some(work) = self.work.take() {
            results.push(work.remove(&self.name));
            if durable {
                results.push(work.parent.sync().at_step(Step::RemoveWorkDir));
            }
        }
        let failed = results.into_iter().filter_map(Result::err);
        match failed.reduce(|first, other| first.note(other.to_string())) {
            None => Ok(Deletion { deleted: true, warnings }),
            Some(error) => Err(error),
        }
    }

    /// Whether something must be unmounted. Refuses if something is mounted where unmounting is not
    /// ours to do: anywhere but at or under `rootfs`.
    fn find_mounts(&self) -> Result<bool> {
        let mounts = Mounts::below(&self.bundle).at_step(Step::Unmount)?;
        if let Some(path) = mounts.outside(&names::ROOTFS) {
            return Err(foreign_mount(&self.bundle, path));
        }
        if let Some(work) = &self.work {
            refuse_mounts(&work.directory)?;
        }
        Ok(mounts.first().is_some())
    }

    /// What there is to know about the bundle's shim; `None` if none has ever been here.
    fn find_shim(
        &self,
        records: &ShimRecords,
        record_dir: Option<&RecordDir>,
        force: bool,
        warnings: &mut Vec<String>,
    ) -> Result<Option<FoundShim>> {
        let record = record_dir.map_or(Ok(None), |record_dir| record_dir.record_of(&self.bundle));
        let record = overlook_broken(record, force, warnings)?;
        let pid = match &records.pid {
            Ok(pid) => *pid,
            Err(fault) => {
                warnings.push(format!("shim.pid cannot be used: {fault}"));
                None
            }
        };
        let never = record.is_none() && pid.is_none() && matches!(records.address, Ok(None));
        Ok((!never).then_some(FoundShim { pid, record }))
    }

    /// Refuses to delete under a running shim or container, or ends them with `force`; returns
    /// whether it did.
    fn end_shim(&self, node: &Node, id: &BundleId, shim: &FoundShim, force: bool) -> Result<bool> {
        let is_attended = || match RecordDir::open(&node.layout, id)? {
            Some(records) => Ok(records.lock()?.is_none()),
            None => Ok(false),
        };
        terminate::end(&node.privileged, id, &self.bundle, shim.pid, shim.record.as_ref(), force, is_attended)
    }

    /// Takes the bundle's name away: the commit of `delete`. The new name is unique, so that a
    /// leftover of an earlier crash is never in the way (defect D5).
    fn retire(&self) -> Result<Name> {
        let trash = loop {
            let trash = self.name.hidden().map_err(|errno| {
                Error::new(ErrorKind::Filesystem, Step::Retire, format!("cannot choose a name: {errno}"))
            })?;
            match self.bundles.rename(&self.name, &self.bundles, &trash) {
                Ok(()) => break trash,
                Err(failure) if failure.errno() == Errno::EXIST => {}
                Err(failure) => {
                    let error = Error::from_failure(Step::Retire, &failure);
                    return Err(match failure.errno() {
                        Errno::BUSY => cannot_unmount(error),
                        errno => cannot_rename(error, errno),
                    });
                }
            }
        };
        Ok(trash)
    }
}

impl Target {
    /// Removes what was the bundle.
    fn remove(&self, trash: &Name) -> Result<()> {
        self.remove_usual(trash)
            .or_else(|_| self.bundles.remove_tree(trash, &self.bundle))
            .map_err(|failure| leftover(Step::RemoveBundle, &failure, &self.bundles, trash))
    }

    /// Most bundles hold nothing but what they were made of: no need to list them.
    fn remove_usual(&self, trash: &Name) -> dunnage_sys::Result<()> {
        self.bundle.unlink(&names::CONFIG)?;
        self.bundle.remove_directory(&names::ROOTFS)?;
        self.bundles.remove_directory(trash)
    }
}

impl Target {
    /// Removes the socket that a dead shim left, if its address is the one that this bundle's shim
    /// must have. Never a reason to fail.
    fn clean_socket(
        &self,
        node: &Node,
        id: &BundleId,
        records: &ShimRecords,
        record_dir: Option<&RecordDir>,
        warnings: &mut Vec<String>,
    ) {
        // The record of a shim whose start a crash has cut short.
        let record = record_dir.and_then(|record_dir| ShimRecord::read(&record_dir.directory).ok()?);
        let address = match (&records.address, &record) {
            (Ok(Some(address)), _) | (Ok(None), Some(ShimRecord { address, .. })) => address,
            (Ok(None), None) => return,
            (Err(fault), _) => return warnings.push(format!("address cannot be used: {fault}")),
        };
        let ours = record.as_ref().filter(|record| Some(record.bundle) == self.bundle.identity());
        match try_clean_socket(node, id, address, ours.and_then(|record| record.socket)) {
            Ok(SocketFate::Removed | SocketFate::Missing) => {}
            Ok(SocketFate::Kept(why)) => warnings.push(format!("the socket {address:?} was not removed: {why}")),
            Err(error) => warnings.push(format!("the socket {address:?} was not removed: {error}")),
        }
    }
}

impl WorkDir {
    pub(super) fn open(node: &Node, namespace: &Name, name: &Name, waiting: LockWait) -> Result<Option<Self>> {
        let Some(parent) = node.layout.root.namespace_to_change(namespace)? else { return Ok(None) };
        let Some(directory) = DirLock::open(&parent, name, waiting, Step::OpenWorkDir)? else { return Ok(None) };
        check_owner(&directory, directory.metadata(), Step::OpenWorkDir)?;
        Ok(Some(Self { parent, directory }))
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    pub(super) fn remove(&self, name: &Name) -> Result<()> {
        match self.parent.remove_directory(name) {
            // The usual case: it is empty.
            Ok(()) => return Ok(()),
            Err(failure) if matches!(failure.errno(), Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(failure) => return Err(leftover(Step::RemoveWorkDir, &failure, &self.parent, name)),
        }
        self.parent
            .remove_tree(name, &self.directory)
            .map_err(|failure| leftover(Step::RemoveWorkDir, &failure, &self.parent, name))
    }
}

/// Removes the work directory of a bundle that is not there: a crash may have left it.
///
/// Without even a namespace directory the state directory is more likely a wrong one, and the work
/// directory that of a running container: then it is removed only if it is empty.
fn remove_orphan(node: &Node, id: &BundleId) -> Result<Deletion> {
    let (namespace, name) = names_of(id)?;
    if let Some(work) = WorkDir::open(node, &namespace, &name, LockWait::patiently())? {
        // While its lock is held, no other call can be creating a bundle of that name.
        match node.layout.state.namespace_to_change(&namespace)? {
            Some(bundles) if bundles.metadata_at(&name).is_ok() => {}
            Some(_) => {
                refuse_mounts(&work.directory)?;
                work.remove(&name)?;
            }
            None => {
                if let Err(failure) = work.parent.remove_directory(&name) {
                    tracing::warn!(%failure, "cannot remove a work directory whose bundle has no namespace directory");
                }
            }
        }
    }
    Ok(Deletion::default())
}

fn try_clean_socket(node: &Node, id: &BundleId, address: &str, recorded: Option<SocketIdentity>) -> Result<SocketFate> {
    if node.policy.shim_address(id)? != address {
        return Ok(SocketFate::Kept("it is not the socket of this bundle"));
    }
    let Some(name) = socket_name(&node.paths.socket_root, address) else {
        return Ok(SocketFate::Kept("it is not in the socket directory"));
    };
    let directory = match open_trusted(&node.paths.socket_root) {
        Err(dunnage_sys::trusted_path::TrustedPathError::Failure(failure)) if failure.errno() == Errno::NOENT => {
            return Ok(SocketFate::Missing);
        }
        directory => directory.at_step(Step::EndShim)?,
    };
    remove_recorded_socket(&directory, &name, recorded).at_step(Step::EndShim)
}

/// The same for the address that the shim of an id must have, of which nothing is on file.
pub(super) fn clean_expected_socket(node: &Node, id: &BundleId) {
    let cleaned = node.policy.shim_address(id).and_then(|address| try_clean_socket(node, id, &address, None));
    if let Err(error) = cleaned {
        tracing::debug!(%error, "cannot tell whether {id} left a socket behind");
    }
}

/// Treats an unusable record of a shim as missing, with `force`.
///
/// Unknown is not dead, but a broken record must not keep a bundle for ever. One that cannot be read
/// only now, because this process or the machine has run out of something, is not broken.
fn overlook_broken<T>(found: Result<Option<T>>, force: bool, warnings: &mut Vec<String>) -> Result<Option<T>> {
    const RUN_OUT: [Errno; 3] = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    match found {
        Err(error) if force && !RUN_OUT.iter().any(|errno| error.errno() == Some(errno.raw_os_error())) => {
            warnings.push(error.to_string());
            Ok(None)
        }
        found => found,
    }
}

fn not_found(node: &Node, id: &BundleId) -> Error {
    crate::inspect::not_found(&node.layout.bundle(id))
}

/// Unmounts what is mounted at and under `rootfs`.
pub(super) fn unmount_rootfs(node: &Node, bundle: &Directory) -> Result<()> {
    let unmounted = node.privileged.unmount(bundle);
    unmounted.map_err(|failure| cannot_unmount(Error::from_failure(Step::Unmount, &failure)))
}

fn cannot_unmount(error: Error) -> Error {
    error.with_kind(ErrorKind::Mounted).note("nothing was deleted; unmount it, or stop what uses it, and try again")
}

/// Refuses what has anything mounted below it: none of that is ours to unmount.
pub(super) fn refuse_mounts(directory: &Directory) -> Result<()> {
    match Mounts::below(directory).at_step(Step::Unmount)?.first() {
        Some(path) => Err(foreign_mount(directory, path)),
        None => Ok(()),
    }
}

fn foreign_mount(directory: &Directory, path: &std::path::Path) -> Error {
    let path = directory.path().join(path);
    let message = format!("something is mounted at {}, which is not at or under rootfs", path.display());
    cannot_unmount(Error::new(ErrorKind::Mounted, Step::Unmount, message).at(path))
}

fn leftover(step: Step, failure: &dunnage_sys::Failure, parent: &Directory, name: &Name) -> Error {
    Error::from_failure(step, failure).note(format!("{} is left behind", parent.path_of(name).display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_cannot_be_read_now_is_not_overlooked() {
        let found = |errno| -> Result<Option<()>> {
            Err(Error::from_failure(
                Step::ReadRecords,
                &dunnage_sys::Failure::new("openat2", std::path::PathBuf::from("/record"), errno),
            ))
        };
        let mut warnings = Vec::new();
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM] {
            assert!(overlook_broken(found(errno), true, &mut warnings).is_err(), "{errno}");
        }
        assert!(overlook_broken(found(Errno::NOTDIR), false, &mut warnings).is_err());
        assert_eq!(warnings, [""; 0]);
        assert!(overlook_broken(found(Errno::NOTDIR), true, &mut warnings).unwrap().is_none());
        assert_eq!(warnings.len(), 1);
    }
}
