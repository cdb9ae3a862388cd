//! Whatever can be used up: time, memory, tables, handles, host calls, bytes.

use dunnage::ErrorKind;

use super::traps::armed;
use super::{Attack, Call, EXPORTS};

const EVER: &str = "(call $reached) (loop $ever (br $ever))";
const LIMIT: ErrorKind = ErrorKind::PolicyLimit;

fn endless() -> Vec<Attack> {
    let after = [
        ("create-directory-at", "(call $make (local.get $bundle) (call $rootfs))"),
        ("write-spec-at", "(call $write (local.get $bundle) (call $config) (local.get $spec) (i32.const 0o600))"),
        ("spec-bytes", "(call $bytes (local.get $spec) (i32.const 512))"),
        ("everything", "(call $honest (local.get $bundle) (local.get $spec))"),
    ];
    let late = "it took too long";
    let exports = EXPORTS.map(|(name, call)| Attack::new(format!("endless-{name}"), call, EVER, LIMIT, late));
    let after = after.map(|(name, code)| {
        Attack::new(format!("endless-after-{name}"), Call::Create, format!("{code} {EVER}"), LIMIT, late)
    });
    let rest = [
        Attack::create("endless-realloc", "", LIMIT, late).realloc(armed("(loop $ever (br $ever))")),
        Attack::new("endless-after-return", Call::Create, "", LIMIT, late).fields(format!(
            "(func (export \"cabi_post_dunnage:bundle/bundles@0.1.0#create\") (param i32)
               (if (global.get $armed) (then {EVER})))"
        )),
        Attack::create(
            "endless-copies",
            "(loop $ever (memory.fill (i32.const 0) (i32.const 0) (i32.const 131072)) (br $ever))",
            LIMIT,
            late,
        ),
    ];
    exports.into_iter().chain(after).chain(rest).map(Attack::hasty).collect()
}

/// Repeats a host call.
fn again(name: &str, code: &str, says: &str) -> Attack {
    let body =
        format!("(call $make (local.get $bundle) (call $rootfs)) (call $reached) (loop $again {code} (br $again))");
    Attack::new(name, Call::Create, body, LIMIT, says)
}

fn used_up() -> Vec<Attack> {
    let steps = "too many host functions";
    let memory = "bytes of memory";
    vec![
        again("handles", "(drop (call $open (local.get $bundle) (call $rootfs)))", "too many handles"),
        again("steps-of-size", "(drop (call $size (local.get $spec)))", steps),
        again(
            "steps-of-failures",
            "(call $create-directory-at (local.get $bundle) (call $rootfs) (i32.const 0o700) (i32.const 512))",
            steps,
        ),
        again("steps-of-handles", "(call $drop-directory (call $open (local.get $bundle) (call $rootfs)))", steps),
        again(
            "bytes-of-the-spec",
            "(global.set $heap (i32.const 8192)) (call $bytes (local.get $spec) (i32.const 512))",
            "bytes through host functions",
        ),
        again("memory-by-pages", "(drop (memory.grow (i32.const 16)))", memory),
        again("memory-at-once", "(drop (memory.grow (i32.const 65535)))", memory),
        again("table", "(drop (table.grow (ref.null func) (i32.const 1000)))", "table elements")
            .fields("(table 1 funcref)"),
        again("table-at-once", "(drop (table.grow (ref.null func) (i32.const -1)))", "table elements")
            .fields("(table 1 funcref)"),
        deep(),
        wide(),
        giant("giant-address", Call::Address, "(i32.store offset=12 (i32.const 256) (i32.const 0x4800000))"),
        giant(
            "giant-message",
            Call::Gid,
            "(i32.store (i32.const 256) (i32.const 1)) (i32.store offset=28 (i32.const 256) (i32.const 0x4800000))
             (call $drop-spec (local.get $spec))",
        ),
    ]
}

/// Directories within directories, as deep as the steps reach: all of it must go again.
fn deep() -> Attack {
    let body = "(local.set $h (local.get $bundle))
        (loop $deeper
          (call $make (local.get $h) (call $text))
          (local.set $i (call $open (local.get $h) (call $text)))
          (call $drop-directory (local.get $h))
          (local.set $h (local.get $i))
          (br $deeper))";
    Attack::create("deep-staging", body, LIMIT, "too many host functions").data("d")
}

/// As many entries as the steps reach, each with a name of its own.
fn wide() -> Attack {
    let body = "(loop $more
          (i32.store8 (i32.const 1024) (i32.add (i32.const 65) (i32.shr_u (local.get $i) (i32.const 4))))
          (i32.store8 (i32.const 1025) (i32.add (i32.const 65) (i32.and (local.get $i) (i32.const 15))))
          (call $make (local.get $bundle) (call $text))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br $more))";
    Attack::create("wide-staging", body, LIMIT, "too many host functions").data("Aa")
}

/// An answer that fits into the memory of the policy, and is too much for the host.
fn giant(name: &str, call: Call, code: &str) -> Attack {
    let body = format!("(call $reached) (drop (memory.grow (i32.const 1600))) {code} (return (i32.const 256))");
    Attack::new(name, call, body, ErrorKind::PolicyTrapped, "too much data")
}

pub(super) fn attacks() -> Vec<Attack> {
    [endless(), used_up()].concat()
}
