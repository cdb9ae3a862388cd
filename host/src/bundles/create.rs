//! `create`: the policy builds in a staging directory, the host checks and publishes.

use std::sync::Arc;

use rustix::io::Errno;

use super::Inner;
use super::lend::{Lendable, lend};
use super::lock::{Locked, Waiting};
use super::pairing::Pairing;
use super::places::{PASSABLE, Places, check_owner};
use super::staging::{Staging, exists};
use crate::bundle::{BundleId, Incarnation};
use crate::error::{AtStep, Error, ErrorKind, Result, Step};
use crate::filesystem::Access;
use crate::name::Name;
use crate::policy::Built;
use crate::sabotage::SABOTAGED;
use crate::spec::Spec;
use crate::sys::Directory;
use crate::sys::ambient::Made;

/// How often a call starts over when directories vanish under it: another call that failed took
/// the namespace directory back that it had made.
const ATTEMPTS: u32 = 16;

/// Creates a bundle; returns the remapped GID, and which bundle it is.
pub(super) fn create(inner: &Arc<Inner>, id: &BundleId, spec: &Spec) -> Result<(u32, Incarnation)> {
    let open = {
        let (inner, id) = (Arc::clone(inner), id.clone());
        move |waiting| Site::open(&inner, &id, waiting)
    };
    let mut busy = inner.busy();
    let (built, site) = lend(&mut busy, Access::Build, open, |lent| inner.policy.create(&inner.config, id, spec, lent));
    let Some(mut site) = site else {
        let untouched = || Error::new(ErrorKind::PolicyBroken, Step::Verify, "the policy said yes and made nothing");
        return Err(built.err().unwrap_or_else(untouched));
    };
    let published = built.and_then(|built| {
        site.publish(&built, spec, inner.config.durable)?;
        Ok((built.remapped_gid, site.staging.incarnation()))
    });
    published.map_err(|error| site.undo(&inner.places, error))
}

/// The directories of one call, locked, and what of them it has made itself.
struct Site {
    name: Name,
    bundles: Arc<Directory>,
    work_dirs: Arc<Directory>,
    work_dir: Locked,
    made_work_dir: bool,
    staging: Staging,
    published: bool,
    made: Vec<Made>,
    /// The state and the root, if this call has paired them.
    pairing: Option<Pairing>,
}

impl Lendable for Site {
    fn directory(&self) -> Arc<Directory> {
        self.staging.share()
    }
}

impl Site {
    fn open(inner: &Inner, id: &BundleId, waiting: Waiting) -> Result<Self> {
        let (namespace, name) = names(id)?;
        let mut attempt = 1;
        loop {
            let mut made = Vec::new();
            match Self::open_once(inner, &namespace, &name, waiting, &mut made) {
                Err(error) => {
                    let error = noted(error, take_back(made));
                    let vanished = error.errno() == Some(Errno::NOENT.raw_os_error());
                    if !vanished || attempt == ATTEMPTS {
                        return Err(error);
                    }
                    attempt += 1;
                }
                Ok(mut site) => {
                    site.made = made;
                    return Ok(site);
                }
            }
        }
    }

    fn open_once(inner: &Inner, namespace: &Name, name: &Name, waiting: Waiting, made: &mut Vec<Made>) -> Result<Self> {
        let bundles = inner.places.state.namespace_or_make(namespace, made)?;
        let work_dirs = inner.places.root.namespace_or_make(namespace, made)?;
        let pairing = inner.places.pair(&bundles, &work_dirs, waiting, made)?;
        match Self::open_in(bundles, work_dirs, name, waiting) {
            Ok(site) => Ok(Self { pairing, ..site }),
            Err(error) => Err(withdraw(pairing, &inner.places, error)),
        }
    }

    fn open_in(bundles: Arc<Directory>, work_dirs: Arc<Directory>, name: &Name, waiting: Waiting) -> Result<Self> {
        let (work_dir, made_work_dir) = open_work_dir(&work_dirs, name, waiting)?;
        // Of a bundle with this name there would be a work directory; if not, publishing refuses.
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
            let message = format!("somebody has removed {}", self.work_dir.path().display());
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
    fn undo(self, places: &Places, mut error: Error) -> Error {
        if self.published
            && let Err(failure) = self.staging.unpublish(&self.bundles, &self.name)
        {
            let note =
                format!("the bundle is there, but may not outlive a power loss: it cannot be taken back: {failure}");
            return error.note(note);
        }
        if !SABOTAGED && let Err(note) = self.staging.discard(&self.bundles) {
            error = error.note(note);
        }
        if self.made_work_dir {
            error = remove_work_dir(&self.work_dirs, &self.name, error);
        }
        drop(self.work_dir);
        noted(withdraw(self.pairing, places, error), take_back(self.made))
    }
}

/// The host's own check of the names: a policy that lets others through has failed.
pub(crate) fn names(id: &BundleId) -> Result<(Name, Name)> {
    let name = |text: &str| match Name::new(text) {
        Ok(name) if !name.is_hidden() => Ok(name),
        Ok(_) => Err("it starts with a dot".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    let checked = |part: &str, text: &str| {
        name(text).map_err(|why| {
            let message = format!(
                "the policy broke a rule: it accepted the {part} {text:?}, which is no name of a directory: {why}"
            );
            Error::new(ErrorKind::PolicyBroken, Step::Decide, message)
        })
    };
    Ok((checked("namespace", id.namespace())?, checked("id", id.id())?))
}

fn is_taken(bundles: &Directory, name: &Name) -> crate::sys::Result<bool> {
    match bundles.metadata_at(name) {
        Err(failure) if failure.errno() == Errno::NOENT => Ok(false),
        found => found.map(|_| true),
    }
}

/// Makes the work directory, or opens it. One that is there is used as it is.
///
/// Making comes first: to look for a name that nothing has takes the lock of the directory it would
/// lie in, and whoever waits for that one while others make and remove bundles waits for
/// milliseconds (`rwsem` lets writers pass readers).
pub(super) fn open_work_dir(work_dirs: &Directory, name: &Name, waiting: Waiting) -> Result<(Locked, bool)> {
    loop {
        match work_dirs.create_directory(name, PASSABLE) {
            Err(failure) if failure.errno() == Errno::EXIST => {}
            Err(failure) => return Err(Error::from_failure(Step::OpenWorkDir, &failure)),
            Ok(made) => {
                // Somebody else may have been faster to lock it, and then it is theirs too.
                if let Some(locked) = Locked::new(made, work_dirs, name)? {
                    return Ok((locked, true));
                }
            }
        }
        if let Some(found) = Locked::open(work_dirs, name, waiting, Step::OpenWorkDir)? {
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

/// Takes back that the state and the root name each other.
fn withdraw(pairing: Option<Pairing>, places: &Places, error: Error) -> Error {
    match pairing.map_or(Ok(()), |pairing| pairing.withdraw(places)) {
        Ok(()) => error,
        Err(left) => error.note(left.to_string()),
    }
}

/// Removes directories that this call has made on the way, if nobody has used them meanwhile. Says
/// what is left behind if that fails.
pub(super) fn take_back(made: Vec<Made>) -> Option<String> {
    for Made { parent, name } in made.into_iter().rev() {
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
