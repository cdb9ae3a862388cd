//! Answers that are well formed and not true.

use dunnage::{ErrorKind, PolicySource, Step};
use dunnage_tests::binary::Build;
use dunnage_tests::scratch::id;
use dunnage_tests::{run as execute, specs};

use super::component::{ARMED, Variant};
use super::run::Scene;
use super::{Attack, Call, Fate};

/// Answers that a shim's address and process id are on file, and the same address for the asking.
fn on_file(name: &str, address: Option<&str>, pid: Option<u32>, fate: Fate, says: &str) -> Attack {
    let store = |offset: u32, word: u32| format!("(i32.store offset={offset} (i32.const 256) (i32.const {word}))");
    let length = address.map_or(0, |address| u32::try_from(address.len()).expect("a short address"));
    let mut code = "(call $drop-directory (local.get $bundle)) (call $reached)".to_owned();
    if address.is_some() {
        code += &(store(12, 1) + &store(16, 1024) + &store(20, length));
    }
    if let Some(pid) = pid {
        code += &(store(28, 1) + &store(32, pid));
    }
    let told = format!("{} {} (return (i32.const 256))", store(8, 1024), store(12, length));
    Attack {
        bodies: vec![(Call::Delete, code + "(return (i32.const 256))"), (Call::Address, told)],
        data: address.unwrap_or_default().into(),
        fate,
        ..Attack::new(name, Call::Delete, "", ErrorKind::PolicyBroken, says)
    }
}

fn about_shims(scene: &Scene) -> Vec<Attack> {
    let sockets = scene.sockets().display().to_string();
    let canary = scene.canary().display().to_string();
    let address = |name: &str, address: &str, says: &str| {
        on_file(&format!("lie-address-{name}"), Some(address), None, Fate::Warned, says)
    };
    let pid =
        |name: &str, pid: u32| on_file(&format!("lie-pid-{name}"), None, Some(pid), Fate::Ignored, "the process lives");
    let outside = "it is not in the socket directory";
    let mut other =
        address("not-its-own", &format!("unix://{sockets}/neighbour"), "it is not the socket of this bundle");
    other.bodies.retain(|(call, _)| *call == Call::Delete);
    vec![
        address("of-another", &format!("unix://{sockets}/neighbour"), "a process is listening there"),
        address("outside", &format!("unix://{canary}/socket"), outside),
        address("climbs", &format!("unix://{sockets}/../canary/socket"), outside),
        address("below", &format!("unix://{sockets}/below/socket"), outside),
        address("is-the-directory", &format!("unix://{sockets}/"), outside),
        address("is-abstract", "/containerd-shim/default/neighbour/shim.sock", outside),
        address("is-a-file", &format!("unix://{sockets}/file"), "it is not a socket"),
        address("is-a-link", &format!("unix://{sockets}/link"), "it is not a socket"),
        other,
        pid("of-another", scene.innocent()),
        pid("of-the-host", std::process::id()),
        pid("of-init", 1),
        pid("zero", 0),
        pid("largest", u32::MAX),
    ]
}

fn about_bundles() -> Vec<Attack> {
    let honest = "(call $honest (local.get $bundle) (local.get $spec))";
    let release = "(call $release (local.get $bundle) (local.get $spec))";
    let answer = |words: &[(u32, u32)]| {
        let stores: String = words
            .iter()
            .map(|(offset, word)| format!("(i32.store offset={offset} (i32.const 256) (i32.const {word}))"))
            .collect();
        format!("{release} {stores} (return (i32.const 256))")
    };
    let lie = |name: &str, body: String, kind, step, says: &str| Attack {
        fate: Fate::Stopped(kind, step),
        ..Attack::create(name, body, kind, says)
    };
    let broken = ErrorKind::PolicyBroken;
    let give = "(call $set-group (local.get $bundle) (i32.const 4242) (i32.const 512)) (call $succeeded)";
    let mut lies = vec![
        lie("lie-made-nothing", answer(&[]), broken, Step::Verify, "reported success but created nothing"),
        lie(
            "lie-group-not-set",
            format!("{honest} {}", answer(&[(8, 4242)])),
            broken,
            Step::Verify,
            "the bundle belongs to",
        ),
        lie(
            "lie-disk-full",
            format!("{honest} {}", answer(&[(0, 1), (8, 2), (16, 3), (20, 11)])),
            ErrorKind::Filesystem,
            Step::WriteSpec,
            "no space left",
        ),
        lie(
            "lie-spec-refused",
            format!("{honest} {}", answer(&[(0, 1), (8, 1)])),
            ErrorKind::InvalidSpec,
            Step::Decide,
            "",
        ),
        lie(
            "lie-id-refused",
            format!("{honest} {}", answer(&[(0, 1), (16, 1)])),
            ErrorKind::InvalidIdentifier,
            Step::CheckIdentifiers,
            "it is empty",
        ),
    ];
    // Giving a bundle away takes root.
    if rustix::process::geteuid().is_root() {
        lies.extend([
            lie("lie-group-not-told", format!("{give} {honest} {}", answer(&[])), broken, Step::Verify, ":4242"),
            lie(
                "lie-another-group",
                format!("{give} {honest} {}", answer(&[(8, 4243)])),
                broken,
                Step::Verify,
                ":4242",
            ),
        ]);
    }
    lies
}

