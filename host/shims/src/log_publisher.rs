//! Where the events of a shim in this process go: to the event log.

use dunnage_events::EventLog;
use dunnage_shim_service::Publisher;
use protobuf::well_known_types::any::Any;

/// Records events.
pub(crate) struct LogPublisher(pub(crate) EventLog);

impl Publisher for LogPublisher {
    fn publish(&self, topic: &str, namespace: &str, event: Any) {
        self.0.publish(topic, namespace, event);
    }
}
