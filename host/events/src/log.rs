//! The record of events.

use std::path::Path;
use std::time::SystemTime;

use dunnage_core::{BundleId, Error, ErrorKind, Result, Step, names};
use dunnage_store::{BaseDir, ExitRecord, LineLog, LineStream};
use dunnage_sys::Name;
use protobuf::well_known_types::any::Any;
use rustix::io::Errno;

use crate::Event;
use crate::decode::{assemble, decode};
use crate::event::{TASK_DELETE, TASK_EXIT};

/// How large `log` may become.
const MAX_SIZE: u64 = 1024 * 1024;

/// The events on record below a state directory.
#[derive(Debug)]
pub struct EventLog {
    state: BaseDir,
    log: LineLog,
}

/// The events on record, and then those to come, as they are recorded.
pub type EventStream = LineStream<Event>;

impl EventLog {
    /// Takes an event of a shim in this process. A failure is only logged: nothing waits for it.
    pub fn publish(&self, topic: &str, namespace: &str, event: Any) {
        let recorded = assemble(topic, namespace, event, SystemTime::now());
        if let Err(error) = recorded.and_then(|event| self.tell(&event)) {
            tracing::warn!(%error, "cannot record an event");
        }
    }

    /// The log below a state directory. Touches nothing yet.
    pub fn new(state: &Path) -> Self {
        Self::of_size(state, MAX_SIZE)
    }

    fn of_size(state: &Path, max_size: u64) -> Self {
        let base = || BaseDir::new(state.to_owned(), Step::OpenState);
        let log = LineLog::new(base(), names::EVENTS, max_size, Step::PublishEvent, Step::ReadEvents);
        Self { state: base(), log }
    }

    /// Records an event that a caller has put together.
    ///
    /// # Errors
    ///
    /// If it cannot be written down.
    pub fn tell(&self, event: &Event) -> Result<()> {
        self.append_if(event, || self.is_news(event))
    }

    /// Records an event, encoded as a shim publishes it.
    ///
    /// # Errors
    ///
    /// If it is not an event, or cannot be written down.
    pub fn record(&self, topic: &str, namespace: &str, event: &[u8]) -> Result<()> {
        self.tell(&decode(topic, namespace, event, SystemTime::now())?)
    }

    /// Records the end of a container that the caller has claimed.
    ///
    /// # Errors
    ///
    /// If it cannot be written down.
    pub fn record_claimed(&self, event: &Event) -> Result<()> {
        self.append_if(event, || Ok(true))
    }

    fn append_if(&self, event: &Event, is_news: impl FnOnce() -> Result<bool>) -> Result<()> {
        let line = serde_json::to_vec(event)
            .map_err(|error| Error::new(ErrorKind::InvalidEvent, Step::PublishEvent, error.to_string()))?;
        self.log.append_if(&line, is_news)
    }

    /// Whether an event was not told of before: the end of a container is learnt by its shim, the shim's
    /// monitor, and whoever deletes it. The first one notes that beside the record of the shim.
    fn is_news(&self, event: &Event) -> Result<bool> {
        let Some((id, exit)) = end_of_container(event) else { return Ok(true) };
        let names = [id.namespace(), id.id()].map(|text| Name::new(text).ok().filter(|name| !name.is_hidden()));
        let [Some(namespace), Some(name)] = names else { return Ok(true) };
        let Some(records) = self.state.records(&[names::SHIMS, namespace, name])? else {
            // It was deleted, and the end told of then, or it was never here.
            return Ok(!self.was_deleted(event)?);
        };
        if ExitRecord::read(&records)?.is_some_and(|told| told.pid == exit.pid) {
            return Ok(false);
        }
        match exit.write(&records) {
            // Its bundle is being deleted: who does that tells of the end.
            Err(error) if error.errno() == Some(Errno::NOENT.raw_os_error()) => Ok(false),
            written => written.map(|()| true),
        }
    }

    /// Whether the latest that was told of the container is that it was deleted.
    fn was_deleted(&self, event: &Event) -> Result<bool> {
        let events = self.read()?;
        let latest = events
            .iter()
            .rev()
            .find(|told| (&told.namespace, &told.container_id) == (&event.namespace, &event.container_id));
        Ok(latest.is_some_and(|told| told.topic == TASK_DELETE && told.pid == event.pid))
    }

    /// All events on record, the oldest first.
    pub fn read(&self) -> Result<Vec<Event>> {
        self.log.read()
    }

    /// The events on record, and then those to come.
    #[must_use]
    pub fn follow(self) -> EventStream {
        LineStream::new(self.log, "follow the events")
    }
}

