//! Where the reader is and what it has refused: serde's errors carry neither.

use alloc::format;
use alloc::string::{String, ToString};
use core::cell::{Cell, RefCell};
use core::fmt;

use serde_json::error::Category;

use crate::spec::{Error, Fault};

#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Place {
    #[default]
    Document,
    Linux,
    Mappings,
    Entry(usize),
    Field(usize, &'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document => Ok(()),
            Self::Linux => f.write_str("linux"),
            Self::Mappings => f.write_str("linux.gidMappings"),
            Self::Entry(index) => write!(f, "linux.gidMappings[{index}]"),
            Self::Field(index, name) => write!(f, "linux.gidMappings[{index}].{name}"),
        }
    }
}

#[derive(Default)]
pub(super) struct Track {
    place: Cell<Place>,
    refused: RefCell<Option<(Fault, String)>>,
}

impl Track {
    /// Notes that the reader is about to read a value.
    pub(super) fn enter(&self, place: Place) {
        self.place.set(place);
    }

    /// Notes why the reader stops, and makes the error that stops it.
    pub(super) fn refuse<E: serde::de::Error>(&self, fault: Fault, message: impl Into<String>) -> E {
        self.refused.replace(Some((fault, message.into())));
        E::custom("refused")
    }

    /// Puts what is known about an error together.
    pub(super) fn explain(&self, error: &serde_json::Error) -> Error {
        let place = self.place.get();
        let (fault, message) = match (self.refused.take(), error.classify()) {
            (Some(refused), _) => refused,
            (None, Category::Data) => {
                let message = if matches!(place, Place::Field(..)) {
                    "a number is needed"
                } else if matches!(place, Place::Mappings) {
                    "an array is needed"
                } else {
                    "an object is needed"
                };
                (Fault::WrongType, message.into())
            }
            // A number beyond `f64` is not well-formed to serde_json; Go's complaint is its type.
            (None, _) if matches!(place, Place::Field(..)) && error.to_string().starts_with("number out of range") => {
                (Fault::Number, "the number is out of range".into())
            }
            (None, _) => (Fault::Syntax, format!("not valid JSON: {}", bare(&error.to_string()))),
        };
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let place = if fault == Fault::Syntax { String::new() } else { place.to_string() };
        Error { fault, place, line: number(error.line()), column: number(error.column()), message }
    }
}

/// serde_json's message without the place, which is told apart.
fn bare(message: &str) -> &str {
    message.split_once(" at line ").map_or(message, |(bare, _)| bare)
}
