//! A deserializer around serde_json's that reads by Go's rules.

use alloc::borrow::Cow;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use core::fmt;

use serde::de::value::{BorrowedStrDeserializer, StrDeserializer, StringDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::Fault;
use crate::key::KnownKey;
use crate::track::{Expected, Track};

/// A seed that is given a [`Reading`].
pub(crate) struct Seeded<'t, S> {
    seed: S,
    track: &'t Track,
}

impl<'t, S> Seeded<'t, S> {
    pub(crate) fn new(seed: S, track: &'t Track) -> Self {
        Self { seed, track }
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Seeded<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.seed.deserialize(Reading { inner, track: self.track })
    }
}

/// A value that is to be read.
struct Reading<'t, D> {
    inner: D,
    track: &'t Track,
}

impl<'de, D: Deserializer<'de>> Reading<'_, D> {
    /// Asks for any value, so that the visitor decides what to take.
    fn typed<V: Visitor<'de>>(self, expected: Expected, visitor: V) -> Result<V::Value, D::Error> {
        self.track.expect(expected);
        self.inner.deserialize_any(Typed { visitor, expected, track: self.track })
    }
}

macro_rules! integers {
    ($($method:ident: $type:ty,)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.typed(Expected::Integer { least: <$type>::MIN as i64, most: <$type>::MAX as u64 }, visitor)
        })*
    };
}

