//! Which state directory and which root directory belong together: the record `.dunnage/pair.json`
//! in each of them names the other.
//!
//! Recovery takes a work directory without a bundle for a leftover. With a mistyped `--state`
//! those of all running containers would be: so it acts only on two directories that name each
//! other, and the first `create` has them do so, as long as neither holds anything else.

mod earlier;
mod record;

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;

pub(super) use self::earlier::Earlier;
use self::record::PairRecord;
use super::lock::{Locked, Waiting};
use super::places::{Base, Places};
use crate::error::{AtStep, Error, ErrorKind, Result, Step};
use crate::name::Name;
use crate::sabotage::SABOTAGED;
use crate::sys::ambient::Made;
use crate::sys::{Crossing, Directory, FileIdentity, boot_id, path_identity};

/// As many pairs of namespace directories as are remembered.
const MOST: usize = 64;

/// The pairs of namespace directories whose bases have been looked at by this process.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<HashSet<(FileIdentity, FileIdentity)>>);

impl Seen {
    fn contains(&self, pair: &(FileIdentity, FileIdentity)) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(pair)
    }

    fn insert(&self, pair: (FileIdentity, FileIdentity)) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MOST {
            seen.clear();
        }
        seen.insert(pair);
    }
}

/// How a state and a root stand to each other.
#[derive(Debug)]
pub(super) enum Kinship {
    /// They name each other. Some bundles may be of an earlier boot.
    Paired { boot_has_changed: bool },
    /// The root names this state, from an earlier boot; the state is new since, or not there.
    StateIsNew,
    /// Neither holds anything.
    Empty,
    /// Neither of it, and why.
    Strangers(String),
}

/// Two directories that this call has paired. Until it has succeeded the pair can be taken back,
/// and nobody else relies on it: whoever wants to waits for the lock.
#[derive(Debug)]
pub(super) struct Pairing {
    lock: Locked,
    record: PairRecord,
}

