//! The reader: serde_json, told by seeds which values to read, streaming past all others.

use alloc::format;
use core::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

pub(super) use self::process::Process;
pub(super) use self::track::List;
use self::track::{Place, Track};
use super::{Error, Fault};

/// What an entry maps. Missing fields are 0.
#[derive(Clone, Copy, Default)]
pub(super) struct Mapping {
    pub(super) container: u32,
    pub(super) host: u32,
    pub(super) size: u32,
}

/// Collects the entries of mappings. They come one by one, so that many take no memory.
pub(super) trait Collect {
    /// The lists of `linux` that are read.
    const LISTS: &'static [&'static str];

    /// Takes the entry of a list at an index.
    fn take(&mut self, list: List, index: usize, mapping: Mapping);
}

/// Reads the mappings out of a spec.
pub(super) fn mappings(text: &str, collect: &mut impl Collect) -> Result<(), Error> {
    let track = Track::default();
    read(text, &track, Linux(&track, collect))
}

/// Reads what is known of the process out of a spec.
pub(super) fn process(text: &str) -> Result<Process, Error> {
    let mut process = Process::default();
    let track = Track::default();
    read(text, &track, process::Seed(&track, &mut process))?;
    Ok(process)
}

/// Reads one part of a spec, all of which must be JSON.
fn read<'de>(text: &'de str, track: &Track, part: impl Part<'de>) -> Result<(), Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    let read = Document(track, part).deserialize(&mut json);
    read.and_then(|()| json.end()).map_err(|error| track.explain(&error))
}

/// A part of the spec that is read, which knows where to put what it finds.
trait Part<'de>: DeserializeSeed<'de, Value = ()> {
    /// The known keys of the document: this part.
    const KEYS: &'static [&'static str];
}

/// The OCI spec itself, and the part of it that is read.
struct Document<'a, P>(&'a Track, P);

/// `linux`.
struct Linux<'a, C>(&'a Track, &'a mut C);

/// A list of mappings.
struct Mappings<'a, C>(&'a Track, List, &'a mut C);

/// One entry of a list of mappings.
struct Entry<'a>(&'a Track, List, usize);

/// A number.
struct Number<'a>(&'a Track, Place);

/// Lets a type be its own seed: it notes where the reader is, and asks for any value, so that its
/// visitor decides what to take.
macro_rules! seed {
    ($name:ident $(<$part:ident: $bound:path>)? => $value:ty, $place:expr) => {
        impl<'de, $($part: $bound)?> DeserializeSeed<'de> for $name<'_, $($part)?> {
            type Value = $value;

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<$value, D::Error> {
                self.0.enter($place(&self));
                deserializer.deserialize_any(self)
            }
        }
    };
}

/// What all visitors have in common: null is the zero value, as in Go, and a string is refused
/// without serde's copy of it, which could be as large as the spec.
macro_rules! common {
    ($value:ty) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a value that is known")
        }

        fn visit_unit<E: de::Error>(self) -> Result<$value, E> {
            Ok(Default::default())
        }

        fn visit_str<E: de::Error>(self, _: &str) -> Result<$value, E> {
            Err(self.0.wrong_type())
        }
    };
}

// Behind the macros, which it uses.
mod process;
mod track;

seed!(Document<P: Part<'de>> => (), |_: &Self| Place::Document);
seed!(Linux<C: Collect> => (), |_: &Self| Place::Linux);
seed!(Mappings<C: Collect> => (), |mappings: &Self| Place::Mappings(mappings.1));
seed!(Entry => Mapping, |entry: &Self| Place::Entry(entry.1, entry.2));
seed!(Number => u32, |number: &Self| number.1);

impl<'de, P: Part<'de>> Visitor<'de> for Document<'_, P> {
    type Value = ();

    common!(Self::Value);

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Self(track, part) = self;
        let mut part = Some(part);
        read_object(map, track, Place::Document, P::KEYS, |map, _, _| match part.take() {
            Some(part) => map.next_value_seed(part),
            None => Ok(()),
        })
    }
}

impl<'de, C: Collect> Part<'de> for Linux<'_, C> {
    const KEYS: &'static [&'static str] = &["linux"];
}

