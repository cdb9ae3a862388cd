//! Ends a test that hangs; the only use that tests make of a clock.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// Runs something that might hang, and ends the whole test process if it takes absurdly long.
pub fn within<T>(limit: Duration, what: &str, run: impl FnOnce() -> T) -> T {
    let (done, finished) = channel::<()>();
    let message = format!("{what} has not come to an end in {} s", limit.as_secs());
    let watchdog = thread::spawn(move || {
        if finished.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{message}");
            std::process::abort();
        }
    });
    let result = run();
    drop(done);
    watchdog.join().expect("the watchdog");
    result
}
