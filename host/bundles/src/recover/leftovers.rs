//! Hidden leftovers: what a creation or a deletion had under a name of its own when it was cut
//! short, and what those of containerd's runtime v1 have left (defect D5).

use dunnage_core::{AtStep, Result, Step};
use dunnage_store::{DirLock, LockWait, check_owner};

use super::scan::Hidden;
use super::{Fate, Job, Leftover};
use crate::delete::refuse_mounts;

impl Job<'_> {
    /// `None` if it has gone meanwhile. A call that still works on it holds its lock.
    pub(super) fn hidden(&self, Hidden { leftover, parent, name }: &Hidden) -> Result<Option<Fate>> {
        if *leftover == Leftover::V1 && !self.options.adopt_v1 {
            return Ok(Some(Fate::Kept));
        }
        let Some(locked) = DirLock::open(parent, name, LockWait::Never, Step::Recover)? else { return Ok(None) };
        check_owner(&locked, locked.metadata(), Step::Recover)?;
        refuse_mounts(&locked)?;
        self.removed_by(|| parent.remove_tree(name, &locked).at_step(Step::Recover)).map(Some)
    }
}
