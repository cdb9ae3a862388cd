//! `recover`: finds what crashes and reboots have left, and removes it.
//!
//! It acts only on a state and a root that name each other (see [`super::pairing`]), only on what
//! it gets the lock of, and only on what is certainly nobody's any more: unknown is not dead. Each
//! namespace and each entry is looked at for itself, whatever is wrong with the others (defect
//! D13).

mod bundles;
mod leftovers;
mod report;
mod scan;
mod shims;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

pub use self::report::{Fate, Finding, Leftover, RecoverOptions, Recovery};
use self::scan::Work;
use super::Inner;
use super::lock::{Locked, Waiting};
use super::pairing::{Earlier, Kinship};
use crate::error::{AtStep, Error, ErrorKind, Result, Step};
use crate::name::Name;
use crate::sys::boot_id;

/// As many entries as wait for a worker.
const QUEUE: usize = 256;
/// The most workers: they wait for locks, disks and processes more than they compute.
const WORKERS: usize = 8;

/// One recovery.
pub(super) struct Job<'a> {
    inner: &'a Arc<Inner>,
    options: &'a RecoverOptions,
    deadline: Instant,
    /// The bundles of earlier boots.
    earlier: Earlier,
    findings: Mutex<Vec<Finding>>,
    looked_at: AtomicU64,
}

pub(super) fn recover(inner: &Arc<Inner>, options: &RecoverOptions) -> Result<Recovery> {
    let deadline = Instant::now() + options.timeout;
    let Some(earlier) = prepare(inner, options)? else { return Ok(Recovery::default()) };
    let job = Job { inner, options, deadline, earlier, findings: Mutex::default(), looked_at: AtomicU64::new(0) };
    // A bundle that goes takes its work directory with it: only then look for those without one.
    job.run(scan::state)?;
    job.run(scan::root)?;
    job.finish()
}

/// Whether there is anything to act on, and on which bundles of earlier boots.
fn prepare(inner: &Inner, options: &RecoverOptions) -> Result<Option<Earlier>> {
    let places = &inner.places;
    // Without it everything would look like that of an earlier boot.
    let boot = boot_id().at_step(Step::Recover)?;
    // Whoever has just made the pair may yet take it back.
    let lock = match places.state.open()? {
        Some(state) => Locked::open(&state, &Name::RECORDS, Waiting::patiently(), Step::Pair)?,
        None => None,
    };
    match places.kinship()? {
        Kinship::Empty => Ok(None),
        Kinship::Strangers(why) => {
            let error = Error::new(ErrorKind::NotPaired, Step::Pair, why);
            Err(error.note("nothing was changed; name the --state and the --root that belong together"))
        }
        // What it holds is of bundles that are gone with the old state.
        Kinship::StateIsNew => Ok(Some(Earlier::default())),
        Kinship::Paired { boot_has_changed } => {
            let Some(lock) = lock else { return Ok(Some(Earlier::default())) };
            if options.dry_run {
                let earlier = if boot_has_changed { Earlier::all(&places.state) } else { Earlier::read(&lock) };
                return earlier.map(Some);
            }
            if boot_has_changed {
                places.turn_boot(&lock, &boot)?;
            }
            places.remove_unfinished_records(&lock)?;
            Earlier::read(&lock).map(Some)
        }
    }
}

impl Job<'_> {
    /// Scans, with workers for what is found.
    fn run(&self, scan: impl FnOnce(&Self, &SyncSender<Work>)) -> Result<()> {
        let (sender, receiver) = sync_channel(QUEUE);
        let receiver = Mutex::new(receiver);
        thread::scope(|scope| {
            let workers = thread::available_parallelism().map_or(2, usize::from).clamp(2, WORKERS);
            for worker in 0..workers {
                match thread::Builder::new().spawn_scoped(scope, || self.work(&receiver)) {
                    Err(error) if worker == 0 => {
                        let message = format!("cannot start a thread: {error}");
                        return Err(Error::new(ErrorKind::Filesystem, Step::Recover, message));
                    }
                    // Fewer will do.
                    Err(_) => break,
                    Ok(_) => {}
                }
            }
            scan(self, &sender);
            drop(sender);
            Ok(())
        })
    }

    /// Takes entries until there are no more, or no more time.
    fn work(&self, queue: &Mutex<Receiver<Work>>) {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(work) = next else { return };
            let finding = work.finding(self);
            if self.is_over() {
                let why = Some("there was no time left to look at it".to_owned());
                self.found(Finding { fate: Fate::Undecided, why, ..finding });
                continue;
            }
            let result = match &work {
                Work::Hidden(hidden) => self.hidden(hidden),
                Work::Orphan(id) => self.work_dir(id),
                Work::Bundle(id) => self.earlier_bundle(id),
                Work::Shim(id) => self.shim(id),
            };
            self.note(finding, result);
        }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    fn found(&self, finding: Finding) {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
    }

    /// Notes what became of something that was found; `None` if it was nothing after all.
    fn note(&self, finding: Finding, result: Result<Option<Fate>>) {
        self.found(match result {
            Ok(None) => return,
            // It has gone meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Ok(Some(fate)) => Finding { fate, ..finding },
            Err(error) => {
                // Somebody is at work there, or something is alive.
                let is_in_use = matches!(error.kind(), ErrorKind::Locked | ErrorKind::ShimAlive);
                let fate = if is_in_use { Fate::Kept } else { Fate::Undecided };
                Finding { fate, why: Some(error.to_string()), ..finding }
            }
        });
    }

    /// What becomes of something that is nobody's: it goes, or would go.
    fn removed_by(&self, remove: impl FnOnce() -> Result<()>) -> Result<Fate> {
        if self.options.dry_run {
            return Ok(Fate::WouldRemove);
        }
        remove().map(|()| Fate::Removed)
    }

    fn looked_at(&self) {
        let count = self.looked_at.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(progress) = &self.options.progress {
            progress(count);
        }
    }

    fn finish(self) -> Result<Recovery> {
        let mut findings = self.findings.into_inner().unwrap_or_else(PoisonError::into_inner);
        findings.sort_by(|one, other| (one.leftover, &one.path).cmp(&(other.leftover, &other.path)));
        if !self.options.dry_run && !self.earlier.is_empty() {
            // What is still there, also what there was no time for, is remembered.
            let mut left = self.earlier;
            left.retain_existing(&self.inner.places.state)?;
            if let Some(state) = self.inner.places.state.open()?
                && let Some(lock) = Locked::open(&state, &Name::RECORDS, Waiting::patiently(), Step::Pair)?
            {
                left.write(&lock)?;
            }
        }
        Ok(Recovery { findings, looked_at: self.looked_at.into_inner() })
    }
}
