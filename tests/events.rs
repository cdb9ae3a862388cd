//! Events: what shims publish, and what is shown of it.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use dunnage::ErrorKind;
use dunnage_tests::{Outcome, Scratch, run};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const EVENT_TIMEOUT: Duration = Duration::from_secs(20);

/// A field of bytes of a protobuf message, shorter than 16 KiB.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut encoded = vec![number << 3 | 2];
    encoded.extend(varint(bytes.len() as u64));
    encoded.extend_from_slice(bytes);
    encoded
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut encoded = Vec::new();
    while number >= 0x80 {
        encoded.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    encoded.push(u8::try_from(number).unwrap());
    encoded
}

fn any(type_url: &str, value: &[u8]) -> Vec<u8> {
    [field(1, type_url.as_bytes()), field(2, value)].concat()
}

/// What a shim publishes when a process ends, byte by byte.
fn exit(container: &str, id: &str, pid: u64) -> Vec<u8> {
    let time = [vec![1 << 3], varint(1_700_000_000), vec![2 << 3], varint(120)].concat();
    let value = [
        field(1, container.as_bytes()),
        field(2, id.as_bytes()),
        vec![3 << 3],
        varint(pid),
        vec![4 << 3],
        varint(137),
        field(5, &time),
    ];
    any("containerd.events.TaskExit", &value.concat())
}

/// Publishes as the shim does: argv and standard input as it has them, the bundle as directory.
fn publish(scratch: &Scratch, topic: &str, namespace: &str, event: &[u8]) -> Outcome {
    let arguments = ["--address", "/a.sock", "publish", "--topic", topic, "--namespace", namespace];
    run(scratch.command(arguments).current_dir(scratch.path()), event)
}

fn events(scratch: &Scratch, arguments: &[&str]) -> Vec<Value> {
    let outcome = scratch.run([&["events"], arguments].concat()).expect(0);
    assert_eq!(outcome.stderr, "");
    outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_a_shim_publishes_is_shown() {
    let scratch = Scratch::new();
    let outcome = publish(&scratch, "/tasks/exit", "default", &exit("web-1", "exec-1", 4711)).expect(0);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""));
    let outcome = scratch.run(["events"]).expect(0);
    let expected = "{\"topic\":\"/tasks/exit\",\"namespace\":\"default\",\"container_id\":\"web-1\",\"id\":\"exec-1\",\
        \"pid\":4711,\"exit_status\":137,\"time\":\"2023-11-14T22:13:20.000000120Z\"}\n";
    assert_eq!(outcome.stdout, expected);
    let event = &scratch.dunnage().events().unwrap()[0];
    assert_eq!((event.container_id.as_deref(), event.pid), (Some("web-1"), Some(4711)));
    assert_eq!(event.time.duration_since(std::time::UNIX_EPOCH).unwrap(), Duration::new(1_700_000_000, 120));
}

#[test]
fn events_are_those_of_a_namespace_or_of_all() {
    let scratch = Scratch::new();
    for (namespace, id) in [("default", "a"), ("other", "b"), ("default", "c")] {
        publish(&scratch, "/tasks/exit", namespace, &exit(id, id, 1)).expect(0);
    }
    let ids = |arguments: &[&str]| -> Vec<_> {
        events(&scratch, arguments).iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&[]), ["a", "c"]);
    assert_eq!(ids(&["-n", "other"]), ["b"]);
    assert_eq!(ids(&["-A"]), ["a", "b", "c"]);
    assert!(ids(&["-n", "third"]).is_empty());
}

