//! Staging: a bundle is built under a hidden name, checked, and then given its final name.

use std::sync::Arc;

use dunnage_core::{
    AtStep, Built, DIRECTORY_MODE, Error, ErrorKind, FILE_MODE, Incarnation, Result, STAGING_MODE, Step, names,
};
use dunnage_store::DirLock;
use dunnage_sys::{Directory, FileKind, Metadata, Name, effective_ids};
use rustix::io::Errno;

/// A directory that only we may enter, beside the place where the bundle will lie.
#[derive(Debug)]
pub(super) struct Staging {
    name: Name,
    directory: DirLock,
}

impl Staging {
    /// Makes and locks a staging directory. If recovery was faster and took it for a leftover, the
    /// next one gets another name.
    pub(super) fn make(namespace: &Directory, id: &Name) -> Result<Self> {
        loop {
            let name = id.hidden().map_err(|errno| {
                Error::new(ErrorKind::Filesystem, Step::Stage, format!("cannot choose a name: {errno}"))
            })?;
            let directory = match namespace.create_directory(&name, STAGING_MODE) {
                Err(failure) if failure.errno() == Errno::EXIST => continue,
                result => result.at_step(Step::Stage)?,
            };
            if let Some(directory) = DirLock::new(directory, namespace, &name)? {
                return Ok(Self { name, directory });
            }
        }
    }

    /// Which bundle this is, or will be.
    pub(super) fn incarnation(&self) -> Incarnation {
        Incarnation::of(self.directory.metadata())
    }

    pub(super) fn share(&self) -> Arc<Directory> {
        self.directory.share()
    }

    /// Refuses what is not exactly a bundle, or not what the policy said.
    ///
    /// The directory was empty, no other user could enter it, and the host has counted what it made
    /// in it: if `rootfs` and `config.json` are there and nothing else was made, nothing else is.
    pub(super) fn verify(&self, built: &Built, spec_size: u64) -> Result<()> {
        let directory = self.directory.share().metadata().at_step(Step::Verify)?;
        let expected = Expected::of(built);
        expected.check("the bundle", &directory, FileKind::Directory, DIRECTORY_MODE, Some(expected.group))?;
        let rootfs = self.find(&names::ROOTFS)?;
        expected.check("rootfs", &rootfs, FileKind::Directory, DIRECTORY_MODE, None)?;
        let config = self.find(&names::CONFIG)?;
        Self::verify_config(&expected, built, &config, spec_size)?;
        if built.made.entries != 2 {
            return Err(broken("it created more than rootfs and config.json"));
        }
        if directory.mode != built.made.mode {
            let (mode, asked) = (directory.mode, built.made.mode);
            let message = format!("the file system did not keep the bundle's mode {asked:04o}; it has {mode:04o}");
            return Err(Error::new(ErrorKind::Unsupported, Step::Verify, message).at(self.directory.path()));
        }
        Ok(())
    }

    fn find(&self, name: &Name) -> Result<Metadata> {
        self.directory.metadata_at(name).map_err(|failure| match failure.errno() {
            Errno::NOENT => broken(format!("it did not create {name}")),
            _ => Error::from_failure(Step::Verify, &failure),
        })
    }

    /// The policy cannot write bytes of its own, so a file that the host wrote for it has the
    /// caller's bytes; it must be all of them, and the file may have no second name.
    fn verify_config(expected: &Expected, built: &Built, found: &Metadata, spec_size: u64) -> Result<()> {
        let most = if expected.remapped { FILE_MODE } else { 0o600 };
        expected.check("config.json", found, FileKind::Regular, most, None)?;
        if built.made.file == Some((names::CONFIG, found.mode)) && found.size == spec_size && found.links == 1 {
            Ok(())
        } else {
            Err(broken("config.json is not the file that was written for it"))
        }
    }

