//! Where the reader is and what it has refused: serde's errors carry neither.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt::Write as _;

use serde::de;
use serde_json::error::Category;

use crate::{Error, Fault};

/// What is to be read next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Whatever there is.
    #[default]
    Any,
    Bool,
    /// An integer of this range.
    Integer {
        least: i64,
        most: u64,
    },
    Float,
    Text,
    Array,
    /// An object with any keys.
    Map,
    /// An object with these keys, and others that are skipped.
    Struct(&'static [&'static str]),
}

impl Expected {
    fn noun(self) -> &'static str {
        match self {
            Self::Any => "a value",
            Self::Bool => "a boolean",
            Self::Integer { .. } | Self::Float => "a number",
            Self::Text => "a string",
            Self::Array => "an array",
            Self::Map | Self::Struct(_) => "an object",
        }
    }
}

/// One step down into the document.
enum Level {
    Member(&'static str),
    Key(String),
    Index(usize),
}

/// serde_json refuses numbers beyond `f64` while it reads them, as if they were not JSON.
const OUT_OF_RANGE: &str = "number out of range";

#[derive(Default)]
pub(crate) struct Track {
    path: RefCell<Vec<Level>>,
    expected: Cell<Expected>,
    refused: RefCell<Option<(Fault, String)>>,
}

impl Track {
    pub(crate) fn enter_member(&self, name: &'static str) {
        self.path.borrow_mut().push(Level::Member(name));
    }

    pub(crate) fn enter_key(&self, key: &str) {
        self.path.borrow_mut().push(Level::Key(key.into()));
    }

    pub(crate) fn enter_index(&self, index: usize) {
        self.path.borrow_mut().push(Level::Index(index));
    }

    pub(crate) fn leave(&self) {
        self.path.borrow_mut().pop();
    }

    /// Notes what the value that comes next should be.
    pub(crate) fn expect(&self, expected: Expected) {
        self.expected.set(expected);
    }

    /// Where the reader is, as a person would write it; empty for the document itself.
    pub(crate) fn place(&self) -> String {
        let mut place = String::new();
        for level in &*self.path.borrow() {
            let dot = if place.is_empty() { "" } else { "." };
            let _ = match level {
                Level::Member(name) => write!(place, "{dot}{name}"),
                // It may be as long as the document.
                Level::Key(key) => write!(place, "{dot}{}", key.chars().take(64).collect::<String>().escape_default()),
                Level::Index(index) => write!(place, "[{index}]"),
            };
        }
        place
    }

    /// The same as a JSON pointer.
    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for level in &*self.path.borrow() {
            let _ = match level {
                Level::Member(name) => write!(pointer, "/{name}"),
                Level::Key(key) => write!(pointer, "/{}", key.replace('~', "~0").replace('/', "~1")),
                Level::Index(index) => write!(pointer, "/{index}"),
            };
        }
        pointer
    }

    /// Notes why the reader stops, and makes the error that stops it.
    pub(crate) fn refuse<E: de::Error>(&self, fault: Fault, message: String) -> E {
        self.refused.replace(Some((fault, message)));
        E::custom("refused")
    }

    /// Refuses text with a NUL in it: what is written in C takes that for its end.
    pub(crate) fn whole<'a, E: de::Error>(&self, text: &'a str) -> Result<&'a str, E> {
        match memchr::memchr(0, text.as_bytes()) {
            None => Ok(text),
            Some(_) => Err(self.refuse(Fault::WrongType, format!("{} holds a NUL character", self.subject()))),
        }
    }

    /// Refuses the value that is being read for its type.
    pub(crate) fn wrong_type<E: de::Error>(&self, expected: Expected) -> E {
        self.refuse(Fault::WrongType, self.complaint(expected))
    }

    /// Refuses the number that is being read.
    pub(crate) fn bad_number<E: de::Error>(&self, expected: Expected) -> E {
        self.refuse(Fault::Number, self.number_complaint(expected))
    }

    fn complaint(&self, expected: Expected) -> String {
        format!("{} is not {}", self.subject(), expected.noun())
    }

    fn number_complaint(&self, expected: Expected) -> String {
        let Expected::Integer { least, most } = expected else { return self.complaint(expected) };
        format!("{} is not a number from {least} to {most} in plain digits", self.subject())
    }

    fn subject(&self) -> String {
        let place = self.place();
        if place.is_empty() { "the document".into() } else { place }
    }

    /// Puts what is known about an error together.
    pub(crate) fn explain(&self, error: &serde_json::Error) -> Error {
        let expected = self.expected.get();
        let text = error.to_string();
        // Without the place, which is reported separately.
        let cause = text.split_once(" at line ").map_or(text.as_str(), |(cause, _)| cause);
        let is_number = matches!(expected, Expected::Integer { .. } | Expected::Float);
        let (fault, message) = match (self.refused.take(), error.classify()) {
            (Some(refused), _) => refused,
            (None, _) if cause == OUT_OF_RANGE && is_number => (Fault::Number, self.number_complaint(expected)),
            (None, _) if cause == OUT_OF_RANGE => (Fault::WrongType, self.complaint(expected)),
            // A type's own check.
            (None, Category::Data) => (Fault::WrongType, format!("{} cannot be used: {cause}", self.subject())),
            (None, Category::Syntax | Category::Eof | Category::Io) => {
                (Fault::Syntax, format!("not valid JSON: {cause}"))
            }
        };
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (line, column) = (number(error.line()), number(error.column()));
        let (place, pointer) = if fault == Fault::Syntax { Default::default() } else { (self.place(), self.pointer()) };
        Error { fault, place, pointer, line, column, message }
    }
}
