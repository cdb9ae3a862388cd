//! A semaphore that grants its permits in the order of the requests.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// A fixed number of permits, first come, first served.
#[derive(Debug)]
pub struct FairSemaphore(Mutex<Queue>);

#[derive(Debug)]
struct Queue {
    /// No thread waits while a permit is free.
    free: u32,
    waiting: VecDeque<Arc<Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    thread: Thread,
    served: AtomicBool,
}

/// A permit, passed on when it is dropped.
#[derive(Debug)]
pub struct Permit<'a>(&'a FairSemaphore);

impl FairSemaphore {
    /// A semaphore with `count` permits.
    #[must_use]
    pub fn new(count: u32) -> Self {
        Self(Mutex::new(Queue { free: count, waiting: VecDeque::new() }))
    }

    /// Waits for a permit as long as it takes.
    pub fn take(&self) -> Permit<'_> {
        let Some(waiter) = self.try_take() else { return Permit(self) };
        while !waiter.served.load(Ordering::Acquire) {
            thread::park();
        }
        Permit(self)
    }

    /// Waits for a permit for at most `patience`.
    pub fn take_within(&self, patience: Duration) -> Option<Permit<'_>> {
        let Some(waiter) = self.try_take() else { return Some(Permit(self)) };
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::park_timeout(left);
            if waiter.served.load(Ordering::Acquire) {
                return Some(Permit(self));
            }
        }
        let mut queue = self.lock();
        queue.waiting.retain(|other| !Arc::ptr_eq(other, &waiter));
        // Permits are granted with the queue locked, so this answer is final.
        waiter.served.load(Ordering::Acquire).then(|| Permit(self))
    }

    /// Takes a permit if one is free, and waits in line otherwise.
    fn try_take(&self) -> Option<Arc<Waiter>> {
        let mut queue = self.lock();
        if let Some(left) = queue.free.checked_sub(1) {
            queue.free = left;
            return None;
        }
        let waiter = Arc::new(Waiter { thread: thread::current(), served: AtomicBool::new(false) });
        queue.waiting.push_back(Arc::clone(&waiter));
        Some(waiter)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        match queue.waiting.pop_front() {
            Some(next) => {
                next.served.store(true, Ordering::Release);
                drop(queue);
                next.thread.unpark();
            }
            None => queue.free += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn permits_come_in_the_order_of_asking() {
        let semaphore = FairSemaphore::new(1);
        let order = Mutex::new(Vec::new());
        thread::scope(|scope| {
            let first = semaphore.take();
            for number in 0..8 {
                scope.spawn({
                    let (semaphore, order) = (&semaphore, &order);
                    move || {
                        let _permit = semaphore.take();
                        order.lock().unwrap().push(number);
                    }
                });
                while semaphore.lock().waiting.len() <= number {
                    thread::yield_now();
                }
            }
            drop(first);
        });
        assert_eq!(*order.lock().unwrap(), (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn a_thread_that_gives_up_is_no_longer_in_line() {
        let semaphore = FairSemaphore::new(1);
        let held = semaphore.take();
        assert!(semaphore.take_within(Duration::from_millis(1)).is_none());
        assert!(semaphore.take_within(Duration::ZERO).is_none());
        assert!(semaphore.lock().waiting.is_empty());
        drop(held);
        assert!(semaphore.take_within(Duration::ZERO).is_some());
        assert_eq!(semaphore.lock().free, 1);
    }

    #[test]
    fn there_are_never_more_than_that() {
        let semaphore = FairSemaphore::new(3);
        let (running, given_up) = (AtomicU32::new(0), AtomicU32::new(0));
        thread::scope(|scope| {
            for number in 0..16_u64 {
                scope.spawn({
                    let (semaphore, running, given_up) = (&semaphore, &running, &given_up);
                    move || {
                        for round in 0..500 {
                            let patience = Duration::from_micros((number * 37 + round) % 50);
                            let permit =
                                if number % 2 == 0 { Some(semaphore.take()) } else { semaphore.take_within(patience) };
                            if permit.is_none() {
                                given_up.fetch_add(1, Ordering::Relaxed);
                                continue;
                            }
                            assert!(running.fetch_add(1, Ordering::SeqCst) < 3);
                            thread::yield_now();
                            running.fetch_sub(1, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        let queue = semaphore.lock();
        assert_eq!((queue.free, queue.waiting.len()), (3, 0));
    }
}
