use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::block::{self, Masks};
use super::*;
use crate::spec::{quick_remapped_gid, thorough_remapped_gid};

fn skips(value: &str) -> bool {
    skips_behind("x", value)
}

/// The same in another place of a block, without the blanks that fill up the last one.
fn skips_behind(key: &str, value: &str) -> bool {
    let long = "y".repeat(2 * block::SIZE);
    let spec = format!(r#"{{"{key}":{value},"{long}":0,"linux":{{"gidMappings":[{{"hostID":7}}]}}}}"#);
    let quick = quick_remapped_gid(spec.as_bytes());
    if let Some(gid) = quick {
        assert_eq!((gid, thorough_remapped_gid(spec.as_bytes())), (7, Ok(7)), "{value}");
    }
    quick.is_some()
}

#[test]
fn what_is_not_looked_at_may_be_any_json() {
    let long = "a".repeat(200);
    for value in [
        "{}",
        "[]",
        " [ ] ",
        "[[],{}]",
        r#"{"a":{"b":[1,"2",null]},"c":false}"#,
        r#"{"a":1,"a":2}"#,
        "-0",
        "0.0E-7",
        "1e999999",
        "[true,false,null]",
        r#""""#,
        r#""\"\\\/\b\f\n\r\t\u00e9\uD7ff\ue000""#,
        "\"\u{7f}é\u{10ffff}\"",
        "\r\n\t{ \"a\" :\n[ 1 , 2 ]\t}",
        &format!("[\"{long}\",\"{long}\"]"),
    ] {
        assert!(skips(value), "{value}");
    }
}

#[test]
fn what_is_no_json_is_left_to_the_other() {
    for value in [
        "",
        "{",
        "[",
        "}",
        "]",
        ",",
        ":",
        "[,]",
        "[1,]",
        "[1 2]",
        "[1:2]",
        "{,}",
        "{1:2}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{"a" "b"}"#,
        r#"{"a":1 "b":2}"#,
        r#"["a" "b"]"#,
        r#""a"1"#,
        r#"1"a""#,
        r#""a""b""#,
        "[}",
        "{]",
        "[[]",
        "[]]",
        "01",
        "-",
        "-01",
        "+1",
        "1.",
        ".1",
        "1e",
        "1e+",
        "0x1",
        "1a",
        "nul",
        "nulll",
        "True",
        "NaN",
        r#""\x""#,
        r#""\u12""#,
        r#""\u12g4""#,
        r#""\ud800""#,
        r#""\udfff""#,
        "\"\n\"",
        "\"\0\"",
        "\u{c}1",
        "[\u{1a}]",
        "\u{a0}1",
        "1\\",
        "\\\"",
        "[1\\,2]",
    ] {
        assert!(!skips(value), "{value}");
    }
}

/// Each of these is read by the other, or refused with a good message.
#[test]
fn what_is_uncommon_is_left_to_the_other() {
    for spec in [
        "null",
        "{}x",
        r#"{"Linux":{}}"#,
        r#"{"\u006cinux":{}}"#,
        r#"{"lınux":{}}"#,
        r#"{"linux":{},"linux":{}}"#,
        r#"{"linux":null}"#,
        r#"{"linux":[]}"#,
        r#"{"linux":{"gidMappings":null}}"#,
        r#"{"linux":{"gidMappings":{}}}"#,
        r#"{"linux":{"gidMappings":[null]}}"#,
        r#"{"linux":{"gidMappings":[{},[]]}}"#,
        r#"{"linux":{"gidMappings":[{"hostid":1}]}}"#,
        r#"{"linux":{"gidMappings":[{"size":1,"size":1}]}}"#,
        r#"{"linux":{"gidMappings":[{"hostID":"7"}]}}"#,
        r#"{"linux":{"gidMappings":[{"hostID":null}]}}"#,
        r#"{"linux":{"gidMappings":[{"hostID":07}]}}"#,
        r#"{"linux":{"gidMappings":[{"hostID":7.0}]}}"#,
        r#"{"linux":{"gidMappings":[{"hostID":-0}]}}"#,
        r#"{"linux":{"gidMappings":[{"size":4294967296}]}}"#,
        r#"{"linux":{"gidMappings":[{"hostID":4294967295}]}}"#,
    ] {
        assert_eq!(quick_remapped_gid(spec.as_bytes()), None, "{spec}");
    }
}

#[test]
fn nesting_is_followed_some_way() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(skips(&nested(61)));
    assert!(!skips(&nested(62)));
    assert!(skips(&("{\"a\":[".repeat(30) + &"]}".repeat(30))));
    assert!(!skips(&("{\"a\":[".repeat(30) + "]}" + &"}]".repeat(29))));
    let levels: Vec<String> = (1..60).map(nested).collect();
    assert!(skips(&format!("[{}]", levels.join(","))));
}

