//! The second process: where it exchanges names, and how.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, RenameFlags, mkdirat, openat, renameat_with, symlinkat};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::MAPPED_ROOT;

/// The variables that say where it works, and what it does.
pub(super) const TOP: &str = "DUNNAGE_SWAP_TOP";
pub(super) const PHASE: &str = "DUNNAGE_SWAP_PHASE";

/// The file that ends it, and the one with the number of its exchanges.
pub(super) const STOP: &str = "stop";
pub(super) const COUNT: &str = "count";

/// Where names are exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The directories of the namespace.
    Namespace,
    /// The bundle and its work directory.
    Bundle,
    /// What lies in a bundle and in a work directory.
    Inside,
    /// What is being built or taken away under a hidden name, and what lies in it.
    Hidden,
    /// The container's root, by the container's root.
    Rootfs,
}

impl Phase {
    pub(super) const ALL: [Self; 5] = [Self::Namespace, Self::Bundle, Self::Inside, Self::Hidden, Self::Rootfs];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Namespace => "namespace directories",
            Self::Bundle => "bundle and work directory",
            Self::Inside => "inside of bundle and work directory",
            Self::Hidden => "staging and trash",
            Self::Rootfs => "rootfs, as its mapped root",
        }
    }

    fn places(self, top: &Path) -> Vec<PathBuf> {
        let all = |places: &[&str]| places.iter().map(|place| top.join(place)).collect();
        match self {
            Self::Namespace => all(&["state/default", "root/default"]),
            Self::Bundle => all(&["state/default/web-1", "root/default/web-1"]),
            Self::Inside => {
                let _ = fs::create_dir(top.join("root/default/web-1/sub"));
                all(&["state/default/web-1/rootfs", "state/default/web-1/config.json", "root/default/web-1/sub"])
            }
            Self::Hidden => hidden(&top.join("state/default")),
            Self::Rootfs => Vec::new(),
        }
    }
}

fn hidden(namespace: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(namespace).into_iter().flatten().filter_map(Result::ok);
    let hidden = entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"."));
    let of = |path: PathBuf| [path.join("rootfs"), path.join("config.json"), path];
    hidden.flat_map(|entry| of(entry.path())).collect()
}

/// Exchanges two names and exchanges them back; how often that worked.
fn there_and_back(exchange: impl Fn() -> rustix::io::Result<()>) -> u64 {
    if exchange().is_err() {
        return 0;
    }
    1 + u64::from(exchange().is_ok())
}

/// Exchanges each place with a link to the canary, and with one to a file in it.
fn exchange_places(top: &Path, phase: Phase) -> u64 {
    let links = [("to-directory", "canary"), ("to-file", "canary/file")];
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut swaps = 0;
    for (link, target) in links {
        let link = top.join("links").join(link);
        if !link.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
            // It was deleted in its place, or its place was gone when it was to come back.
            let _ = fs::remove_dir_all(&link);
            let _ = fs::remove_file(&link);
            let _ = symlink(top.join(target), &link);
        }
        for place in phase.places(top) {
            let (Some(parent), Some(name)) = (place.parent(), place.file_name()) else { continue };
            // By now it may be a link to the canary itself.
            let Ok(parent) = openat(CWD, parent, flags, Mode::empty()) else { continue };
            swaps += there_and_back(|| renameat_with(&parent, name, CWD, &link, RenameFlags::EXCHANGE));
        }
    }
    swaps
}

/// Works through a handle, which leads to the container's root wherever it is moved.
fn exchange_in_rootfs(top: &Path, handle: &mut Option<File>) -> u64 {
    let stale = |file: &File| file.metadata().map_or(true, |found| found.nlink() == 0);
    if handle.as_ref().is_none_or(stale) {
        *handle = File::open(top.join("state/default/web-1/rootfs")).ok();
    }
    let Some(rootfs) = handle.as_ref() else { return 0 };
    let canary = top.join("canary");
    let _ = mkdirat(rootfs, "d", Mode::RWXU);
    let _ = mkdirat(rootfs, "d/e", Mode::RWXU);
    let _ = symlinkat(&canary, rootfs, "link");
    let _ = symlinkat("../../../../../canary/d", rootfs, "d/link");
    there_and_back(|| renameat_with(rootfs, "d", rootfs, "link", RenameFlags::EXCHANGE))
        + there_and_back(|| renameat_with(rootfs, "d/e", rootfs, "d/link", RenameFlags::EXCHANGE))
        + there_and_back(|| renameat_with(rootfs, "d/e", rootfs, "link", RenameFlags::EXCHANGE))
}

fn become_mapped_root() -> io::Result<()> {
    let (user, group) = (Uid::from_raw(MAPPED_ROOT), Gid::from_raw(MAPPED_ROOT));
    set_thread_groups(&[])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    Ok(())
}

#[test]
#[ignore = "the second process of another test, which starts it"]
fn exchange_names() {
    let (Some(top), Ok(phase)) = (std::env::var_os(TOP), std::env::var(PHASE)) else { return };
    let top = PathBuf::from(top);
    let phase = Phase::ALL.into_iter().find(|known| known.name() == phase).expect("a phase");
    let count = File::create(top.join(COUNT)).expect("a file");
    if phase == Phase::Rootfs {
        become_mapped_root().expect("become the container's root");
    }
    let (mut swaps, mut handle) = (0, None);
    // It ends with its parent too, whose death removes nothing.
    let parent = rustix::process::getppid();
    while !top.join(STOP).exists() && rustix::process::getppid() == parent {
        for _ in 0..32 {
            swaps += match phase {
                Phase::Rootfs => exchange_in_rootfs(&top, &mut handle),
                Phase::Namespace | Phase::Bundle | Phase::Inside | Phase::Hidden => exchange_places(&top, phase),
            };
        }
        count.write_all_at(format!("{swaps:<20}").as_bytes(), 0).expect("write the count");
    }
}
