//! What the policy does not look at costs it no memory: parts of a spec that are unknown to it may
//! be as large as they like. Counted by an allocator, which is why this test has a file of its own.

#![expect(unsafe_code, reason = "an allocator that counts is unsafe to write")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use dunnage_policy::spec::{Fault, remapped_gid, task_settings};

struct Counting;

thread_local! {
    static NOW: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: all is left to the system's allocator; the counters are plain cells of the thread that
// need no allocation themselves.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.get().wrapping_add(layout.size());
        NOW.set(now);
        PEAK.set(PEAK.get().max(now));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        NOW.set(NOW.get().wrapping_sub(layout.size()));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SIZE: usize = 4 << 20;
/// What reading may take: a byte for each level of nesting, doubled as vectors grow, and messages.
const LIMIT: usize = 40 << 10;

/// The most bytes that were allocated at a time while the spec was read.
fn peak(spec: &str) -> (Result<u32, Fault>, usize) {
    NOW.set(0);
    PEAK.set(0);
    let result = remapped_gid(spec.as_bytes()).map_err(|error| error.fault);
    (result, PEAK.get())
}

fn assert_frugal(what: &str, spec: &str, expected: Result<u32, Fault>) {
    assert!(spec.len() >= SIZE, "{what} is too small to show anything");
    let (result, peak) = peak(spec);
    assert_eq!(result, expected, "{what}");
    assert!(peak <= LIMIT, "{what} took {peak} bytes");
}

#[test]
fn unknown_parts_take_no_memory() {
    let depth = "[".repeat(9_000) + &"]".repeat(9_000);
    let deep = (depth + ",").repeat(SIZE / 18_000 + 1);
    for (what, value) in [
        ("a string", format!("\"{}\"", "a".repeat(SIZE))),
        ("a string of escapes", format!("\"{}\"", "\\u00e9\\n".repeat(SIZE / 8))),
        ("a number", format!("1{}", "0".repeat(SIZE))),
        ("a fraction", format!("-0.{}e-{0}", "1".repeat(SIZE))),
        ("an array", format!("[{}0]", "0,".repeat(SIZE / 2))),
        ("an object", format!("{{{}\"k\":0}}", "\"k\":0,".repeat(SIZE / 6 + 1))),
        ("objects in an array", format!("[{}{{}}]", "{\"a\":[\"b\"]},".repeat(SIZE / 12))),
        ("deep arrays", format!("[{deep}0]")),
        ("space", " ".repeat(SIZE) + "0"),
    ] {
        let linux = r#""linux":{"gidMappings":[{"hostID":7}]}"#;
        assert_frugal(what, &format!("{{\"x\":{value},{linux}}}"), Ok(7));
        assert_frugal(what, &format!("{{{linux},\"linux \":{value}}}"), Ok(7));
        let inner = format!(r#"{{"linux":{{"x":{value},"gidMappings":[{{"hostID":7,"y":{value}}}]}}}}"#);
        assert_frugal(what, &inner, Ok(7));
    }
}

#[test]
fn task_settings_take_no_memory() {
    let entries = r#"{"containerID":1},"#.repeat(SIZE / 18 + 1);
    let text = "é".repeat(SIZE / 2);
    let spec = format!(
        r#"{{"x":"{text}","linux":{{"uidMappings":[{entries}{{"hostID":7,"size":1}}]}},"process":{{"args":["{text}"]}}}}"#
    );
    NOW.set(0);
    PEAK.set(0);
    let found = task_settings(spec.as_bytes());
    let peak = PEAK.get();
    assert_eq!(found.unwrap().io_uid, 7);
    assert!(peak <= LIMIT, "{peak} bytes");
}

#[test]
fn unknown_keys_take_no_memory() {
    let many = "\"key\":0,".repeat(SIZE / 8 + 1);
    assert_frugal("many keys", &format!("{{{many}\"linux\":{{}}}}"), Ok(0));
    let long = "a".repeat(SIZE);
    assert_frugal("a long key", &format!("{{\"{long}\":0}}"), Ok(0));
}

#[test]
fn mappings_and_refusals_take_no_memory() {
    let entries = r#"{"containerID":1},"#.repeat(SIZE / 18 + 1);
    assert_frugal("entries", &format!(r#"{{"linux":{{"gidMappings":[{entries}{{"hostID":7}}]}}}}"#), Ok(7));
    let text = "é".repeat(SIZE / 2);
    assert_frugal("a string for an object", &format!("{{\"linux\":\"{text}\"}}"), Err(Fault::WrongType));
    let field = format!(r#"{{"linux":{{"gidMappings":[{{"hostID":"{text}"}}]}}}}"#);
    assert_frugal("a string for a number", &field, Err(Fault::WrongType));
    let digits = "9".repeat(SIZE);
    let field = format!(r#"{{"linux":{{"gidMappings":[{{"hostID":{digits}}}]}}}}"#);
    assert_frugal("a number of many digits", &field, Err(Fault::Number));
    assert_frugal("brackets", &"[".repeat(SIZE), Err(Fault::Depth));
}
