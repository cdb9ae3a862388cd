//! The answers of the original, recorded: `go-gid-vectors.tsv` and three real specs.

use dunnage_policy::spec::{Fault, remapped_gid};

use crate::oracle;

const VECTORS: &str = include_str!("../../../tests/data/go-gid-vectors.tsv");

/// Input, and the original's answer; `None` is an error.
fn vectors() -> Vec<(Vec<u8>, Option<u32>)> {
    let vector = |line: &str| {
        let (input, answer) = line.split_once('\t').unwrap();
        (base64(input), (answer != "ERR").then(|| answer.parse().unwrap()))
    };
    VECTORS.lines().map(vector).collect()
}

fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bits = 0_u32;
    let mut bytes = Vec::new();
    for (count, digit) in (1..).zip(text.bytes().filter(|digit| *digit != b'=')) {
        let value = ALPHABET.iter().position(|letter| *letter == digit).unwrap();
        bits = bits << 6 | u32::try_from(value).unwrap();
        let extra = count * 6 % 8;
        if extra < 6 {
            bytes.push((bits >> extra) as u8);
        }
    }
    bytes
}

/// Where the policy refuses, by the number of the vector; everywhere else it must answer.
fn refusal(number: usize) -> Option<Fault> {
    Some(match number {
        7 | 8 | 12..=14 | 18..=20 | 22 | 24 | 26 | 27 => Fault::FoldedKey,
        28..=36 => Fault::DuplicateKey,
        37 | 60..=65 | 72 | 73 | 76 => Fault::Number,
        42..=59 | 103 | 106 => Fault::WrongType,
        66..=71 | 78..=87 | 93..=95 | 99..=102 | 104 | 105 => Fault::Syntax,
        89 => Fault::Encoding,
        91 | 92 => Fault::Surrogate,
        107 | 108 => Fault::WrongType,
        _ => return None,
    })
}

#[test]
fn every_vector_has_the_originals_answer_or_its_own_refusal() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 110);
    for (number, (input, original)) in vectors.iter().enumerate() {
        let shown = input.escape_ascii();
        let answer = remapped_gid(input).map_err(|error| error.fault);
        match refusal(number) {
            Some(fault) => assert_eq!(answer, Err(fault), "{number}: {shown}"),
            None => assert_eq!(answer.ok(), *original, "{number}: {shown}"),
        }
        // What the original accepts is refused only for what two readers could take differently.
        if let (Some(_), Err(fault)) = (original, answer) {
            let ambiguous = [Fault::FoldedKey, Fault::DuplicateKey, Fault::Encoding, Fault::Surrogate];
            assert!(ambiguous.contains(&fault), "{number}: {shown}");
        }
    }
    assert_eq!(vectors.iter().enumerate().filter(|(number, _)| refusal(*number).is_none()).count(), 29);
}

/// The oracle is only worth something if it is the original.
#[test]
fn the_oracle_answers_as_the_original() {
    for (number, (input, original)) in vectors().iter().enumerate() {
        assert_eq!(oracle::rule(input).original, *original, "{number}: {}", input.escape_ascii());
    }
}

#[test]
fn real_specs() {
    for (spec, gid) in [
        (&include_bytes!("../../../tests/data/plain.json")[..], 0),
        (include_bytes!("../../../tests/data/userns.json"), 100_000),
        (include_bytes!("../../../tests/data/seccomp.json"), 100_000),
    ] {
        assert_eq!(remapped_gid(spec), Ok(gid));
        let ruling = oracle::rule(spec);
        assert_eq!((ruling.original, ruling.refusals), (Some(gid), vec![]));
    }
}

/// Rows of the table in `reference/go-json.md` that no vector holds.
#[test]
fn nesting_goes_as_deep_as_in_go() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for (outer, gid) in [("{\"x\":", 7), ("{\"linux\":{\"x\":", 7)] {
            let levels = outer.matches('{').count();
            let spec = |depth: usize| {
                let inner = open.repeat(depth - levels) + "1" + &close.repeat(depth - levels);
                let mappings = "\"gidMappings\":[{\"hostID\":7}]}";
                if levels == 1 {
                    format!("{outer}{inner},\"linux\":{{{mappings}}}")
                } else {
                    format!("{outer}{inner},{mappings}}}")
                }
            };
            assert_eq!(remapped_gid(spec(10_000).as_bytes()), Ok(gid));
            assert_eq!(remapped_gid(spec(10_001).as_bytes()).unwrap_err().fault, Fault::Depth);
            assert_eq!(oracle::rule(spec(10_000).as_bytes()).original, Some(gid));
            assert_eq!(oracle::rule(spec(10_001).as_bytes()).original, None);
        }
    }
}

/// An escaped key is the key; what only looks like one is another.
#[test]
fn keys() {
    for (key, expected) in [
        ("linux", Ok(7)),
        ("\\u006cinux", Ok(7)),
        ("\\u006c\\u0069\\u006E\\u0075\\u0078", Ok(7)),
        ("\\u004cinux", Err(Fault::FoldedKey)),
        ("linu\\u0058", Err(Fault::FoldedKey)),
        ("linux\\u0000", Ok(0)),
        ("linux ", Ok(0)),
        (" linux", Ok(0)),
        ("", Ok(0)),
        ("lınux", Ok(0)),
        ("lİnux", Ok(0)),
        ("ｌinux", Ok(0)),
        ("linu\u{445}", Ok(0)),
        ("\\\\u006cinux", Ok(0)),
    ] {
        let spec = format!(r#"{{"{key}":{{"gidMappings":[{{"hostID":7}}]}}}}"#);
        assert_eq!(remapped_gid(spec.as_bytes()).map_err(|error| error.fault), expected, "{key}");
    }
}

#[test]
fn known_keys_elsewhere_are_unknown_keys() {
    let spec = br#"{"gidMappings":[1],"hostID":-1,"hostid":2,"hostid":3,"LinuxX":{"linux":0},
        "linux":{"linux":1,"Linux":2,"containerID":"x","size":{},"SIZE":0,
                 "gidMappings":[{"linux":1,"LINUX":2,"gidmappings":[],"hostID":9}]}}"#;
    assert_eq!(remapped_gid(spec), Ok(9));
}
