use alloc::string::String;

use super::*;

#[test]
fn valid() {
    let longest = "a".repeat(76);
    let mixed = String::from("0_") + &"a-".repeat(36) + "zz";
    assert_eq!(mixed.len(), 76);
    for identifier in
        ["a", "Z", "0", "default", "new-bundle-0", "a.b_c-d", "A1.b2", "0.0", "k8s.io", "1-2-3", &longest, &mixed]
    {
        assert_eq!(check(identifier), Ok(()), "{identifier}");
    }
}

#[test]
fn invalid() {
    let long = "a".repeat(77);
    let long_and_bad = "é".repeat(39);
    let cases: &[(&str, Fault)] = &[
        ("", Fault::Empty),
        (&long, Fault::TooLong(77)),
        (&long_and_bad, Fault::TooLong(78)),
        (".", Fault::Character('.', 0)),
        ("..", Fault::Character('.', 0)),
        ("...", Fault::Character('.', 0)),
        ("-a", Fault::Character('-', 0)),
        ("_a", Fault::Character('_', 0)),
        (".a", Fault::Character('.', 0)),
        ("/", Fault::Character('/', 0)),
        ("a/b", Fault::Character('/', 1)),
        ("../../etc", Fault::Character('.', 0)),
        ("a..b", Fault::Character('.', 2)),
        ("a--b", Fault::Character('-', 2)),
        ("a__b", Fault::Character('_', 2)),
        ("a._b", Fault::Character('_', 2)),
        ("a-.b", Fault::Character('.', 2)),
        ("a.-", Fault::Character('-', 2)),
        ("a.", Fault::EndsWithSeparator),
        ("a-", Fault::EndsWithSeparator),
        ("a_", Fault::EndsWithSeparator),
        ("a b", Fault::Character(' ', 1)),
        (" a", Fault::Character(' ', 0)),
        ("a\n", Fault::Character('\n', 1)),
        ("a\0b", Fault::Character('\0', 1)),
        ("a\u{7f}", Fault::Character('\u{7f}', 1)),
        ("a@b", Fault::Character('@', 1)),
        ("a:b", Fault::Character(':', 1)),
        ("a+b", Fault::Character('+', 1)),
        ("a\\b", Fault::Character('\\', 1)),
        ("aé", Fault::Character('é', 1)),
        ("日本", Fault::Character('日', 0)),
        ("a\u{301}", Fault::Character('\u{301}', 1)),
        ("Ａ", Fault::Character('Ａ', 0)),
        ("aſ", Fault::Character('ſ', 1)),
        ("a\u{202e}b", Fault::Character('\u{202e}', 1)),
    ];
    for (identifier, fault) in cases {
        assert_eq!(check(identifier), Err(*fault), "{identifier:?}");
    }
}

#[test]
fn the_namespace_comes_first() {
    assert_eq!(check_both("", ""), Err(Error { part: Part::Namespace, fault: Fault::Empty }));
    assert_eq!(check_both("default", ""), Err(Error { part: Part::Id, fault: Fault::Empty }));
    assert_eq!(check_both("default", "a"), Ok(()));
}

/// Every short text over an alphabet of letters, separators and others, against the original's
/// expression, read as a machine: groups of letters and digits with one separator between them.
#[test]
fn every_short_text() {
    const ALPHABET: [char; 6] = ['a', '0', '.', '_', '-', '/'];
    let mut texts = alloc::vec![String::new()];
    for _ in 0..6 {
        texts = texts
            .iter()
            .flat_map(|text| ALPHABET.map(|character| text.clone() + character.encode_utf8(&mut [0; 4])))
            .collect();
        for text in &texts {
            let groups = || text.split(['.', '_', '-']);
            let matches = groups().all(|group| !group.is_empty() && !group.contains('/'));
            assert_eq!(check(text).is_ok(), matches, "{text}");
        }
    }
}
