//! `create`: the policy builds in a staging directory, the host checks and publishes.

use std::sync::Arc;

use dunnage_core::{AtStep, Built, Bundle, BundleId, Error, ErrorKind, Incarnation, Result, Spec, Step};
use dunnage_sandbox::Access;
use dunnage_store::{DirLock, Layout, LockWait, PASSABLE, Pairing, check_owner, names_of};
use dunnage_sys::trusted_path::CreatedDirectory;
use dunnage_sys::{Directory, Name};
use rustix::io::Errno;

use crate::Node;
use crate::policy_call::{Lendable, call_policy};
use crate::staging::{Staging, exists};

/// How often a call starts over when directories vanish under it: another call that failed took
/// the namespace directory back that it had made.
const ATTEMPTS: u32 = 16;

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

/// Creates a bundle.
///
/// # Errors
///
/// [`ErrorKind::Exists`] if there is one of that name; whatever the policy, the checks or the file system
/// refuse. What a failed call has made is gone, or the error names what is left.
pub fn create(node: &Arc<Node>, id: &BundleId, spec: &Spec) -> Result<Created> {
    let open = {
        let (node, id) = (Arc::clone(node), id.clone());
        move |waiting| PendingBundle::open(&node, &id, waiting)
    };
    let mut slot = node.begin();
    let (built, pending) = call_policy(&mut slot, Access::Build, open, |lent| node.policy.create(id, spec, lent));
    let Some(mut pending) = pending else {
        let untouched =
            || Error::new(ErrorKind::PolicyBroken, Step::Verify, "the policy reported success but created nothing");
        return Err(built.err().unwrap_or_else(untouched));
    };
    let published = built.and_then(|built| {
        pending.publish(&built, spec, node.durable)?;
        let bundle = node.layout.bundle(id);
        Ok(Created { bundle, remapped_gid: built.remapped_gid, incarnation: pending.staging.incarnation() })
    });
    published.map_err(|error| pending.undo(&node.layout, error))
}

/// The directories of one call, locked, and what of them it has made itself.
struct PendingBundle {
    name: Name,
    bundles: Arc<Directory>,
    work_dirs: Arc<Directory>,
    work_dir: DirLock,
    made_work_dir: bool,
    staging: Staging,
    published: bool,
    made: Vec<CreatedDirectory>,
    /// The state and the root, if this call has paired them.
    pairing: Option<Pairing>,
}

impl Lendable for PendingBundle {
    fn directory(&self) -> Arc<Directory> {
        self.staging.share()
    }
}

impl PendingBundle {
    fn open(node: &Node, id: &BundleId, waiting: LockWait) -> Result<Self> {
        let (namespace, name) = names_of(id)?;
        let mut attempt = 1;
        loop {
            let mut made = Vec::new();
            match Self::open_once(node, &namespace, &name, waiting, &mut made) {
                Err(error) => {
                    let error = noted(error, take_back(made));
                    let vanished = error.errno() == Some(Errno::NOENT.raw_os_error());
                    if !vanished || attempt == ATTEMPTS {
                        return Err(error);
                    }
                    attempt += 1;
                }
                Ok(mut pending) => {
                    pending.made = made;
                    return Ok(pending);
                }
            }
        }
    }

    fn open_once(
        node: &Node,
        namespace: &Name,
        name: &Name,
        waiting: LockWait,
        made: &mut Vec<CreatedDirectory>,
    ) -> Result<Self> {
        let bundles = node.layout.state.namespace_or_make(namespace, made)?;
        let work_dirs = node.layout.root.namespace_or_make(namespace, made)?;
        let pairing = node.layout.pair(&bundles, &work_dirs, waiting, made)?;
        match Self::open_in(bundles, work_dirs, name, waiting) {
            Ok(pending) => Ok(Self { pairing, ..pending }),
            Err(error) => Err(withdraw(pairing, &node.layout, error)),
        }
    }

    fn open_in(bundles: Arc<Directory>, work_dirs: Arc<Directory>, name: &Name, waiting: LockWait) -> Result<Self> {
        let (work_dir, made_work_dir) = open_work_dir(&work_dirs, name, waiting)?;
        // If there were a bundle with this name, it would have a work directory; if it has none,
        // publishing refuses.
        let taken = if made_work_dir { Ok(false) } else { is_taken(&bundles, name) };
        let staging = match taken {
            Ok(true) => Err(exists(&bundles, name)),
            Ok(false) => Staging::make(&bundles, name),
            Err(failure) => Err(Error::from_failure(Step::Stage, &failure)),
        };
        match staging {
            Ok(staging) => Ok(Self {
                name: name.clone(),
                bundles,
                work_dirs,
                work_dir,
                made_work_dir,
                staging,
                published: false,
                made: Vec::new(),
                pairing: None,
            }),
            Err(error) if made_work_dir => Err(remove_work_dir(&work_dirs, name, error)),
            Err(error) => Err(error),
        }
    }

