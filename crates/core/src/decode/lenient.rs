//! Reads JSON values whose type may differ from the expected one, and objects that may break off.
//!
//! A value of another type counts as missing and never as an error. serde_json decides what is valid JSON.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Reads any value as `T` expects it.
pub(super) struct Lenient<T>(pub(super) T);

/// Turns a value of any type into a `Value`.
pub(super) trait Expected<'a>: Sized {
    type Value;

    /// Returns the result for a value of another type than the expected one.
    fn missing(self) -> Self::Value;

    fn text(self, _text: Cow<'a, str>) -> Self::Value {
        self.missing()
    }

    fn list<S: SeqAccess<'a>>(self, list: S) -> Result<Self::Value, S::Error> {
        IgnoredAny.visit_seq(list).map(|_| self.missing())
    }

    fn object<M: MapAccess<'a>>(self, object: M) -> Result<Self::Value, M::Error> {
        IgnoredAny.visit_map(object).map(|_| self.missing())
    }
}

/// Expects a text. An empty text counts as missing.
pub(super) struct Text;

impl<'a> Expected<'a> for Text {
    type Value = Option<Cow<'a, str>>;

    fn missing(self) -> Self::Value {
        None
    }

    fn text(self, text: Cow<'a, str>) -> Self::Value {
        Some(text).filter(|text| !text.is_empty())
    }
}

/// Expects a list of texts. A single text is a list of one.
pub(super) struct Texts;

impl<'a> Expected<'a> for Texts {
    type Value = Vec<Cow<'a, str>>;

    fn missing(self) -> Self::Value {
        Vec::new()
    }

    fn text(self, text: Cow<'a, str>) -> Self::Value {
        vec![text]
    }

    fn list<S: SeqAccess<'a>>(self, mut list: S) -> Result<Self::Value, S::Error> {
        let mut texts = Vec::new();
        while let Some(text) = list.next_element_seed(Lenient(Text))? {
            texts.extend(text);
        }
        Ok(texts)
    }
}

/// Collects the members of an object. When the object breaks off, the members before that point are kept.
pub(super) trait Members<'a> {
    type Key: Deserialize<'a>;

    /// Reads the value of the member `key`.
    fn read_value<M: MapAccess<'a>>(&mut self, key: Self::Key, object: &mut M) -> Result<(), M::Error>;

    /// Is called when the last value is known to be whole: another member or the end of the object follows it.
    fn confirm_last(&mut self) {}
}

impl<'a, T: Members<'a>> Expected<'a> for &mut T {
    type Value = ();

    fn missing(self) {}

    fn object<M: MapAccess<'a>>(self, mut object: M) -> Result<(), M::Error> {
        while let Some(key) = object.next_key()? {
            self.confirm_last();
            self.read_value(key, &mut object)?;
        }
        self.confirm_last();
        Ok(())
    }
}

impl<'a, T: Expected<'a>> DeserializeSeed<'a> for Lenient<T> {
    type Value = T::Value;

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<T::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'a, T: Expected<'a>> Visitor<'a> for Lenient<T> {
    type Value = T::Value;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("any value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'a str) -> Result<T::Value, E> {
        Ok(self.0.text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T::Value, E> {
        Ok(self.0.text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<S: SeqAccess<'a>>(self, list: S) -> Result<T::Value, S::Error> {
        self.0.list(list)
    }

    fn visit_map<M: MapAccess<'a>>(self, object: M) -> Result<T::Value, M::Error> {
        self.0.object(object)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<T::Value, E> {
        Ok(self.0.missing())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<T::Value, E> {
        Ok(self.0.missing())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<T::Value, E> {
        Ok(self.0.missing())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<T::Value, E> {
        Ok(self.0.missing())
    }

    fn visit_unit<E: Error>(self) -> Result<T::Value, E> {
        Ok(self.0.missing())
    }
}
