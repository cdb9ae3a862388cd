//! Which state directory and which root directory belong together: the record `.dunnage/pair.json`
//! in each of them names the other.
//!
//! Recovery takes a work directory without a bundle for a leftover. With a mistyped state directory it
//! would take those of all running containers. So it acts only on two directories that refer to
//! each other; the first `create` writes the records, unless one of the directories holds anything
//! else.

mod pair_record;
mod previous_boot;

use dunnage_core::{AtStep, Error, ErrorKind, Result, Step, names};
use dunnage_sys::trusted_path::CreatedDirectory;
use dunnage_sys::{Crossing, Directory, Name, boot_id, path_identity};
use rustix::io::Errno;

use self::pair_record::PairRecord;
pub use self::previous_boot::PreviousBoot;
use crate::{BaseDir, DirLock, Layout, LockWait};

/// How a state and a root directory are related.
#[derive(Debug)]
pub enum PairStatus {
    /// They refer to each other. Some bundles may be of an earlier boot.
    Paired {
        /// Whether the machine has rebooted since they were last looked at.
        boot_has_changed: bool,
    },
    /// The root refers to this state from an earlier boot; the state is newer, or missing.
    StateIsNew,
    /// Neither holds anything.
    Empty,
    /// None of these, and why.
    Unpaired(String),
}

/// Two directories that this call has paired. Until it has succeeded the pair can be taken back,
/// and no other call relies on it: one that would waits for the lock.
#[derive(Debug)]
pub struct Pairing {
    lock: DirLock,
    record: PairRecord,
}

impl Layout {
    /// Makes the state and the root refer to each other, if they do not yet and nothing prevents
    /// it. Returns a pair that this call made, to be settled or withdrawn.
    pub fn pair(
        &self,
        bundles: &Directory,
        work_dirs: &Directory,
        waiting: LockWait,
        made: &mut Vec<CreatedDirectory>,
    ) -> Result<Option<Pairing>> {
        let pair = bundles.identity().zip(work_dirs.identity());
        if pair.is_some_and(|pair| self.paired.contains(&pair)) {
            return Ok(None);
        }
        // Without a boot id a later call cannot tell what is of this boot.
        let Ok(boot) = boot_id() else { return Ok(None) };
        let pairing = match self.pair_unless_done(&boot, waiting, made) {
            // `create` does not need it; recovery will report it again.
            Err(error) if matches!(error.kind(), ErrorKind::BadRecord | ErrorKind::Untrusted) => {
                tracing::warn!(%error, "cannot tell which root belongs to the state directory");
                None
            }
            pairing => pairing?,
        };
        if let (None, Some(pair)) = (&pairing, pair) {
            self.paired.insert(pair);
        }
        Ok(pairing)
    }

    fn pair_unless_done(
        &self,
        boot: &str,
        waiting: LockWait,
        made: &mut Vec<CreatedDirectory>,
    ) -> Result<Option<Pairing>> {
        if PairRecord::read(&self.state)?.is_some_and(|record| record.is_settled && record.boot == boot)
            // We write no records into directories of others.
            || matches!(self.pair_status()?, PairStatus::Unpaired(_))
        {
            return Ok(None);
        }
        self.pair_locked(boot, waiting, made).map_err(|error| self.forget_empty_records(error))
    }

    fn pair_locked(&self, boot: &str, waiting: LockWait, made: &mut Vec<CreatedDirectory>) -> Result<Option<Pairing>> {
        let lock = self.lock_records(waiting, made)?;
        let settle = |record: PairRecord| PairRecord { is_settled: true, ..record }.write(&lock);
        match (self.pair_status()?, PairRecord::read(&self.state)?) {
            (PairStatus::Paired { boot_has_changed: false }, Some(record)) => settle(record)?,
            (PairStatus::Paired { boot_has_changed: true }, Some(_)) => self.turn_boot(&lock, boot)?,
            (PairStatus::StateIsNew, _) => {
                let Some(of_root) = PairRecord::read(&self.root)? else { return Ok(None) };
                let record = PairRecord::new(of_root.pair, self.root.path(), boot);
                settle(record.clone())?;
                self.write_to_root(&record)?;
            }
            (PairStatus::Empty, _) => {
                let record = PairRecord::new(PairRecord::fresh_name()?, self.root.path(), boot);
                let pairing = Pairing { lock, record };
                let written = self.write_to_root(&pairing.record).and_then(|()| pairing.record.write(&pairing.lock));
                return match written {
                    Ok(()) => Ok(Some(pairing)),
                    Err(error) => Err(match pairing.withdraw(self) {
                        Ok(()) => error,
                        Err(left) => error.note(left.to_string()),
                    }),
                };
            }
            (PairStatus::Paired { .. }, None) | (PairStatus::Unpaired(_), _) => {}
        }
        Ok(None)
    }

    /// Removes directories of records that are still empty, so that those above can be taken back.
    /// A call that waits for the lock of one finds that its name no longer leads there.
    fn forget_empty_records(&self, error: Error) -> Error {
        [&self.state, &self.root].into_iter().fold(error, |error, base| match base.open() {
            Ok(Some(directory)) => match directory.remove_directory(&names::RECORDS) {
                Err(failure) if !matches!(failure.errno(), Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT) => {
                    error.note(format!("{} is left behind: {failure}", directory.path_of(&names::RECORDS).display()))
                }
                _ => error,
            },
            Ok(None) | Err(_) => error,
        })
    }

    /// Notes which bundles are of an earlier boot, and then the boot that this is.
    pub fn turn_boot(&self, lock: &DirLock, boot: &str) -> Result<()> {
        let Some(record) = PairRecord::read(&self.state)? else { return Ok(()) };
        PreviousBoot::note(&self.state, lock)?;
        let record = PairRecord { boot: boot.to_owned(), is_settled: true, ..record };
        self.write_to_root(&record)?;
        record.write(lock)
    }

