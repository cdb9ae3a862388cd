//! Places for calls that run at the same time: as many as the pool has instances.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

pub(super) struct Slots {
    places: Mutex<Places>,
    given_back: Condvar,
}

struct Places {
    free: u32,
    waiting: u32,
}

/// A place for one call, given back when it is dropped.
pub(super) struct Slot<'a>(&'a Slots);

impl Slots {
    pub(super) fn new(count: u32) -> Self {
        Self { places: Mutex::new(Places { free: count, waiting: 0 }), given_back: Condvar::new() }
    }

    /// Takes a place; waits for one if all are taken. A place is held for one call of the policy,
    /// which is bounded, so the wait is too.
    pub(super) fn take(&self) -> Slot<'_> {
        let mut places = self.lock();
        while places.free == 0 {
            places.waiting += 1;
            places = self.given_back.wait(places).unwrap_or_else(PoisonError::into_inner);
            places.waiting -= 1;
        }
        places.free -= 1;
        Slot(self)
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut places = self.0.lock();
        places.free += 1;
        // Waking nobody would cost a system call all the same.
        if places.waiting > 0 {
            self.0.given_back.notify_one();
        }
    }
}
