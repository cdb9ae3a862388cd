//! What a refusal says; line and column are those where reading stopped. Which inputs are refused is tested against an oracle, in `tests/spec/`.

use super::*;

/// Input, class, place, line, column, message.
#[rustfmt::skip]
const REFUSED: &[(&str, Fault, &str, u32, u32, &str)] = &[
    ("", Fault::Syntax, "", 1, 0, "not valid JSON: EOF while parsing a value"),
    ("{}x", Fault::Syntax, "", 1, 3, "not valid JSON: trailing characters"),
    ("\u{feff}{}", Fault::Syntax, "", 1, 1, "not valid JSON: it starts with a byte order mark; save it without one"),
    ("{\n \"linux\": {,}}", Fault::Syntax, "", 2, 12, "not valid JSON: key must be a string"),
    ("[]", Fault::WrongType, "", 1, 2, "the document is not an object"),
    ("7", Fault::WrongType, "", 1, 1, "the document is not an object"),
    ("1e999", Fault::WrongType, "", 1, 5, "the document is not an object"),
    (r#"{"linux":[]}"#, Fault::WrongType, "linux", 1, 11, "linux is not an object"),
    (r#"{"linux":"x"}"#, Fault::WrongType, "linux", 1, 12, "linux is not an object"),
    (r#"{"linux":1e999}"#, Fault::WrongType, "linux", 1, 14, "linux is not an object"),
    (r#"{"linux":{"gidMappings":{}}}"#, Fault::WrongType, "linux.gidMappings", 1, 26, "linux.gidMappings is not an array"),
    (r#"{"linux":{"gidMappings":[{},[]]}}"#, Fault::WrongType, "linux.gidMappings[1]", 1, 30, "linux.gidMappings[1] is not an object"),
    (r#"{"linux":{"gidMappings":[{"hostID":"7"}]}}"#, Fault::WrongType, "linux.gidMappings[0].hostID", 1, 38, "linux.gidMappings[0].hostID is not a number"),
    (r#"{"linux":{"gidMappings":[{"hostID":{}}]}}"#, Fault::WrongType, "linux.gidMappings[0].hostID", 1, 37, "linux.gidMappings[0].hostID is not a number"),
    (r#"{"linux":{"gidMappings":[{"size":7.0}]}}"#, Fault::Number, "linux.gidMappings[0].size", 1, 36, "linux.gidMappings[0].size is not a number from 0 to 4294967295 in plain digits"),
    (r#"{"linux":{"gidMappings":[{"size":1e999}]}}"#, Fault::Number, "linux.gidMappings[0].size", 1, 38, "linux.gidMappings[0].size is not a number from 0 to 4294967295 in plain digits"),
    (r#"{"LINUX":1}"#, Fault::FoldedKey, "linux", 1, 8, r#"the key "LINUX" means linux to Go, which ignores case, but is unknown to other parsers"#),
    (r#"{"linux":{"gidMapping\u017f":1}}"#, Fault::FoldedKey, "linux.gidMappings", 1, 28, r#"the key "gidMapping\u{17f}" means linux.gidMappings to Go, which ignores case, but is unknown to other parsers"#),
    (r#"{"linux":{"gidMappings":[{},{"hoſtID":1}]}}"#, Fault::FoldedKey, "linux.gidMappings[1].hostID", 1, 38, r#"the key "ho\u{17f}tID" means linux.gidMappings[1].hostID to Go, which ignores case, but is unknown to other parsers"#),
    (r#"{"linux":{},"linux":{}}"#, Fault::DuplicateKey, "linux", 1, 19, "linux appears twice: Go merges the two, other parsers take the first or the last"),
    (r#"{"linux":{"gidMappings":[{"size":1,"size":1}]}}"#, Fault::DuplicateKey, "linux.gidMappings[0].size", 1, 41, "linux.gidMappings[0].size appears twice: Go merges the two, other parsers take the first or the last"),
    (r#"{"linux":{"gidMappings":[{"containerID":1},{"hostID":4294967295}]}}"#, Fault::ReservedGroup, "linux.gidMappings[1].hostID", 0, 0, r#"linux.gidMappings[1].hostID is 4294967295, which stands for "no group" and cannot own a bundle"#),
];

#[test]
fn refusals_say_what_and_where() {
    for (text, fault, place, line, column, message) in REFUSED {
        let expected =
            Error { fault: *fault, place: (*place).into(), line: *line, column: *column, message: (*message).into() };
        assert_eq!(remapped_gid(text.as_bytes()), Err(expected), "{text}");
    }
}

#[test]
fn messages_are_safe_and_in_the_house_style() {
    for (text, ..) in REFUSED {
        let message = remapped_gid(text.as_bytes()).unwrap_err().message;
        assert!(message.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{message}");
        assert!(!message.ends_with('.') && !message.starts_with(char::is_uppercase), "{message}");
    }
}
