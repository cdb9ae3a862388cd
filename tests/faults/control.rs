//! The control: a build with mistakes in it (`support/sabotage.rs`).
//! A harness that finds nothing wrong with it would find nothing wrong with anything.

use dunnage_tests::binary::Build;
use dunnage_tests::containers::possible;
use dunnage_tests::strace;

use crate::bundles::{Bundles, Case};
use crate::recovery::Recover;
use crate::shims::Start;
use crate::sweep::{Extent, SweepReport, Victim, sweep};

/// Tries a sabotaged command. Most of its points still pass, and some fail.
fn try_sabotaged<V: Victim>(victim: &V, extent: Extent) -> SweepReport {
    println!("the control: of what follows, some has to fail");
    let report = sweep(victim, extent);
    let total = report.total();
    assert!(total.failed > 0 && total.passed > total.failed, "{total:?}");
    report
}

/// Insists that a fault of some kind of call was found to do this harm.
#[track_caller]
fn expect_found(report: &SweepReport, fault: &str, call: &str, harm: &str) {
    let at = format!(" {call} number ");
    let found = report.failures.iter().any(|failure| {
        let said = failure.split("; at [").next().unwrap_or(failure);
        said.starts_with(fault) && said.contains(&at) && said.contains(harm)
    });
    assert!(found, "{:#?}", report.failures);
}

#[test]
#[cfg_attr(not(has_strace), ignore = "needs strace")]
fn sabotage_of_bundles_is_found() {
    if !strace::present("sabotage_of_bundles_is_found") {
        return;
    }
    // An undo step is missing, and nothing checks whether the bundle got its name.
    let created = try_sabotaged(&Bundles::new(Case::Create, Build::Sabotaged), Extent::EveryCall);
    expect_found(&created, "E", "fchmod", "is left");
    expect_found(&created, "E", "renameat2", "what is there is not what should be");
    // The work directory goes before its bundle.
    let deleted = try_sabotaged(&Bundles::new(Case::Delete, Build::Sabotaged), Extent::EveryCall);
    expect_found(&deleted, "SIGKILL", "renameat2", "not complete");
    // A boot that cannot be read is taken for another one.
    let recovered = try_sabotaged(&Recover(Build::Sabotaged), Extent::EveryCall);
    expect_found(&recovered, "E", "openat", "a bundle was touched");
}

#[test]
#[cfg_attr(not(all(has_containers, has_strace)), ignore = "needs root, containerd, runc, busybox-static and strace")]
fn privileged_sabotage_of_shims_is_found() {
    let name = "privileged_sabotage_of_shims_is_found";
    if !possible(name) || !strace::present(name) {
        return;
    }
    // The record of a shim that was not started stays.
    let started = try_sabotaged(&Start(Build::Sabotaged), Extent::Some(2));
    expect_found(&started, "E", "bind", "left: [\"state/.dunnage/shims/default/web\"");
}
