//! Specs made up, and specs spoilt. What is made depends on bytes that are chosen elsewhere, which
//! lets proptest shrink them; without bytes left the first, plainest choice is taken.

pub(crate) const REAL: [&[u8]; 3] = [
    include_bytes!("../../../tests/data/plain.json"),
    include_bytes!("../../../tests/data/userns.json"),
    include_bytes!("../../../tests/data/seccomp.json"),
];

pub(crate) struct Choices<'a> {
    bytes: std::slice::Iter<'a, u8>,
}

impl<'a> Choices<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes: bytes.iter() }
    }

    fn byte(&mut self) -> u8 {
        self.bytes.next().copied().unwrap_or(0)
    }

    fn below(&mut self, limit: usize) -> usize {
        (usize::from(self.byte()) << 8 | usize::from(self.byte())) % limit.max(1)
    }

    fn one_in(&mut self, chance: u8) -> bool {
        self.byte() % chance == chance - 1
    }

    fn pick<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[usize::from(self.byte()) % of.len()]
    }
}

const UNKNOWN_KEYS: &[&str] = &[
    "x",
    "uidMappings",
    "lınux",
    "linux ",
    "ho\u{1e9e}tID",
    "gidMapping",
    "containerK",
    "",
    "\\u0000",
    "\\ud83d\\ude00",
    "é",
];
const UNKNOWN_VALUES: &[&str] = &[
    "1",
    "null",
    "\"s\"",
    "[]",
    "{}",
    "[1,{\"linux\":2}]",
    "1e999999",
    "-0",
    "-0.0e-7",
    "true",
    "false",
    "\"\\ud83d\\ude00\"",
    "\"\\u003c\"",
    "{\"a\":{\"a\":[[],[]]},\"a\":1}",
    "\"\\ud800\"",
    "\"\\\\ud800\"",
    "\"\u{7f}é\"",
];
const NUMBERS: &[&str] = &["0", "1", "7", "100000", "4294967295", "4294967294"];
const ODD_NUMBERS: &[&str] = &[
    "null",
    "-0",
    "-1",
    "7.0",
    "1e3",
    "1E+2",
    "0.0",
    "4294967296",
    "18446744073709551616",
    "1e400",
    "-1e400",
    "100000000000000000000000000000000000000000",
    "\"7\"",
    "true",
    "[]",
    "[0]",
    "{}",
    "00",
    "+7",
    "7.",
    "0x1",
    "NaN",
    "1e",
    "0e99999999999999999999",
    "1e99999999999999999999",
    "1e-99999999999999999999",
    "9223372036854775808",
];
const SPACE: &[&str] = &["", "", "", " ", "\n", "\t\r\n "];

/// A document that is or could be a spec.
pub(crate) fn specs(choices: &mut Choices<'_>) -> Vec<u8> {
    if choices.one_in(64) {
        return choices
            .pick(&["null", "[]", "7", "\"linux\"", "true", "", "{", "{}{}", "\u{feff}{}"])
            .as_bytes()
            .to_vec();
    }
    let text = object(choices, &["linux"], |choices, _| {
        other(choices).unwrap_or_else(|| object(choices, &["gidMappings"], |choices, _| mappings(choices)))
    });
    choices.pick(SPACE).to_owned().into_bytes().into_iter().chain(text.into_bytes()).collect()
}

/// A document that says what the caller of a shim needs to know, or could be taken to.
pub(crate) fn task_specs(choices: &mut Choices<'_>) -> Vec<u8> {
    let text = object(choices, &["process", "linux"], |choices, key| {
        other(choices).unwrap_or_else(|| {
            if key == "linux" {
                return object(choices, &["uidMappings", "gidMappings"], |choices, _| mappings(choices));
            }
            object(choices, &["terminal", "user"], |choices, key| {
                if key == "terminal" {
                    return choices.pick(&["true", "false", "true", "null", "0", "\"true\"", "1e999", "[]"]).into();
                }
                let id = |choices: &mut Choices<'_>, _: &str| {
                    let odd = if choices.one_in(24) { ODD_NUMBERS } else { &["0", "1", "2", "7", "4294967295"] };
                    choices.pick(odd).into()
                };
                other(choices).unwrap_or_else(|| object(choices, &["uid", "gid"], id))
            })
        })
    });
    text.into_bytes()
}

fn mappings(choices: &mut Choices<'_>) -> String {
    other(choices).unwrap_or_else(|| {
        let count = choices.below(4);
        let entry = |choices: &mut Choices<'_>| {
            other(choices).unwrap_or_else(|| {
                object(choices, &["containerID", "hostID", "size"], |choices, key| {
                    if choices.one_in(24) {
                        return choices.pick(ODD_NUMBERS).into();
                    }
                    if key == "containerID" {
                        choices.pick(&["0", "0", "1"]).into()
                    } else {
                        choices.pick(NUMBERS).into()
                    }
                })
            })
        };
        format!("[{}]", (0..=count).map(|_| entry(choices)).collect::<Vec<_>>().join(","))
    })
}

