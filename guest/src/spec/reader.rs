//! Which parts of a spec are read. They come one by one where there may be many, so that these take
//! no memory.

use core::fmt;

use dunnage_go_json::{read, read_seed};
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Error;

/// What an entry maps. Missing fields are 0.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(super) struct Mapping {
    #[serde(rename = "containerID")]
    pub(super) container: u32,
    #[serde(rename = "hostID")]
    pub(super) host: u32,
    pub(super) size: u32,
}

/// A list of mappings in `linux`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Users,
    Groups,
}

impl List {
    pub(super) fn named(name: &str) -> Self {
        if name == Self::Users.name() { Self::Users } else { Self::Groups }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Users => "uidMappings",
            Self::Groups => "gidMappings",
        }
    }
}

/// Collects the entries of mappings.
pub(super) trait Collect {
    /// The lists of `linux` that are read.
    const LISTS: &'static [&'static str];

    /// Takes the entry of a list at an index.
    fn take(&mut self, list: List, index: usize, mapping: Mapping);
}

/// `process`, as far as it is known. Missing fields are zero, as in Go.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(super) struct Process {
    pub(super) terminal: bool,
    pub(super) user: User,
}

/// `process.user`, as far as it is known.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Reads what is known of the process out of a spec.
pub(super) fn process(text: &str) -> Result<Process, Error> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Document {
        process: Process,
    }

    Ok(read::<Document>(text)?.process)
}

/// Reads the mappings out of a spec.
pub(super) fn mappings(text: &str, collect: &mut impl Collect) -> Result<(), Error> {
    Ok(read_seed(text, Document(collect))?)
}

/// The spec itself.
struct Document<'a, C>(&'a mut C);

/// `linux`.
struct Linux<'a, C>(&'a mut C);

/// The name of a list.
struct ListName;

/// A list of mappings.
struct Mappings<'a, C>(List, &'a mut C);

/// Lets a type be its own seed and visitor.
macro_rules! seed {
    ($name:ident, $method:ident($($argument:expr),*)) => {
        impl<'de, C: Collect> DeserializeSeed<'de> for $name<'_, C> {
            type Value = ();

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                deserializer.$method($($argument,)* self)
            }
        }
    };
}

seed!(Document, deserialize_struct("Spec", &["linux"]));
seed!(Linux, deserialize_struct("Linux", C::LISTS));
seed!(Mappings, deserialize_seq());

impl<'de, C: Collect> Visitor<'de> for Document<'_, C> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a spec")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key::<IgnoredAny>()?.is_some() {
            map.next_value_seed(Linux(&mut *self.0))?;
        }
        Ok(())
    }
}

impl<'de, C: Collect> Visitor<'de> for Linux<'_, C> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what is special to Linux")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(list) = map.next_key_seed(ListName)? {
            map.next_value_seed(Mappings(list, &mut *self.0))?;
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for ListName {
    type Value = List;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<List, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for ListName {
    type Value = List;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a list")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<List, E> {
        Ok(List::named(name))
    }
}

impl<'de, C: Collect> Visitor<'de> for Mappings<'_, C> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of mappings")
    }

    /// All entries are read, whatever is wanted of them: Go refuses the spec for any of them.
    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Self(list, collect) = self;
        let mut index = 0;
        while let Some(mapping) = entries.next_element()? {
            collect.take(list, index, mapping);
            index += 1;
        }
        Ok(())
    }
}
