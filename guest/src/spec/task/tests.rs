//! What is read and what is refused; `tests/spec/` tests it against an oracle.

use super::*;

const PLACES: [(&str, &str); 2] = [("uid", "uidMappings"), ("gid", "gidMappings")];

fn settings(text: &str) -> Result<(bool, u32, u32), (Fault, String)> {
    task_settings(text.as_bytes())
        .map(|found| (found.terminal, found.io_uid, found.io_gid))
        .map_err(|error| (error.fault, error.place))
}

#[test]
fn what_is_missing_or_null_is_zero() {
    for text in [
        "null",
        "{}",
        r#"{"process":null,"linux":null}"#,
        r#"{"process":{}}"#,
        r#"{"process":{"terminal":null,"user":null}}"#,
        r#"{"process":{"terminal":false,"user":{"uid":null,"gid":null}}}"#,
        r#"{"linux":{"uidMappings":[],"gidMappings":null}}"#,
        r#"{"linux":{"uidMappings":[{"size":1}],"gidMappings":[null,{"size":1}]}}"#,
    ] {
        assert_eq!(settings(text), Ok((false, 0, 0)), "{text}");
    }
}

#[test]
fn without_mappings_ids_are_themselves() {
    let text = r#"{"process":{"user":{"gid":8,"uid":7},"terminal":true}}"#;
    assert_eq!(settings(text), Ok((true, 7, 8)));
    let one =
        r#"{"linux":{"gidMappings":[{"containerID":8,"hostID":100,"size":1}]},"process":{"user":{"uid":7,"gid":8}}}"#;
    assert_eq!(settings(one), Ok((false, 7, 100)));
}

