//! Runs each hostile policy: it comes to its attack, is stopped there, changes nothing outside of
//! what it was lent, and the next call is served.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dunnage::{BundleId, Dunnage, Error, ErrorKind, Limits, PolicySource, ShimOptions};
use dunnage_tests::scratch::id;
use dunnage_tests::watchdog::within;
use dunnage_tests::{Scratch, fingerprint, specs};

use super::component::{ARMED, Variant, encode};
use super::{Attack, Call, Fate, answers, exhaustion, files, handles, lies, names, traps};

/// A node with more on it than the one bundle: all of it must stay as it is.
pub(super) struct Scene {
    scratch: Scratch,
    policies: Scratch,
    shipped: Dunnage,
    /// The shim of a neighbour listens here.
    _listener: UnixListener,
    innocent: Child,
}

impl Scene {
    pub(super) fn new() -> Self {
        let scratch = Scratch::new();
        let shipped = scratch.dunnage();
        for neighbour in [id("neighbour"), BundleId::new("other", "neighbour")] {
            shipped.create(&neighbour, &specs::plain()).expect("a neighbour");
        }
        let (sockets, canary) = (scratch.sockets(), scratch.path().join("canary"));
        fs::DirBuilder::new().recursive(true).mode(0o711).create(sockets.join("below")).expect("a directory");
        fs::create_dir(&canary).expect("a directory");
        fs::write(canary.join("file"), "precious").expect("a file");
        fs::write(sockets.join("file"), "precious").expect("a file");
        symlink(canary.join("file"), canary.join("link")).expect("a link");
        symlink(canary.join("socket"), sockets.join("link")).expect("a link");
        // Nothing listens there: only where they lie keeps them from being removed.
        for socket in [canary.join("socket"), sockets.join("below/socket")] {
            drop(UnixListener::bind(socket).expect("a socket"));
        }
        let listener = UnixListener::bind(sockets.join("neighbour")).expect("a socket");
        let mut cat = Command::new("cat");
        let innocent = cat.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("cat");
        Self { scratch, policies: Scratch::new(), shipped, _listener: listener, innocent }
    }

    pub(super) fn sockets(&self) -> PathBuf {
        self.scratch.sockets()
    }

    pub(super) fn canary(&self) -> PathBuf {
        self.scratch.path().join("canary")
    }

    /// A process that has nothing to do with it.
    pub(super) fn innocent(&self) -> u32 {
        self.innocent.id()
    }

    /// A file with the policy of an attack.
    pub(super) fn policy(&self, attack: &Attack, variant: Variant) -> PathBuf {
        let file = self.policies.path().join("policy.wasm");
        fs::write(&file, encode(attack, variant)).expect("write the policy");
        file
    }

    pub(super) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    pub(super) fn shipped(&self) -> &Dunnage {
        &self.shipped
    }

    /// A bundle manager that it decides for.
    fn hostile(&self, attack: &Attack, variant: Variant) -> Dunnage {
        let policy = PolicySource::file_unchecked(self.policy(attack, variant)).expect("a policy");
        let mut limits = Limits::default();
        limits.concurrent_calls = 2;
        limits.host_call_bytes = 256 << 10;
        if attack.hasty {
            limits.time = Duration::from_millis(300);
        }
        let groups = "1-60000".parse().expect("a range");
        let builder = self.scratch.builder().policy(policy).limits(limits).groups(groups);
        builder.build().unwrap_or_else(|error| panic!("{} does not fit the world: {error}", attack.name))
    }

    /// Everything that must not be touched, to the last bit, the whole tree, and what is open.
    pub(super) fn look(&self) -> Vec<String> {
        let untouchable =
            ["canary", "sockets", "state/default/neighbour", "root/default/neighbour", "state/other", "root/other"];
        let mut lines = fingerprint::open_below(self.scratch.path());
        // The way to a namespace is kept open from call to call; bundles are not.
        let depth = self.scratch.path().components().count() + 2;
        lines.retain(|path| Path::new(path).components().count() > depth);
        lines.extend(untouchable.iter().flat_map(|path| fingerprint::of(self.scratch.path().join(path))));
        // The host's own records of shims are not made by a policy.
        lines.extend(self.scratch.tree().into_iter().filter(|line| !line.starts_with("state/.dunnage")));
        lines
    }

    pub(super) fn assert_untouched(&mut self, before: &[String], name: &str) {
        let now = self.look();
        let gone: Vec<_> = before.iter().filter(|line| !now.contains(line)).collect();
        let new: Vec<_> = now.iter().filter(|line| !before.contains(line)).collect();
        assert!(now == before, "{name} has had an effect: {gone:#?} became {new:#?}");
        assert!(self.innocent.try_wait().expect("wait").is_none(), "{name} has killed a process");
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        drop(self.innocent.stdin.take());
        let _ = self.innocent.wait();
    }
}

/// Calls the export that is attacked; the warnings, if the call succeeds.
fn call(scene: &Scene, dunnage: &Dunnage, call: Call) -> Result<Vec<String>, Error> {
    let (attack, spec) = (id(ARMED), specs::text("{    }"));
    let bundle = |dunnage: &Dunnage| dunnage.load_unchecked(&attack, scene.scratch.bundle(ARMED), "/work");
    match call {
        Call::Check => dunnage.locate(&attack).map(drop),
        Call::Gid => dunnage.remapped_gid(&spec).map(drop),
        Call::Settings => dunnage.task_settings(&spec).map(drop),
        Call::Create => dunnage.create(&attack, &specs::plain()).map(drop),
        Call::Delete => return dunnage.delete(&attack, true).map(|deletion| deletion.warnings),
        Call::Address => dunnage.shim_address(&attack).map(drop),
        Call::Legacy => dunnage.legacy_shim_address(&attack).map(drop),
        Call::Records => dunnage.inspect(&attack).map(drop),
        Call::Connect => dunnage.connect_address(&attack, false).map(drop),
        Call::Config => dunnage.shim_config(&bundle(dunnage), &ShimOptions::default()).map(drop),
    }
    .map(|()| Vec::new())
}

