//! What the original's function made of 110 specs (`reference/go-json.md`).

use dunnage::{ErrorKind, Spec};
use dunnage_tests::{Scratch, specs};

/// The classes of refusal, and words that every message of the class has and no other.
const CLASSES: [(&str, &str); 8] = [
    ("syntax", "not valid JSON"),
    ("folded", "to Go, which ignores case"),
    ("duplicate", "appears twice"),
    ("encoding", "not UTF-8"),
    ("surrogate", "half a surrogate pair"),
    ("number", "in plain digits"),
    ("type", " is not a"),
    ("depth", "nested deeper"),
];

/// The vectors that the original answers and that two readers could understand differently: the
/// lines, and why they are refused here. All other answers of the original are ours too.
const AMBIGUOUS: [(&str, &[usize]); 3] = [
    ("folded", &[8, 9, 13, 14, 15, 19, 20, 21, 23, 27, 28]),
    ("duplicate", &[29, 30, 31, 32, 33, 34, 35, 36, 37]),
    ("surrogate", &[92, 93]),
];

fn class_of(message: &str) -> &'static str {
    let fits = CLASSES.iter().filter(|(class, words)| {
        // "is not a number from 0 to … in plain digits" is about the number, not the type.
        message.contains(words) && !(*class == "type" && message.contains("in plain digits"))
    });
    let found: Vec<_> = fits.map(|(class, _)| *class).collect();
    assert_eq!(found.len(), 1, "the message has to say which class it is: {message}");
    found[0]
}

#[test]
fn every_vector_gives_the_answer_of_the_original_or_a_refusal_that_says_why() {
    let scratch = Scratch::new();
    let dunnage = scratch.dunnage();
    let text = std::fs::read_to_string(specs::data("go-gid-vectors.tsv")).unwrap();
    let mut count = 0;
    for (line, row) in (1..).zip(text.lines()) {
        let (input, original) = row.split_once('\t').expect("two columns");
        let input = decode_base64(input);
        let shown = String::from_utf8_lossy(&input[..input.len().min(200)]).into_owned();
        let answer = dunnage.remapped_gid(&Spec::new(input));
        let ambiguous = AMBIGUOUS.iter().find(|(_, lines)| lines.contains(&line)).map(|(class, _)| *class);
        match (answer, original, ambiguous) {
            (Err(error), "ERR", None) => {
                assert_eq!(error.kind(), ErrorKind::InvalidSpec, "line {line}: {shown}: {error}");
                class_of(&error.to_string());
            }
            (Err(error), _, Some(class)) if original != "ERR" => {
                assert_eq!(error.kind(), ErrorKind::InvalidSpec, "line {line}: {shown}: {error}");
                assert_eq!(class_of(&error.to_string()), class, "line {line}: {shown}: {error}");
            }
            (Ok(gid), number, None) if number != "ERR" => {
                assert_eq!(gid.to_string(), number, "line {line}: {shown}");
            }
            (answer, ..) => panic!("line {line}: {shown}: the original says {original}, we say {answer:?}"),
        }
        count += 1;
    }
    assert_eq!(count, 110);
}

fn decode_base64(text: &str) -> Vec<u8> {
    let value = |byte| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        other => panic!("{other} is no digit of base64"),
    };
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'=').map(value).collect();
    let mut bytes = Vec::new();
    for group in digits.chunks(4) {
        let bits = (0..4).fold(0_u32, |bits, place| bits << 6 | u32::from(group.get(place).copied().unwrap_or(0)));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    bytes
}
