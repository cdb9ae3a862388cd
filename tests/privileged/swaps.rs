//! A second process exchanges names with links as fast as it can, in every place where an attacker
//! could write, while bundles are made and deleted: nothing outside is touched (CVE-2021-30465,
//! CVE-2025-47290).

mod swapper;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dunnage::{Dunnage, Error, Scope};
use dunnage_tests::scratch::id;
use dunnage_tests::watchdog::within;
use dunnage_tests::{Scratch, fingerprint, privileges, specs};

use self::swapper::{COUNT, PHASE, Phase, STOP, TOP};

/// The root of a container, as the host sees it.
const MAPPED_ROOT: u32 = 100_000;

/// What an attacker would like to see deleted, overwritten or given away: it looks like a bundle,
/// like a namespace, and like what lies in a container's root.
fn canary(scratch: &Scratch) -> PathBuf {
    let canary = scratch.path().join("canary");
    for directory in ["rootfs/d", "web-1/rootfs/d/e", "d/e", "sub"] {
        fs::create_dir_all(canary.join(directory)).unwrap();
        for file in ["file", "config.json", "address", "shim.pid"] {
            fs::write(canary.join(directory).join(file), "precious").unwrap();
        }
    }
    for file in ["config.json", "address", "web-1/config.json", "file"] {
        fs::write(canary.join(file), "precious").unwrap();
    }
    symlink("file", canary.join("link")).unwrap();
    // Entries that are open to everyone show whether a call reaches them.
    fs::set_permissions(canary.join("d"), fs::Permissions::from_mode(0o777)).unwrap();
    canary
}

/// How many exchanges each phase takes at least.
fn wanted() -> u64 {
    if std::env::var("DUNNAGE_LONG").as_deref() == Ok("1") { 1_000_000 } else { 50_000 }
}

/// The process that exchanges: this test binary once more.
struct Swapper(Child);

impl Swapper {
    fn start(scratch: &Scratch, phase: Phase) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("the path of this test"));
        command.args(["--ignored", "--exact", "swaps::swapper::exchange_names", "--nocapture"]);
        command.env(TOP, scratch.path()).env(PHASE, phase.name());
        Self(command.stdout(Stdio::null()).spawn().expect("start the second process"))
    }

    fn count(scratch: &Scratch) -> u64 {
        fs::read_to_string(scratch.path().join(COUNT)).ok().and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }

    fn stop(mut self, scratch: &Scratch) -> u64 {
        fs::write(scratch.path().join(STOP), "").expect("tell it to stop");
        assert!(self.0.wait().expect("the second process").success());
        Self::count(scratch)
    }
}

/// What became of the calls, by kind.
#[derive(Default)]
struct Tally(BTreeMap<String, u64>);

impl Tally {
    /// Whether it works out is up to the attacker; how it fails is not.
    fn count<T>(&mut self, what: &str, outcome: &Result<T, Error>) {
        let kind = match outcome {
            Ok(_) => "done",
            Err(error) => {
                let message = error.to_string();
                assert!(message.contains(": ") && !message.contains("panicked"), "{message}");
                error.kind().as_str()
            }
        };
        *self.0.entry(format!("{what}: {kind}")).or_default() += 1;
    }
}

/// One bundle from its making to its end.
fn round(scratch: &Scratch, dunnage: &Dunnage, phase: Phase, tally: &mut Tally) {
    let web = id("web-1");
    let created = dunnage.create(&web, &specs::userns());
    if phase == Phase::Rootfs && created.is_ok() {
        // As a runtime does that makes a root file system for its container.
        chown(scratch.bundle("web-1").join("rootfs"), Some(MAPPED_ROOT), Some(MAPPED_ROOT)).unwrap();
        std::thread::sleep(Duration::from_millis(2));
    }
    if phase == Phase::Hidden && created.is_ok() {
        // The attacker does not exchange the final name: what has it is what was made.
        assert!(scratch.bundle("web-1").symlink_metadata().unwrap().is_dir());
    }
    tally.count("create", &created);
    tally.count("inspect", &dunnage.inspect(&web));
    tally.count("list", &dunnage.list(Scope::Namespace("default")));
    tally.count("delete", &dunnage.delete(&web, true));
    remove_leftovers(&scratch.state().join("default"));
}