macro_rules! expecting {
    ($($method:ident($($argument:ident: $type:ty),*) => $expected:expr,)*) => {
        $(fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            self.typed($expected, visitor)
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Reading<'_, D> {
    type Error = D::Error;

    integers! {
        deserialize_i8: i8,
        deserialize_i16: i16,
        deserialize_i32: i32,
        deserialize_i64: i64,
        deserialize_u8: u8,
        deserialize_u16: u16,
        deserialize_u32: u32,
        deserialize_u64: u64,
    }

    expecting! {
        deserialize_any() => Expected::Any,
        deserialize_bool() => Expected::Bool,
        deserialize_f32() => Expected::Float,
        deserialize_f64() => Expected::Float,
        deserialize_char() => Expected::Text,
        deserialize_str() => Expected::Text,
        deserialize_string() => Expected::Text,
        deserialize_bytes() => Expected::Text,
        deserialize_byte_buf() => Expected::Text,
        deserialize_identifier() => Expected::Text,
        deserialize_seq() => Expected::Array,
        deserialize_tuple(_length: usize) => Expected::Array,
        deserialize_tuple_struct(_name: &'static str, _length: usize) => Expected::Array,
        deserialize_map() => Expected::Map,
        deserialize_struct(_name: &'static str, fields: &'static [&'static str]) => Expected::Struct(fields),
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_option(Optional { visitor, track: self.track })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_unit(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_unit_struct(name, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_ignored_any(visitor)
    }
}

/// A value that may be missing or null.
struct Optional<'t, V> {
    visitor: V,
    track: &'t Track,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Optional<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_none<E: de::Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_unit<E: de::Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_some(Reading { inner, track: self.track })
    }
}

/// Takes what is expected, null for its zero value as Go does, and nothing else. What it refuses is
/// refused without serde's copy of it, which could be as large as the document.
struct Typed<'t, V> {
    visitor: V,
    expected: Expected,
    track: &'t Track,
}

impl<V> Typed<'_, V> {
    fn wrong_type<E: de::Error>(&self) -> E {
        self.track.wrong_type(self.expected)
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "whatever else is expected, it is not this")]
impl<'de, V: Visitor<'de>> Visitor<'de> for Typed<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<V::Value, E> {
        match self.expected {
            Expected::Any | Expected::Bool => self.visitor.visit_bool(value),
            _ => Err(self.wrong_type()),
        }
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<V::Value, E> {
        match self.expected {
            Expected::Integer { most, .. } if number <= most => self.visitor.visit_u64(number),
            Expected::Integer { .. } => Err(self.track.bad_number(self.expected)),
            Expected::Any | Expected::Float => self.visitor.visit_u64(number),
            _ => Err(self.wrong_type()),
        }
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<V::Value, E> {
        match self.expected {
            Expected::Integer { least, .. } if number >= least => self.visitor.visit_i64(number),
            Expected::Integer { .. } => Err(self.track.bad_number(self.expected)),
            Expected::Any | Expected::Float => self.visitor.visit_i64(number),
            _ => Err(self.wrong_type()),
        }
    }

    /// Fractions, exponents, `-0`, and what no integer holds.
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<V::Value, E> {
        match self.expected {
            Expected::Integer { .. } => Err(self.track.bad_number(self.expected)),
            Expected::Any | Expected::Float => self.visitor.visit_f64(number),
            _ => Err(self.wrong_type()),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<V::Value, E> {
        match self.expected {
            Expected::Any | Expected::Text => self.track.whole(text).and_then(|text| self.visitor.visit_str(text)),
            _ => Err(self.wrong_type()),
        }
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<V::Value, E> {
        match self.expected {
            Expected::Any | Expected::Text => {
                self.track.whole(text).and_then(|text| self.visitor.visit_borrowed_str(text))
            }
            _ => Err(self.wrong_type()),
        }
    }

    fn visit_unit<E: de::Error>(self) -> Result<V::Value, E> {
        match self.expected {
            Expected::Any => self.visitor.visit_unit(),
            Expected::Bool => self.visitor.visit_bool(false),
            Expected::Integer { .. } | Expected::Float => self.visitor.visit_u64(0),
            Expected::Text => self.visitor.visit_borrowed_str(""),
            Expected::Array => self.visitor.visit_seq(Nothing::default()),
            Expected::Map | Expected::Struct(_) => self.visitor.visit_map(Nothing::default()),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        match self.expected {
            Expected::Any | Expected::Array => self.visitor.visit_seq(Elements { inner, track: self.track, index: 0 }),
            _ => Err(self.wrong_type()),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let track = self.track;
        match self.expected {
            Expected::Struct(known) => self.visitor.visit_map(Members { inner, track, known, seen: 0 }),
            Expected::Any | Expected::Map => self.visitor.visit_map(Entries { inner, track, seen: BTreeSet::new() }),
            _ => Err(self.wrong_type()),
        }
    }
}

/// What null stands for where an array or an object is read.
struct Nothing<E>(core::marker::PhantomData<E>);

impl<E> Default for Nothing<E> {
    fn default() -> Self {
        Self(core::marker::PhantomData)
    }
}

impl<'de, E: de::Error> SeqAccess<'de> for Nothing<E> {
    type Error = E;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, _: T) -> Result<Option<T::Value>, E> {
        Ok(None)
    }
}

impl<'de, E: de::Error> MapAccess<'de> for Nothing<E> {
    type Error = E;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, _: K) -> Result<Option<K::Value>, E> {
        Ok(None)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, _: T) -> Result<T::Value, E> {
        Err(E::custom("there is no value"))
    }
}

/// The elements of an array.
struct Elements<'t, A> {
    inner: A,
    track: &'t Track,
    index: usize,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Elements<'_, A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        self.track.enter_index(self.index);
        let element = self.inner.next_element_seed(Seeded::new(seed, self.track))?;
        self.track.leave();
        self.index += 1;
        Ok(element)
    }
}

/// The known members of an object; all others are skipped.
struct Members<'t, A> {
    inner: A,
    track: &'t Track,
    known: &'static [&'static str],
    seen: u128,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Members<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let Self { inner, track, known, seen } = self;
        loop {
            let Some(key) = inner.next_key_seed(KnownKey { track, known })? else { return Ok(None) };
            let Some((index, name)) = key else {
                inner.next_value::<IgnoredAny>()?;
                continue;
            };
            track.enter_member(name);
            let Some(bit) = u32::try_from(index).ok().and_then(|index| 1_u128.checked_shl(index)) else {
                return Err(de::Error::custom("a type with too many fields"));
            };
            if *seen & bit != 0 {
                let message = format!(
                    "{} appears twice: Go merges the two, other parsers take the first or the last",
                    track.place()
                );
                return Err(track.refuse(Fault::DuplicateKey, message));
            }
            *seen |= bit;
            return seed.deserialize(StrDeserializer::new(name)).map(Some);
        }
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        let value = self.inner.next_value_seed(Seeded::new(seed, self.track))?;
        self.track.leave();
        Ok(value)
    }
}

/// The entries of an object whose keys are data, such as annotations: to Go they differ by case.
struct Entries<'de, 't, A> {
    inner: A,
    track: &'t Track,
    seen: BTreeSet<Cow<'de, str>>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entries<'de, '_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let Some(key) = self.inner.next_key_seed(AnyKey)? else { return Ok(None) };
        self.track.enter_key(&key);
        self.track.whole(&key)?;
        if !self.seen.insert(key.clone()) {
            let message = format!("{} appears twice: Go takes the last, other parsers the first", self.track.place());
            return Err(self.track.refuse(Fault::DuplicateKey, message));
        }
        let key = match key {
            Cow::Borrowed(key) => seed.deserialize(BorrowedStrDeserializer::new(key)),
            Cow::Owned(key) => seed.deserialize(StringDeserializer::new(key)),
        };
        key.map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        let value = self.inner.next_value_seed(Seeded::new(seed, self.track))?;
        self.track.leave();
        Ok(value)
    }
}

/// A key that is data.
struct AnyKey;

impl<'de> DeserializeSeed<'de> for AnyKey {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for AnyKey {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.into()))
    }

    fn visit_borrowed_str<E: de::Error>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_string<E: de::Error>(self, key: String) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key))
    }
}