impl Places {
    /// Has the state and the root name each other, if they do not yet and nothing stands against
    /// it. A pair that was made is returned, to be settled or withdrawn.
    pub(super) fn pair(
        &self,
        bundles: &Directory,
        work_dirs: &Directory,
        waiting: Waiting,
        made: &mut Vec<Made>,
    ) -> Result<Option<Pairing>> {
        let pair = bundles.identity().zip(work_dirs.identity());
        if pair.is_some_and(|pair| self.paired.contains(&pair)) {
            return Ok(None);
        }
        // Without a boot id nobody can tell later what is of this boot.
        let Ok(boot) = boot_id() else { return Ok(None) };
        let pairing = match self.pair_unless_done(&boot, waiting, made) {
            // Nothing that `create` needs; recovery will say so again.
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

    fn pair_unless_done(&self, boot: &str, waiting: Waiting, made: &mut Vec<Made>) -> Result<Option<Pairing>> {
        if PairRecord::read(&self.state)?.is_some_and(|record| record.is_settled && record.boot == boot)
            // Directories of others get no records of ours.
            || matches!(self.kinship()?, Kinship::Strangers(_))
        {
            return Ok(None);
        }
        self.pair_locked(boot, waiting, made).map_err(|error| self.forget_empty_records(error))
    }

    fn pair_locked(&self, boot: &str, waiting: Waiting, made: &mut Vec<Made>) -> Result<Option<Pairing>> {
        let lock = self.lock_records(waiting, made)?;
        let settle = |record: PairRecord| PairRecord { is_settled: true, ..record }.write(&lock);
        match (self.kinship()?, PairRecord::read(&self.state)?) {
            (Kinship::Paired { boot_has_changed: false }, Some(record)) => settle(record)?,
            (Kinship::Paired { boot_has_changed: true }, Some(_)) => self.turn_boot(&lock, boot)?,
            (Kinship::StateIsNew, _) => {
                let Some(of_root) = PairRecord::read(&self.root)? else { return Ok(None) };
                let record = PairRecord::new(of_root.pair, self.root.path(), boot);
                settle(record.clone())?;
                self.write_to_root(&record)?;
            }
            (Kinship::Empty, _) => {
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
            (Kinship::Paired { .. }, None) | (Kinship::Strangers(_), _) => {}
        }
        Ok(None)
    }

    /// Removes directories of records that nothing has been written to, or those above cannot be
    /// taken back. Whoever waits for the lock of one finds that its name leads there no more.
    fn forget_empty_records(&self, error: Error) -> Error {
        [&self.state, &self.root].into_iter().fold(error, |error, base| match base.open() {
            Ok(Some(directory)) => match directory.remove_directory(&Name::RECORDS) {
                Err(failure) if !matches!(failure.errno(), Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT) => {
                    error.note(format!("{} is left behind: {failure}", directory.path_of(&Name::RECORDS).display()))
                }
                _ => error,
            },
            Ok(None) | Err(_) => error,
        })
    }

    /// Notes which bundles are of an earlier boot, and then that this is another one.
    pub(super) fn turn_boot(&self, lock: &Locked, boot: &str) -> Result<()> {
        let Some(record) = PairRecord::read(&self.state)? else { return Ok(()) };
        Earlier::note(&self.state, lock)?;
        let record = PairRecord { boot: boot.to_owned(), is_settled: true, ..record };
        self.write_to_root(&record)?;
        record.write(lock)
    }

    fn write_to_root(&self, record: &PairRecord) -> Result<()> {
        let records = self.root.records_or_make(&[])?;
        PairRecord { other: self.state.path().to_owned(), ..record.clone() }.write(&records)
    }

    /// The lock of whoever changes the records of the state directory.
    pub(super) fn lock_records(&self, waiting: Waiting, made: &mut Vec<Made>) -> Result<Locked> {
        loop {
            // Whoever takes a pair back removes the directories that it has made.
            let state = self.state.open_or_make(made)?;
            self.state.records_or_make(&[])?;
            if let Some(lock) = Locked::open(&state, &Name::RECORDS, waiting, Step::Pair)? {
                return Ok(lock);
            }
        }
    }

    /// Removes what was being written when a call was cut short.
    pub(super) fn remove_unfinished_records(&self, lock: &Locked) -> Result<()> {
        let of_root = self.root.records(&[])?;
        for records in std::iter::once(lock.share()).chain(of_root) {
            let entries = records.reopen().and_then(|own| own.entries()).at_step(Step::Pair)?;
            for entry in entries.iter().filter(|entry| entry.name.is_own_hidden()) {
                records.unlink_if_there(&entry.name).at_step(Step::Pair)?;
            }
        }
        Ok(())
    }

    /// How the state and the root stand to each other. Writes nothing.
    pub(super) fn kinship(&self) -> Result<Kinship> {
        let boot = boot_id().or_else(|failure| if SABOTAGED { Ok(String::new()) } else { Err(failure) });
        let boot = boot.at_step(Step::Pair)?;
        let (of_state, of_root) = (PairRecord::read(&self.state)?, PairRecord::read(&self.root)?);
        let kinship = match (of_state, of_root) {
            (Some(of_state), Some(of_root)) if of_state.pair == of_root.pair => {
                match (leads_to(&of_state, &self.root)?, leads_to(&of_root, &self.state)?) {
                    (true, true) => Kinship::Paired { boot_has_changed: of_state.boot != boot },
                    (false, _) => self.strangers(&self.state, &of_state),
                    (_, false) => self.strangers(&self.root, &of_root),
                }
            }
            (Some(of_state), _) => self.strangers(&self.state, &of_state),
            (None, Some(of_root)) => {
                let names_us = of_root.other == self.state.path() || leads_to(&of_root, &self.state)?;
                match names_us && !holds_something(&self.state)? {
                    // Of this boot: a `create` was cut short between the two records.
                    true if of_root.boot != boot || !holds_something(&self.root)? => Kinship::StateIsNew,
                    _ => self.strangers(&self.root, &of_root),
                }
            }
            (None, None) if !holds_something(&self.state)? && !holds_something(&self.root)? => Kinship::Empty,
            (None, None) => {
                let (state, root) = (self.state.path().display(), self.root.path().display());
                Kinship::Strangers(format!("neither {state} nor {root} has a record that names the other"))
            }
        };
        Ok(kinship)
    }

    fn strangers(&self, named_by: &Base, record: &PairRecord) -> Kinship {
        let other = if std::ptr::eq(named_by, &raw const self.state) { &self.root } else { &self.state };
        let (by, named, asked) = (named_by.path().display(), record.other.display(), other.path().display());
        Kinship::Strangers(format!("{by} belongs together with {named}, by its record, and not with {asked}"))
    }
}

impl Pairing {
    /// The call has succeeded: from now on everybody relies on the pair.
    pub(super) fn settle(self) {
        let record = PairRecord { is_settled: true, ..self.record };
        if let Err(error) = record.write(&self.lock) {
            // The next call does it.
            tracing::warn!(%error, "cannot settle which root belongs to the state directory");
        }
    }

    /// The call has failed: what it noted is gone again.
    pub(super) fn withdraw(self, places: &Places) -> Result<()> {
        for (base, records) in [(&places.root, places.root.records(&[])?), (&places.state, Some(self.lock.share()))] {
            let (Some(records), Some(directory)) = (records, base.open()?) else { continue };
            records.unlink_if_there(&Name::PAIR).at_step(Step::Pair)?;
            match directory.remove_directory(&Name::RECORDS) {
                // Other records stay.
                Err(failure) if matches!(failure.errno(), Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT) => {}
                removed => removed.at_step(Step::Pair)?,
            }
        }
        Ok(())
    }
}

/// Whether the directory that a record names is this one.
fn leads_to(record: &PairRecord, base: &Base) -> Result<bool> {
    let Some(directory) = base.open()? else { return Ok(false) };
    Ok(directory.identity().is_some_and(|identity| path_identity(&record.other) == Some(identity)))
}

/// Whether there is anything in the namespaces of a directory but hidden leftovers.
fn holds_something(base: &Base) -> Result<bool> {
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
