//! A second implementation of the rule, written from `encoding/json`'s behaviour and not from the
//! policy: it reads the whole document into a tree, byte by byte, and then does what Go's decoder
//! does, merging and all. Slow and plain on purpose.

mod task;
mod tree;

use dunnage_policy::spec::Fault;

pub(crate) use self::task::rule_task;
use self::tree::{Node, Tree};

/// What the rule says about an input.
#[derive(Debug)]
pub(crate) struct Ruling {
    /// The original's answer; `None` is an error.
    pub(crate) original: Option<u32>,
    /// The classes of refusal that hold for the input. If there are any, it must be refused as one
    /// of them; if there are none, it must be answered as the original does.
    pub(crate) refusals: Vec<Fault>,
}

/// Rules on an input.
pub(crate) fn rule(text: &[u8]) -> Ruling {
    let tree = tree::read(text);
    let mut decoder = Decoder { tree: &tree, refusals: Vec::new(), failed: false };
    let gid = decoder.document();
    let (mut refusals, failed) = (decoder.refusals, decoder.failed);
    let original = (tree.error.is_none() && !failed).then_some(gid);
    refusals.extend(faults_of_the_text(text, &tree));
    if original == Some(u32::MAX) {
        refusals.push(Fault::ReservedGroup);
    }
    Ruling { original, refusals }
}

/// What is wrong with the text for any reader.
fn faults_of_the_text(text: &[u8], tree: &Tree) -> Vec<Fault> {
    let mut refusals = Vec::from_iter(tree.error);
    // Behind a syntax error it is unclear what is a string; half a pair may be seen there.
    let maybe_behind_error =
        || tree.error == Some(Fault::Syntax) && text.windows(3).any(|at| matches!(at, b"\\ud" | b"\\uD"));
    if tree.lone_surrogate || maybe_behind_error() {
        refusals.push(Fault::Surrogate);
    }
    if std::str::from_utf8(&without_values(text)).is_err() {
        refusals.push(Fault::Encoding);
    }
    refusals
}

/// The text without what lies in strings that are values, which Go reads with U+FFFD for what is not UTF-8.
fn without_values(text: &[u8]) -> Vec<u8> {
    let mut rest = Vec::new();
    let mut at = 0;
    while at < text.len() {
        if text[at] != b'"' {
            rest.push(text[at]);
            at += 1;
            continue;
        }
        let mut end = at + 1;
        while end < text.len() && text[end] != b'"' {
            end += if text[end] == b'\\' { 2 } else { 1 };
        }
        let end = (end + 1).min(text.len());
        let is_key = text[end..].iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':');
        rest.extend_from_slice(if is_key { &text[at..end] } else { b"\"\"" });
        at = end;
    }
    rest
}

/// Go's decoder, for the one type that the original decodes into.
struct Decoder<'a> {
    tree: &'a Tree,
    refusals: Vec<Fault>,
    /// Go notes the first type error, carries on, and returns it in the end.
    failed: bool,
}

/// `linux.gidMappings` as a Go slice: what lies beyond its length stays in the array behind it.
#[derive(Default)]
struct Slice {
    array: Vec<[u32; 3]>,
    length: usize,
}

impl Decoder<'_> {
    fn refuse(&mut self, fault: Fault) {
        self.refusals.push(fault);
        self.failed = true;
    }

    fn document(&mut self) -> u32 {
        // `Linux` is a pointer: null resets it, an object is decoded into what is there.
        let mut linux: Option<Slice> = None;
        match self.tree.root() {
            None | Some(Node::Null) => {}
            Some(Node::Object(members)) => {
                for (_, value) in self.known(members, &["linux"]) {
                    match self.tree.node(value) {
                        Node::Null => linux = None,
                        Node::Object(members) => self.linux(members, linux.get_or_insert_default()),
                        Node::Bool(_) | Node::Text | Node::Number(_) | Node::Array(_) => self.refuse(Fault::WrongType),
                    }
                }
            }
            Some(_) => self.refuse(Fault::WrongType),
        }
        let slice = linux.unwrap_or_default();
        slice.array.iter().take(slice.length).find(|entry| entry[0] == 0).map_or(0, |entry| entry[1])
    }

    fn linux(&mut self, members: &[(Vec<char>, usize)], slice: &mut Slice) {
        for (_, value) in self.known(members, &["gidMappings"]) {
            match self.tree.node(value) {
                Node::Null => *slice = Slice::default(),
                Node::Array(entries) if entries.is_empty() => *slice = Slice::default(),
                Node::Array(entries) => {
                    for (index, entry) in entries.iter().enumerate() {
                        if index == slice.array.len() {
                            slice.array.push([0; 3]);
                        }
                        self.entry(*entry, &mut slice.array[index]);
                    }
                    slice.length = entries.len();
                }
                Node::Bool(_) | Node::Text | Node::Number(_) | Node::Object(_) => self.refuse(Fault::WrongType),
            }
        }
    }

    fn entry(&mut self, entry: usize, fields: &mut [u32; 3]) {
        match self.tree.node(entry) {
            Node::Null => {}
            Node::Object(members) => {
                for (field, value) in self.known(members, &["containerID", "hostID", "size"]) {
                    self.number(value, &mut fields[field]);
                }
            }
            Node::Bool(_) | Node::Text | Node::Number(_) | Node::Array(_) => self.refuse(Fault::WrongType),
        }
    }

    fn number(&mut self, value: usize, field: &mut u32) {
        match self.tree.node(value) {
            Node::Null => {}
            Node::Number(digits) => match digits.parse() {
                Ok(number) if digits.bytes().all(|byte| byte.is_ascii_digit()) => *field = number,
                _ => self.refuse(Fault::Number),
            },
            Node::Bool(_) | Node::Text | Node::Array(_) | Node::Object(_) => self.refuse(Fault::WrongType),
        }
    }

    /// The members that Go decodes, in order, by the number of their field; notes what two readers
    /// could take differently.
    fn known(&mut self, members: &[(Vec<char>, usize)], names: &[&str]) -> Vec<(usize, usize)> {
        let mut found: Vec<(usize, usize)> = Vec::new();
        let mut exact = Vec::new();
        for (key, value) in members {
            let Some(field) = names.iter().position(|name| folds_to(key, name)) else { continue };
            if !names[field].chars().eq(key.iter().copied()) {
                self.refusals.push(Fault::FoldedKey);
            } else if exact.contains(&field) {
                self.refusals.push(Fault::DuplicateKey);
            } else {
                exact.push(field);
            }
            found.push((field, *value));
        }
        found
    }
}

fn folds_to(key: &[char], name: &str) -> bool {
    let folded: String = key
        .iter()
        .map(|character| match character {
            'A'..='Z' => char::from(*character as u8 + 32),
            '\u{17f}' => 's',
            other => *other,
        })
        .collect();
    folded == name.to_lowercase()
}
