//! Invalid names, wherever a name is taken.

use dunnage::ErrorKind;

use super::Attack;

/// What is named, and what the message says about it.
fn names() -> Vec<(&'static str, Vec<u8>, ErrorKind, &'static str)> {
    let broken = ErrorKind::PolicyBroken;
    vec![
        ("dot", b".".to_vec(), broken, "it named \".\""),
        ("dot-dot", b"..".to_vec(), broken, "it named \"..\""),
        ("slash", b"a/b".to_vec(), broken, "it named \"a/b\""),
        ("trailing-slash", b"rootfs/".to_vec(), broken, "it named \"rootfs/\""),
        ("climb", b"rootfs/../../neighbour".to_vec(), broken, "the name contains `/` or NUL"),
        ("absolute", b"/etc/passwd".to_vec(), broken, "it named \"/etc/passwd\""),
        ("empty", Vec::new(), broken, "the name is empty"),
        ("nul", b"config.json\0".to_vec(), broken, "it named \"config.json\\0\""),
        ("300-bytes", vec![b'x'; 300], broken, "longer than 255 bytes"),
        ("no-utf8", b"\xff\xfe".to_vec(), ErrorKind::PolicyTrapped, "invalid utf-8"),
    ]
}

/// The host functions that take a name, called with `$text`.
const FUNCTIONS: [(&str, &str); 4] = [
    (
        "create-directory-at",
        "(call $create-directory-at (local.get $bundle) (call $text) (i32.const 0o700) (i32.const 512))",
    ),
    ("open-directory-at", "(call $open-directory-at (local.get $bundle) (call $text) (i32.const 512))"),
    (
        "write-spec-at",
        "(call $write-spec-at (local.get $bundle) (call $text) (local.get $spec) (i32.const 0o600) (i32.const 0)
           (i32.const 0) (i32.const 512))",
    ),
    ("read-file-at", "(call $read-file-at (local.get $bundle) (call $text) (i64.const 4096) (i32.const 512))"),
];

pub(super) fn attacks() -> Vec<Attack> {
    let all = FUNCTIONS.iter().flat_map(|(function, body)| {
        names().into_iter().map(move |(name, bytes, kind, says)| {
            Attack::create(format!("name-{name}-{function}"), *body, kind, says).data(bytes)
        })
    });
    // Where the name lies is the policy's word too.
    let at = |name: &str, place: &str, says: &str| {
        let body = format!("(call $create-directory-at (local.get $bundle) {place} (i32.const 0o700) (i32.const 512))");
        Attack::create(name, body, ErrorKind::PolicyTrapped, says)
    };
    all.chain([
        at("name-out-of-bounds", "(i32.const 131071) (i32.const 2)", "out of bounds"),
        at("name-beyond-all-memory", "(i32.const -1) (i32.const -1)", "out of bounds"),
        at("name-of-4-gib", "(i32.const 0) (i32.const -1)", "out of bounds"),
        at("name-wraps-around", "(i32.const -16) (i32.const 32)", "out of bounds"),
    ])
    .collect()
}