impl<'de, C: Collect> Visitor<'de> for Linux<'_, C> {
    type Value = ();

    common!(Self::Value);

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Self(track, collect) = self;
        read_object(map, track, Place::Linux, C::LISTS, |map, name, _| {
            map.next_value_seed(Mappings(track, List::named(name), collect))
        })
    }
}

impl<'de, C: Collect> Visitor<'de> for Mappings<'_, C> {
    type Value = ();

    common!(Self::Value);

    /// All entries are read, whatever is wanted of them: Go refuses the spec for any of them.
    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Self(track, list, collect) = self;
        let mut index = 0;
        while let Some(mapping) = entries.next_element_seed(Entry(track, list, index))? {
            collect.take(list, index, mapping);
            index += 1;
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Entry<'_> {
    type Value = Mapping;

    common!(Self::Value);

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Mapping, A::Error> {
        let Self(track, list, index) = self;
        let mut mapping = Mapping::default();
        let known = &["containerID", "hostID", "size"];
        read_object(map, track, Place::Entry(list, index), known, |map, name, place| {
            let number = map.next_value_seed(Number(track, place))?;
            match name {
                "containerID" => mapping.container = number,
                "hostID" => mapping.host = number,
                _ => mapping.size = number,
            }
            Ok(())
        })?;
        Ok(mapping)
    }
}

impl Visitor<'_> for Number<'_> {
    type Value = u32;

    common!(Self::Value);

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<u32, E> {
        u32::try_from(number).map_err(|_| self.0.bad_number())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<u32, E> {
        Err(self.0.bad_number())
    }

    /// Fractions, exponents, `-0`, and what no integer holds.
    fn visit_f64<E: de::Error>(self, _: f64) -> Result<u32, E> {
        Err(self.0.bad_number())
    }
}

/// Reads the known members of an object and skips all others.
fn read_object<'de, A: MapAccess<'de>>(
    mut map: A,
    track: &Track,
    object: Place,
    known: &'static [&'static str],
    mut read: impl FnMut(&mut A, &'static str, Place) -> Result<(), A::Error>,
) -> Result<(), A::Error> {
    let mut seen = 0_u8;
    while let Some(key) = map.next_key_seed(Key { track, object, known })? {
        let Some((index, name)) = key else {
            map.next_value::<IgnoredAny>()?;
            continue;
        };
        let place = object.member(name);
        if seen & (1 << index) != 0 {
            track.enter(place);
            let message = format!("{place} appears twice: Go merges the two, other parsers take the first or the last");
            return Err(track.refuse(Fault::DuplicateKey, message));
        }
        seen |= 1 << index;
        read(&mut map, name, place)?;
        track.enter(object);
    }
    Ok(())
}

/// A key: the known one it is, or `None` for an unknown one.
struct Key<'a> {
    track: &'a Track,
    object: Place,
    known: &'static [&'static str],
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<(usize, &'static str)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<(usize, &'static str)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Self::Value, E> {
        let known = || (0..).zip(self.known.iter().copied());
        if let Some(exact) = known().find(|(_, name)| *name == key) {
            return Ok(Some(exact));
        }
        let Some((_, name)) = known().find(|(_, name)| equal_folded(name, key)) else { return Ok(None) };
        let place = self.object.member(name);
        self.track.enter(place);
        // A terminal would show `ſ` much like an `f`, and act on control characters.
        let shown = key.escape_default();
        let message =
            format!("the key \"{shown}\" means {place} to Go, which ignores case, but is unknown to other parsers");
        Err(self.track.refuse(Fault::FoldedKey, message))
    }
}

/// Whether Go takes a key for a known one: without regard to the case of ASCII letters, and `ſ`
/// for `s` (Unicode's simple folding, which also has the Kelvin sign for `k`; no known key has
/// a `k`).
pub(super) fn equal_folded(known: &str, key: &str) -> bool {
    let mut key = key.chars().map(|character| if character == 'ſ' { 's' } else { character });
    known.chars().all(|expected| key.next().is_some_and(|found| found.eq_ignore_ascii_case(&expected)))
        && key.next().is_none()
}
