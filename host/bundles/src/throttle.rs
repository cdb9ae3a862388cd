//! How many threads change bundles at the same time: a few for each core.
//!
//! All of them make, rename and remove names in the same few directories, which the kernel locks one
//! by one. Many threads beyond the cores add nothing but preempted holders of such locks and waits
//! for a core. In a queue before that, the slowest call waits for its turn, and not for every other
//! thread's slice of time: with 64 threads on two cores 10 ms instead of 80.
//!
//! Nothing depends on it: a caller that gets no permit in time proceeds without one.

use std::time::Duration;

use dunnage_core::{FairSemaphore, Permit};

/// With fewer, a core is idle while a permit is passed on.
const PERMITS_PER_CORE: u32 = 3;

/// How long a call waits for its permit: some thousand calls in front of it, or some that are stuck in
/// a file system.
const PERMIT_TIMEOUT: Duration = Duration::from_millis(100);

/// A call that is changing a bundle, and its permit.
pub(crate) struct Slot<'a> {
    semaphore: Option<&'a FairSemaphore>,
    permit: Option<Permit<'a>>,
}

/// The permits of a node. None are needed if every call waits for the disk: the more wait together,
/// the fewer writes there are.
pub(crate) fn semaphore(durable: bool) -> Option<FairSemaphore> {
    if durable {
        return None;
    }
    // Not what the control group allows: finding that takes a dozen system calls.
    let cores = rustix::thread::sched_getaffinity(None).map_or(1, |cores| cores.count());
    Some(FairSemaphore::new(cores.max(1).saturating_mul(PERMITS_PER_CORE)))
}

impl<'a> Slot<'a> {
    pub(crate) fn new(semaphore: Option<&'a FairSemaphore>) -> Self {
        Self { semaphore, permit: take(semaphore) }
    }

    /// The slot of a call that only looks at a bundle, which needs no permit.
    pub(crate) fn reading() -> Self {
        Self { semaphore: None, permit: None }
    }

    /// Waits for something else, and lets others go ahead meanwhile.
    pub(crate) fn pause<T>(&mut self, wait: impl FnOnce() -> T) -> T {
        self.permit = None;
        let outcome = wait();
        self.permit = take(self.semaphore);
        outcome
    }
}

fn take(semaphore: Option<&FairSemaphore>) -> Option<Permit<'_>> {
    semaphore.and_then(|semaphore| semaphore.take_within(PERMIT_TIMEOUT))
}
