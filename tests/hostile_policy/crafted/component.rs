//! Policies written in WebAssembly text, so that they can break what generated code cannot: the
//! calling convention itself.
//!
//! Each is an honest policy in which one export, its `realloc` or its post-return has been
//! replaced, and only for the id `attack` (or a spec of its length): the next call is served.

use std::fmt::Write as _;

use dunnage_tests::scratch::repository;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::{Attack, Call};

/// The id for which a policy misbehaves. Specs of its length stand for it where there is no id.
pub(super) const ARMED: &str = "attack";

/// An exported function: its name, its parameters in the canonical ABI, how it knows that it is
/// to attack, and what an honest one does.
type Export = (Call, &'static str, &'static [&'static str], &'static str, &'static str);

const ID: &[&str] = &["ns", "ns-len", "id", "id-len"];
const BY_ID: &str = "(i32.eq (local.get $id-len) (i32.const 6))";
const BY_SPEC: &str = "(i64.eq (call $size (local.get $spec)) (i64.const 6))";
const RELEASE: &str = "(call $drop-directory (local.get $bundle))";

const EXPORTS: [Export; 10] = [
    (Call::Check, "bundles@0.1.0#check-identifiers", ID, BY_ID, ""),
    (Call::Gid, "bundles@0.1.0#remapped-gid", &["spec"], BY_SPEC, "(call $drop-spec (local.get $spec))"),
    (Call::Settings, "bundles@0.1.0#task-settings", &["spec"], BY_SPEC, "(call $drop-spec (local.get $spec))"),
    (
        Call::Create,
        "bundles@0.1.0#create",
        &["bundle", "ns", "ns-len", "id", "id-len", "spec"],
        BY_ID,
        "(call $honest (local.get $bundle) (local.get $spec))
         (call $release (local.get $bundle) (local.get $spec))",
    ),
    (Call::Delete, "bundles@0.1.0#delete", &["bundle", "ns", "ns-len", "id", "id-len"], BY_ID, RELEASE),
    (
        Call::Address,
        "shims@0.1.0#address",
        &["ns", "ns-len", "id", "id-len", "daemon", "daemon-len", "root", "root-len"],
        BY_ID,
        "",
    ),
    (Call::Legacy, "shims@0.1.0#legacy-address", ID, BY_ID, ""),
    (Call::Records, "shims@0.1.0#records", &["bundle", "ns", "ns-len", "id", "id-len"], BY_ID, RELEASE),
    (
        Call::Connect,
        "shims@0.1.0#connect-address",
        &["bundle", "ns", "ns-len", "id", "id-len", "daemon", "daemon-len", "root", "root-len", "legacy"],
        BY_ID,
        RELEASE,
    ),
    (
        Call::Config,
        "shims@0.1.0#config",
        &[
            "path",
            "path-len",
            "work",
            "work-len",
            "ns",
            "ns-len",
            "id",
            "id-len",
            "runtime",
            "runtime-len",
            "runc",
            "runc-root",
            "runc-root-len",
            "systemd",
        ],
        BY_ID,
        "",
    ),
];

/// Memory: names below 256, the answer at 256, the host's answers at 512, the attack's own bytes at
/// 1024, and from 8192 on what `realloc` gives out.
const COMMON: &str = r#"
(import "dunnage:bundle/filesystem@0.1.0" "[method]directory.set-group" (func $set-group (param i32 i32 i32)))
(import "dunnage:bundle/filesystem@0.1.0" "[method]directory.set-mode" (func $set-mode (param i32 i32 i32)))
(import "dunnage:bundle/filesystem@0.1.0" "[method]directory.create-directory-at"
  (func $create-directory-at (param i32 i32 i32 i32 i32)))
(import "dunnage:bundle/filesystem@0.1.0" "[method]directory.open-directory-at"
  (func $open-directory-at (param i32 i32 i32 i32)))
(import "dunnage:bundle/filesystem@0.1.0" "[method]directory.write-spec-at"
  (func $write-spec-at (param i32 i32 i32 i32 i32 i32 i32 i32)))
(import "dunnage:bundle/filesystem@0.1.0" "[method]directory.read-file-at"
  (func $read-file-at (param i32 i32 i32 i64 i32)))
(import "dunnage:bundle/filesystem@0.1.0" "[method]spec.size" (func $size (param i32) (result i64)))
(import "dunnage:bundle/filesystem@0.1.0" "[method]spec.bytes" (func $bytes (param i32 i32)))
(import "dunnage:bundle/filesystem@0.1.0" "[resource-drop]directory" (func $drop-directory (param i32)))
(import "dunnage:bundle/filesystem@0.1.0" "[resource-drop]spec" (func $drop-spec (param i32)))
(memory (export "memory") 2)
(global $heap (mut i32) (i32.const 8192))
(global $armed (mut i32) (i32.const 0))
(data (i32.const 16) "rootfs")
(data (i32.const 32) "config.json")
(func $rootfs (result i32 i32) (i32.const 16) (i32.const 6))
(func $config (result i32 i32) (i32.const 32) (i32.const 11))
(func $succeeded (if (i32.load8_u (i32.const 512)) (then unreachable)))
(func $make (param $in i32) (param $name i32) (param $len i32)
  (call $create-directory-at (local.get $in) (local.get $name) (local.get $len) (i32.const 0o711) (i32.const 512))
  (call $succeeded))
(func $open (param $in i32) (param $name i32) (param $len i32) (result i32)
  (call $open-directory-at (local.get $in) (local.get $name) (local.get $len) (i32.const 512))
  (call $succeeded)
  (i32.load (i32.const 516)))
(func $write (param $in i32) (param $name i32) (param $len i32) (param $spec i32) (param $mode i32)
  (call $write-spec-at (local.get $in) (local.get $name) (local.get $len) (local.get $spec) (local.get $mode)
    (i32.const 0) (i32.const 0) (i32.const 512))
  (call $succeeded))
(func $honest (param $bundle i32) (param $spec i32)
  (call $make (local.get $bundle) (call $rootfs))
  (call $write (local.get $bundle) (call $config) (local.get $spec) (i32.const 0o600)))
(func $release (param $bundle i32) (param $spec i32)
  (call $drop-directory (local.get $bundle))
  (call $drop-spec (local.get $spec)))
;; The host has refused to change a bundle that is lent for reading: the one way to say so that is
;; nothing else's.
(func $not-permitted
  (if (i32.and (i32.eq (i32.load8_u (i32.const 512)) (i32.const 1))
               (i32.eq (i32.load8_u (i32.const 516)) (i32.const 10)))
    (then (drop (i32.div_u (i32.const 1) (i32.const 0)))))
  unreachable)
"#;

/// Whether a policy attacks, or shows that it comes to the point where it would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    Attack,
    /// It traps with `unreachable` right before the attack.
    Marker,
}

/// The component of an attack.
pub(super) fn encode(attack: &Attack, variant: Variant) -> Vec<u8> {
    let mut module = wat::parse_str(text(attack, variant)).unwrap_or_else(|error| panic!("{}: {error}", attack.name));
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(repository().join("wit")).expect("the contract");
    let world = resolve.select_world(&[package], Some("policy")).expect("the world");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("the world's description");
    let encoded = ComponentEncoder::default().validate(true).module(&module).and_then(|encoder| encoder.encode());
    encoded.unwrap_or_else(|error| panic!("{}: {error:#}", attack.name))
}

fn text(attack: &Attack, variant: Variant) -> String {
    let reached = if variant == Variant::Marker { "unreachable" } else { "" };
    let bytes: String = attack.data.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let mut text = format!(
        "(module {COMMON}
        (func $reached {reached})
        (func $text (result i32 i32) (i32.const 1024) (i32.const {}))
        (data (i32.const 1024) \"{bytes}\")
        (func (export \"cabi_realloc\") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32)
          (result i32) (local $at i32)
          {}
          (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
          (global.set $heap (i32.add (local.get $at) (local.get $size)))
          (local.get $at))
        {}",
        attack.data.len(),
        attack.realloc,
        attack.fields,
    );
    for (call, name, params, armed, honest) in EXPORTS {
        let params: String = params.iter().map(|param| format!("(param ${param} i32) ")).collect();
        let body = attack.bodies.iter().find(|(target, _)| *target == call).map_or("", |(_, body)| body);
        writeln!(
            text,
            "(func (export \"dunnage:bundle/{name}\") {params} (result i32) (local $i i32) (local $h i32)
               (if {armed} (then (global.set $armed (i32.const 1)) {body})) {honest} (i32.const 256))"
        )
        .expect("text");
    }
    text.push(')');
    octal(&text)
}

/// Modes are written in octal, which WebAssembly text does not know.
fn octal(text: &str) -> String {
    let mut parts = text.split("0o");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_digit(8)).unwrap_or(part.len());
        let (digits, rest) = part.split_at(end);
        write!(plain, "{}{rest}", u32::from_str_radix(digits, 8).expect("octal digits")).expect("text");
    }
    plain
}
