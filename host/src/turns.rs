//! Turns: so many threads at a time, in the order in which they came.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Gives a fixed number of turns to whoever asks, first come, first served.
#[derive(Debug)]
pub(crate) struct Turns(Mutex<Queue>);

#[derive(Debug)]
struct Queue {
    /// Nobody waits while a turn is free.
    free: u32,
    waiting: VecDeque<Arc<Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    thread: Thread,
    served: AtomicBool,
}

/// A turn, passed on when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a>(&'a Turns);

impl Turns {
    pub(crate) fn new(count: u32) -> Self {
        Self(Mutex::new(Queue { free: count, waiting: VecDeque::new() }))
    }

    /// Waits for a turn as long as it takes.
    pub(crate) fn take(&self) -> Turn<'_> {
        let Some(waiter) = self.try_take() else { return Turn(self) };
        while !waiter.served.load(Ordering::Acquire) {
            thread::park();
        }
        Turn(self)
    }

    /// Waits for a turn, but no longer than that.
    pub(crate) fn take_within(&self, patience: Duration) -> Option<Turn<'_>> {
        let Some(waiter) = self.try_take() else { return Some(Turn(self)) };
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::park_timeout(left);
            if waiter.served.load(Ordering::Acquire) {
                return Some(Turn(self));
            }
        }
        let mut queue = self.lock();
        queue.waiting.retain(|other| !Arc::ptr_eq(other, &waiter));
        // Turns are given with the queue locked: this is the last word.
        waiter.served.load(Ordering::Acquire).then(|| Turn(self))
    }

    /// Takes a turn if one is free, and waits in line otherwise.
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

impl Drop for Turn<'_> {
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
    fn turns_come_in_the_order_of_asking() {
        let turns = Turns::new(1);
        let order = Mutex::new(Vec::new());
        thread::scope(|scope| {
            let first = turns.take();
            for number in 0..8 {
                scope.spawn({
                    let (turns, order) = (&turns, &order);
                    move || {
                        let _turn = turns.take();
                        order.lock().unwrap().push(number);
                    }
                });
                while turns.lock().waiting.len() <= number {
                    thread::yield_now();
                }
            }
            drop(first);
        });
        assert_eq!(*order.lock().unwrap(), (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn who_gives_up_is_no_longer_in_line() {
        let turns = Turns::new(1);
        let held = turns.take();
        assert!(turns.take_within(Duration::from_millis(1)).is_none());
        assert!(turns.take_within(Duration::ZERO).is_none());
        assert!(turns.lock().waiting.is_empty());
        drop(held);
        assert!(turns.take_within(Duration::ZERO).is_some());
        assert_eq!(turns.lock().free, 1);
    }

    #[test]
    fn there_are_never_more_than_that() {
        let turns = Turns::new(3);
        let (running, given_up) = (AtomicU32::new(0), AtomicU32::new(0));
        thread::scope(|scope| {
            for number in 0..16_u64 {
                scope.spawn({
                    let (turns, running, given_up) = (&turns, &running, &given_up);
                    move || {
                        for round in 0..500 {
                            let patience = Duration::from_micros((number * 37 + round) % 50);
                            let turn = if number % 2 == 0 { Some(turns.take()) } else { turns.take_within(patience) };
                            if turn.is_none() {
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
        let queue = turns.lock();
        assert_eq!((queue.free, queue.waiting.len()), (3, 0));
    }
}