    fn write_to_root(&self, record: &PairRecord) -> Result<()> {
        let records = self.root.records_or_make(&[])?;
        PairRecord { other: self.state.path().to_owned(), ..record.clone() }.write(&records)
    }

    /// The lock for changing the records of the state directory.
    pub fn lock_records(&self, waiting: LockWait, made: &mut Vec<CreatedDirectory>) -> Result<DirLock> {
        loop {
            // A call that takes a pair back removes the directories that it has made.
            let state = self.state.open_or_make(made)?;
            self.state.records_or_make(&[])?;
            if let Some(lock) = DirLock::open(&state, &names::RECORDS, waiting, Step::Pair)? {
                return Ok(lock);
            }
        }
    }

    /// Removes what was being written when a call was cut short.
    pub fn remove_unfinished_records(&self, lock: &DirLock) -> Result<()> {
        let of_root = self.root.records(&[])?;
        for records in std::iter::once(lock.share()).chain(of_root) {
            let entries = records.reopen().and_then(|own| own.entries()).at_step(Step::Pair)?;
            for entry in entries.iter().filter(|entry| entry.name.is_own_hidden()) {
                records.unlink_if_there(&entry.name).at_step(Step::Pair)?;
            }
        }
        Ok(())
    }

    /// How the state and the root are related. Writes nothing.
    pub fn pair_status(&self) -> Result<PairStatus> {
        let boot = boot_id().at_step(Step::Pair)?;
        let (of_state, of_root) = (PairRecord::read(&self.state)?, PairRecord::read(&self.root)?);
        let pair_status = match (of_state, of_root) {
            (Some(of_state), Some(of_root)) if of_state.pair == of_root.pair => {
                match (leads_to(&of_state, &self.root)?, leads_to(&of_root, &self.state)?) {
                    (true, true) => PairStatus::Paired { boot_has_changed: of_state.boot != boot },
                    (false, _) => self.unpaired(&self.state, &of_state),
                    (_, false) => self.unpaired(&self.root, &of_root),
                }
            }
            (Some(of_state), _) => self.unpaired(&self.state, &of_state),
            (None, Some(of_root)) => {
                let names_us = of_root.other == self.state.path() || leads_to(&of_root, &self.state)?;
                match names_us && !holds_something(&self.state)? {
                    // Of this boot: a `create` was cut short between the two records.
                    true if of_root.boot != boot || !holds_something(&self.root)? => PairStatus::StateIsNew,
                    _ => self.unpaired(&self.root, &of_root),
                }
            }
            (None, None) if !holds_something(&self.state)? && !holds_something(&self.root)? => PairStatus::Empty,
            (None, None) => {
                let (state, root) = (self.state.path().display(), self.root.path().display());
                PairStatus::Unpaired(format!("neither {state} nor {root} has a record that names the other"))
            }
        };
        Ok(pair_status)
    }

    fn unpaired(&self, named_by: &BaseDir, record: &PairRecord) -> PairStatus {
        let other = if std::ptr::eq(named_by, &raw const self.state) { &self.root } else { &self.state };
        let (by, named, asked) = (named_by.path().display(), record.other.display(), other.path().display());
        PairStatus::Unpaired(format!("by its record, {by} belongs to {named}, not to {asked}"))
    }
}

impl Pairing {
    /// The call has succeeded: from now on other calls rely on the pair.
    pub fn settle(self) {
        let record = PairRecord { is_settled: true, ..self.record };
        if let Err(error) = record.write(&self.lock) {
            // The next call settles it.
            tracing::warn!(%error, "cannot record which root belongs to the state directory");
        }
    }

    /// The call has failed: what it noted is gone again.
    pub fn withdraw(self, layout: &Layout) -> Result<()> {
        for (base, records) in [(&layout.root, layout.root.records(&[])?), (&layout.state, Some(self.lock.share()))] {
            let (Some(records), Some(directory)) = (records, base.open()?) else { continue };
            records.unlink_if_there(&names::PAIR).at_step(Step::Pair)?;
            match directory.remove_directory(&names::RECORDS) {
                // Other records stay.
                Err(failure) if matches!(failure.errno(), Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT) => {}
                removed => removed.at_step(Step::Pair)?,
            }
        }
        Ok(())
    }
}

/// Whether the directory that a record names is this one.
fn leads_to(record: &PairRecord, base: &BaseDir) -> Result<bool> {
    let Some(directory) = base.open()? else { return Ok(false) };
    Ok(directory.identity().is_some_and(|identity| path_identity(&record.other) == Some(identity)))
}

/// Whether there is anything in the namespaces of a directory but hidden leftovers.
fn holds_something(base: &BaseDir) -> Result<bool> {
    let Some(directory) = base.open()? else { return Ok(false) };
    for entry in directory.reopen().and_then(|own| own.entries()).at_step(Step::Pair)? {
        if entry.name.is_hidden() {
            continue;
        }
        let inside = directory.open_directory(&entry.name, Crossing::Allowed).and_then(|inside| inside.entries());
        match inside {
            Ok(entries) if entries.iter().all(|entry| entry.name.is_hidden()) => {}
            Err(failure) if failure.errno() == Errno::NOENT => {}
            Ok(_) | Err(_) => return Ok(true),
        }
    }
    Ok(false)
}

/// What is wrong with a record that cannot be used.
fn unusable(directory: &Directory, name: &Name, why: impl std::fmt::Display) -> Error {
    let path = directory.path_of(name);
    let message = format!("the record {} cannot be used: {why}", path.display());
    Error::new(ErrorKind::BadRecord, Step::Pair, message).at(path)
}