/// What a call has had to leave behind would be all that the second process finds.
fn remove_leftovers(namespace: &Path) {
    let bundle = namespace.join("web-1");
    if bundle.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
        let _ = fs::remove_file(bundle);
    }
    let Ok(entries) = fs::read_dir(namespace) else { return };
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
            let _ = fs::remove_file(&path);
            // The library's own function is not led astray by links either.
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// Puts right what the second process has left exchanged.
fn restore(scratch: &Scratch) {
    for base in [scratch.state(), scratch.root()] {
        for place in [base.join("default"), base.join("default/web-1")] {
            if place.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
                fs::remove_file(&place).unwrap();
            }
        }
        let _ = fs::remove_dir_all(base.join("default"));
    }
}

/// A place for an attack, with a canary.
fn field() -> (Scratch, PathBuf) {
    let scratch = Scratch::new();
    // The mapped root may pass on its way to its own root file system.
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let canary = canary(&scratch);
    let links = scratch.path().join("links");
    fs::DirBuilder::new().mode(0o777).create(&links).unwrap();
    fs::set_permissions(&links, fs::Permissions::from_mode(0o777)).unwrap();
    (scratch, canary)
}

fn attack(phase: Phase) -> u64 {
    let (scratch, canary) = field();
    let dunnage = scratch.dunnage();
    dunnage.create(&id("neighbour"), &specs::plain()).unwrap();
    let before = fingerprint::of(&canary);
    let mut tally = Tally::default();
    let (mut rounds, swapper) = (0, Swapper::start(&scratch, phase));
    within(Duration::from_secs(1200), "an attack", || {
        while Swapper::count(&scratch) < wanted() || rounds < 50 {
            round(&scratch, &dunnage, phase, &mut tally);
            rounds += 1;
        }
    });
    let swaps = swapper.stop(&scratch);
    assert_eq!(fingerprint::of(&canary), before, "{phase:?}");
    println!("{}: {swaps} exchanges in {rounds} rounds; {:?}", phase.name(), tally.0);
    restore(&scratch);
    // The host is none the worse for it.
    dunnage.create(&id("web-2"), &specs::userns()).unwrap();
    assert!(dunnage.delete(&id("web-2"), false).unwrap().deleted);
    assert_eq!(fingerprint::of(&canary), before, "{phase:?}");
    swaps
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_exchanging_names_with_links_changes_nothing_outside() {
    if !privileges::root("privileged_exchanging_names_with_links_changes_nothing_outside") {
        return;
    }
    let swaps: u64 = Phase::ALL.into_iter().map(attack).sum();
    println!("{swaps} exchanges in all");
    assert!(swaps >= 100_000, "{swaps}");
}

/// Makes a bundle and takes it away again by nothing but paths, as the original does.
fn naive_round(scratch: &Scratch) {
    let bundle = scratch.bundle("web-1");
    let _ = fs::create_dir_all(bundle.join("rootfs"));
    let _ = fs::create_dir_all(scratch.root().join("default/web-1"));
    let _ = chown(bundle.join("rootfs"), None, Some(MAPPED_ROOT));
    let _ = fs::write(bundle.join("config.json"), "{}");
    let _ = fs::remove_file(bundle.join("config.json"));
    let _ = fs::remove_dir(bundle.join("rootfs"));
    let _ = fs::remove_dir(&bundle);
    remove_leftovers(&scratch.state().join("default"));
}

/// The control: the same attack does harm to code that trusts in paths.
#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_exchanging_names_harms_who_trusts_in_paths() {
    if !privileges::root("privileged_exchanging_names_harms_who_trusts_in_paths") {
        return;
    }
    for phase in [Phase::Namespace, Phase::Bundle, Phase::Inside] {
        let (scratch, canary) = field();
        let (before, swapper) = (fingerprint::of(&canary), Swapper::start(&scratch, phase));
        within(Duration::from_secs(600), "the control", || {
            while fingerprint::of(&canary) == before {
                naive_round(&scratch);
            }
        });
        println!("{}: harm after {} exchanges", phase.name(), swapper.stop(&scratch));
    }
}
