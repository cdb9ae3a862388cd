//! Specs that are invalid, too large, or readable in two ways.

use std::fs::{self, File};
use std::process::Command;

use dunnage_tests::{Scratch, privileges, run};

use super::{check_form, good, refuse};

const MIB: usize = 1 << 20;

/// Specs, and what the message says about them (`reference/go-json.md`).
fn bad_specs() -> Vec<(Vec<u8>, &'static [&'static str])> {
    const SYNTAX: &[&str] = &["not valid JSON"];
    const ENCODING: &[&str] = &["not UTF-8"];
    const SURROGATE: &[&str] = &["half a surrogate pair"];
    let text: [(&[u8], &[&str]); 44] = [
        (b"", SYNTAX),
        (b" \r\n\t", SYNTAX),
        (b"{", SYNTAX),
        (b"{}{}", SYNTAX),
        (b"{}x", SYNTAX),
        (b"\xef\xbb\xbf{}", SYNTAX),
        (b"\0", SYNTAX),
        (b"{\"a\":1,}", SYNTAX),
        (b"{'a':1}", SYNTAX),
        (b"{/**/}", SYNTAX),
        (b"{\"a\":\"\x01\"}", SYNTAX),
        (b"{\"a\":\"\\x\"}", SYNTAX),
        (b"{\"a\":01}", SYNTAX),
        (b"nul", SYNTAX),
        (b"\x7fELF\x02\x01\x01\0\0\0\0\0\xff\xfe", ENCODING),
        (b"{\"\xff\":1}", ENCODING),
        (b"{\"x\":\"\xff\",\"\xed\xa0\x80\":1}", ENCODING),
        (b"{\"\xc3(\":1}", ENCODING),
        (b"{\"x\":\"\\ud800\"}", SURROGATE),
        (b"{\"x\":\"\\udc00\\ud800\"}", SURROGATE),
        (b"{\"\\uDBFF\":1}", SURROGATE),
        (b"[]", &["the document is not an object"]),
        (b"7", &["the document is not an object"]),
        (b"\"{}\"", &["the document is not an object"]),
        (b"[{\"linux\":{}}]", &["the document is not an object"]),
        (b"{\"linux\":[]}", &["linux is not an object"]),
        (b"{\"linux\":7}", &["linux is not an object"]),
        (b"{\"linux\":{\"gidMappings\":{}}}", &["linux.gidMappings is not an array"]),
        (b"{\"linux\":{\"gidMappings\":[7]}}", &["linux.gidMappings[0] is not an object"]),
        (b"{\"linux\":{\"gidMappings\":[{},[0,7,1]]}}", &["linux.gidMappings[1] is not an object"]),
        (b"{\"linux\":{\"gidMappings\":[{\"hostID\":\"7\"}]}}", &["linux.gidMappings[0].hostID is not a number"]),
        (b"{\"linux\":{\"gidMappings\":[{\"hostID\":-1}]}}", &["gidMappings[0].hostID", "plain digits"]),
        (b"{\"linux\":{\"gidMappings\":[{\"hostID\":7.0}]}}", &["gidMappings[0].hostID", "plain digits"]),
        (b"{\"linux\":{\"gidMappings\":[{\"hostID\":1e3}]}}", &["gidMappings[0].hostID", "plain digits"]),
        (b"{\"linux\":{\"gidMappings\":[{\"containerID\":-0}]}}", &["gidMappings[0].containerID", "plain digits"]),
        (b"{\"linux\":{\"gidMappings\":[{},{\"size\":4294967296}]}}", &["gidMappings[1].size", "plain digits"]),
        (b"{\"linux\":{\"gidMappings\":[{\"hostID\":1e999}]}}", &["gidMappings[0].hostID", "plain digits"]),
        (b"{\"LINUX\":{}}", &["\"LINUX\" means linux to Go", "ignores case"]),
        (b"{\"linux\":{\"GIDMappings\":[]}}", &["\"GIDMappings\" means linux.gidMappings to Go"]),
        ("{\"linux\":{\"gidMapping\u{17f}\":[]}}".as_bytes(), &["\\u{17f}", "linux.gidMappings to Go"]),
        (b"{\"linux\":{\"gidMappings\":[{\"hostid\":7}]}}", &["\"hostid\" means linux.gidMappings[0].hostID to Go"]),
        (b"{\"linux\":{},\"linux\":{}}", &["linux appears twice"]),
        (b"{\"linux\":{\"gidMappings\":[{\"size\":1,\"size\":1}]}}", &["gidMappings[0].size appears twice"]),
        (b"{\"linux\":{\"gidMappings\":[{\"hostID\":4294967295}]}}", &["gidMappings[0].hostID is 4294967295"]),
    ];
    let mut bad: Vec<_> = text.into_iter().map(|(text, words)| (text.to_vec(), words)).collect();
    bad.push((vec![b'['; MIB], &["nested deeper than 10000 levels"]));
    bad.push((b"{\"a\":".repeat(20_000), &["nested deeper than 10000 levels"]));
    let deep = [b"{\"x\":".to_vec(), vec![b'['; 10_000], vec![b']'; 10_000], b"}".to_vec()].concat();
    bad.push((deep, &["nested deeper than 10000 levels"]));
    bad.push((vec![0; MIB], SYNTAX));
    // Not text at all, and different from run to run of nothing.
    bad.push(((0..MIB).map(|n| (n.wrapping_mul(2_654_435_761) >> 7) as u8).collect(), ENCODING));
    let endless = [b"{\"x\":\"".to_vec(), vec![b'y'; 8 * MIB]].concat();
    bad.push((endless, SYNTAX));
    bad.push((format!("{{\"{}\":1,\"linux\":7}}", "k".repeat(MIB)).into_bytes(), &["linux is not an object"]));
    bad
}

