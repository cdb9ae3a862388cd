//! The clock behind the time limit: a thread that advances the engine's epoch while calls run.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

/// The resolution of time limits.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// After this many ticks without a call the thread sleeps. Waking it costs a system call and two
/// context switches, which a busy caller should not pay for every call.
const IDLE_TICKS: u32 = 50;

/// Advances the epoch of an engine every [`TICK`] while calls run, and sleeps otherwise.
pub(super) struct Watchdog(Arc<Shared>);

#[derive(Default)]
struct Shared {
    running: AtomicU32,
    asleep: AtomicBool,
    stopped: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
}

/// While it lives, the epoch advances.
pub(super) struct RunningCall<'a>(&'a Shared);

impl Watchdog {
    pub(super) fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (theirs, engine) = (Arc::clone(&shared), engine.weak());
        thread::Builder::new().name("dunnage-epoch".to_owned()).spawn(move || theirs.tick(&engine))?;
        Ok(Self(shared))
    }

    pub(super) fn watch(&self) -> RunningCall<'_> {
        self.0.running.fetch_add(1, SeqCst);
        // The thread sets `asleep` before it looks at `running`, and this code does the reverse: at
        // least one of the two sees the other.
        if self.0.asleep.load(SeqCst) {
            self.0.wake_up();
        }
        RunningCall(&self.0)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.stopped.store(true, SeqCst);
        self.0.wake_up();
    }
}

impl Drop for RunningCall<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}

impl Shared {
    fn tick(&self, engine: &EngineWeak) {
        let mut idle = 0;
        while !self.stopped.load(SeqCst) {
            thread::sleep(TICK);
            let Some(engine) = engine.upgrade() else { return };
            engine.increment_epoch();
            drop(engine);
            idle = if self.running.load(SeqCst) == 0 { idle + 1 } else { 0 };
            if idle > IDLE_TICKS {
                self.sleep();
                idle = 0;
            }
        }
    }

    fn sleep(&self) {
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.asleep.store(true, SeqCst);
        while self.running.load(SeqCst) == 0 && !self.stopped.load(SeqCst) {
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.asleep.store(false, SeqCst);
    }

    fn wake_up(&self) {
        let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.wake.notify_all();
    }
}
