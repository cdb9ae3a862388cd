//! Decodes what a shim publishes into an event. All of it is untrusted.

use std::time::SystemTime;

use dunnage_core::{Error, ErrorKind, Result, Step};
use dunnage_shim_proto::events::TaskExit;
use jiff::Timestamp;
use protobuf::Message as _;
use protobuf::well_known_types::any::Any;

use crate::{Event, MAX_EVENT_SIZE};

/// The longest topic, namespace and type.
const MAX_TEXT: usize = 256;
/// The longest id in an event; the policy's own ids are shorter.
const MAX_ID: usize = 1024;
/// The type of the end of a process.
const TASK_EXIT: &str = "containerd.events.TaskExit";
/// What Go's zero time is in seconds: it stands for "unset".
const GO_ZERO: i64 = -62_135_596_800;

/// Checks the parts and puts them together.
pub fn decode(topic: &str, namespace: &str, event: &[u8], now: SystemTime) -> Result<Event> {
    if event.len() > MAX_EVENT_SIZE {
        return Err(invalid(format!("the event is larger than {MAX_EVENT_SIZE} bytes")));
    }
    let any = Any::parse_from_bytes(event).map_err(|error| invalid(format!("it is not an event: {error}")))?;
    assemble(topic, namespace, any, now)
}

/// The same of an event in memory.
pub(super) fn assemble(topic: &str, namespace: &str, any: Any, now: SystemTime) -> Result<Event> {
    let why = |what: &str| format!("the {what} must have 1 to {MAX_TEXT} printable ASCII characters");
    if !is_printable(topic) {
        return Err(invalid(why("topic")));
    }
    if !is_printable(namespace) {
        return Err(Error::new(ErrorKind::InvalidIdentifier, Step::PublishEvent, why("namespace")));
    }
    if any.type_url.len() > MAX_TEXT {
        return Err(invalid(format!("the type of the event is longer than {MAX_TEXT} bytes")));
    }
    let mut event = Event {
        topic: topic.to_owned(),
        namespace: namespace.to_owned(),
        container_id: None,
        id: None,
        pid: None,
        exit_status: None,
        time: now,
        type_url: None,
    };
    let Some(exit) = task_exit(&any) else {
        event.type_url = Some(any.type_url);
        return Ok(event);
    };
    if exit.container_id.len() > MAX_ID || exit.id.len() > MAX_ID {
        return Err(invalid(format!("an id in the event is longer than {MAX_ID} bytes")));
    }
    if let Some(time) = exit.exited_at.as_ref()
        && time.seconds != GO_ZERO
        && let Ok(time) = Timestamp::new(time.seconds, time.nanos)
    {
        event.time = time.into();
    }
    event.container_id = Some(exit.container_id).filter(|id| !id.is_empty());
    event.id = Some(exit.id).filter(|id| !id.is_empty());
    event.pid = Some(exit.pid).filter(|pid| *pid != 0);
    event.exit_status = Some(exit.exit_status);
    Ok(event)
}

/// The end of a process, if that is what an event says it is, and really is.
fn task_exit(any: &Any) -> Option<TaskExit> {
    // Go's containerd names types without a host, others with `type.googleapis.com/`.
    let name = any.type_url.rsplit('/').next()?;
    if name != TASK_EXIT {
        return None;
    }
    TaskExit::parse_from_bytes(&any.value).ok()
}

fn is_printable(text: &str) -> bool {
    (1..=MAX_TEXT).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidEvent, Step::PublishEvent, message)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use protobuf::MessageField;
    use protobuf::well_known_types::timestamp::Timestamp as ProtoTimestamp;

    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn any(type_url: &str, value: Vec<u8>) -> Any {
        Any { type_url: type_url.to_owned(), value, ..Any::default() }
    }

    fn exit(seconds: i64, nanos: i32) -> TaskExit {
        TaskExit {
            container_id: "web-1".to_owned(),
            id: "exec-1".to_owned(),
            pid: 42,
            exit_status: 137,
            exited_at: MessageField::some(ProtoTimestamp { seconds, nanos, ..ProtoTimestamp::default() }),
            ..TaskExit::default()
        }
    }

    fn read(any: Any) -> Result<Event> {
        decode("/tasks/exit", "default", &any.write_to_bytes().unwrap(), NOW)
    }

    #[test]
    fn the_end_of_a_process_is_read_whole() {
        for type_url in [TASK_EXIT, "type.googleapis.com/containerd.events.TaskExit"] {
            let event = read(any(type_url, exit(1_700_000_000, 9).write_to_bytes().unwrap())).unwrap();
            assert_eq!((event.container_id.as_deref(), event.id.as_deref()), (Some("web-1"), Some("exec-1")));
            assert_eq!((event.pid, event.exit_status), (Some(42), Some(137)));
            assert_eq!(event.time, NOW + Duration::new(1_700_000_000, 9));
            assert_eq!(event.type_url, None);
        }
    }

    #[test]
    fn a_time_that_is_none_is_that_of_the_record() {
        for (seconds, nanos) in [(GO_ZERO, 0), (i64::MAX, 0), (i64::MIN, 0), (0, i32::MAX)] {
            assert_eq!(read(any(TASK_EXIT, exit(seconds, nanos).write_to_bytes().unwrap())).unwrap().time, NOW);
        }
    }

    #[test]
    fn other_types_and_broken_content_are_kept_by_their_type() {
        for (type_url, value) in [("", vec![]), ("containerd.events.TaskOOM", vec![1]), (TASK_EXIT, vec![0xff; 9])] {
            let event = read(any(type_url, value)).unwrap();
            assert_eq!(event.type_url.as_deref(), Some(type_url));
            assert_eq!((event.container_id, event.id, event.pid, event.exit_status), (None, None, None, None));
        }
    }

    #[test]
    fn sizes_and_texts_have_to_be_sane() {
        let kind =
            |topic: &str, namespace: &str, bytes: &[u8]| decode(topic, namespace, bytes, NOW).unwrap_err().kind();
        for text in ["", "a b", "a\n", "\u{202e}", "\u{1b}[2J", &"x".repeat(257)] {
            assert_eq!(kind(text, "default", &[]), ErrorKind::InvalidEvent, "{text:?}");
            assert_eq!(kind("/t", text, &[]), ErrorKind::InvalidIdentifier, "{text:?}");
        }
        assert_eq!(kind("/t", "default", &[0xff]), ErrorKind::InvalidEvent);
        assert_eq!(kind("/t", "default", &vec![0; MAX_EVENT_SIZE + 1]), ErrorKind::InvalidEvent);
        let long = TaskExit { id: "x".repeat(MAX_ID + 1), ..exit(0, 0) };
        assert_eq!(read(any(TASK_EXIT, long.write_to_bytes().unwrap())).unwrap_err().kind(), ErrorKind::InvalidEvent);
        assert_eq!(read(any(&"x".repeat(257), vec![])).unwrap_err().kind(), ErrorKind::InvalidEvent);
    }
}