    /// Gives the bundle its final name: the commit of `create`.
    pub(super) fn publish(&self, namespace: &Directory, id: &Name, durable: bool) -> Result<()> {
        if durable {
            self.directory.sync().at_step(Step::Publish)?;
        }
        let renamed = namespace.rename(&self.name, namespace, id).map_err(|failure| {
            let error = Error::from_failure(Step::Publish, &failure);
            match failure.errno() {
                Errno::EXIST | Errno::NOTEMPTY => exists(namespace, id),
                errno => cannot_rename(error, errno),
            }
        });
        renamed?;
        self.check_published(namespace, id)
    }

    /// Takes the final name back from what is not the bundle that was checked: an attacker who can
    /// write to the namespace's directory has exchanged the staging directory before its rename.
    fn check_published(&self, namespace: &Directory, id: &Name) -> Result<()> {
        // A failed look is not a reason to call a bundle back.
        if !matches!(self.directory.metadata_if_at(namespace, id), Ok(None)) {
            return Ok(());
        }
        let path = namespace.path_of(id);
        let message = format!("another process replaced the bundle before it became {}", path.display());
        let error = Error::new(ErrorKind::Untrusted, Step::Publish, message).at(&path);
        Err(match namespace.rename(id, namespace, &self.name) {
            Err(failure) if failure.errno() != Errno::NOENT => {
                error.note(format!("{} is not the bundle that was created: {failure}", path.display()))
            }
            _ => error,
        })
    }

    /// Takes the final name away again, while the bundle is locked and no other call can have begun
    /// to use it.
    pub(super) fn unpublish(&self, namespace: &Directory, id: &Name) -> dunnage_sys::Result<()> {
        namespace.rename(id, namespace, &self.name)
    }

    /// Removes what was made. Returns what is left behind if that fails.
    pub(super) fn discard(self, namespace: &Directory) -> std::result::Result<(), String> {
        namespace
            .remove_tree(&self.name, &self.directory)
            .map_err(|failure| format!("{} is left behind: {failure}", namespace.path_of(&self.name).display()))
    }
}

/// Explains what a file system lacks that cannot rename a bundle.
pub(super) fn cannot_rename(error: Error, errno: Errno) -> Error {
    let note = match errno {
        Errno::INVAL | Errno::NOSYS => "the file system does not support renaming without replacing",
        Errno::XDEV => {
            "the file system cannot rename this directory; on overlayfs the bundle must be in the upper layer"
        }
        _ => return error,
    };
    error.with_kind(ErrorKind::Unsupported).note(note)
}

/// The error of a bundle that is there already.
pub(super) fn exists(namespace: &Directory, id: &Name) -> Error {
    let path = namespace.path_of(id);
    Error::new(ErrorKind::Exists, Step::Publish, format!("{} already exists", path.display())).at(path)
}

fn broken(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::PolicyBroken, Step::Verify, format!("what the policy created cannot be published: {what}"))
}

/// The owner and group that everything made must have.
struct Expected {
    user: u32,
    our_group: u32,
    /// The group of the bundle itself.
    group: u32,
    remapped: bool,
}

impl Expected {
    fn of(built: &Built) -> Self {
        let (user, our_group) = effective_ids();
        let remapped = built.remapped_gid != 0;
        Self { user, our_group, group: if remapped { built.remapped_gid } else { our_group }, remapped }
    }

    /// If no group is named, both ours and the remapped one are accepted.
    fn check(&self, what: &str, found: &Metadata, kind: FileKind, most: u32, group: Option<u32>) -> Result<()> {
        let group_fits =
            group.map_or(found.gid == self.our_group || found.gid == self.group, |group| found.gid == group);
        if found.kind != kind {
            Err(broken(format!("{what} has the wrong file type")))
        } else if found.mode & !most != 0 {
            Err(broken(format!("{what} has mode {:04o}, but at most {most:04o} is allowed", found.mode)))
        } else if found.uid != self.user || !group_fits {
            Err(broken(format!(
                "{what} belongs to {}:{}, not to {}:{}",
                found.uid,
                found.gid,
                self.user,
                group.unwrap_or(self.group)
            )))
        } else {
            Ok(())
        }
    }
}