/// Id, entries as container id, host id and size, and what the id is mapped to.
#[test]
fn the_first_entry_that_covers_the_id_maps_it() {
    for (id, entries, expected) in [
        (0_u32, &[(0_u32, 100_000_u32, 65_536_u32)][..], Some(100_000)),
        (1000, &[(0, 100_000, 65_536)], Some(101_000)),
        (65_535, &[(0, 100_000, 65_536)], Some(165_535)),
        (65_536, &[(0, 100_000, 65_536)], None),
        (0, &[(1, 100_000, 65_536)], None),
        (5, &[(0, 100, 5), (5, 200, 1)], Some(200)),
        (5, &[(0, 100, 6), (5, 200, 1)], Some(105)),
        (0, &[(0, 100, 0), (0, 200, 1)], Some(200)),
        (0, &[(0, 100, 0)], None),
        (4_294_967_294, &[(4_294_967_294, 5, 4_294_967_295)], Some(5)),
        (4_294_967_295, &[(4_294_967_295, 5, 1)], Some(5)),
        (4_294_967_294, &[(0, 0, 4_294_967_295)], Some(4_294_967_294)),
        (4_294_967_295, &[], None),
        (4_294_967_294, &[], Some(4_294_967_294)),
        (0, &[(0, 4_294_967_294, 9)], Some(4_294_967_294)),
        (0, &[(0, 4_294_967_295, 9)], None),
        (1, &[(0, 4_294_967_294, 9)], None),
        (2, &[(0, 4_294_967_294, 9)], None),
        (4_294_967_294, &[(0, 4_294_967_295, 4_294_967_295)], None),
        (1, &[(0, 4_294_967_295, 9), (1, 7, 1)], None),
    ] {
        for (field, list) in PLACES {
            let entries: alloc::vec::Vec<String> = entries
                .iter()
                .map(|(container, host, size)| {
                    format!(r#"{{"containerID":{container},"hostID":{host},"size":{size}}}"#)
                })
                .collect();
            let text =
                format!(r#"{{"process":{{"user":{{"{field}":{id}}}}},"linux":{{"{list}":[{}]}}}}"#, entries.join(","));
            let expected = expected.ok_or((Fault::UnmappedUser, format!("process.user.{field}")));
            let found = settings(&text).map(|(_, uid, gid)| if field == "uid" { uid } else { gid });
            assert_eq!(found, expected, "{text}");
        }
    }
}

#[rustfmt::skip]
const REFUSED: &[(&str, Fault, &str, &str)] = &[
    ("", Fault::Syntax, "", "not valid JSON: EOF while parsing a value"),
    ("{}x", Fault::Syntax, "", "not valid JSON: trailing characters"),
    ("[]", Fault::WrongType, "", "the document is not an object"),
    (r#"{"process":[]}"#, Fault::WrongType, "process", "process is not an object"),
    (r#"{"process":{"terminal":"true"}}"#, Fault::WrongType, "process.terminal", "process.terminal is not a boolean"),
    (r#"{"process":{"terminal":1}}"#, Fault::WrongType, "process.terminal", "process.terminal is not a boolean"),
    (r#"{"process":{"terminal":1e999}}"#, Fault::WrongType, "process.terminal", "process.terminal is not a boolean"),
    (r#"{"process":{"terminal":{}}}"#, Fault::WrongType, "process.terminal", "process.terminal is not a boolean"),
    (r#"{"process":{"user":"root"}}"#, Fault::WrongType, "process.user", "process.user is not an object"),
    (r#"{"process":{"user":{"uid":"0"}}}"#, Fault::WrongType, "process.user.uid", "process.user.uid is not a number"),
    (r#"{"process":{"user":{"uid":true}}}"#, Fault::WrongType, "process.user.uid", "process.user.uid is not a number"),
    (r#"{"process":{"user":{"gid":-1}}}"#, Fault::Number, "process.user.gid", "process.user.gid is not a number from 0 to 4294967295 in plain digits"),
    (r#"{"process":{"user":{"gid":1e999}}}"#, Fault::Number, "process.user.gid", "process.user.gid is not a number from 0 to 4294967295 in plain digits"),
    (r#"{"process":{"user":{"uid":4294967296}}}"#, Fault::Number, "process.user.uid", "process.user.uid is not a number from 0 to 4294967295 in plain digits"),
    (r#"{"linux":{"uidMappings":[{"size":-0}]}}"#, Fault::Number, "linux.uidMappings[0].size", "linux.uidMappings[0].size is not a number from 0 to 4294967295 in plain digits"),
    (r#"{"linux":{"uidMappings":{}}}"#, Fault::WrongType, "linux.uidMappings", "linux.uidMappings is not an array"),
    (r#"{"linux":{"uidMappings":[[]]}}"#, Fault::WrongType, "linux.uidMappings[0]", "linux.uidMappings[0] is not an object"),
    (r#"{"linux":{"gidMappings":[{},7]}}"#, Fault::WrongType, "linux.gidMappings[1]", "linux.gidMappings[1] is not an object"),
    (r#"{"Process":{}}"#, Fault::FoldedKey, "process", r#"the key "Process" means process to Go, which ignores case, but is unknown to other parsers"#),
    (r#"{"process":{"u\u017fer":{}}}"#, Fault::FoldedKey, "process.user", r#"the key "u\u{17f}er" means process.user to Go, which ignores case, but is unknown to other parsers"#),
    (r#"{"process":{"TERMINAL":true}}"#, Fault::FoldedKey, "process.terminal", r#"the key "TERMINAL" means process.terminal to Go, which ignores case, but is unknown to other parsers"#),
    (r#"{"process":{"user":{"UID":1}}}"#, Fault::FoldedKey, "process.user.uid", r#"the key "UID" means process.user.uid to Go, which ignores case, but is unknown to other parsers"#),
    (r#"{"linux":{"UIDMappings":1}}"#, Fault::FoldedKey, "linux.uidMappings", r#"the key "UIDMappings" means linux.uidMappings to Go, which ignores case, but is unknown to other parsers"#),
    (r#"{"process":{},"process":{}}"#, Fault::DuplicateKey, "process", "process appears twice: Go merges the two, other parsers take the first or the last"),
    (r#"{"process":{"user":{"uid":1,"uid":1}}}"#, Fault::DuplicateKey, "process.user.uid", "process.user.uid appears twice: Go merges the two, other parsers take the first or the last"),
    (r#"{"linux":{"uidMappings":[],"uidMappings":[]}}"#, Fault::DuplicateKey, "linux.uidMappings", "linux.uidMappings appears twice: Go merges the two, other parsers take the first or the last"),
    (r#"{"x":"\ud800"}"#, Fault::Surrogate, "", "an escape encodes half a surrogate pair"),
    (r#"{"process":{"user":{"uid":5}},"linux":{"uidMappings":[{}]}}"#, Fault::UnmappedUser, "process.user.uid", "process.user.uid is 5, which linux.uidMappings does not cover"),
    (r#"{"process":{"user":{"gid":4294967295}}}"#, Fault::UnmappedUser, "process.user.gid", "process.user.gid is 4294967295 on the host, where the largest id is 4294967294"),
];

#[test]
fn refusals_say_what_and_where() {
    for (text, fault, place, message) in REFUSED {
        let error = task_settings(text.as_bytes()).unwrap_err();
        assert_eq!((error.fault, &*error.place, &*error.message), (*fault, *place, *message), "{text}");
    }
}

#[test]
fn unknown_keys_hold_anything() {
    let text = r#"{"terminal":7,"user":7,"uid":1,"UID":2,"linux":{"process":1,"user":2,"x":1e999},
        "process":{"linux":1,"uid":"x","Uid":0,"args":[{"terminal":1,"terminal":2}],
                   "user":{"terminal":1,"username":"x","additionalGids":[-1],"uid":3}}}"#;
    assert_eq!(settings(text), Ok((false, 3, 0)));
}
