//! The known parts of the process: its terminal and its user.

use core::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};

use super::track::{Place, Track};
use super::{Number, Part, read_object};

/// `process`, as far as it is known. Missing fields are zero, as in Go.
#[derive(Clone, Copy, Default)]
pub(in crate::spec) struct Process {
    pub(in crate::spec) terminal: bool,
    pub(in crate::spec) uid: u32,
    pub(in crate::spec) gid: u32,
}

/// `process`.
pub(super) struct Seed<'a>(pub(super) &'a Track, pub(super) &'a mut Process);

/// `process.user`.
struct User<'a>(&'a Track, &'a mut Process);

/// `process.terminal`.
struct Terminal<'a>(&'a Track);

seed!(Seed => (), |_: &Self| Place::Process);
seed!(User => (), |_: &Self| Place::User);
seed!(Terminal => bool, |_: &Self| Place::Terminal);

impl Part<'_> for Seed<'_> {
    const KEYS: &'static [&'static str] = &["process"];
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = ();

    common!(Self::Value);

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Self(track, process) = self;
        read_object(map, track, Place::Process, &["terminal", "user"], |map, name, _| {
            if name == "user" {
                return map.next_value_seed(User(track, process));
            }
            process.terminal = map.next_value_seed(Terminal(track))?;
            Ok(())
        })
    }
}

impl<'de> Visitor<'de> for User<'_> {
    type Value = ();

    common!(Self::Value);

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Self(track, process) = self;
        read_object(map, track, Place::User, &["uid", "gid"], |map, name, place| {
            let id = map.next_value_seed(Number(track, place))?;
            if name == "uid" {
                process.uid = id
            } else {
                process.gid = id
            }
            Ok(())
        })
    }
}

impl Visitor<'_> for Terminal<'_> {
    type Value = bool;

    common!(Self::Value);

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<bool, E> {
        Ok(value)
    }
}