/// Runs one attack, and reports which check stopped it.
fn run(scene: &mut Scene, attack: &Attack) -> (&'static str, String) {
    let name = &attack.name;
    let without = scene.look();
    let needs_bundle = matches!(attack.call, Call::Delete | Call::Records | Call::Connect);
    if needs_bundle {
        scene.shipped.create(&id(ARMED), &specs::plain()).expect("a bundle");
    }
    let with = scene.look();

    let reached = call(scene, &scene.hostile(attack, Variant::Marker), attack.call);
    let reached = reached.expect_err(name);
    assert_eq!(reached.kind(), ErrorKind::PolicyTrapped, "{name} does not come to its attack: {reached}");
    assert!(reached.to_string().contains("unreachable"), "{name} does not come to its attack: {reached}");
    scene.assert_untouched(&with, name);

    let hostile = scene.hostile(attack, Variant::Attack);
    let outcome = call(scene, &hostile, attack.call);
    let verdict = judge(attack, &outcome);
    if outcome.is_ok() {
        scene.assert_untouched(&without, name);
    } else {
        scene.assert_untouched(&with, name);
        if needs_bundle {
            assert!(scene.shipped.delete(&id(ARMED), false).expect(name).deleted, "{name}");
        }
    }
    hostile.create(&id("web-1"), &specs::plain()).unwrap_or_else(|error| panic!("after {name}: {error}"));
    assert!(hostile.delete(&id("web-1"), false).unwrap_or_else(|error| panic!("after {name}: {error}")).deleted);
    scene.assert_untouched(&without, name);
    verdict
}

/// The kind of check that stopped an attack, and a line for people.
fn judge(attack: &Attack, outcome: &Result<Vec<String>, Error>) -> (&'static str, String) {
    let Attack { name, fate, says, .. } = attack;
    let (check, message) = match (fate, outcome) {
        (Fate::Stopped(kind, step), Err(error)) => {
            assert_eq!((error.kind(), error.step()), (*kind, *step), "{name}: {error}");
            let message = error.to_string();
            assert!(message.len() < 16 << 10 && !message.chars().any(char::is_control), "{name}: {message}");
            assert!(message.contains(says), "{name}: {message:?} does not say {says:?}");
            (kind.as_str(), format!("{} at {}: {message}", kind.as_str(), step.as_str()))
        }
        (Fate::Warned, Ok(warnings)) => {
            assert!(warnings.iter().any(|warning| warning.contains(says)), "{name}: {warnings:?}");
            ("a warning", format!("a warning: {}", warnings.join("; ")))
        }
        (Fate::Ignored, Ok(warnings)) if warnings.is_empty() => ("no effect", format!("no effect: {says}")),
        (_, outcome) => panic!("{name}: {outcome:?}"),
    };
    let mut line = format!("{name} → {message}");
    if let Some((end, _)) = line.char_indices().nth(180) {
        line.truncate(end);
    }
    (check, line)
}

#[test]
fn every_hostile_policy_comes_to_its_attack_and_is_stopped() {
    let mut scene = Scene::new();
    let attacks = [
        names::attacks(),
        handles::attacks(),
        answers::attacks(),
        traps::attacks(),
        files::attacks(),
        exhaustion::attacks(),
        lies::attacks(&scene),
    ]
    .concat();
    let mut checks = BTreeMap::<_, usize>::new();
    within(Duration::from_secs(300), "the hostile policies", || {
        for attack in &attacks {
            let (check, line) = run(&mut scene, attack);
            println!("{line}");
            *checks.entry(check).or_default() += 1;
        }
    });
    let total: usize = checks.values().sum();
    println!("{total} hostile policies, each stopped by one of: {checks:?}");
    let mut names: Vec<_> = attacks.iter().map(|attack| &attack.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), attacks.len(), "two of one name");
    assert!(total >= 260, "{total}");
}

/// Handles are numbers; those of a call that runs at the same time are not another's.
#[test]
fn handles_of_a_call_at_the_same_time_are_unknown() {
    let mut scene = Scene::new();
    let attack = handles::of_another_store();
    let before = scene.look();
    for variant in [Variant::Marker, Variant::Attack] {
        let dunnage = scene.hostile(&attack, variant);
        let outcome = within(Duration::from_secs(60), "a call beside another", || {
            std::thread::scope(|scope| {
                scope.spawn(|| dunnage.create(&id("holder"), &specs::plain()).expect_err("it never ends"));
                let held = || scene.scratch.tree().iter().any(|line| line.contains("/held d"));
                while !held() {
                    std::thread::yield_now();
                }
                call(&scene, &dunnage, attack.call)
            })
        });
        match variant {
            Variant::Marker => assert!(outcome.unwrap_err().to_string().contains("unreachable")),
            Variant::Attack => println!("{}", judge(&attack, &outcome).1),
        }
        assert!(dunnage.create(&id("web-1"), &specs::plain()).is_ok());
        assert!(dunnage.delete(&id("web-1"), false).unwrap().deleted);
        scene.assert_untouched(&before, &attack.name);
    }
}
