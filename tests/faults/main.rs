//! Faults at every system call: an error, or the end of the process. Whatever comes, a command
//! fails cleanly or does its work; nothing is left unreported, others are untouched, and the next
//! command works.
//!
//! The faults come from strace (`--inject`). It acts on the binary that is shipped, without a line
//! in it for the sake of tests, at the border where faults come from in life; it counts the calls of
//! every thread by itself (`when=N`), so a point is the same one in every run; it does not care
//! which library makes a call; and what it injects it shows, so only points that fired are counted.
//! A filter of seccomp could return errors too, but not at the Nth call alone, and it cannot kill at
//! one; a tracer of our own would be strace written again.
//!
//! Only our own processes are struck: strace lets go of a child as soon as that runs another
//! program (`--detach-on=execve`), so containerd's shim, runc and containers are left in peace. The
//! monitor of a shim, which is such a child and ours, has a strace of its own.
//!
//! What the dynamic loader does before the first instruction of ours is counted apart, and so are
//! errors that the kernel does not give.
//!
//! By default every point of creating and deleting is tried with one of its errors in turn, and a
//! sample of those of shims and containers. All points with all errors, which takes long:
//!
//! ```console
//! $ DUNNAGE_LONG=1 cargo test --release -p dunnage-tests --test faults -- --nocapture --test-threads 1
//! ```

mod bundles;
mod calls;
mod checks;
mod control;
mod monitor;
mod node;
mod recovery;
mod resources;
mod shims;
mod strike;
mod sweep;

use std::time::Duration;

use dunnage_tests::binary::Build;
use dunnage_tests::containers::{ShimKind, possible};
use dunnage_tests::watchdog::within;
use dunnage_tests::{mounts, privileges, strace};

use self::bundles::{Bundles, Case};
use self::monitor::Monitor;
use self::recovery::Recover;
use self::shims::{Run, Start};
use self::sweep::{Extent, Victim, sweep};

/// Tries the points of a command, all of which must do no harm.
fn try_all<V: Victim>(victim: &V, short: Extent, least: usize) {
    let report = within(Duration::from_secs(3600), &victim.name(), || sweep(victim, Extent::usual(short)));
    report.expect_sound(least);
}

#[test]
#[cfg_attr(not(has_strace), ignore = "needs strace")]
fn faults_of_creating_leave_nothing() {
    if !strace::present("faults_of_creating_leave_nothing") {
        return;
    }
    for case in [Case::First, Case::Create, Case::Durable, Case::Refused] {
        try_all(&Bundles::new(case, Build::Default), Extent::EveryCall, 100);
    }
}

#[test]
#[cfg_attr(not(has_strace), ignore = "needs strace")]
fn faults_of_deleting_lose_nothing() {
    if !strace::present("faults_of_deleting_lose_nothing") {
        return;
    }
    try_all(&Bundles::new(Case::Delete, Build::Default), Extent::EveryCall, 100);
}

#[test]
#[cfg_attr(not(has_strace), ignore = "needs strace")]
fn faults_of_recovering_lose_nothing() {
    if !strace::present("faults_of_recovering_lose_nothing") {
        return;
    }
    try_all(&Recover(Build::Default), Extent::EveryCall, 100);
}

#[test]
#[cfg_attr(not(all(has_root, has_strace)), ignore = "needs root and strace")]
fn privileged_faults_of_unmounting_lose_nothing() {
    let name = "privileged_faults_of_unmounting_lose_nothing";
    if !privileges::root(name) || !strace::present(name) {
        return;
    }
    mounts::private(|| try_all(&Bundles::new(Case::Mounted, Build::Default), Extent::EveryCall, 100));
}

#[test]
#[cfg_attr(not(all(has_containers, has_strace)), ignore = "needs root, containerd, runc, busybox-static and strace")]
fn privileged_faults_of_starting_a_shim_leave_nothing() {
    let name = "privileged_faults_of_starting_a_shim_leave_nothing";
    if !possible(name) || !strace::present(name) {
        return;
    }
    try_all(&Start(Build::Default), Extent::Some(8), 50);
}

#[test]
#[cfg_attr(not(all(has_containers, has_strace)), ignore = "needs root, containerd, runc, busybox-static and strace")]
fn privileged_faults_of_a_monitor_leave_nothing() {
    let name = "privileged_faults_of_a_monitor_leave_nothing";
    if !possible(name) || !strace::present(name) {
        return;
    }
    try_all(&Monitor, Extent::Some(6), 30);
}

#[test]
#[cfg_attr(not(all(has_containers, has_strace)), ignore = "needs root, containerd, runc, busybox-static and strace")]
fn privileged_faults_of_running_a_container_leave_nothing() {
    let name = "privileged_faults_of_running_a_container_leave_nothing";
    if !possible(name) || !strace::present(name) {
        return;
    }
    for shim in [ShimKind::Remote, ShimKind::Local] {
        try_all(&Run(shim), Extent::Some(5), 50);
    }
}
