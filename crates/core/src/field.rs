//! The fields that rules may name: those of audit.k8s.io/v1, and those derived from them. [`TABLE`] has one row per field.

mod table;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::diagnostic::nearest;
use crate::event::CutFields;
use crate::observation::Observation;

use table::{Origin, Row, TABLE};

/// A field of an observation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// A field with a fixed name: one of [`Field::names`].
    Named(&'static str),
    /// `annotations.KEY`.
    Annotation(String),
}

/// The value of a field in one observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldValue<'a> {
    /// The event does not have it.
    Missing,
    /// A text of the event.
    Text(&'a str),
    /// A text that was computed, such as an address.
    Owned(String),
    /// Several texts: a condition holds where any one of them fits.
    Texts(&'a [String]),
    /// A number.
    Number(i64),
    /// True or false.
    Bool(bool),
}

/// What kind of value a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// One text.
    Text,
    /// Several texts.
    Texts,
    /// One address.
    Address,
    /// Several addresses.
    Addresses,
    /// A number.
    Number,
    /// True or false.
    Bool,
}

/// An audited field and its value, from which a derived field follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Premise {
    /// The field holds this text.
    Text(&'static str, &'static str),
    /// The field holds this number.
    Number(&'static str, i64),
}

/// Reads the value of one field, without a search for its name.
#[derive(Clone, Debug)]
pub struct FieldReader(Reader);

#[derive(Clone, Debug)]
enum Reader {
    Row(&'static Row),
    Annotation(String),
    Unknown,
}

impl Field {
    /// Returns every fixed name, first the audited ones as audit.k8s.io/v1 spells them, then the derived ones.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TABLE.iter().map(|row| row.name)
    }

    /// Returns the field's name as rules spell it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Field::Named(name) => (*name).to_owned(),
            Field::Annotation(key) => format!("annotations.{key}"),
        }
    }

    /// Returns the known field whose name is nearest to `name`.
    #[must_use]
    pub fn meant(name: &str) -> Option<&'static str> {
        let suffix = format!(".{}", name.to_ascii_lowercase());
        let nested = Field::names().find(|known| known.to_ascii_lowercase().ends_with(&suffix));
        nested.or_else(|| nearest(name, &Field::names().collect::<Vec<_>>()))
    }

    /// Returns the fix for an unknown field `name`: the nearest known field, or the list of all.
    #[must_use]
    pub fn suggestion(name: &str) -> String {
        match Field::meant(name) {
            Some(known) => format!("did you mean `{known}`?"),
            None => format!("expected one of: {}", Field::names().collect::<Vec<_>>().join(", ")),
        }
    }

    /// Returns whether a provider's record holds the field itself, so that a prefilter can name it.
    #[must_use]
    pub fn is_audited(&self) -> bool {
        match self {
            Field::Named(_) => self.row().is_some_and(|row| matches!(row.origin, Origin::Audited)),
            Field::Annotation(_) => true,
        }
    }

    /// Returns the fields of an event without whose end the value is another.
    #[must_use]
    pub fn cut_by(&self) -> CutFields {
        match self {
            Field::Named("requestURI" | "path") => CutFields { request_uri: true, ..CutFields::default() },
            Field::Named("userAgent") => CutFields { user_agent: true, ..CutFields::default() },
            _ => CutFields::default(),
        }
    }

    /// Returns what kind of value the field holds.
    #[must_use]
    pub fn kind(&self) -> FieldKind {
        self.row().map_or(FieldKind::Text, |row| row.kind)
    }

    /// Returns whether the field holds several values.
    #[must_use]
    pub fn is_array(&self) -> bool {
        matches!(self.kind(), FieldKind::Texts | FieldKind::Addresses)
    }

    /// Returns whether the field holds addresses, which a network can contain.
    #[must_use]
    pub fn is_address(&self) -> bool {
        matches!(self.kind(), FieldKind::Address | FieldKind::Addresses)
    }

    /// Returns whether the field only ever holds a number.
    #[must_use]
    pub fn is_number(&self) -> bool {
        self.kind() == FieldKind::Number
    }

    /// Returns whether the field only ever holds true or false.
    #[must_use]
    pub fn is_bool(&self) -> bool {
        self.kind() == FieldKind::Bool
    }

    /// Returns audited values: where this derived field is true, or has a text, a request has at least one of them. The
    /// list is empty where nothing of the kind is known.
    #[must_use]
    pub fn premises(&self) -> &'static [Premise] {
        match self.row().map(|row| row.origin) {
            Some(Origin::Derived(premises)) => premises,
            Some(Origin::Audited) | None => &[],
        }
    }

    /// Returns what reads the field's value.
    #[must_use]
    pub fn reader(&self) -> FieldReader {
        FieldReader(match self {
            Field::Named(_) => self.row().map_or(Reader::Unknown, Reader::Row),
            Field::Annotation(key) => Reader::Annotation(key.clone()),
        })
    }

    /// Returns the field's value in `observation`, with `client` as the address that sent it.
    #[must_use]
    pub fn value_of<'a>(&self, observation: &'a Observation, client: Option<IpAddr>) -> FieldValue<'a> {
        self.reader().value_of(observation, client)
    }

    /// Returns why a derived field has its value, for people; `None` where the value says enough.
    #[must_use]
    pub fn reason(&self, observation: &Observation, client: Option<IpAddr>) -> Option<String> {
        self.row().and_then(|row| row.reason).map(|reason| reason(observation, client))
    }

    fn row(&self) -> Option<&'static Row> {
        match self {
            Field::Named(name) => TABLE.iter().find(|row| row.name == *name),
            Field::Annotation(_) => None,
        }
    }
}

