//! What a file-system call of the policy takes beyond the system call itself:
//! `cargo bench -p dunnage-tests --bench host_calls`.
//!
//! A policy that does what its spec says sets a mode some times more or fewer, which shows what one
//! time takes. That includes: the call out of WebAssembly, looking the handle up, all checks, the
//! system call, and what the policy needs to read its spec.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use dunnage::{BundleId, Dunnage, Limits, Spec};
use dunnage_tests::{Scratch, hostile};
use rustix::fs::{Mode, fchmod};

/// More calls in a long script than in a short one.
const CALLS: u32 = 2000;
const ROUNDS: usize = 101;
/// The script's words for: set mode 0700 of the bundle; make the rest of a bundle.
const SET_MODE: [u8; 3] = [1, 0, 0];
const WHOLE: u8 = 9;

fn main() {
    let memory = Path::new("/dev/shm");
    let scratch = if memory.is_dir() { Scratch::new_in(memory) } else { Scratch::new() };
    let mut limits = Limits::default();
    limits.steps = 2 * CALLS;
    let dunnage = scratch.builder().policy(hostile::policy()).limits(limits).build().expect("a bundle manager");
    let directory = File::open(scratch.path()).expect("a directory");
    let (mut short, mut long, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        short.push(create(&dunnage, 100));
        long.push(create(&dunnage, 100 + CALLS));
        let start = Instant::now();
        (0..CALLS).for_each(|_| fchmod(&directory, Mode::RWXU).expect("fchmod"));
        bare.push(start.elapsed());
    }
    let call = (median(long) - median(short)) / f64::from(CALLS);
    let bare = median(bare) / f64::from(CALLS);
    println!("a call of the policy to set a mode: {call:.3} µs, the system call alone: {bare:.3} µs");
    println!("the host adds {:.3} µs (at most 1 µs is wanted)", call - bare);
}

/// How long it takes to make a bundle whose mode is set `calls` times.
fn create(dunnage: &Dunnage, calls: u32) -> Duration {
    let words = SET_MODE.repeat(calls.try_into().expect("a small number"));
    let spec = Spec::new([words.as_slice(), &[WHOLE]].concat());
    let id = BundleId::new("default", "script");
    let start = Instant::now();
    dunnage.create(&id, &spec).expect("a bundle");
    let elapsed = start.elapsed();
    dunnage.delete(&id, false).expect("no bundle");
    elapsed
}

/// In microseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}
