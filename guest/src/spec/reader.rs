//! The reader: serde_json, told by seeds which values to read, streaming past all others.

mod track;

use alloc::format;
use core::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use self::track::{Place, Track};
use super::{Error, Fault};

/// Reads the remapped GID out of a spec.
pub(super) fn read(text: &str) -> Result<u32, Error> {
    let track = Track::default();
    let mut json = serde_json::Deserializer::from_str(text);
    let found = Document(&track).deserialize(&mut json);
    found
        .and_then(|host| json.end().map(|()| host))
        .map(Option::unwrap_or_default)
        .map_err(|error| track.explain(&error))
}

/// The host id of the first entry whose container id is 0.
type Host = Option<u32>;

/// The OCI spec itself.
struct Document<'a>(&'a Track);

/// `linux`.
struct Linux<'a>(&'a Track);

/// `linux.gidMappings`.
struct Mappings<'a>(&'a Track);

/// One entry of `linux.gidMappings`.
struct Entry<'a>(&'a Track, usize);

/// One field of an entry: a `uint32` in plain digits, or null for 0.
struct Field<'a>(&'a Track, usize, &'static str);

/// What an entry maps. Missing fields are 0, and the size is not looked at.
#[derive(Clone, Copy, Default)]
struct Mapping {
    container: u32,
    host: u32,
}

/// Lets a type be its own seed and visitor: it notes where the reader is, and takes any value that
/// its visitor takes.
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

seed!(Document => Host, |_: &Self| Place::Document);
seed!(Linux => Host, |_: &Self| Place::Linux);
seed!(Mappings => Host, |_: &Self| Place::Mappings);
seed!(Entry => Mapping, |entry: &Self| Place::Entry(entry.1));
seed!(Field => u32, |field: &Self| Place::Field(field.1, field.2));

impl<'de> Visitor<'de> for Document<'_> {
    type Value = Host;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<Host, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Host, A::Error> {
        let mut host = None;
        read_object(map, self.0, Place::Document, &["linux"], |map, _| {
            host = map.next_value_seed(Linux(self.0))?;
            Ok(())
        })?;
        Ok(host)
    }
}

impl<'de> Visitor<'de> for Linux<'_> {
    type Value = Host;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<Host, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Host, A::Error> {
        let mut host = None;
        read_object(map, self.0, Place::Linux, &["gidMappings"], |map, _| {
            host = map.next_value_seed(Mappings(self.0))?;
            Ok(())
        })?;
        Ok(host)
    }
}

impl<'de> Visitor<'de> for Mappings<'_> {
    type Value = Host;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_unit<E>(self) -> Result<Host, E> {
        Ok(None)
    }

    /// The first match wins, but all entries are read: Go refuses the spec for any of them.
    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Host, A::Error> {
        let mut host = None;
        let mut index = 0;
        while let Some(mapping) = entries.next_element_seed(Entry(self.0, index))? {
            if host.is_none() && mapping.container == 0 {
                host = Some(mapping.host);
            }
            index += 1;
        }
        Ok(host)
    }
}

impl<'de> Visitor<'de> for Entry<'_> {
    type Value = Mapping;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<Mapping, E> {
        Ok(Mapping::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Mapping, A::Error> {
        let Self(track, index) = self;
        let mut mapping = Mapping::default();
        read_object(map, track, Place::Entry(index), &["containerID", "hostID", "size"], |map, name| {
            let number = map.next_value_seed(Field(track, index, name))?;
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

impl<'de> Visitor<'de> for Field<'_> {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_unit<E>(self) -> Result<u32, E> {
        Ok(0)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<u32, E> {
        u32::try_from(number).or_else(|_| self.refuse())
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<u32, E> {
        self.refuse()
    }

    /// Fractions, exponents, `-0`, and what no integer holds.
    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<u32, E> {
        self.refuse()
    }
}

impl Field<'_> {
    fn refuse<T, E: serde::de::Error>(&self) -> Result<T, E> {
        let Self(track, ..) = self;
        Err(track.refuse(Fault::Number, "a number from 0 to 4294967295 in plain digits is needed"))
    }
}

/// Reads the known members of an object and skips all others.
fn read_object<'de, A: MapAccess<'de>>(
    mut map: A,
    track: &Track,
    place: Place,
    known: &'static [&'static str],
    mut read: impl FnMut(&mut A, &'static str) -> Result<(), A::Error>,
) -> Result<(), A::Error> {
    let mut seen = 0_u8;
    while let Some(key) = map.next_key_seed(Key { track, known })? {
        let Some(index) = key else {
            map.next_value::<IgnoredAny>()?;
            continue;
        };
        let name = known.get(index).copied().unwrap_or_default();
        if seen & 1 << index != 0 {
            return Err(track.refuse(
                Fault::DuplicateKey,
                format!("the key \"{name}\" stands twice, which Go merges and others do not"),
            ));
        }
        seen |= 1 << index;
        read(&mut map, name)?;
        track.enter(place);
    }
    Ok(())
}

/// A key: the index of the known one it is, or `None` for an unknown one.
struct Key<'a> {
    track: &'a Track,
    known: &'static [&'static str],
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Option<usize>, E> {
        if let Some(index) = self.known.iter().position(|known| *known == key) {
            return Ok(Some(index));
        }
        match self.known.iter().find(|known| equal_folded(known, key)) {
            None => Ok(None),
            Some(known) => {
                let shown = key.escape_default();
                let message =
                    format!("the key \"{shown}\" is \"{known}\" to Go, which ignores case, and unknown to others");
                Err(self.track.refuse(Fault::FoldedKey, message))
            }
        }
    }
}

/// Whether Go takes a key for a known one: ASCII without regard to case, and the two other
/// characters that Unicode folds to ASCII letters, `ſ` and the Kelvin sign.
fn equal_folded(known: &str, key: &str) -> bool {
    let mut key = key.chars().map(|character| match character {
        '\u{17F}' => 's',
        '\u{212A}' => 'k',
        other => other.to_ascii_lowercase(),
    });
    known.chars().all(|character| key.next() == Some(character.to_ascii_lowercase())) && key.next().is_none()
}
