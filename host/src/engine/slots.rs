//! Places for calls that run at the same time: as many as the pool has instances.

use std::sync::{Condvar, Mutex, PoisonError};

pub(super) struct Slots {
    free: Mutex<u32>,
    given_back: Condvar,
}

/// A place for one call, given back when it is dropped.
pub(super) struct Slot<'a>(&'a Slots);

impl Slots {
    pub(super) fn new(count: u32) -> Self {
        Self { free: Mutex::new(count), given_back: Condvar::new() }
    }

    /// Takes a place; waits for one if all are taken. A place is held for one call of the policy,
    /// which is bounded, so the wait is too.
    pub(super) fn take(&self) -> Slot<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.given_back.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Slot(self)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.given_back.notify_one();
    }
}
