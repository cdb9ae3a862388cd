//! Hidden leftovers: what a creation or a deletion had under a name of its own when it was cut
//! short, and what those of containerd's runtime v1 have left (defect D5).

use super::scan::Hidden;
use super::{Fate, Finding, Job, Leftover};
use crate::bundles::lock::{Locked, Waiting};
use crate::bundles::places::check_owner;
use crate::error::{AtStep, Error, ErrorKind, Result, Step};
use crate::sys::{Directory, Mounts};

impl Job<'_> {
    pub(super) fn hidden(&self, hidden: &Hidden) {
        let path = hidden.parent.path_of(&hidden.name);
        let finding = Finding { leftover: hidden.leftover, path, id: None, fate: Fate::Kept, why: None };
        if hidden.leftover == Leftover::V1 && !self.options.adopt_v1 {
            let why = "left by containerd's runtime v1; --adopt-v1 removes it";
            return self.found(Finding { why: Some(why.to_owned()), ..finding });
        }
        match self.remove_hidden(hidden) {
            Ok(None) => {}
            Ok(Some(fate)) => self.note(finding, Ok(fate)),
            Err(error) => self.note(finding, Err(error)),
        }
    }

    /// `None` if it has gone meanwhile. Whoever is still at it has its lock.
    fn remove_hidden(&self, Hidden { parent, name, .. }: &Hidden) -> Result<Option<Fate>> {
        let Some(locked) = Locked::open(parent, name, Waiting::Never, Step::Recover)? else { return Ok(None) };
        check_owner(&locked, locked.metadata(), Step::Recover)?;
        refuse_mounts(&locked)?;
        self.removed_by(|| parent.remove_tree(name, &locked).at_step(Step::Recover)).map(Some)
    }
}

/// Nothing that is mounted below a leftover is ours to unmount.
pub(super) fn refuse_mounts(directory: &Directory) -> Result<()> {
    match Mounts::below(directory).at_step(Step::Unmount)?.first() {
        None => Ok(()),
        Some(path) => {
            let path = directory.path().join(path);
            let message = format!("something is mounted at {}", path.display());
            Err(Error::new(ErrorKind::Mounted, Step::Unmount, message).at(path))
        }
    }
}
