//! Where the reader is and what it has refused: serde's errors carry neither.

use alloc::format;
use alloc::string::{String, ToString};
use core::cell::{Cell, RefCell};
use core::fmt;

use serde::de;
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

impl Place {
    /// The place of a known member of an object.
    pub(super) fn member(self, name: &'static str) -> Self {
        match self {
            Self::Document => Self::Linux,
            Self::Linux => Self::Mappings,
            Self::Entry(index) => Self::Field(index, name),
            Self::Mappings | Self::Field(..) => self,
        }
    }

    fn complaint(self) -> String {
        match self {
            Self::Document => "the document is not an object".into(),
            Self::Linux | Self::Entry(_) => format!("{self} is not an object"),
            Self::Mappings => format!("{self} is not an array"),
            Self::Field(..) => format!("{self} is not a number"),
        }
    }
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

/// serde_json refuses numbers beyond `f64` while it reads them, as if they were no JSON.
const OUT_OF_RANGE: &str = "number out of range";

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
    pub(super) fn refuse<E: de::Error>(&self, fault: Fault, message: String) -> E {
        self.refused.replace(Some((fault, message)));
        E::custom("refused")
    }

    /// Refuses the value that is being read for its type.
    pub(super) fn wrong_type<E: de::Error>(&self) -> E {
        self.refuse(Fault::WrongType, self.place.get().complaint())
    }

    /// Refuses the number that is being read.
    pub(super) fn bad_number<E: de::Error>(&self) -> E {
        self.refuse(Fault::Number, self.number_complaint())
    }

    fn number_complaint(&self) -> String {
        format!("{} is not a number from 0 to 4294967295 in plain digits", self.place.get())
    }

    /// Puts what is known about an error together.
    pub(super) fn explain(&self, error: &serde_json::Error) -> Error {
        let place = self.place.get();
        let text = error.to_string();
        // Without the place, which is told apart.
        let cause = text.split_once(" at line ").map_or(text.as_str(), |(cause, _)| cause);
        let (fault, message) = match (self.refused.take(), error.classify()) {
            (Some(refused), _) => refused,
            (None, _) if cause == OUT_OF_RANGE && matches!(place, Place::Field(..)) => {
                (Fault::Number, self.number_complaint())
            }
            (None, _) if cause == OUT_OF_RANGE => (Fault::WrongType, place.complaint()),
            (None, Category::Data) => (Fault::WrongType, place.complaint()),
            (None, Category::Syntax | Category::Eof | Category::Io) => {
                (Fault::Syntax, format!("not valid JSON: {cause}"))
            }
        };
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let place = if fault == Fault::Syntax { String::new() } else { place.to_string() };
        Error { fault, place, line: number(error.line()), column: number(error.column()), message }
    }
}
