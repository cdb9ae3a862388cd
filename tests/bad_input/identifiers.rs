//! Invalid ids and namespaces.

use dunnage::{BundleId, Error, ErrorKind, ShimOptions};
use dunnage_tests::{Scratch, specs};

use super::{good, refuse};

/// Invalid identifiers, and what the message says about each.
fn bad_identifiers() -> Vec<(String, &'static str)> {
    let mut bad: Vec<(String, &str)> = [
        ("", "it is empty"),
        (".", "'.' is not allowed at position 0"),
        ("..", "'.' is not allowed at position 0"),
        (".x", "'.' is not allowed at position 0"),
        ("-x", "'-' is not allowed at position 0"),
        ("_x", "'_' is not allowed at position 0"),
        ("a/b", "'/' is not allowed at position 1"),
        ("/", "'/' is not allowed at position 0"),
        ("/etc", "'/' is not allowed at position 0"),
        ("../x", "'.' is not allowed at position 0"),
        ("a..b", "'.' is not allowed at position 2"),
        ("a/../../b", "'/' is not allowed at position 1"),
        ("a._b", "'_' is not allowed at position 2"),
        ("x.", "ends with a separator"),
        ("x-", "ends with a separator"),
        ("new\nline", "'\\n' is not allowed at position 3"),
        ("x\n", "'\\n' is not allowed at position 1"),
        ("x\r", "'\\r' is not allowed at position 1"),
        ("a b", "' ' is not allowed at position 1"),
        ("a\\b", "'\\\\' is not allowed at position 1"),
        ("\u{1b}[31mred", "'\\u{1b}' is not allowed at position 0"),
        ("a\u{202e}b", "is not allowed at position 1"),
        ("ä", "'ä' is not allowed at position 0"),
        ("x\u{ff0f}y", "is not allowed at position 1"),
        ("a\u{0}b", "'\\0' is not allowed at position 1"),
        ("\u{0}", "'\\0' is not allowed at position 0"),
    ]
    .map(|(text, words)| (text.to_owned(), words))
    .to_vec();
    bad.push(("x".repeat(77), "it has 77 bytes, but at most 76 are allowed"));
    bad.push(("x".repeat(100_000), "it has 100000 bytes, but at most 76 are allowed"));
    bad.push(("ä".repeat(39), "it has 78 bytes, but at most 76 are allowed"));
    bad
}

/// Every command that takes an id, with `--` before it: ids may look like options.
fn lines<'a>(id: &'a str, spec: &'a str) -> [Vec<&'a str>; 14] {
    [
        vec!["create", "--spec", spec, "--", id],
        vec!["delete", "--", id],
        vec!["delete", "--force", "--", id],
        vec!["inspect", "--", id],
        vec!["shim", "address", "--", id],
        vec!["shim", "address", "--legacy", "--", id],
        vec!["shim", "connect-address", "--allow-legacy", "--", id],
        vec!["shim", "config", "--", id],
        vec!["kill", "--", id],
        vec!["stop", "--", id],
        vec!["wait", "--", id],
        vec!["ps", "--", id],
        vec!["logs", "--", id],
        vec!["attach", "--", id],
    ]
}

/// Commands print only as many of the ids as a line holds; the ends of these are reported all the
/// same.
#[test]
fn no_command_takes_a_bad_id_or_namespace() {
    let scratch = Scratch::new();
    let spec = good();
    for (bad, words) in bad_identifiers() {
        // No program can be given a NUL; see below.
        if bad.contains('\0') {
            continue;
        }
        for line in lines(&bad, &spec) {
            // `delete` prints what it deleted even if something failed, in a table: nothing.
            refuse(&scratch, &mut scratch.command(&line), &[], 3, &["the id ", words]);
        }
        for line in lines("web", &spec) {
            // An empty variable is as good as none.
            let mut command = if bad.is_empty() {
                scratch.command(["--namespace="].iter().chain(&line))
            } else {
                scratch.command(&line)
            };
            command.env("DUNNAGE_NAMESPACE", &bad);
            refuse(&scratch, &mut command, &[], 3, &["the namespace ", words]);
        }
        let namespace = format!("--namespace={bad}");
        refuse(&scratch, &mut scratch.command(["list", &namespace]), &[], 3, &["the namespace ", words]);
    }
    assert_eq!(scratch.tree(), [""; 0], "not even the state directory is made");
}

/// The same through the library, which can be given anything.
#[test]
fn no_function_takes_a_bad_id_or_namespace() {
    let scratch = Scratch::new();
    let dunnage = scratch.dunnage();
    for (bad, words) in bad_identifiers() {
        for (id, part) in [(BundleId::new("default", &bad), "the id "), (BundleId::new(&bad, "web"), "the namespace ")]
        {
            let bundle = dunnage.load_unchecked(&id, "/b", "/w");
            let errors: [Error; 9] = [
                dunnage.create(&id, &specs::plain()).unwrap_err(),
                dunnage.delete(&id, true).unwrap_err(),
                dunnage.load(&id).unwrap_err(),
                dunnage.inspect(&id).unwrap_err(),
                dunnage.shim_address(&id).unwrap_err(),
                dunnage.legacy_shim_address(&id).unwrap_err(),
                dunnage.connect_address(&id, true).unwrap_err(),
                dunnage.shim_config(&bundle, &ShimOptions::default()).unwrap_err(),
                dunnage.locate(&id).unwrap_err(),
            ];
            for error in errors {
                let message = error.to_string();
                assert_eq!(error.kind(), ErrorKind::InvalidIdentifier, "{message}");
                assert!(message.contains(part) && message.contains(words), "{message}");
            }
        }
    }
    assert_eq!(scratch.tree(), [""; 0]);
}

/// Bad ids do not reach existing files either.
#[test]
fn a_bad_id_reaches_nothing_that_is_there() {
    let scratch = Scratch::new();
    let spec = good();
    scratch.run(["create", "web", "--spec", &spec]).expect(0);
    std::fs::create_dir(scratch.state().join("default/.hidden")).unwrap();
    for bad in ["..", ".", ".hidden", "../default/web", "web/rootfs", "web/", "./web", "../../root/default/web"] {
        for line in lines(bad, &spec) {
            refuse(&scratch, &mut scratch.command(&line), &[], 3, &["the id "]);
        }
    }
}