/// The end of a container's init, if an event tells of one.
fn end_of_container(event: &Event) -> Option<(BundleId, ExitRecord)> {
    if event.topic != TASK_EXIT || event.id.is_none() || event.id != event.container_id {
        return None;
    }
    let exit = ExitRecord { pid: event.pid?, status: event.exit_status?, time: event.time };
    Some((BundleId::new(&event.namespace, event.id.as_deref()?), exit))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;

    struct Scratch(tempfile::TempDir);

    impl Scratch {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn log(&self, max_size: u64) -> EventLog {
            EventLog::of_size(&self.0.path().join("state"), max_size)
        }

        fn file(&self, name: &str) -> PathBuf {
            self.0.path().join("state/.dunnage/events").join(name)
        }
    }

    fn publish(log: &EventLog, number: usize) {
        log.publish(&format!("/{number}"), "default", Any::default());
    }

    fn topics(events: &[Event]) -> Vec<usize> {
        events.iter().map(|event| event.topic[1..].parse().unwrap()).collect()
    }

    #[test]
    fn a_full_log_takes_the_place_of_the_older_one() {
        let scratch = Scratch::new();
        let log = scratch.log(300);
        for number in 0..20 {
            publish(&log, number);
            let kept = topics(&log.read().unwrap());
            assert!(kept.iter().copied().eq(number + 1 - kept.len()..=number), "{kept:?}");
            assert!(scratch.file("log").metadata().unwrap().len() <= 300);
        }
        assert!(scratch.file("log.1").metadata().unwrap().len() <= 300);
        assert!(!scratch.file("log.2").exists());
        for name in ["log", "log.1"] {
            assert_eq!(scratch.file(name).metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        }
    }

    #[test]
    fn half_a_line_costs_nothing_but_itself() {
        let scratch = Scratch::new();
        let log = scratch.log(MAX_SIZE);
        publish(&log, 0);
        let mut file = std::fs::OpenOptions::new().append(true).open(scratch.file("log")).unwrap();
        file.write_all(b"{\"topic\":\"/torn").unwrap();
        assert_eq!(topics(&log.read().unwrap()), [0]);
        publish(&log, 1);
        assert_eq!(topics(&log.read().unwrap()), [0, 1]);
        file.write_all(b"\n\xff\xfe\n[]\n{}\n").unwrap();
        file.write_all(&vec![b'x'; 200_000]).unwrap();
        assert_eq!(topics(&log.read().unwrap()), [0, 1]);
        publish(&log, 2);
        assert_eq!(topics(&log.read().unwrap()), [0, 1, 2]);
    }

    #[test]
    fn what_is_no_file_is_an_error_and_nothing_waits_for_it() {
        let scratch = Scratch::new();
        let log = scratch.log(MAX_SIZE);
        publish(&log, 0);
        std::fs::remove_file(scratch.file("log")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", scratch.file("log")).unwrap();
        assert_eq!(log.read().unwrap_err().step(), Step::ReadEvents);
        assert_eq!(log.record("/t", "default", &[]).unwrap_err().step(), Step::PublishEvent);
        std::fs::remove_file(scratch.file("log")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, scratch.file("log"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert_eq!(log.read().unwrap_err().step(), Step::ReadEvents);
        assert_eq!(log.record("/t", "default", &[]).unwrap_err().step(), Step::PublishEvent);
    }

    /// Every event of a stream until none comes for a while.
    fn drain(stream: &mut EventStream) -> Vec<usize> {
        let mut events = Vec::new();
        while let Some(event) = stream.next_within(Duration::from_millis(20)).unwrap() {
            events.push(event);
        }
        topics(&events)
    }

    #[test]
    fn a_stream_goes_on_across_rotations_and_half_lines() {
        let scratch = Scratch::new();
        let mut stream = scratch.log(300).follow();
        let log = scratch.log(300);
        assert!(drain(&mut stream).is_empty());
        for number in 0..30 {
            publish(&log, number);
            if number % 7 == 0 {
                let mut file = std::fs::OpenOptions::new().append(true).open(scratch.file("log")).unwrap();
                file.write_all(b"half a li").unwrap();
            }
            assert_eq!(drain(&mut stream), [number]);
        }
        // What it can still find after more than one rotation, it finds in order.
        for number in 30..50 {
            publish(&log, number);
        }
        let late = drain(&mut stream);
        assert!(late.is_sorted() && late.last() == Some(&49), "{late:?}");
        assert!(late.ends_with(&topics(&log.read().unwrap())), "{late:?}");
        // A stop in the middle of a rotation leaves no `log`.
        std::fs::rename(scratch.file("log"), scratch.file("log.1")).unwrap();
        assert!(drain(&mut stream).is_empty());
        publish(&log, 50);
        assert_eq!(drain(&mut stream), [50]);
        // A record that was removed and made again is followed too.
        std::fs::remove_dir_all(scratch.file("")).unwrap();
        assert!(drain(&mut stream).is_empty());
        publish(&log, 51);
        assert_eq!(drain(&mut stream), [51]);
    }
}