/// Now and then, something else where an object or an array is expected.
fn other(choices: &mut Choices<'_>) -> Option<String> {
    choices
        .one_in(24)
        .then(|| choices.pick(&["null", "null", "[]", "{}", "\"x\"", "1", "1e999", "true", "[{}]", "[null]"]).into())
}

/// An object with most of its known keys, some of them folded, escaped or twice, and others.
fn object(
    choices: &mut Choices<'_>,
    known: &[&str],
    mut value: impl FnMut(&mut Choices<'_>, &str) -> String,
) -> String {
    let mut members = Vec::new();
    for key in known {
        let times = match choices.byte() % 24 {
            22 => 0,
            23 => 2,
            _ => 1,
        };
        for _ in 0..times {
            members.push((spelling(choices, key), value(choices, key)));
        }
    }
    for _ in 0..choices.byte() % 3 {
        let at = choices.below(members.len() + 1);
        members.insert(at, (choices.pick(UNKNOWN_KEYS).into(), choices.pick(UNKNOWN_VALUES).into()));
    }
    let members: Vec<String> = members
        .iter()
        .map(|(key, value)| {
            let space = choices.pick(SPACE);
            format!("{space}\"{key}\"{space}:{space}{value}{space}")
        })
        .collect();
    format!("{{{}}}", members.join(","))
}

/// A key as it is, or spelt in a way that some readers take for it.
fn spelling(choices: &mut Choices<'_>, key: &str) -> String {
    let at = choices.below(key.len());
    let (before, letter, after) = (&key[..at], &key[at..=at], &key[at + 1..]);
    let code = u32::from(key.as_bytes()[at]);
    match choices.byte() % 32 {
        26 => key.to_uppercase(),
        27 => format!("{before}{}{after}", letter.to_uppercase()),
        28 => key.replacen('s', choices.pick(&["ſ", "\\u017f", "\\u017F", "S", "ß"]), 1),
        29 => format!("{before}\\u{code:04x}{after}"),
        30 => format!("{before}\\u{:04X}{after}", code ^ 0x20),
        31 => format!("{before}{}{after}", choices.pick(&["\u{212a}", "ı", "\\u0000", ""])),
        _ => key.into(),
    }
}

/// Spoils a spec, near what matters as often as not.
pub(crate) fn mutate(mut spec: Vec<u8>, choices: &mut Choices<'_>) -> Vec<u8> {
    const PIECES: &[&[u8]] = &[
        b"\"",
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"0",
        b"-",
        b".0",
        b"e3",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b"\xc3(",
        b"\xed\xa0\x80",
        b"\\ud800",
        b"\\udc00",
        b"\\ud83d\\ude00",
        b"\\u0000",
        b"\0",
        b"\n",
        b"\xef\xbb\xbf",
        b"\"linux\":null,",
        b"\"linux\":{},",
        b"\"gidMappings\":[],",
        b"\"gidMappings\":[{}],",
        b"\"hostID\":5,",
        b"\"containerID\":0,",
        b"\"size\":1,",
        b"\"HostID\":5,",
        b"\"ho\xc5\xbftID\":5,",
        b"\"x\":[[[]]],",
        b"\"process\":{},",
        b"\"user\":null,",
        b"\"uid\":1,",
        b"\"u\xc5\xbfer\":{},",
        b"\"terminal\":true,",
        b"[[[[[[[[",
        b"]]]]]]]]",
        b"4294967295",
    ];
    const TARGETS: &[&[u8]] = &[
        b"linux",
        b"process",
        b"terminal",
        b"user",
        b"uid",
        b"gid\"",
        b"gidMappings",
        b"containerID",
        b"hostID",
        b"size",
        b":0",
        b":1",
        b"[{",
        b"{",
    ];
    for _ in 0..choices.byte() % 4 {
        let at = if choices.one_in(2) {
            let target = TARGETS[choices.below(TARGETS.len())];
            let found = spec.windows(target.len()).position(|window| window == target).unwrap_or(0);
            (found + choices.below(target.len() + 2)).min(spec.len())
        } else {
            choices.below(spec.len() + 1)
        };
        let end = (at + 1 + choices.below(12)).min(spec.len());
        match choices.byte() % 6 {
            0 => drop(spec.splice(at..at, PIECES[choices.below(PIECES.len())].iter().copied())),
            1 => drop(spec.splice(at..end, PIECES[choices.below(PIECES.len())].iter().copied())),
            2 => drop(spec.drain(at..end)),
            3 => {
                let again = spec[at..end].to_vec();
                drop(spec.splice(at..at, again));
            }
            4 => spec.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (choices.byte() % 8)),
            _ => spec.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 0x20),
        }
    }
    spec
}