fn about_settings() -> Vec<Attack> {
    let nothing = "(call $reached) (return (i32.const 256))";
    let broken = ErrorKind::PolicyBroken;
    vec![Attack::new("lie-settings-of-nobody", Call::Config, nothing, broken, "a different path")]
}

pub(super) fn attacks(scene: &Scene) -> Vec<Attack> {
    [about_shims(scene), about_bundles(), about_settings()].concat()
}

/// The same lies where they would be acted on: a shim is asked, or started, at such an address.
#[test]
fn shims_are_neither_asked_nor_started_where_a_lie_leads() {
    let mut scene = Scene::new();
    let (sockets, canary) = (scene.sockets().display().to_string(), scene.canary().display().to_string());
    let lies = [
        ("lie-connect-outside", format!("unix://{canary}/socket"), "is not in the socket directory", "socket"),
        (
            "lie-connect-climbs",
            format!("unix://{sockets}/../canary/socket"),
            "is not in the socket directory",
            "socket",
        ),
        ("lie-connect-of-another", format!("unix://{sockets}/neighbour"), "no answer", "listening"),
        ("lie-connect-is-a-link", format!("unix://{sockets}/link"), "is not a socket", "link"),
    ];
    // Everything except the lie is true.
    let told = ["path", "path-len", "work", "work-len", "ns", "ns-len", "runtime", "runtime-len"];
    let stores = told
        .iter()
        .zip((8..).step_by(4))
        .map(|(parameter, offset)| format!("(i32.store offset={offset} (i32.const 256) (local.get ${parameter}))"));
    let settings = stores.collect::<String>() + "(return (i32.const 256))";
    scene.shipped().create(&id(ARMED), &specs::plain()).expect("a bundle");
    let before = scene.look();
    for (name, address, info, start) in lies {
        let length = u32::try_from(address.len()).expect("a short address");
        let told = format!(
            "(call $reached) (i32.store offset=8 (i32.const 256) (i32.const 1024))
             (i32.store offset=12 (i32.const 256) (i32.const {length})) (return (i32.const 256))"
        );
        let asked = format!("(call $drop-directory (local.get $bundle)) {told}");
        let attack = Attack {
            bodies: vec![(Call::Connect, asked), (Call::Address, told), (Call::Config, settings.clone())],
            ..Attack::new(name, Call::Connect, "", ErrorKind::PolicyBroken, "").data(address)
        };
        let file = scene.policy(&attack, Variant::Attack);
        let source = PolicySource::file_unchecked(&file).expect("a policy");
        let PolicySource::File { digest, .. } = source else { panic!("not a file") };
        for (command, says) in [("info", info), ("start", start)] {
            let arguments = ["shim", command, ARMED, "--timeout", "1", "--policy-digest", digest.as_str(), "--policy"];
            let mut command = scene.scratch().command_of(Build::PolicyFile, arguments);
            let outcome = execute(command.arg(&file), []);
            println!("{name} → {}", outcome.stderr.trim());
            assert_ne!(outcome.code, Some(0), "{name}: {outcome:?}");
            assert!(outcome.stderr.contains(says), "{name}: {outcome:?}");
            scene.assert_untouched(&before, name);
        }
    }
}
