//! Shims that are still running, and process ids that only look like theirs (defect D2).

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};

use dunnage::{Dunnage, ErrorKind, Step};
use dunnage_tests::{Scratch, scratch, specs};

/// A process that would run for long, ended with the test.
struct Sleeper(Child);

impl Sleeper {
    fn start_in(directory: &Path) -> Self {
        Self(Command::new("sleep").arg("1000").current_dir(directory).spawn().expect("a process"))
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("a status")
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A bundle `web` with this `shim.pid`.
fn bundle_with_pid(scratch: &Scratch, pid: impl AsRef<[u8]>) -> Dunnage {
    let dunnage = scratch.dunnage();
    dunnage.create(&scratch::id("web"), &specs::plain()).expect("a bundle");
    fs::write(scratch.bundle("web").join("shim.pid"), pid).expect("shim.pid");
    dunnage
}

#[test]
fn d2_a_live_shim_keeps_its_bundle() {
    let scratch = Scratch::new();
    let dunnage = bundle_with_pid(&scratch, "");
    let mut shim = Sleeper::start_in(&scratch.bundle("web"));
    for pid in [shim.pid(), format!("{}\n", shim.pid())] {
        fs::write(scratch.bundle("web").join("shim.pid"), &pid).unwrap();
        let before = scratch.tree();
        let error = dunnage.delete(&scratch::id("web"), false).unwrap_err();
        assert_eq!((error.kind(), error.step()), (ErrorKind::ShimAlive, Step::EndShim), "{error}");
        assert!(error.to_string().contains(&shim.pid()), "{error}");
        assert_eq!(scratch.tree(), before);
        assert!(shim.ended().is_none());
        assert_eq!(dunnage.inspect(&scratch::id("web")).unwrap().shim_alive, Some(true));
    }
}

#[test]
fn d2_force_kills_the_shim_and_nobody_else() {
    let scratch = Scratch::new();
    let dunnage = bundle_with_pid(&scratch, "");
    dunnage.create(&scratch::id("neighbour"), &specs::plain()).unwrap();
    let mut shim = Sleeper::start_in(&scratch.bundle("web"));
    // In the same bundle, but not the one on file; and in another bundle.
    let mut other = Sleeper::start_in(&scratch.bundle("web"));
    let mut neighbour = Sleeper::start_in(&scratch.bundle("neighbour"));
    fs::write(scratch.bundle("web").join("shim.pid"), shim.pid()).unwrap();

    assert!(dunnage.delete(&scratch::id("web"), true).unwrap().deleted);
    assert!(!scratch.bundle("web").exists());
    // It is gone when the call returns.
    assert!(shim.ended().is_some_and(|status| !status.success()));
    assert!(other.ended().is_none() && neighbour.ended().is_none());
}

#[test]
fn d2_a_pid_that_was_used_again_is_nobodys_shim() {
    let elsewhere = Scratch::new();
    let mut stranger = Sleeper::start_in(elsewhere.path());
    let ourselves = std::process::id().to_string();
    for force in [false, true] {
        for pid in ["1", &stranger.pid(), &ourselves, "4194304"] {
            let scratch = Scratch::new();
            let dunnage = bundle_with_pid(&scratch, pid);
            assert_eq!(dunnage.inspect(&scratch::id("web")).unwrap().shim_alive, Some(false), "pid {pid}");
            let deletion = dunnage.delete(&scratch::id("web"), force).unwrap();
            assert!(deletion.deleted, "pid {pid}");
            assert_eq!(deletion.warnings, [""; 0], "pid {pid}");
            assert!(stranger.ended().is_none());
        }
    }
}

/// It has ended, but its parent has not asked how.
#[test]
fn a_shim_that_waits_to_be_reaped_is_dead() {
    let scratch = Scratch::new();
    let dunnage = bundle_with_pid(&scratch, "");
    let mut shim = Sleeper::start_in(&scratch.bundle("web"));
    fs::write(scratch.bundle("web").join("shim.pid"), shim.pid()).unwrap();
    shim.0.kill().unwrap();
    // Its end is noted in its pidfd, which `delete` looks at; wait for that without reaping.
    let state = format!("/proc/{}/stat", shim.pid());
    while !fs::read_to_string(&state).unwrap().contains(") Z ") {
        std::thread::yield_now();
    }
    assert!(dunnage.delete(&scratch::id("web"), false).unwrap().deleted);
}

#[test]
fn a_shim_pid_that_cannot_be_used_is_a_warning() {
    for pid in ["", "0", "-1", "+1", "1 2", "99999999999999999999", "4194305", "0x10", "one", "\u{0}"] {
        let scratch = Scratch::new();
        let dunnage = bundle_with_pid(&scratch, pid);
        let deletion = dunnage.delete(&scratch::id("web"), true).unwrap();
        assert!(deletion.deleted, "{pid:?}");
        assert_eq!(deletion.warnings.len(), 1, "{pid:?}: {:?}", deletion.warnings);
        assert!(deletion.warnings[0].contains("shim.pid"), "{:?}", deletion.warnings);
    }
}