#[test]
fn every_class_of_bad_spec_has_its_message_and_leaves_nothing() {
    let scratch = Scratch::new();
    for (bad, words) in bad_specs() {
        for arguments in [&["create", "web", "--spec", "-"][..], &["gid", "--spec", "-"]] {
            refuse(&scratch, &mut scratch.command(arguments), &bad, 3, words);
        }
        let file = scratch.path().join("spec.json");
        fs::write(&file, &bad).unwrap();
        let file = file.to_str().unwrap();
        refuse(&scratch, &mut scratch.command(["create", "web", "--spec", file]), &[], 3, words);
    }
}

/// Just below the limits there is no reason to refuse.
#[test]
fn large_and_deep_specs_are_taken() {
    let scratch = Scratch::new();
    let gid = |spec: &[u8]| run(&mut scratch.command(["gid", "--spec", "-"]), spec).expect(0).stdout;
    let deep = [b"{\"x\":".to_vec(), vec![b'['; 9_999], vec![b']'; 9_999]].concat();
    assert_eq!(gid(&[&deep[..], b",\"linux\":{\"gidMappings\":[{\"hostID\":7}]}}"].concat()), "7\n");
    let filler = "y".repeat(16 * MIB - 60);
    let large = format!("{{\"linux\":{{\"gidMappings\":[{{\"hostID\":7}}]}},\"x\":\"{filler}\"}}");
    assert!(large.len() > 16 * MIB - 60 && large.len() <= 16 * MIB, "{}", large.len());
    assert_eq!(gid(large.as_bytes()), "7\n");
    // As many values as fit: what is not looked at takes no room.
    let many = format!("{{\"linux\":{{\"gidMappings\":[{{\"hostID\":7}}]}},\"x\":[{}1]}}", "1,".repeat(7 * MIB));
    assert_eq!(gid(many.as_bytes()), "7\n");
    let entries =
        format!("{{\"linux\":{{\"gidMappings\":[{}{{\"hostID\":7}}]}}}}", "{\"containerID\":1},".repeat(400_000));
    assert_eq!(gid(entries.as_bytes()), "7\n");
}

#[test]
fn a_spec_of_20_mib_is_too_large() {
    let scratch = Scratch::new();
    let large = format!("{{\"x\":\"{}\"}}", "y".repeat(20 * MIB));
    let file = scratch.path().join("spec.json");
    fs::write(&file, &large).unwrap();
    let words = ["larger than the limit of 16777216 bytes"];
    for spec in ["-", file.to_str().unwrap()] {
        for arguments in [&["create", "web", "--spec", spec][..], &["gid", "--spec", spec]] {
            refuse(&scratch, &mut scratch.command(arguments), large.as_bytes(), 3, &words);
        }
    }
    // Sparse, and larger than any memory.
    File::create(&file).unwrap().set_len(1 << 40).unwrap();
    refuse(&scratch, &mut scratch.command(["create", "web", "--spec", file.to_str().unwrap()]), &[], 3, &words);
    // Endless.
    refuse(&scratch, &mut scratch.command(["create", "web", "--spec", "/dev/zero"]), &[], 3, &words);
}

#[test]
fn spec_files_that_cannot_be_read_are_named() {
    let scratch = Scratch::new();
    let missing = scratch.path().join("missing.json");
    let looping = scratch.path().join("loop");
    std::os::unix::fs::symlink("loop", &looping).unwrap();
    let below_a_file = format!("{}/spec.json", good());
    let cases = [
        (missing.to_str().unwrap(), "No such file"),
        (scratch.path().to_str().unwrap(), "directory"),
        (looping.to_str().unwrap(), "symbolic links"),
        (&below_a_file, "Not a directory"),
    ];
    for (path, words) in cases {
        for arguments in [["create", "web", "--spec", path].as_slice(), &["gid", "--spec", path]] {
            refuse(&scratch, &mut scratch.command(arguments), &[], 1, &["cannot read the spec", path, words]);
        }
    }
    refuse(&scratch, &mut scratch.command(["gid", "--spec", "/dev/null"]), &[], 3, &["not valid JSON"]);
}

#[test]
fn a_spec_file_that_is_somebody_elses_secret_is_refused() {
    let scratch = Scratch::new();
    let secret = scratch.path().join("secret.json");
    fs::write(&secret, "{}").unwrap();
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let mut command = scratch.command(["create", "web", "--spec", secret.to_str().unwrap()]);
    privileges::as_ordinary_user(&scratch, &mut command);
    refuse(&scratch, &mut command, &[], 1, &["cannot read the spec", "Permission denied"]);
}

/// A FIFO that a process writes to is a spec like any other, as shells make them with `<(…)`.
#[test]
fn a_spec_may_come_through_a_fifo() {
    let scratch = Scratch::new();
    let fifo = scratch.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let writer = std::thread::spawn({
        let fifo = fifo.clone();
        move || fs::write(fifo, r#"{"linux":7}"#).unwrap()
    });
    let outcome = run(&mut scratch.command(["gid", "--spec", fifo.to_str().unwrap()]), []);
    writer.join().unwrap();
    check_form(&outcome, 3, &["linux is not an object"]);
}