    fn publish(&mut self, built: &Built, spec: &Spec, durable: bool) -> Result<()> {
        self.staging.verify(built, spec.as_bytes().len() as u64)?;
        if self.work_dir.metadata_if_at(&self.work_dirs, &self.name).at_step(Step::Publish)?.is_none() {
            let message = format!("another process has removed {}", self.work_dir.path().display());
            return Err(Error::new(ErrorKind::Filesystem, Step::Publish, message).at(self.work_dir.path()));
        }
        if durable {
            let made = self.made.iter().map(|made| &*made.parent);
            [&*self.work_dir, &*self.work_dirs]
                .into_iter()
                .chain(made)
                .try_for_each(Directory::sync)
                .at_step(Step::Publish)?;
        }
        self.staging.publish(&self.bundles, &self.name, durable)?;
        self.published = true;
        if let Some(pairing) = self.pairing.take() {
            pairing.settle();
        }
        if durable {
            self.bundles.sync().at_step(Step::Publish)?;
        }
        Ok(())
    }

    /// Takes back what this call has made, and nothing else (defect D6).
    fn undo(self, layout: &Layout, mut error: Error) -> Error {
        if self.published
            && let Err(failure) = self.staging.unpublish(&self.bundles, &self.name)
        {
            let note =
                format!("the bundle exists but may not survive a power loss, and cannot be removed again: {failure}");
            return error.note(note);
        }
        if let Err(note) = self.staging.discard(&self.bundles) {
            error = error.note(note);
        }
        if self.made_work_dir {
            error = remove_work_dir(&self.work_dirs, &self.name, error);
        }
        drop(self.work_dir);
        noted(withdraw(self.pairing, layout, error), take_back(self.made))
    }
}

fn is_taken(bundles: &Directory, name: &Name) -> dunnage_sys::Result<bool> {
    match bundles.metadata_at(name) {
        Err(failure) if failure.errno() == Errno::NOENT => Ok(false),
        found => found.map(|_| true),
    }
}

/// Makes the work directory, or opens it. An existing one is used as it is.
///
/// Making comes first: looking up a missing name takes the lock of its directory, and waiting for
/// that lock while others create and remove bundles takes milliseconds (`rwsem` lets writers pass
/// readers).
pub(super) fn open_work_dir(work_dirs: &Directory, name: &Name, waiting: LockWait) -> Result<(DirLock, bool)> {
    loop {
        match work_dirs.create_directory(name, PASSABLE) {
            Err(failure) if failure.errno() == Errno::EXIST => {}
            Err(failure) => return Err(Error::from_failure(Step::OpenWorkDir, &failure)),
            Ok(made) => {
                // Another call may have locked it first, and then that call uses it too.
                if let Some(locked) = DirLock::new(made, work_dirs, name)? {
                    return Ok((locked, true));
                }
            }
        }
        if let Some(found) = DirLock::open(work_dirs, name, waiting, Step::OpenWorkDir)? {
            check_owner(&found, found.metadata(), Step::OpenWorkDir)?;
            return Ok((found, false));
        }
    }
}

/// Removes a work directory that this call has made and still holds the lock of.
fn remove_work_dir(work_dirs: &Directory, name: &Name, error: Error) -> Error {
    match work_dirs.remove_directory(name) {
        Ok(()) => error,
        Err(failure) => error.note(format!("{} is left behind: {failure}", work_dirs.path_of(name).display())),
    }
}

/// Removes the records by which the state and the root refer to each other.
fn withdraw(pairing: Option<Pairing>, layout: &Layout, error: Error) -> Error {
    match pairing.map_or(Ok(()), |pairing| pairing.withdraw(layout)) {
        Ok(()) => error,
        Err(left) => error.note(left.to_string()),
    }
}

/// Removes directories that this call has made on the way, if no other call has used them
/// meanwhile. Returns what is left behind if that fails.
pub(super) fn take_back(made: Vec<CreatedDirectory>) -> Option<String> {
    for CreatedDirectory { parent, name } in made.into_iter().rev() {
        if let Err(failure) = parent.remove_directory(&name)
            && !matches!(failure.errno(), Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT)
        {
            return Some(format!("{} is left behind: {failure}", parent.path_of(&name).display()));
        }
    }
    None
}

fn noted(error: Error, note: Option<String>) -> Error {
    match note {
        Some(note) => error.note(note),
        None => error,
    }
}
