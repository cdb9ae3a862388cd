//! Invalid answers: of the wrong size, in the wrong place, of no known case, not text.

use dunnage::ErrorKind;

use super::traps::armed;
use super::{Attack, Call, EXPORTS};

/// Gives back the handles that a call has lent.
fn release(call: Call) -> &'static str {
    match call {
        Call::Gid | Call::Settings => "(call $drop-spec (local.get $spec))",
        Call::Create => "(call $release (local.get $bundle) (local.get $spec))",
        Call::Delete | Call::Records | Call::Connect => "(call $drop-directory (local.get $bundle))",
        Call::Check | Call::Address | Call::Legacy | Call::Config => "",
    }
}

/// Answers with what these instructions leave on the stack.
fn answer(name: impl Into<String>, call: Call, code: &str, kind: ErrorKind, says: &str) -> Attack {
    // For `create` an honest bundle is built first, so that the answer is all that is wrong.
    let honest = if call == Call::Create { "(call $honest (local.get $bundle) (local.get $spec))" } else { "" };
    let body = format!("{honest} {} (call $reached) {code}", release(call));
    Attack::new(name, call, body, kind, says)
}

/// Answers with bytes at 256: pairs of an offset and a 32-bit number.
fn record(name: &str, call: Call, words: &[(u32, u32)], kind: ErrorKind, says: &str) -> Attack {
    let stores: String = words
        .iter()
        .map(|(offset, word)| format!("(i32.store offset={offset} (i32.const 256) (i32.const {word}))"))
        .collect();
    answer(name, call, &format!("{stores} (return (i32.const 256))"), kind, says)
}

/// In every export.
fn places() -> Vec<Attack> {
    let trapped = ErrorKind::PolicyTrapped;
    let mut attacks = Vec::new();
    for (name, call) in EXPORTS {
        let at = |what: &str, place: &str, says: &str| {
            answer(format!("answer-{what}-{name}"), call, &format!("(return (i32.const {place}))"), trapped, says)
        };
        attacks.push(at("out-of-bounds", "131072", "out of bounds"));
        attacks.push(at("cut-by-the-end", "131064", "out of bounds"));
        attacks.push(at("unaligned", "257", "not aligned"));
        let name = format!("answer-neither-{name}");
        let says = "invalid expected discriminant";
        attacks.push(record(&name, call, &[(0, 2)], trapped, says));
    }
    attacks
}

/// Numbers that stand for no case of an enum, a variant, an option, a character.
fn cases() -> Vec<Attack> {
    let trapped = ErrorKind::PolicyTrapped;
    let trap = |name: &str, call, words: &[(u32, u32)], says| record(name, call, words, trapped, says);
    vec![
        trap("answer-create-error-3", Call::Create, &[(0, 1), (8, 3)], "discriminant"),
        trap("answer-step-4", Call::Create, &[(0, 1), (8, 2), (16, 4)], "discriminant"),
        trap("answer-error-code-255", Call::Create, &[(0, 1), (8, 2), (20, 255)], "discriminant"),
        trap("answer-spec-fault-10", Call::Gid, &[(0, 1), (4, 10)], "discriminant"),
        trap("answer-identifier-part-2", Call::Check, &[(0, 1), (8, 2)], "discriminant"),
        trap("answer-identifier-fault-4", Call::Check, &[(0, 1), (16, 4)], "discriminant"),
        trap("answer-surrogate", Call::Check, &[(0, 1), (16, 2), (24, 0xd800)], "char"),
        trap("answer-beyond-unicode", Call::Check, &[(0, 1), (16, 2), (24, 0x0011_0000)], "char"),
        trap("answer-option-2", Call::Delete, &[(12, 2)], "invalid"),
        trap("answer-record-fault-2", Call::Records, &[(8, 1), (12, 2)], "discriminant"),
        trap("answer-endpoint-kind-2", Call::Connect, &[(16, 2)], "discriminant"),
    ]
}

/// Invalid text, or text outside the memory.
fn text() -> Vec<Attack> {
    let (trapped, broken) = (ErrorKind::PolicyTrapped, ErrorKind::PolicyBroken);
    let line = "a single line of text";
    vec![
        record("answer-text-no-utf8", Call::Address, &[(8, 1024), (12, 2)], trapped, "invalid utf-8").data(b"\xc3\x28"),
        record("answer-text-surrogate", Call::Legacy, &[(8, 1024), (12, 3)], trapped, "invalid utf-8")
            .data(b"\xed\xa0\x80"),
        record("answer-text-out-of-bounds", Call::Address, &[(8, 131_071), (12, 2)], trapped, "out of bounds"),
        record("answer-text-of-4-gib", Call::Address, &[(8, 0), (12, u32::MAX)], trapped, "out of bounds"),
        record("answer-text-wraps-around", Call::Legacy, &[(8, 0xffff_fff0), (12, 32)], trapped, "out of bounds"),
        record("answer-text-nul", Call::Address, &[(8, 1024), (12, 3)], broken, line).data(b"a\0b"),
        record("answer-text-lines", Call::Legacy, &[(8, 1024), (12, 3)], broken, line).data(b"a\nb"),
        record("answer-text-of-100-kib", Call::Connect, &[(8, 1024), (12, 100 << 10)], broken, line).data(b"a"),
    ]
}

/// Invalid groups and users.
fn ids() -> Vec<Attack> {
    let none = "4294967295";
    let broken = ErrorKind::PolicyBroken;
    vec![
        record("answer-group-none", Call::Gid, &[(4, u32::MAX)], broken, none),
        record("answer-created-group-none", Call::Create, &[(8, u32::MAX)], broken, none),
        record("answer-task-user-none", Call::Settings, &[(8, u32::MAX)], broken, none),
        record("answer-task-group-none", Call::Settings, &[(12, u32::MAX)], broken, none),
        record("answer-group-out-of-range", Call::Gid, &[(4, 70_000)], ErrorKind::GroupNotAllowed, "group 70000"),
        record("answer-created-out-of-range", Call::Create, &[(8, 70_000)], ErrorKind::GroupNotAllowed, "group 70000"),
    ]
}

/// Where the host is told to put what it passes in.
fn realloc() -> Vec<Attack> {
    let place = |name: &str, condition: &str, at: &str, call, says: &str| {
        let code = format!("(if {condition} (then (call $reached) (return (i32.const {at}))))");
        Attack::new(name, call, "", ErrorKind::PolicyTrapped, says).realloc(code)
    };
    let id = "(i32.eq (local.get $size) (i32.const 6))";
    vec![
        place("realloc-out-of-bounds", id, "131070", Call::Create, "beyond end of memory"),
        place("realloc-negative", id, "-1", Call::Create, "beyond end of memory"),
        place("realloc-wraps-around", id, "-6", Call::Check, "beyond end of memory"),
        Attack::create("realloc-of-bytes-out-of-bounds", BYTES, ErrorKind::PolicyTrapped, "beyond end of memory")
            .realloc(
                "(if (i32.and (global.get $armed) (i32.gt_u (local.get $size) (i32.const 100)))
               (then (return (i32.const 131000))))",
            ),
        Attack::create("realloc-grows-memory", "", ErrorKind::PolicyLimit, "bytes of memory")
            .realloc(armed("(drop (memory.grow (i32.const 30000)))")),
    ]
}

const BYTES: &str = "(call $bytes (local.get $spec) (i32.const 512))";

pub(super) fn attacks() -> Vec<Attack> {
    [places(), cases(), text(), ids(), realloc()].concat()
}