/// Tokens and escapes that lie across the border of two blocks are found all the same.
#[test]
fn every_place_in_a_block() {
    for before in 0..130 {
        let (space, key) = (" ".repeat(before), "x".repeat(before));
        for value in [r#""a\\\"b""#, r#""\\""#, r#""\u00e9\n""#, "-12.5e+3", "null", r#"{"a":[1,2]}"#, "\"é\""] {
            assert!(skips(&(space.clone() + value)), "{space}{value}");
            assert!(skips_behind(&key, value), "{key} {value}");
        }
        for value in [
            r#""\\"""#,
            r#""\""#,
            "nulll",
            "12.5e+",
            "\"\n\"",
            r#"{"a":[1,2}"#,
            r#""\ud83d\ude00""#,
            "1\u{1}",
            "[1,]",
            r#"{"a":}"#,
            r#"{"a"}"#,
            r#"["a":1]"#,
            "{1:2}",
        ] {
            assert!(!skips(&(space.clone() + value)), "{space}{value}");
            assert!(!skips_behind(&key, value), "{key} {value}");
        }
    }
}

#[test]
fn text_that_is_not_utf8() {
    let spec = |bytes: &[u8]| [b"{\"x\":\"".as_slice(), bytes, b"\"}"].concat();
    assert_eq!(quick_remapped_gid(&spec("é".as_bytes())), Some(0));
    for bytes in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf"] {
        assert_eq!(quick_remapped_gid(&spec(bytes)), None, "{bytes:x?}");
    }
}

#[test]
fn a_block_byte_by_byte() {
    for byte in 0..=u8::MAX {
        for at in 0..block::SIZE {
            let mut block = [b'a'; block::SIZE];
            block[at] = byte;
            let mark = |is: bool| u64::from(is) << at;
            let is_line = matches!(byte, b'\t' | b'\n' | b'\r');
            let found = block::masks(&block);
            let expected = Masks {
                quotes: mark(byte == b'"'),
                backslashes: mark(byte == b'\\'),
                opens: mark(b"{[".contains(&byte)),
                closes: mark(b"}]".contains(&byte)),
                commas: mark(byte == b','),
                colons: mark(byte == b':'),
                blanks: mark(byte <= b' '),
                line_controls: mark(is_line),
                other_controls: mark(byte < b' ' && !is_line),
                beyond_ascii: mark(!byte.is_ascii()),
            };
            assert_eq!(found, expected, "{byte} at {at}");
        }
    }
}

#[test]
fn scalars() {
    for (text, number) in [
        ("0", Some(0)),
        ("7,", Some(7)),
        ("4294967295]", Some(u32::MAX)),
        ("4294967296", None),
        ("00", None),
        ("1e3", None),
    ] {
        assert_eq!(scalar::plain_number(text.as_bytes()), number, "{text}");
    }
    assert_eq!(scalar::plain_number("9".repeat(40).as_bytes()), None);
    for (text, value) in [("true}", Some(true)), ("false", Some(false)), ("truex", None), ("null", None)] {
        assert_eq!(scalar::boolean(text.as_bytes()), value, "{text}");
    }
}
