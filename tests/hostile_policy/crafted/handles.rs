//! Handles that are forged, dropped, mistaken for others, kept too long, or another call's.

use dunnage::ErrorKind;

use super::{Attack, Call};

/// Uses a handle as a directory.
fn used(handle: &str) -> String {
    format!("(call $set-mode {handle} (i32.const 0o700) (i32.const 512))")
}

const CHILD: &str = "(call $make (local.get $bundle) (call $rootfs))
    (local.set $h (call $open (local.get $bundle) (call $rootfs)))";
const DROP_BUNDLE: &str = "(call $drop-directory (local.get $bundle))";
const DROP_CHILD: &str = "(call $drop-directory (local.get $h))";
const DROP_SPEC: &str = "(call $drop-spec (local.get $spec))";
const ANSWER: &str = "(return (i32.const 256))";

fn trap(name: &str, body: impl Into<String>, says: &str) -> Attack {
    Attack::create(name, body, ErrorKind::PolicyTrapped, says)
}

fn forged() -> Vec<Attack> {
    let numbers = [("0", 0_i64), ("next", 3), ("99", 99), ("largest", 0x7fff_ffff), ("negative", -1)];
    let directory = numbers.map(|(name, number)| {
        trap(&format!("handle-forged-{name}"), used(&format!("(i32.const {number})")), "unknown handle index")
    });
    let rest = [
        trap("handle-forged-dropped", "(call $drop-directory (i32.const 77))", "unknown handle index"),
        trap("handle-forged-spec", "(drop (call $size (i32.const 99)))", "unknown handle index"),
        trap("handle-spec-as-directory", used("(local.get $spec)"), "wrong type"),
        trap("handle-directory-as-spec", "(drop (call $size (local.get $bundle)))", "wrong type"),
        trap("handle-spec-dropped-as-directory", "(call $drop-directory (local.get $spec))", "wrong type"),
    ];
    directory.into_iter().chain(rest).collect()
}

fn dropped() -> Vec<Attack> {
    let unknown = "unknown handle index";
    vec![
        trap("handle-lent-used-after-drop", format!("{DROP_BUNDLE} {}", used("(local.get $bundle)")), unknown),
        trap("handle-lent-dropped-twice", format!("{DROP_BUNDLE} {DROP_BUNDLE}"), unknown),
        trap("handle-child-used-after-drop", format!("{CHILD} {DROP_CHILD} {}", used("(local.get $h)")), unknown),
        trap("handle-child-dropped-twice", format!("{CHILD} {DROP_CHILD} {DROP_CHILD}"), unknown),
        trap("handle-spec-used-after-drop", format!("{DROP_SPEC} (drop (call $size (local.get $spec)))"), unknown),
        trap("handle-spec-dropped-twice", format!("{DROP_SPEC} {DROP_SPEC}"), unknown),
    ]
}

fn kept() -> Vec<Attack> {
    let honest = "(call $honest (local.get $bundle) (local.get $spec))";
    let remain = "borrow handles still remain";
    let post = |name: &str, code: &str| {
        // By then the answer is given; the bundle must not be there all the same.
        let fields = format!(
            "(global $kept (mut i32) (i32.const 0))
             (func (export \"cabi_post_dunnage:bundle/bundles@0.1.0#create\") (param i32)
               (if (global.get $armed) (then (call $reached) {code})))"
        );
        let body = "(global.set $kept (local.get $bundle))";
        Attack::new(name, Call::Create, body, ErrorKind::PolicyTrapped, "cannot leave component instance")
            .fields(fields)
    };
    vec![
        trap("borrow-of-bundle-kept", format!("{honest} {DROP_SPEC} {ANSWER}"), remain),
        trap("borrow-of-spec-kept", format!("{honest} {DROP_BUNDLE} {ANSWER}"), remain),
        trap("borrow-of-both-kept", format!("{honest} {ANSWER}"), remain),
        post("borrow-used-after-return", &used("(global.get $kept)")),
        post("borrow-dropped-after-return", "(call $drop-directory (global.get $kept))"),
        post(
            "call-after-return",
            "(call $create-directory-at (i32.const 1) (call $config) (i32.const 0) (i32.const 512))",
        ),
    ]
}

/// A bundle that is lent for reading. That the host said `not-permitted` shows in the trap.
fn read_only() -> Vec<Attack> {
    let writes = [
        ("set-mode", "(call $set-mode (local.get $h) (i32.const 0o700) (i32.const 512))"),
        ("set-group", "(call $set-group (local.get $h) (i32.const 4242) (i32.const 512))"),
        (
            "create-directory-at",
            "(call $create-directory-at (local.get $h) (call $text) (i32.const 0o700) (i32.const 512))",
        ),
    ];
    let handles = [
        ("bundle", "(local.set $h (local.get $bundle))"),
        ("child", "(local.set $h (call $open (local.get $bundle) (call $rootfs)))"),
    ];
    let calls = [("delete", Call::Delete), ("records", Call::Records), ("connect", Call::Connect)];
    let mut attacks = Vec::new();
    for (call_name, call) in calls {
        for (handle, take) in handles {
            for (write, code) in writes {
                let name = format!("lent-for-reading-{call_name}-{write}-{handle}");
                let body = format!("{take} (call $reached) {code} (call $not-permitted)");
                let attack = Attack::new(name, call, body, ErrorKind::PolicyTrapped, "integer divide by zero");
                attacks.push(attack.data("planted"));
            }
        }
    }
    attacks
}

pub(super) fn attacks() -> Vec<Attack> {
    [forged(), dropped(), kept(), read_only()].concat()
}

/// While it makes `holder` it holds ten handles, and never comes to an end. Called for `attack`, it
/// uses one of their numbers.
pub(super) fn of_another_store() -> Attack {
    let body = format!(
        "(if (i32.eq (i32.load8_u (local.get $id)) (i32.const 104)) ;; `h`
           (then
             (loop $more
               (drop (call $open (local.get $bundle) (call $rootfs)))
               (local.set $i (i32.add (local.get $i) (i32.const 1)))
               (br_if $more (i32.lt_u (local.get $i) (i32.const 10))))
             (call $make (local.get $bundle) (call $text))
             (loop $ever (br $ever))))
         (call $reached) {}",
        used("(i32.const 9)")
    );
    let body = format!("(call $make (local.get $bundle) (call $rootfs)) {body}");
    Attack::new("handle-of-another-store", Call::Create, body, ErrorKind::PolicyTrapped, "unknown handle index")
        .data("held")
}
