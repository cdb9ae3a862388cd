//! Printing what is recorded as lines of JSON, and following it.

use std::io::{ErrorKind, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use dunnage::LineStream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::signal::unix::{SignalKind, signal};

use super::failure::Failed;
use super::output::{Reader, write_to_reader};

/// How long it may take until it is noticed that following is to end.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);

/// Prints what comes, until this process is told to end or nobody reads any more.
pub(super) fn follow<T: Serialize + DeserializeOwned>(
    mut stream: LineStream<T>,
    wanted: impl Fn(&T) -> bool,
) -> anyhow::Result<()> {
    let ended = note_signals()?;
    let mut output = std::io::stdout().lock();
    let reader = Reader::of_stdout();
    while !ended.load(Ordering::Relaxed) && reader.is_there() {
        let Some(found) = stream.next_within(FOLLOW_INTERVAL)?.filter(&wanted) else { continue };
        match output.write_all(&line(&found)?).and_then(|()| output.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
            result => result.map_err(|error| Failed::output(&error))?,
        }
    }
    Ok(())
}

/// Prints what is on record.
pub(super) fn print<T: Serialize>(found: &[T], wanted: impl Fn(&T) -> bool) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    for found in found.iter().filter(|found| wanted(found)) {
        lines.extend(line(found)?);
    }
    Ok(write_to_reader(&lines)?)
}

fn line(found: &impl Serialize) -> anyhow::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(found)?;
    line.push(b'\n');
    Ok(line)
}

/// Takes SIGINT and SIGTERM from now on; the answer says whether one has come.
fn note_signals() -> anyhow::Result<Arc<AtomicBool>> {
    let why = "cannot handle signals";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().context(why)?;
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        (signal(SignalKind::interrupt()).context(why)?, signal(SignalKind::terminate()).context(why)?)
    };
    let ended = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&ended);
    // `thread::spawn` panics if the system cannot start a thread.
    let thread = std::thread::Builder::new().spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        noted.store(true, Ordering::Relaxed);
    });
    thread.context(why)?;
    Ok(ended)
}