#[test]
fn following_starts_now_and_filters_choose() {
    let scratch = Scratch::new();
    let send = |topic: &str, id: &str| publish(&scratch, topic, "default", &exit(id, id, 1)).expect(0);
    send("/tasks/exit", "before");
    let mut command = scratch.command(["events", "--follow", "--filter", "topic=exit"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = read(child.stdout.take().unwrap());
    // Once it follows, what comes is shown; until then it is as if it had been there before.
    let first = loop {
        send("/tasks/other", "not wanted");
        send("/tasks/exit", "after");
        if let Ok(first) = lines.recv_timeout(Duration::from_millis(300)) {
            break first;
        }
    };
    assert_eq!(first["id"], "after");
    child.kill().unwrap();
    child.wait().unwrap();
    let ids = |arguments: &[&str]| -> Vec<_> {
        events(&scratch, arguments).iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&["--filter", "id=before"]), ["before"]);
    assert!(ids(&["--filter", "topic=/tasks/other", "--filter", "id=before"]).is_empty());
    // These ends have a time of their own, long ago.
    assert!(ids(&["--since", "1h"]).is_empty());
    assert!(!ids(&["--since", "2020-01-01T00:00:00Z"]).is_empty());
    for wrong in [&["--since", "soon"][..], &["--filter", "x=y"], &["--filter", "topic"]] {
        scratch.run([&["events"], wrong].concat()).expect(2);
    }
}

#[test]
fn unknown_and_empty_events_are_kept_with_their_type() {
    let scratch = Scratch::new();
    publish(&scratch, "/tasks/oom", "default", &any("containerd.events.TaskOOM", &[10, 1, b'x'])).expect(0);
    publish(&scratch, "/tasks/exit", "default", &any("containerd.events.TaskExit", &[0xff; 5])).expect(0);
    publish(&scratch, "/empty", "default", &[]).expect(0);
    for (event, (topic, kind)) in events(&scratch, &[]).iter().zip([
        ("/tasks/oom", "containerd.events.TaskOOM"),
        ("/tasks/exit", "containerd.events.TaskExit"),
        ("/empty", ""),
    ]) {
        assert_eq!((&event["topic"], &event["type"]), (&json!(topic), &json!(kind)));
        for key in ["container_id", "id", "pid", "exit_status"] {
            assert_eq!(event.get(key), Some(&Value::Null), "{key} {event}");
        }
        assert!(event["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{event}");
    }
    assert_eq!(events(&scratch, &[]).len(), 3);
}

#[test]
fn what_is_no_event_or_too_large_is_refused() {
    let scratch = Scratch::new();
    let mut large = any("x", &[]);
    large.extend(std::iter::repeat_n([0x1a, 0], 40_000).flatten());
    for (event, why) in [(&large[..], "larger than 65536 bytes"), (&[0xff; 20][..], "it is not an event")] {
        let outcome = publish(&scratch, "/tasks/exit", "default", event).expect(3);
        assert!(outcome.stderr.starts_with("dunnage: publish an event: publish-event: "), "{outcome:?}");
        assert!(outcome.stderr.contains(why), "{outcome:?}");
    }
    // Endless input is not read to its end.
    let endless = std::fs::File::open("/dev/zero").unwrap();
    let output = scratch.command(["publish", "--topic", "/t"]).stdin(endless).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(scratch.tree().is_empty(), "{:?}", scratch.tree());
}

#[test]
fn hostile_topics_and_namespaces_are_refused() {
    let scratch = Scratch::new();
    let long = "x".repeat(257);
    for text in ["", "a b", "/a\n{}", "\u{1b}[2J", "/ä", "/\u{202e}", &long] {
        let outcome = publish(&scratch, text, "default", &exit("a", "a", 1)).expect(3);
        assert!(outcome.stderr.contains("topic") && !outcome.stderr.contains('\u{1b}'), "{outcome:?}");
        let outcome = publish(&scratch, "/tasks/exit", text, &exit("a", "a", 1)).expect(3);
        assert!(outcome.stderr.contains("namespace"), "{outcome:?}");
        let error = scratch.dunnage().publish(text, "default", &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidEvent);
    }
    assert!(scratch.tree().is_empty(), "{:?}", scratch.tree());
    // Texts that only look like paths or JSON are texts.
    let hostile = ["../../etc/passwd", "\"},{\"a\":\"", "%s%n", "\u{7f}"];
    for topic in &hostile[..3] {
        publish(&scratch, topic, "../x", &exit("../\n\u{1b}[2J", "\"", 1)).expect(0);
    }
    publish(&scratch, hostile[3], "default", &[]).expect(3);
    let shown = events(&scratch, &["-A"]);
    assert_eq!(shown.iter().map(|event| event["topic"].as_str().unwrap()).collect::<Vec<_>>(), hostile[..3]);
    assert_eq!(shown[0]["container_id"], "../\n\u{1b}[2J");
    assert!(!scratch.run(["events", "-A"]).stdout.contains('\u{1b}'));
}

#[test]
fn the_record_is_for_nobody_else() {
    let scratch = Scratch::new();
    // Whatever the umask.
    let mut command = std::process::Command::new("sh");
    let publisher = scratch.command([""; 0]);
    command.arg("-c").arg("umask 0; exec \"$0\" publish --topic /t").arg(publisher.get_program());
    command.env("DUNNAGE_STATE", scratch.state());
    run(&mut command, exit("a", "a", 1)).expect(0);
    for (path, mode) in [("", 0o711), (".dunnage", 0o700), (".dunnage/events", 0o700), (".dunnage/events/log", 0o600)] {
        let found = scratch.state().join(path).metadata().unwrap().permissions().mode();
        assert_eq!(found & 0o7777, mode, "{path}");
    }
    // It is not a namespace.
    assert_eq!(scratch.run(["list", "-A", "-o", "json"]).expect(0).json(), json!([]));
}

#[test]
fn reading_writes_nothing() {
    let scratch = Scratch::new();
    assert!(events(&scratch, &["-A"]).is_empty());
    assert!(scratch.dunnage().events().unwrap().is_empty());
    let mut stream = scratch.dunnage().follow_events().unwrap();
    assert_eq!(stream.next_within(Duration::from_millis(150)).unwrap(), None);
    assert!(scratch.tree().is_empty(), "{:?}", scratch.tree());
    publish(&scratch, "/tasks/exit", "default", &exit("a", "a", 1)).expect(0);
    let before = scratch.tree();
    assert_eq!(events(&scratch, &[]).len(), 1);
    assert_eq!(stream.next_within(EVENT_TIMEOUT).unwrap().unwrap().topic, "/tasks/exit");
    assert_eq!(scratch.tree(), before);
}

#[test]
fn many_publishers_lose_nothing() {
    let scratch = Scratch::new();
    publish(&scratch, "/warm", "default", &[]).expect(0);
    std::thread::scope(|scope| {
        for number in 0..64 {
            let scratch = &scratch;
            scope.spawn(move || {
                let id = format!("c{number}");
                publish(scratch, "/tasks/exit", "many", &exit(&id, &id, number + 1)).expect(0);
            });
        }
    });
    let mut pids: Vec<_> = events(&scratch, &["-n", "many"]).iter().map(|e| e["pid"].as_u64().unwrap()).collect();
    pids.sort_unstable();
    assert!(pids.iter().copied().eq(1..=64), "{pids:?}");
}

/// Threads share a manager, and the first ones make the directories side by side.
#[test]
fn many_threads_lose_nothing_from_the_first_event_on() {
    let scratch = Scratch::new();
    let dunnage = scratch.dunnage();
    std::thread::scope(|scope| {
        for number in 0..64 {
            let dunnage = &dunnage;
            scope.spawn(move || dunnage.publish("/t", "default", &exit("c", "c", number + 1)).unwrap());
        }
    });
    let mut pids: Vec<_> = dunnage.events().unwrap().iter().filter_map(|event| event.pid).collect();
    pids.sort_unstable();
    assert!(pids.iter().copied().eq(1..=64), "{pids:?}");
}

/// `dunnage events --follow`, ended with the test.
struct Following {
    child: Child,
    lines: Receiver<Value>,
}

impl Following {
    fn start(scratch: &Scratch, arguments: &[&str]) -> Self {
        let mut command =
            scratch.command([&["events", "--follow", "--since", "1970-01-01T00:00:00Z"], arguments].concat());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = read(child.stdout.take().unwrap());
        Self { child, lines }
    }

    #[track_caller]
    fn next(&self) -> Value {
        self.lines.recv_timeout(EVENT_TIMEOUT).expect("an event")
    }

    fn end(&mut self) -> Option<i32> {
        let start = Instant::now();
        while start.elapsed() < EVENT_TIMEOUT {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not end");
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(stdout: ChildStdout) -> Receiver<Value> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { return };
            if sender.send(serde_json::from_str(&line).unwrap()).is_err() {
                return;
            }
        }
    });
    lines
}

#[test]
fn following_shows_what_is_there_and_what_comes() {
    let scratch = Scratch::new();
    // It starts before there is a state directory, and makes none.
    let early = Following::start(&scratch, &[]);
    std::thread::sleep(Duration::from_millis(300));
    assert!(scratch.tree().is_empty(), "{:?}", scratch.tree());
    publish(&scratch, "/tasks/exit", "default", &exit("a", "a", 1)).expect(0);
    assert_eq!(early.next()["id"], "a");
    let late = Following::start(&scratch, &["-A"]);
    assert_eq!(late.next()["id"], "a");
    publish(&scratch, "/tasks/exit", "other", &exit("b", "b", 1)).expect(0);
    publish(&scratch, "/tasks/exit", "default", &exit("c", "c", 1)).expect(0);
    assert_eq!(early.next()["id"], "c");
    assert_eq!((late.next()["id"].clone(), late.next()["id"].clone()), (json!("b"), json!("c")));
}

#[test]
fn following_survives_a_rotation() {
    let scratch = Scratch::new();
    let dunnage = scratch.dunnage();
    let following = Following::start(&scratch, &[]);
    // About 1.2 KiB a line: the log is full after some 900 of them.
    let long = "x".repeat(1000);
    for number in 1..=2000 {
        dunnage.publish("/tasks/exit", "default", &exit(&long, "a", number)).unwrap();
        assert_eq!(following.next()["pid"], number);
    }
    let events = scratch.state().join(".dunnage/events");
    for name in ["log", "log.1"] {
        assert!(events.join(name).metadata().unwrap().len() <= 1024 * 1024, "{name}");
    }
    assert_eq!(std::fs::read_dir(&events).unwrap().count(), 2);
    let kept: Vec<_> = dunnage.events().unwrap().iter().filter_map(|event| event.pid).collect();
    assert!(kept.len() > 900 && kept.iter().copied().eq(2001 - u32::try_from(kept.len()).unwrap()..=2000));
}

#[test]
fn following_ends_when_asked_to_or_read_by_nobody() {
    let scratch = Scratch::new();
    publish(&scratch, "/tasks/exit", "default", &exit("a", "a", 1)).expect(0);
    for signal in [Signal::INT, Signal::TERM] {
        let mut following = Following::start(&scratch, &[]);
        following.next();
        kill_process(Pid::from_child(&following.child), signal).unwrap();
        assert_eq!(following.end(), Some(0), "{signal:?}");
    }
    // As `dunnage events --follow | head -1`, with no further event.
    let mut command = scratch.command(["events", "--follow", "--since", "1970-01-01T00:00:00Z"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    drop(stdout);
    let (_, lines) = channel();
    assert_eq!(Following { child, lines }.end(), Some(0));
}

/// A writer died in the middle of a line, or the disk was full.
#[test]
fn half_a_line_is_left_out_and_the_next_event_is_not() {
    let scratch = Scratch::new();
    publish(&scratch, "/tasks/exit", "default", &exit("a", "a", 1)).expect(0);
    let log = scratch.state().join(".dunnage/events/log");
    let mut content = std::fs::read(&log).unwrap();
    content.extend_from_slice(b"{\"topic\":\"/to");
    std::fs::write(&log, content).unwrap();
    publish(&scratch, "/tasks/exit", "default", &exit("b", "b", 1)).expect(0);
    let ids: Vec<_> = events(&scratch, &[]).iter().map(|event| event["id"].clone()).collect();
    assert_eq!(ids, ["a", "b"]);
}
