//! Confinement comes before the first untrusted byte.

use std::fs;

use dunnage_tests::{Scratch, run, specs, strace};

/// The calls of a command, in order, as strace prints them.
fn calls(scratch: &Scratch, arguments: &[&str], stdin: &[u8]) -> Vec<String> {
    let trace = scratch.path().join("trace");
    let options =
        ["--trace=read,seccomp,capset,landlock_restrict_self", "-s", "16", "-o", trace.to_str().expect("UTF-8")];
    run(&mut strace::traced(&scratch.command(arguments), options), stdin);
    let text = fs::read_to_string(&trace).expect("the trace");
    text.lines().filter_map(|line| line.split_once(' ')).map(|(_, call)| call.trim_start().to_owned()).collect()
}

#[test]
#[cfg_attr(not(has_strace), ignore = "needs strace")]
fn nothing_is_read_before_everything_is_given_up() {
    if !strace::present("nothing_is_read_before_everything_is_given_up") {
        return;
    }
    let scratch = Scratch::new();
    let path = specs::data("plain.json");
    let (path, content) = (path.to_str().expect("UTF-8"), fs::read(specs::data("plain.json")).expect("the spec"));
    let marked = b"untrusted event";
    for (arguments, stdin) in [
        (&["create", "web-1", "--spec", path][..], &b""[..]),
        (&["create", "web-2", "--spec", "-"], &content),
        (&["gid", "--spec", path], b""),
        (&["gid", "--spec", "-"], &content),
        (&["bench", "cycle", "--count", "1", "--spec", path], b""),
        (&["bench", "gid", "--count", "1", "--spec", path], b""),
        // They fail later, without a shim to start.
        (&["run", "web-3", "--rootfs", "/", "--shim-binary", "/no/such/shim", "--spec", path], b""),
        (&["run", "web-4", "--rootfs", "/", "--shim-binary", "/no/such/shim", "--spec", "-"], &content),
        (&["publish", "--topic", "/tasks/exit"], marked),
    ] {
        let calls = calls(&scratch, arguments, stdin);
        let position = |starts: &str| calls.iter().position(|call| call.starts_with(starts) && call.ends_with("= 0"));
        let start = if stdin == marked { "\"untrusted".to_owned() } else { format!("\"{}", &first(&content)) };
        let read = calls.iter().position(|call| call.starts_with("read(") && call.contains(&start));
        let read = read.unwrap_or_else(|| panic!("{arguments:?} reads nothing: {calls:?}"));
        for given_up in ["landlock_restrict_self(", "capset(", "seccomp("] {
            let at = position(given_up).unwrap_or_else(|| panic!("{arguments:?}: no {given_up}: {calls:?}"));
            assert!(at < read, "{arguments:?}: {given_up} comes after the input: {calls:?}");
        }
    }
}

/// How strace shows the start of the spec.
fn first(content: &[u8]) -> String {
    String::from_utf8_lossy(content).chars().take(4).collect::<String>().replace('"', "\\\"").replace('\n', "\\n")
}
