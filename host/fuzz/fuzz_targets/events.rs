//! Bytes published as an event, and a record of events that was tampered with.

#![no_main]

use std::time::SystemTime;

use dunnage::events::Event;
use libfuzzer_sys::fuzz_target;

/// An event is one line on record, and the same event when it is read again.
fn check_line(event: &Event) {
    let line = serde_json::to_string(event).unwrap();
    assert!(!line.contains('\n'));
    assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), *event);
}

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(3, |byte| *byte == 0);
    let (Some(topic), Some(namespace), Some(bytes)) = (parts.next(), parts.next(), parts.next()) else { return };
    if let (Ok(topic), Ok(namespace)) = (str::from_utf8(topic), str::from_utf8(namespace))
        && let Ok(event) = dunnage::fuzzing::decode_event(topic, namespace, bytes, SystemTime::UNIX_EPOCH)
    {
        let shown = |text: &str| (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        assert!(shown(&event.topic) && shown(&event.namespace));
        check_line(&event);
    }
    if let Ok(event) = serde_json::from_slice::<Event>(bytes) {
        check_line(&event);
    }
});
