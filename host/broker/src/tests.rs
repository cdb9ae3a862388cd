//! A broker that is asked by a hostile process. What needs shims that can be started is tested in
//! `dunnage-shims`.

mod bed;

use std::fs;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Child, Command};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use self::bed::Bed;
use crate::{Action, Reply, Request};

impl Bed {
    /// Sends what a client that keeps to the rules would not.
    fn ask_raw(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Reply {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(fds.is_empty() || control.push(SendAncillaryMessage::ScmRights(fds)));
        let socket = self.socket.as_ref().unwrap();
        sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::empty()).unwrap();
        self.answer()
    }

    #[track_caller]
    fn refuses(&self, request: &Request, fds: &[&OwnedFd], why: &str) {
        let answer = self.ask(request, fds);
        assert!(matches!(&answer, Reply::Refused(said) if said.contains(why)), "{request:?}: {answer:?}");
    }
}

/// A process that ends with the test.
struct Sleeper(Child);

impl Sleeper {
    fn in_directory(directory: &Path) -> Self {
        Self(Command::new("sleep").arg("60").current_dir(directory).spawn().unwrap())
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const NOT_THERE: &str = "the handle does not lead to a bundle in the state directory";
const NO_DIRECTORY: &str = "the handle is not a directory of this user";

#[test]
fn handles_that_are_no_bundle_of_ours_are_refused() {
    let bed = Bed::new();
    fs::write(bed.scratch.path().join("state/default/file"), "").unwrap();
    symlink("../../elsewhere", bed.scratch.path().join("state/default/link")).unwrap();
    for (path, why) in [
        ("elsewhere", NOT_THERE),
        ("state", NOT_THERE),
        ("state/default", NOT_THERE),
        ("state/default/web/rootfs", NOT_THERE),
        ("state/default/file", NO_DIRECTORY),
        ("state/default/link", NOT_THERE),
        ("root", NOT_THERE),
    ] {
        bed.refuses(&Request::Unmount, &[&bed.open(path)], why);
        bed.refuses(&Request::Find { pid: 1 }, &[&bed.open(path)], why);
        bed.refuses(&Request::IsRooted { pid: 1 }, &[&bed.open(path)], why);
    }
    bed.refuses(&Request::Unmount, &[&fs::File::open("/").unwrap().into()], "the handle does not belong to a bundle");
    bed.refuses(&Request::Unmount, &[&fs::File::open("/dev/null").unwrap().into()], NO_DIRECTORY);
    bed.refuses(&Request::Unmount, &[&fs::File::open("/proc/self/status").unwrap().into()], NO_DIRECTORY);
    bed.works();
}

#[test]
fn handles_of_what_was_removed_or_moved_away_are_refused() {
    let bed = Bed::new();
    let (gone, moved) = (bed.open("state/default/db"), bed.open("state/default/web"));
    let path = |name: &str| bed.scratch.path().join(name);
    fs::remove_dir(path("state/default/db")).unwrap();
    bed.refuses(&Request::Unmount, &[&gone], NOT_THERE);
    fs::rename(path("state/default/web"), path("elsewhere/web")).unwrap();
    // Another directory has its name now.
    fs::create_dir(path("state/default/web")).unwrap();
    bed.refuses(&Request::Unmount, &[&moved], NOT_THERE);
    bed.works();
}

#[test]
fn what_is_no_request_is_refused_and_the_next_one_is_answered() {
    let bed = Bed::new();
    let bundle = bed.open("state/default/web");
    for bytes in [
        &b"x"[..],
        &[0xff; 200],
        b"{}",
        b"null",
        br#""Mount""#,
        br#""unmount""#,
        br#"{"Unmount":{"path":"/"}}"#,
        br#"{"Find":{"pid":-1}}"#,
        br#"{"Find":{"pid":4294967296}}"#,
        br#"{"End":{"pid":1,"kill":9}}"#,
        br#"{"End":{"pid":1,"kill":true,"group":true}}"#,
        br#"{"Run":{"action":"Exec"}}"#,
        br#"{"StartShim":{}}"#,
        br#"{"StartShim":{"arguments":["-namespace",1]}}"#,
        br#"{"StartShim":{"arguments":[],"binary":"/bin/sh"}}"#,
        br#"{"Run":{"action":"State","binary":"/bin/sh"}}"#,
        br#""Unmount" "Unmount""#,
        &[b' '; 33 << 10],
    ] {
        let answer = bed.ask_raw(bytes, &[bundle.as_fd()]);
        let refused = matches!(&answer, Reply::Refused(why) if why.contains("malformed") || why.contains("too long"));
        assert!(refused, "{:?}: {answer:?}", String::from_utf8_lossy(bytes));
        bed.works();
    }
}

fn is_about_descriptors(answer: &Reply) -> bool {
    let known = ["it does not name a bundle", "it has the wrong number of descriptors", "too many descriptors"];
    matches!(answer, Reply::Refused(why) if known.iter().any(|known| why.contains(known)))
}

#[test]
fn the_number_of_descriptors_has_to_be_right() {
    let bed = Bed::new();
    let bundle = bed.open("state/default/web");
    for count in [0, 2, 3, 4, 16] {
        let fds = vec![bundle.as_fd(); count];
        let answer = bed.ask_raw(br#""Unmount""#, &fds);
        assert!(is_about_descriptors(&answer), "{count}: {answer:?}");
    }
    for count in [0, 1, 2, 4] {
        let fds = vec![bundle.as_fd(); count];
        let answer = bed.ask_raw(br#"{"Run":{"action":"Delete"}}"#, &fds);
        assert!(is_about_descriptors(&answer), "{count}: {answer:?}");
    }
    bed.works();
}

#[test]
fn nobody_is_ended_who_does_not_run_in_the_bundle() {
    let bed = Bed::new();
    let bundle = bed.open("state/default/web");
    let mut foreign = Sleeper::in_directory(&bed.scratch.path().join("elsewhere"));
    let mut neighbour = Sleeper::in_directory(&bed.scratch.path().join("state/default/db"));
    let mut own = Sleeper::in_directory(&bed.scratch.path().join("state/default/web"));
    for pid in [foreign.0.id(), neighbour.0.id(), std::process::id(), 1, 0, u32::MAX] {
        assert_eq!(bed.ask(&Request::Find { pid }, &[&bundle]), Reply::Found(false), "{pid}");
        assert_eq!(bed.ask(&Request::End { pid, kill: true }, &[&bundle]), Reply::Done, "{pid}");
    }
    assert_eq!(bed.ask(&Request::Find { pid: own.0.id() }, &[&bundle]), Reply::Found(true));
    assert_eq!(bed.ask(&Request::End { pid: own.0.id(), kill: true }, &[&bundle]), Reply::Done);
    assert!(!own.0.wait().unwrap().success());
    for sleeper in [&mut foreign, &mut neighbour] {
        assert_eq!(sleeper.0.try_wait().unwrap(), None);
    }
}

#[test]
fn the_runtime_is_never_what_the_other_side_could_have_made() {
    let bed = Bed::new();
    let (bundle, null) = (bed.open("state/default/web"), OwnedFd::from(fs::File::open("/dev/null").unwrap()));
    let proof = bed.scratch.path().join("proof");
    let program = |at: &str, mode| {
        let path = bed.scratch.path().join(at);
        fs::write(&path, format!("#!/bin/sh\n: > {}\n", proof.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let outside = bed.scratch.path().join("elsewhere");
    let detour = outside.join("link");
    symlink(program("state/default/web/runc", 0o755), &detour).unwrap();
    let (below, others, missing) = ("which is not trusted", "another user owns it or can write to it", "No such file");
    for (runtime, root, why) in [
        (program("state/default/runc", 0o755), outside.clone(), below),
        (program("root/runc", 0o755), outside.clone(), below),
        (detour, outside.clone(), below),
        (program("elsewhere/writable", 0o777), outside.clone(), others),
        (outside.join("missing"), outside.clone(), missing),
        (outside.clone(), outside.clone(), others),
        ("./runc".into(), outside.clone(), missing),
        ("runc".into(), bed.scratch.path().join("state/default"), below),
        ("runc".into(), bed.scratch.path().join("elsewhere/../root"), below),
    ] {
        bed.forge(|record| (record.runtime, record.runtime_root) = (runtime, root));
        for action in [Action::State, Action::Delete] {
            bed.refuses(&Request::Run { action }, &[&bundle, &null, &null], why);
        }
    }
    assert!(!proof.exists());
}

#[test]
fn a_process_whose_root_is_the_rootfs_is_found() {
    let bed = Bed::new();
    let bundle = bed.open("state/default/web");
    let rooted = |pid| bed.ask(&Request::IsRooted { pid }, &[&bundle]);
    assert_eq!(rooted(std::process::id()), Reply::Rooted(false));
    // A process that has ended has no root that could be wrong.
    assert_eq!(rooted(u32::MAX), Reply::Rooted(true));
}
