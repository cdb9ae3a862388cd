//! Traps: after every call of the host, and in every way that code can go wrong.

use dunnage::ErrorKind;

use super::{Attack, Call};

/// Every host function, called as it should be.
const HOST_CALLS: [(&str, &str); 10] = [
    ("create-directory-at", "(call $make (local.get $bundle) (call $rootfs))"),
    (
        "open-directory-at",
        "(call $make (local.get $bundle) (call $rootfs)) (drop (call $open (local.get $bundle) (call $rootfs)))",
    ),
    ("write-spec-at", "(call $write (local.get $bundle) (call $config) (local.get $spec) (i32.const 0o600))"),
    (
        "read-file-at",
        "(call $write (local.get $bundle) (call $config) (local.get $spec) (i32.const 0o600))
         (call $read-file-at (local.get $bundle) (call $config) (i64.const 65536) (i32.const 512)) (call $succeeded)",
    ),
    ("set-mode", "(call $set-mode (local.get $bundle) (i32.const 0o710) (i32.const 512)) (call $succeeded)"),
    // Group 0 may be refused, which is an answer like another.
    ("set-group", "(call $set-group (local.get $bundle) (i32.const 0) (i32.const 512))"),
    ("spec-size", "(drop (call $size (local.get $spec)))"),
    ("spec-bytes", "(call $bytes (local.get $spec) (i32.const 512))"),
    (
        "drop-directory",
        "(call $honest (local.get $bundle) (local.get $spec)) (call $drop-directory (local.get $bundle))",
    ),
    ("drop-spec", "(call $honest (local.get $bundle) (local.get $spec)) (call $drop-spec (local.get $spec))"),
];

fn trap(name: &str, code: &str, says: &str) -> Attack {
    let body = format!("(call $honest (local.get $bundle) (local.get $spec)) (call $reached) {code}");
    Attack::new(name, Call::Create, body, ErrorKind::PolicyTrapped, says)
}

pub(super) fn attacks() -> Vec<Attack> {
    let after = HOST_CALLS.map(|(function, code)| {
        // Two traps that tell themselves apart: the marker, and the attack.
        let body = format!("{code} (call $reached) (drop (i32.div_u (i32.const 1) (i32.const 0)))");
        let name = format!("trap-after-{function}");
        Attack::new(name, Call::Create, body, ErrorKind::PolicyTrapped, "integer divide by zero")
    });
    let others = [
        trap("trap-out-of-bounds", "(drop (i32.load (i32.const -4)))", "out of bounds memory access"),
        trap("trap-null-call", "(call_indirect (i32.const 0))", "uninitialized element").fields("(table 1 funcref)"),
        trap("trap-call-outside-table", "(call_indirect (i32.const 9))", "undefined element")
            .fields("(table 1 funcref)"),
        trap("trap-call-of-wrong-type", "(call_indirect (i32.const 0))", "indirect call type mismatch")
            .fields("(table funcref (elem $make))"),
        trap("trap-bad-conversion", "(drop (i32.trunc_f32_s (f32.const nan)))", "invalid conversion to integer"),
        trap("trap-stack", "(call $deeper)", "call stack exhausted").fields("(func $deeper (call $deeper))"),
    ];
    let realloc = [
        Attack::create("realloc-traps", "", ErrorKind::PolicyTrapped, "integer divide by zero")
            .realloc(armed("(drop (i32.div_u (i32.const 1) (i32.const 0)))")),
        Attack::create("realloc-recurses", "", ErrorKind::PolicyTrapped, "call stack exhausted")
            .realloc(armed("(call $deeper)"))
            .fields("(func $deeper (call $deeper))"),
        Attack::create("realloc-calls-the-host", "", ErrorKind::PolicyTrapped, "cannot leave component instance")
            .realloc(armed("(drop (call $size (i32.const 2)))")),
    ];
    after.into_iter().chain(others).chain(realloc).collect()
}

/// Instructions of `realloc` for when room is made for the id `attack`.
pub(super) fn armed(code: &str) -> String {
    format!("(if (i32.eq (local.get $size) (i32.const 6)) (then (call $reached) {code}))")
}
