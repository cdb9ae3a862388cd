//! The reader: serde_json, told by seeds which values to read, streaming past all others.

mod track;

use alloc::format;
use core::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use self::track::{Place, Track};
use super::{Error, Fault};

/// The mapping of the container's GID 0.
#[derive(Clone, Copy)]
pub(super) struct Root {
    /// The host's group id.
    pub(super) host: u32,
    /// The entry of `linux.gidMappings` that says so.
    pub(super) entry: usize,
}

/// Reads the mapping of GID 0 out of a spec.
pub(super) fn read(text: &str) -> Result<Option<Root>, Error> {
    let track = Track::default();
    let mut json = serde_json::Deserializer::from_str(text);
    let found = Document(&track).deserialize(&mut json);
    found.and_then(|root| json.end().map(|()| root)).map_err(|error| track.explain(&error))
}

/// The OCI spec itself.
struct Document<'a>(&'a Track);

/// `linux`.
struct Linux<'a>(&'a Track);

/// `linux.gidMappings`.
struct Mappings<'a>(&'a Track);

/// One entry of `linux.gidMappings`.
struct Entry<'a>(&'a Track, usize);

/// One field of an entry.
struct Field<'a>(&'a Track, Place);

/// What an entry maps. Missing fields are 0, and the size is not looked at.
#[derive(Clone, Copy, Default)]
struct Mapping {
    container: u32,
    host: u32,
}

/// Lets a type be its own seed: it notes where the reader is, and asks for any value, so that its
/// visitor decides what to take.
macro_rules! seed {
    ($name:ident => $value:ty, $place:expr) => {
        impl<'de> DeserializeSeed<'de> for $name<'_> {
            type Value = $value;

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<$value, D::Error> {
                self.0.enter($place(&self));
                deserializer.deserialize_any(self)
            }
        }
    };
}

seed!(Document => Option<Root>, |_: &Self| Place::Document);
seed!(Linux => Option<Root>, |_: &Self| Place::Linux);
seed!(Mappings => Option<Root>, |_: &Self| Place::Mappings);
seed!(Entry => Mapping, |entry: &Self| Place::Entry(entry.1));
seed!(Field => u32, |field: &Self| field.1);

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

impl<'de> Visitor<'de> for Document<'_> {
    type Value = Option<Root>;

    common!(Self::Value);

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<Root>, A::Error> {
        let mut root = None;
        read_object(map, self.0, Place::Document, &["linux"], |map, _, _| {
            root = map.next_value_seed(Linux(self.0))?;
            Ok(())
        })?;
        Ok(root)
    }
}

impl<'de> Visitor<'de> for Linux<'_> {
    type Value = Option<Root>;

    common!(Self::Value);

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<Root>, A::Error> {
        let mut root = None;
        read_object(map, self.0, Place::Linux, &["gidMappings"], |map, _, _| {
            root = map.next_value_seed(Mappings(self.0))?;
            Ok(())
        })?;
        Ok(root)
    }
}

impl<'de> Visitor<'de> for Mappings<'_> {
    type Value = Option<Root>;

    common!(Self::Value);

    /// The first match wins, but all entries are read: Go refuses the spec for any of them.
    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Option<Root>, A::Error> {
        let mut root = None;
        let mut entry = 0;
        while let Some(mapping) = entries.next_element_seed(Entry(self.0, entry))? {
            if root.is_none() && mapping.container == 0 {
                root = Some(Root { host: mapping.host, entry });
            }
            entry += 1;
        }
        Ok(root)
    }
}

impl<'de> Visitor<'de> for Entry<'_> {
    type Value = Mapping;

    common!(Self::Value);

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Mapping, A::Error> {
        let Self(track, index) = self;
        let mut mapping = Mapping::default();
        read_object(map, track, Place::Entry(index), &["containerID", "hostID", "size"], |map, name, place| {
            let number = map.next_value_seed(Field(track, place))?;
            match name {
                "containerID" => mapping.container = number,
                "hostID" => mapping.host = number,
                _ => {}
            }
            Ok(())
        })?;
        Ok(mapping)
    }
}

impl Visitor<'_> for Field<'_> {
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
            let message = format!("{place} stands twice: Go merges the two, others take the first or the last");
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
        let message = format!("the key \"{shown}\" is {place} to Go, which ignores case, and unknown to others");
        Err(self.track.refuse(Fault::FoldedKey, message))
    }
}

/// Whether Go takes a key for a known one: without regard to the case of ASCII letters, and `ſ`
/// for `s` (Unicode's simple folding, which also has the Kelvin sign for `k`; no known key has
/// a `k`).
fn equal_folded(known: &str, key: &str) -> bool {
    let mut key = key.chars().map(|character| if character == 'ſ' { 's' } else { character });
    known.chars().all(|expected| key.next().is_some_and(|found| found.eq_ignore_ascii_case(&expected)))
        && key.next().is_none()
}
