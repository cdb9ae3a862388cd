//! `recover`: finds what crashes and reboots have left, and removes it.
//!
//! It acts only on a state and a root that refer to each other (see [`PairStatus`]), only on what
//! it gets the lock of, and only on what is certainly not in use any more: unknown is not dead.
//! Each namespace and each entry is looked at by itself, whatever is wrong with the others (defect
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

use dunnage_core::{AtStep, Error, ErrorKind, Result, Step, names};
use dunnage_store::{DirLock, LockWait, PairStatus, PreviousBoot};
use dunnage_sys::boot_id;

pub use self::report::{Fate, Finding, Leftover, RecoverOptions, Recovery};
use self::scan::Work;
use crate::Node;

/// The most entries that wait for a worker.
const QUEUE: usize = 256;
/// The most workers: they wait for locks, disks and processes more than they compute.
const WORKERS: usize = 8;

/// One recovery.
pub(super) struct Job<'a> {
    node: &'a Arc<Node>,
    options: &'a RecoverOptions,
    deadline: Instant,
    /// The bundles of earlier boots.
    earlier: PreviousBoot,
    findings: Mutex<Vec<Finding>>,
    looked_at: AtomicU64,
}

/// Finds what crashes and reboots have left, and removes it.
///
/// # Errors
///
/// [`ErrorKind::NotPaired`] if the state and the root do not belong together.
pub fn recover(node: &Arc<Node>, options: &RecoverOptions) -> Result<Recovery> {
    let deadline = Instant::now() + options.timeout;
    let Some(earlier) = prepare(node, options)? else { return Ok(Recovery::default()) };
    let job = Job { node, options, deadline, earlier, findings: Mutex::default(), looked_at: AtomicU64::new(0) };
    // Removing a bundle removes its work directory: only then look for work directories without a
    // bundle.
    job.run(scan::state)?;
    job.run(scan::root)?;
    job.finish()
}

/// Whether there is anything to act on, and on which bundles of earlier boots.
fn prepare(node: &Node, options: &RecoverOptions) -> Result<Option<PreviousBoot>> {
    let layout = &node.layout;
    // Without it everything would look like that of an earlier boot.
    let boot = boot_id().at_step(Step::Recover)?;
    // The call that has just made the pair may still take it back.
    let lock = match layout.state.open()? {
        Some(state) => DirLock::open(&state, &names::RECORDS, LockWait::patiently(), Step::Pair)?,
        None => None,
    };
    let remove_unfinished = || match &lock {
        Some(lock) if !options.dry_run => layout.remove_unfinished_records(lock),
        Some(_) | None => Ok(()),
    };
    match layout.pair_status()? {
        // The first of all creations may have been cut short while it wrote the first record.
        PairStatus::Empty => remove_unfinished().map(|()| None),
        PairStatus::Unpaired(why) => {
            let error = Error::new(ErrorKind::NotPaired, Step::Pair, why);
            Err(error.note("nothing was changed; name a state and a root directory that belong together"))
        }
        // What it holds is of bundles that are gone with the old state.
        PairStatus::StateIsNew => remove_unfinished().map(|()| Some(PreviousBoot::default())),
        PairStatus::Paired { boot_has_changed } => {
            let Some(lock) = &lock else { return Ok(Some(PreviousBoot::default())) };
            if options.dry_run {
                let earlier =
                    if boot_has_changed { PreviousBoot::all(&layout.state) } else { PreviousBoot::read(lock) };
                return earlier.map(Some);
            }
            if boot_has_changed {
                layout.turn_boot(lock, &boot)?;
            }
            layout.remove_unfinished_records(lock)?;
            PreviousBoot::read(lock).map(Some)
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
                    // Fewer workers are enough.
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
                let why = Some("the time limit was reached before it was checked".to_owned());
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
                // Another call is at work there, or something is alive.
                let is_in_use = matches!(error.kind(), ErrorKind::Locked | ErrorKind::ShimAlive);
                let fate = if is_in_use { Fate::Kept } else { Fate::Undecided };
                Finding { fate, why: Some(error.to_string()), ..finding }
            }
        });
    }

    /// Removes something that is not in use any more, or in a dry run only says so.
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
            // What is still there is remembered, also what there was no time for.
            let mut left = self.earlier;
            left.retain_existing(&self.node.layout.state)?;
            if let Some(state) = self.node.layout.state.open()?
                && let Some(lock) = DirLock::open(&state, &names::RECORDS, LockWait::patiently(), Step::Pair)?
            {
                left.write(&lock)?;
            }
        }
        Ok(Recovery { findings, looked_at: self.looked_at.into_inner() })
    }
}
