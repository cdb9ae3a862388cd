//! How many threads change bundles at the same time: a few for each core.
//!
//! All of them make, rename and remove names in the same few directories, which the kernel locks one
//! by one. Many threads beyond the cores add nothing but preempted holders of such locks and waits
//! for a core. In a queue before that, the slowest call waits for its turn, and not for every other
//! thread's slice of time: with 64 threads on two cores 10 ms instead of 80.
//!
//! Nothing depends on it. Who gets no turn in time goes ahead without one.

use std::time::Duration;

use crate::turns::{Turn, Turns};

/// With fewer, a core is idle while a turn is passed on.
const TURNS_PER_CORE: u32 = 3;

/// How long a call waits for its turn: some thousand calls in front of it, or some that are stuck in
/// a file system.
const PATIENCE: Duration = Duration::from_millis(100);

/// A call that is changing a bundle.
pub(super) struct Busy<'a> {
    turns: Option<&'a Turns>,
    turn: Option<Turn<'a>>,
}

/// The turns of a manager. None are needed if every call waits for the disk: the more wait together,
/// the fewer writes there are.
pub(super) fn turns(durable: bool) -> Option<Turns> {
    if durable {
        return None;
    }
    // Not what the control group allows: finding that takes a dozen system calls.
    let cores = rustix::thread::sched_getaffinity(None).map_or(1, |cores| cores.count());
    Some(Turns::new(cores.max(1).saturating_mul(TURNS_PER_CORE)))
}

impl<'a> Busy<'a> {
    pub(super) fn new(turns: Option<&'a Turns>) -> Self {
        Self { turns, turn: turns.and_then(|turns| turns.take_within(PATIENCE)) }
    }

    /// One that only looks at it waits for nobody.
    pub(super) fn reading() -> Self {
        Self { turns: None, turn: None }
    }

    /// Waits for something else, and lets others go ahead meanwhile.
    pub(super) fn pause<T>(&mut self, wait: impl FnOnce() -> T) -> T {
        self.turn = None;
        let outcome = wait();
        self.turn = self.turns.and_then(|turns| turns.take_within(PATIENCE));
        outcome
    }
}
