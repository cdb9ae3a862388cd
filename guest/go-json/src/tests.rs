use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Document<'a> {
    #[serde(borrow)]
    masked: Cow<'a, str>,
    flag: bool,
    small: u8,
    signed: i64,
    real: f64,
    maybe: Option<u32>,
    list: Vec<Inner>,
    #[serde(borrow)]
    map: BTreeMap<Cow<'a, str>, u32>,
    inner: Inner,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Inner {
    value: u32,
    more: Vec<String>,
}

fn fault(text: &str) -> (Fault, String, String) {
    let error = check(text.as_bytes()).and_then(|text| read::<Document<'_>>(&text).map(drop)).unwrap_err();
    (error.fault, error.place, error.pointer)
}

fn at(fault: Fault, place: &str, pointer: &str) -> (Fault, String, String) {
    (fault, place.into(), pointer.into())
}

#[test]
fn null_is_the_zero_value_and_what_is_unknown_is_skipped() {
    let null = r#"{"masked":null,"flag":null,"small":null,"signed":null,"real":null,"maybe":null,"list":null,
        "map":null,"inner":null,"other":{"MASKED":[1,{"masked":1,"masked":2}]}}"#;
    assert_eq!(read::<Document<'_>>(null), Ok(Document::default()));
    assert_eq!(read::<Document<'_>>("null"), Ok(Document::default()));
    let text = r#"{"masked":"a\u0041","map":{"A":1,"a":2},"list":[{"value":7},null],"signed":-5,"small":255}"#;
    let document = read::<Document<'_>>(text).unwrap();
    assert_eq!((&*document.masked, document.signed, document.small), ("aA", -5, 255));
    assert_eq!(document.list, [Inner { value: 7, more: Vec::new() }, Inner::default()]);
    assert_eq!(document.map.len(), 2, "to Go these are two keys");
}

#[test]
fn text_without_escapes_is_not_copied() {
    let text = String::from(r#"{"masked":"x","map":{"key":1}}"#);
    let document = read::<Document<'_>>(&text).unwrap();
    assert!(matches!(document.masked, Cow::Borrowed(_)));
}

#[test]
fn what_two_readers_understand_differently_is_refused() {
    let folded = |key: &str, name: &str, pointer: &str| {
        assert_eq!(fault(&format!("{{{key}:1}}")), at(Fault::FoldedKey, name, pointer), "{key}");
    };
    folded("\"Masked\"", "masked", "/masked");
    // The Kelvin sign, as itself and escaped, and the long s.
    folded("\"mas\u{212a}ed\"", "masked", "/masked");
    folded(r#""mas\u212Aed""#, "masked", "/masked");
    folded("\"li\u{17f}t\"", "list", "/list");
    assert_eq!(fault(r#"{"flag":true,"flag":true}"#), at(Fault::DuplicateKey, "flag", "/flag"));
    assert_eq!(fault(r#"{"map":{"a/b~":1,"a/b~":1}}"#), at(Fault::DuplicateKey, "map.a/b~", "/map/a~1b~0"));
    assert_eq!(
        fault(r#"{"list":[{},{"value":1,"value":1}]}"#),
        at(Fault::DuplicateKey, "list[1].value", "/list/1/value")
    );
}

#[test]
fn values_are_of_their_type_and_numbers_in_plain_digits() {
    for (member, fault_, place, pointer) in [
        (r#""masked":1"#, Fault::WrongType, "masked", "/masked"),
        (r#""flag":"true""#, Fault::WrongType, "flag", "/flag"),
        (r#""flag":0"#, Fault::WrongType, "flag", "/flag"),
        (r#""small":256"#, Fault::Number, "small", "/small"),
        (r#""small":-1"#, Fault::Number, "small", "/small"),
        (r#""small":1.0"#, Fault::Number, "small", "/small"),
        (r#""small":1e0"#, Fault::Number, "small", "/small"),
        (r#""small":1e999"#, Fault::Number, "small", "/small"),
        (r#""signed":9223372036854775808"#, Fault::Number, "signed", "/signed"),
        (r#""maybe":-0"#, Fault::Number, "maybe", "/maybe"),
        (r#""list":{}"#, Fault::WrongType, "list", "/list"),
        (r#""list":[[]]"#, Fault::WrongType, "list[0]", "/list/0"),
        (r#""inner":[1]"#, Fault::WrongType, "inner", "/inner"),
        (r#""inner":{"more":["a",2]}"#, Fault::WrongType, "inner.more[1]", "/inner/more/1"),
        (r#""map":{"k":"v"}"#, Fault::WrongType, "map.k", "/map/k"),
        (r#""masked":"/etc\u0000""#, Fault::WrongType, "masked", "/masked"),
        (r#""inner":{"more":["a","\u0000"]}"#, Fault::WrongType, "inner.more[1]", "/inner/more/1"),
    ] {
        assert_eq!(fault(&format!("{{{member}}}")), at(fault_, place, pointer), "{member}");
    }
    assert_eq!(fault("[]"), at(Fault::WrongType, "", ""));
    assert_eq!(fault("{} x"), at(Fault::Syntax, "", ""));
    assert_eq!(fault(r#"{"other":}"#), at(Fault::Syntax, "", ""));
}

#[test]
fn an_error_is_one_sentence_with_its_place() {
    let error = read::<Document<'_>>("{\n  \"small\": 300\n}").unwrap_err();
    assert_eq!(error.to_string(), "small is not a number from 0 to 255 in plain digits (line 2, column 14)");
}

#[test]
fn what_is_skipped_may_be_nested_as_deep_as_go_reads() {
    let deep = |levels: usize| format!("{{\"other\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    for (levels, is_refused) in [(9_999, false), (10_000, true), (1_000_000, true)] {
        let text = deep(levels);
        let found = check(text.as_bytes()).and_then(|text| read::<Document<'_>>(&text).map(drop));
        assert_eq!(found.map_err(|error| error.fault), if is_refused { Err(Fault::Depth) } else { Ok(()) }, "{levels}");
    }
}

proptest! {
    /// Where nothing is refused, the answer is serde_json's.
    #[test]
    fn it_reads_what_serde_json_reads(
        masked in "\\PC{0,8}", flag: bool, small: u8, signed: i64, value: u32,
        keys in proptest::collection::btree_set("[a-zA-Z]{1,3}", 0..5), extra in "[d-e]{1,3}",
    ) {
        let map: BTreeMap<_, _> = keys.iter().map(|key| (key.clone(), value)).collect();
        let json = serde_json::json!({
            "masked": masked, "flag": flag, "small": small, "signed": signed, "map": map,
            "list": [{"value": value, "more": [masked]}], extra: [masked, {"x": value}],
        });
        let text = json.to_string();
        prop_assert_eq!(read::<Document<'_>>(&text).unwrap(), serde_json::from_str::<Document<'_>>(&text).unwrap());
    }

    #[test]
    fn it_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(text) = check(&bytes) {
            let _ = read::<Document<'_>>(&text);
        }
    }
}
