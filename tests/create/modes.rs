//! Modes hold whatever the umask of the process says, for root and for others.

use std::process::Command;

use dunnage::Spec;
use dunnage_tests::{Scratch, privileges, run, specs};

use crate::tree::expected;

/// The command under a umask: only a process of its own can have one of its own.
fn under_umask(umask: &str, create: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("umask {umask}; exec \"$@\"")).arg("sh").arg(create.get_program());
    shell.args(create.get_args());
    for (name, value) in create.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

fn create(scratch: &Scratch, file: &str) -> Command {
    scratch.command(["create", "web", "--spec", specs::data(file).to_str().expect("a path of text")])
}

fn check(scratch: &Scratch, umask: &str, spec: &Spec, gid: u32, owner: (u32, u32)) {
    assert_eq!(scratch.tree(), expected(spec, gid, owner), "umask {umask}");
}

/// D10: the original relies on the umask, and one of 0 gives it files that everyone can write.
#[test]
fn d10_modes_are_exact_whatever_the_umask() {
    for umask in ["000", "022", "077", "0777"] {
        let scratch = Scratch::new();
        run(&mut under_umask(umask, &create(&scratch, "plain.json")), []).expect(0);
        check(&scratch, umask, &specs::plain(), 0, privileges::own_ids());
    }
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_d10_modes_of_remapped_bundles_are_exact_whatever_the_umask() {
    if !privileges::root("modes of remapped bundles under umasks") {
        return;
    }
    for umask in ["000", "022", "077", "0777"] {
        let scratch = Scratch::new();
        run(&mut under_umask(umask, &create(&scratch, "userns.json")), []).expect(0);
        check(&scratch, umask, &specs::userns(), 100_000, privileges::own_ids());
    }
}

/// A umask of 0777 keeps others than root out of what they have just made.
#[test]
fn modes_are_exact_for_ordinary_users_too() {
    for umask in ["000", "0777"] {
        let scratch = Scratch::new();
        let mut command = under_umask(umask, &create(&scratch, "plain.json"));
        privileges::as_ordinary_user(&scratch, &mut command);
        run(&mut command, []).expect(0);
        check(&scratch, umask, &specs::plain(), 0, privileges::ordinary_ids());
    }
}

#[test]
fn a_durable_bundle_of_the_binary_is_exact_too() {
    let scratch = Scratch::new();
    let mut command = create(&scratch, "plain.json");
    command.arg("--durable");
    run(&mut under_umask("000", &command), []).expect(0);
    check(&scratch, "000", &specs::plain(), 0, privileges::own_ids());
}
