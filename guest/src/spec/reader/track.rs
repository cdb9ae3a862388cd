//! Where the reader is and what it has refused: serde's errors carry neither.

use alloc::format;
use alloc::string::{String, ToString};
use core::cell::{Cell, RefCell};
use core::fmt;

use serde::de;
use serde_json::error::Category;

use crate::spec::{Error, Fault};

/// A list of mappings in `linux`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::spec) enum List {
    Users,
    Groups,
}

impl List {
    pub(in crate::spec) fn named(name: &str) -> Self {
        if name == Self::Users.name() { Self::Users } else { Self::Groups }
    }

    pub(in crate::spec) const fn name(self) -> &'static str {
        match self {
            Self::Users => "uidMappings",
            Self::Groups => "gidMappings",
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Place {
    #[default]
    Document,
    Process,
    Terminal,
    User,
    Id(&'static str),
    Linux,
    Mappings(List),
    Entry(List, usize),
    Field(List, usize, &'static str),
}

impl Place {
    /// The place of a known member of an object.
    pub(super) fn member(self, name: &'static str) -> Self {
        match self {
            Self::Document if name == "process" => Self::Process,
            Self::Document => Self::Linux,
            Self::Process if name == "terminal" => Self::Terminal,
            Self::Process => Self::User,
            Self::User => Self::Id(name),
            Self::Linux => Self::Mappings(List::named(name)),
            Self::Entry(list, index) => Self::Field(list, index, name),
            Self::Terminal | Self::Id(_) | Self::Mappings(_) | Self::Field(..) => self,
        }
    }

    fn is_number(self) -> bool {
        matches!(self, Self::Id(_) | Self::Field(..))
    }

    fn complaint(self) -> String {
        match self {
            Self::Document => "the document is not an object".into(),
            Self::Process | Self::User | Self::Linux | Self::Entry(..) => format!("{self} is not an object"),
            Self::Terminal => format!("{self} is not a boolean"),
            Self::Mappings(_) => format!("{self} is not an array"),
            Self::Id(_) | Self::Field(..) => format!("{self} is not a number"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document => Ok(()),
            Self::Process => f.write_str("process"),
            Self::Terminal => f.write_str("process.terminal"),
            Self::User => f.write_str("process.user"),
            Self::Id(name) => write!(f, "process.user.{name}"),
            Self::Linux => f.write_str("linux"),
            Self::Mappings(list) => write!(f, "linux.{}", list.name()),
            Self::Entry(list, index) => write!(f, "linux.{}[{index}]", list.name()),
            Self::Field(list, index, name) => write!(f, "linux.{}[{index}].{name}", list.name()),
        }
    }
}

/// serde_json refuses numbers beyond `f64` while it reads them, as if they were not JSON.
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
        // Without the place, which is reported separately.
        let cause = text.split_once(" at line ").map_or(text.as_str(), |(cause, _)| cause);
        let (fault, message) = match (self.refused.take(), error.classify()) {
            (Some(refused), _) => refused,
            (None, _) if cause == OUT_OF_RANGE && place.is_number() => (Fault::Number, self.number_complaint()),
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
