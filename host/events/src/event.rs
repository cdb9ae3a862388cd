//! An event, in memory and as a line of JSON.

use std::time::SystemTime;

use dunnage_core::BundleId;
use serde::{Deserialize, Serialize};

/// An event of a task, for example the end of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// What it is about: `/tasks/exit`, for example.
    pub topic: String,
    /// The namespace of the container.
    pub namespace: String,
    /// The id of the container, where the event names it.
    pub container_id: Option<String>,
    /// The id of the process: the container's for its init, else that of the exec.
    pub id: Option<String>,
    /// The host's id of the process.
    pub pid: Option<u32>,
    /// How the process has ended; 128 and the signal's number for a signal.
    pub exit_status: Option<u32>,
    /// When it happened; if the event does not say, when it was recorded.
    #[serde(with = "rfc3339")]
    pub time: SystemTime,
    /// The type of an event whose content is not known here.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_url: Option<String>,
}

/// The topic of the end of a process.
pub const TASK_EXIT: &str = "/tasks/exit";
/// The topic of the removal of a container.
pub const TASK_DELETE: &str = "/tasks/delete";

impl Event {
    /// An event of now about a container, by its topic: `/tasks/create`, `/tasks/start`, `/tasks/oom` and
    /// so on, as containerd names them.
    #[must_use]
    pub fn of_task(topic: &str, id: &BundleId) -> Self {
        Self {
            topic: topic.to_owned(),
            namespace: id.namespace().to_owned(),
            container_id: Some(id.id().to_owned()),
            id: Some(id.id().to_owned()),
            pid: None,
            exit_status: None,
            time: SystemTime::now(),
            type_url: None,
        }
    }

    /// The same of one process of it.
    #[must_use]
    pub fn with_process(mut self, id: &str, pid: Option<u32>) -> Self {
        self.id = Some(id.to_owned());
        self.pid = pid;
        self
    }

    /// The same of its end.
    #[must_use]
    pub fn with_exit(mut self, status: u32, time: SystemTime) -> Self {
        self.exit_status = Some(status);
        self.time = time;
        self
    }
}

/// Times as RFC 3339 has them, in UTC, to the nanosecond.
mod rfc3339 {
    use std::time::SystemTime;

    use jiff::Timestamp;
    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        let time = Timestamp::try_from(*time).map_err(S::Error::custom)?;
        serializer.collect_str(&format_args!("{time:.9}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse::<Timestamp>().map(SystemTime::from).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_event_is_a_line_of_these_keys_and_comes_back() {
        let event = Event {
            topic: "/tasks/exit".to_owned(),
            namespace: "default".to_owned(),
            container_id: Some("web-1".to_owned()),
            id: Some("a\nb".to_owned()),
            pid: Some(7),
            exit_status: Some(0),
            time: SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 5),
            type_url: None,
        };
        let line = serde_json::to_string(&event).unwrap();
        let expected = r#"{"topic":"/tasks/exit","namespace":"default","container_id":"web-1","id":"a\nb","pid":7,"exit_status":0,"time":"2023-11-14T22:13:20.000000005Z"}"#;
        assert_eq!(line, expected);
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
    }
}
