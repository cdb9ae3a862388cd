use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::*;

fn fault(spec: &[u8]) -> Option<(Fault, u32, u32)> {
    check(spec).err().map(|error| (error.fault, error.line, error.column))
}

#[test]
fn text_that_is_not_utf8() {
    for (text, column) in [
        (&b"\xff"[..], 1),
        (b"{\"x\xc3(\":1}", 4),
        (b"{\"\xed\xa0\x80\" :1}", 3),
        (b"[\"\xff\",\xff]", 6),
        (b"{\"a\":\"\xff\",\"\xff\"\n:1}", 11),
        (b"\"\" \xf0\x9f\x98", 4),
    ] {
        assert_eq!(fault(text), Some((Fault::Encoding, 1, column)), "{text:x?}");
    }
    assert_eq!(fault(b"{\n\n  \"\x80\": 1"), Some((Fault::Encoding, 3, 4)));
    assert_eq!(fault("{\"é\":\"\u{feff}\u{10ffff}\u{d7ff}\u{e000}\"}".as_bytes()), None);
    assert_eq!(fault("\u{feff}{}".as_bytes()), Some((Fault::Syntax, 1, 1)));
}

#[test]
fn values_that_are_not_utf8_are_read_as_go_reads_them() {
    for text in [
        &b"{\"x\":\"\xc3(\"}"[..],
        b"[\"\xed\xa0\x80\", \"\xc0\xaf\\\"\xff\"]",
        b"\"\xf4\x90\x80\x80\"",
        b"{\"\xc3\xa9\":\"\xe9\"}",
    ] {
        assert_eq!(fault(text), None, "{text:x?}");
    }
    assert_eq!(check(b"{\"x\":\"\xe9\"}").unwrap(), "{\"x\":\"\u{fffd}\"}");
}

#[test]
fn escapes_of_surrogates() {
    for (text, column) in [
        (r#""\ud800""#, 2),
        (r#""\uDFFF""#, 2),
        (r#""\udc00\ud800""#, 2),
        (r#""\ud800\u0041""#, 2),
        (r#""\ud800x""#, 2),
        (r#""\ud800\n""#, 2),
        (r#""\ud800\ud800\udc00""#, 2),
        (r#""\ud83d\ude00\ud83d""#, 14),
        (r#""\\\ud800""#, 4),
        (r#"{"\udbff":1}"#, 3),
        (r#"[1,["\uDAbc"]]"#, 6),
    ] {
        assert_eq!(fault(text.as_bytes()), Some((Fault::Surrogate, 1, column)), "{text}");
    }
    for text in [
        r#""\ud83d\ude00""#,
        r#""\uD83D\uDE00\uDBFF\uDFFF""#,
        r#""\\ud800""#,
        r#""\\\\ud800""#,
        r#""\ud7ff\ue000""#,
        r#""\u00e9\"\ud83d\ude00""#,
        r#""ud800""#,
        r#""\ud8""#,
        r#""\udzzz""#,
        r#""\ud"#,
        r#""\"#,
    ] {
        assert_eq!(fault(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn every_escape() {
    for unit in 0..=0xffff_u16 {
        for text in [format!("\"\\u{unit:04x}\""), format!("\"\\u{unit:04X}\"")] {
            let expected = matches!(unit, 0xd800..=0xdfff).then_some((Fault::Surrogate, 1, 2));
            assert_eq!(fault(text.as_bytes()), expected, "{text}");
        }
    }
}

fn nested(depth: usize, open: &str, close: &str) -> String {
    open.repeat(depth) + &close.repeat(depth)
}

#[test]
fn nesting() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        assert_eq!(fault(nested(10_000, open, close).as_bytes()), None);
        let column = u32::try_from(10_000 * open.len() + 1).unwrap();
        assert_eq!(fault(nested(10_001, open, close).as_bytes()), Some((Fault::Depth, 1, column)));
    }
    let flat: String = "[{}],".repeat(10_000);
    assert_eq!(fault(flat.as_bytes()), None, "many brackets, but not in each other");
    let quoted = "[\"".to_string() + &"[{\\\"".repeat(10_000) + "\"]";
    assert_eq!(fault(quoted.as_bytes()), None, "brackets in a string");
    let behind = nested(9_999, "[", "]") + "," + &nested(10_001, "[", "]");
    assert_eq!(fault(behind.as_bytes()).map(|(fault, ..)| fault), Some(Fault::Depth));
    assert_eq!(fault(("]".repeat(20_000) + &"[".repeat(10_000)).as_bytes()), None, "syntax is for the reader");
}

/// The glance is only a glance: whatever it lets pass, the walk would have let pass too.
#[test]
fn the_glance_overlooks_nothing() {
    let pieces: [&[u8]; 12] =
        [b"\"", b"\\", b"u", b"d8", b"DF", b"00", b"[", b"{", b"\\ud83d", b"\\ude00", b"abc", b"1"];
    let mut state = 1_u64;
    for _ in 0..50_000 {
        let mut text = Vec::new();
        for _ in 0..12 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.extend_from_slice(pieces[(state >> 33) as usize % pieces.len()]);
        }
        assert_eq!(check(&text).is_err(), walk(&text).is_err(), "{}", text.escape_ascii());
        let brackets = text.iter().filter(|byte| matches!(byte, b'{' | b'[')).count();
        assert!(opening_brackets(&text) >= brackets, "{}", text.escape_ascii());
    }
    let every_byte: Vec<u8> = (0..=255).flat_map(|byte| [byte, 0x5b, byte]).collect();
    assert!(opening_brackets(&every_byte) >= 256 + 4);
}