impl FieldValue<'_> {
    /// Writes what distinguishes it from every other value, and from every other sequence of values.
    pub(crate) fn write(&self, to: &mut Vec<u8>) {
        let length = |length: usize| (length as u64).to_le_bytes();
        let write_text = |text: &str, to: &mut Vec<u8>| {
            to.extend_from_slice(&length(text.len()));
            to.extend_from_slice(text.as_bytes());
        };
        match self {
            FieldValue::Missing => to.push(0),
            FieldValue::Text(text) => {
                to.push(1);
                write_text(text, to);
            }
            FieldValue::Owned(text) => FieldValue::Text(text).write(to),
            FieldValue::Texts(texts) => {
                to.push(2);
                to.extend_from_slice(&length(texts.len()));
                texts.iter().for_each(|text| write_text(text, to));
            }
            FieldValue::Number(number) => {
                to.push(3);
                to.extend(number.to_le_bytes());
            }
            FieldValue::Bool(value) => to.extend([4, u8::from(*value)]),
        }
    }
}

impl FieldReader {
    /// Returns the field's value in `observation`, with `client` as the address that sent it.
    #[must_use]
    pub fn value_of<'a>(&self, observation: &'a Observation, client: Option<IpAddr>) -> FieldValue<'a> {
        match &self.0 {
            Reader::Row(row) => (row.value)(observation, client),
            Reader::Annotation(key) => {
                let mut annotations = observation.event.annotations.iter();
                let found = annotations.find(|(name, _)| name == key);
                found.map_or(FieldValue::Missing, |(_, value)| FieldValue::Text(value))
            }
            Reader::Unknown => FieldValue::Missing,
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl FromStr for Field {
    type Err = ();

    /// Reads a field's name; an unknown one is an error.
    fn from_str(name: &str) -> Result<Field, ()> {
        if let Some(key) = name.strip_prefix("annotations.").filter(|key| !key.is_empty()) {
            return Ok(Field::Annotation(key.to_owned()));
        }
        Field::names().find(|known| *known == name).map(Field::Named).ok_or(())
    }
}
