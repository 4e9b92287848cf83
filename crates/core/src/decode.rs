//! Native audit JSON into an [`AuditEvent`], whole or cut off.
//!
//! One parser serves both: it fills the event as it goes, so where a line ends early the event holds what
//! stood before. The API server writes everything that rules need before the request and response bodies.
//! Envelopes of the clouds are read in their own crates.

mod stage_time;

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::event::{AuditEvent, ObjectRef};
use crate::text::bounded;

pub use stage_time::{stage_time_ms, stage_time_unread_ms};

/// Longest line that is read whole, in bytes. Of a longer one the first part is read, and it counts as truncated.
pub const LINE_BYTES_MAX: usize = 1 << 20;
/// How many bytes at the end of a longer line are searched for its timestamps.
pub const TAIL_BYTES: usize = 4096;

/// An event, and whether all of its record could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The event.
    pub event: AuditEvent,
    /// Whether the record was cut off or damaged behind what the event holds.
    pub is_truncated: bool,
}

/// An event that came in a cloud's envelope, with what the envelope says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enveloped {
    /// The event.
    pub decoded: Decoded,
    /// The provider's time of the record, in milliseconds since 1970.
    pub time_ms: i64,
    /// The provider's own id of the record.
    pub record_id: String,
    /// The cluster that audited the request, where the envelope names it.
    pub cluster: Option<String>,
}

/// Why a record is no audit event. The record is counted and told; it never stops a page.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The text is not JSON, or breaks off before anything could be read.
    #[error("not audit JSON: {0}")]
    NotJson(String),
    /// It is JSON of another kind.
    #[error("not an audit event: kind is {0}")]
    NotAnEvent(String),
    /// It is a record of another service, which an exported log may hold beside the audit log.
    #[error("not of the Kubernetes API: {0}")]
    OtherService(String),
}

/// Returns the event that `line` holds.
///
/// Text fields hold strings only; a value of another type and an empty string are read as missing. Of a key that
/// stands twice the last counts. `responseStatus.code` may be a number, a number with a fraction of zero, or text
/// of digits; with an exponent it is no number.
pub fn decode(line: &[u8]) -> Result<Decoded, DecodeError> {
    if line.len() <= LINE_BYTES_MAX {
        return decode_prefix(line, false);
    }
    decode_long(&line[..LINE_BYTES_MAX], &line[line.len() - TAIL_BYTES..])
}

/// Returns the event of a line longer than [`LINE_BYTES_MAX`], of which `prefix` is the first part and `tail` the
/// last [`TAIL_BYTES`]: the timestamps stand behind the bodies.
pub fn decode_long(prefix: &[u8], tail: &[u8]) -> Result<Decoded, DecodeError> {
    let mut decoded = decode_prefix(prefix, true)?;
    let event = &mut decoded.event;
    if event.stage_timestamp.is_none() {
        event.stage_timestamp = last_text_of(tail, "stageTimestamp");
        let received = &mut event.request_received_timestamp;
        *received = received.take().or_else(|| last_text_of(tail, "requestReceivedTimestamp"));
    }
    Ok(decoded)
}

fn decode_prefix(line: &[u8], is_prefix: bool) -> Result<Decoded, DecodeError> {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii();
    if line.first() != Some(&b'{') {
        let shown = bounded(&String::from_utf8_lossy(&line[..line.len().min(64)]), 16);
        return Err(DecodeError::NotJson(format!("it begins with {shown:?}")));
    }
    let mut top = Top::default();
    let mut json = serde_json::Deserializer::from_slice(line);
    let read = Object(&mut top).deserialize(&mut json).and_then(|()| json.end());
    match (&top.kind, read) {
        (Some(kind), _) if kind != "Event" => Err(DecodeError::NotAnEvent(bounded(kind, 64))),
        (_, Ok(())) if !is_begun(&top.event) => Err(DecodeError::NotJson("no auditID, stage or verb in it".to_owned())),
        (_, Ok(())) => Ok(Decoded { event: top.event, is_truncated: is_prefix }),
        (_, Err(_)) if is_begun(&top.event) => Ok(Decoded { event: top.event, is_truncated: true }),
        (_, Err(fault)) => Err(DecodeError::NotJson(fault.to_string())),
    }
}

/// Tells whether enough was read to know that this is a record of some request, however little is left of it: a URI of
/// hundreds of kilobytes stands before the verb and the addresses.
fn is_begun(event: &AuditEvent) -> bool {
    event.audit_id.is_some() || event.stage.is_some() || event.verb.is_some()
}

/// Returns the last text behind `"key":` in `bytes`. Inside a JSON text the quotes would be escaped, so this finds
/// a real key; what stands in a body comes before the event's own.
fn last_text_of(bytes: &[u8], key: &str) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let (_, after) = text.rsplit_once(&format!("\"{key}\":\""))?;
    let (value, _) = after.split_once('"')?;
    Some(bounded(value, 64))
}

/// An object whose keys are known. Anything else in its place is passed over.
trait Fields {
    /// The keys that are read.
    const KEYS: &'static [&'static str];

    /// Reads the value of `KEYS[key]`.
    fn read<'de, A: MapAccess<'de>>(&mut self, key: usize, map: &mut A) -> Result<(), A::Error>;

    /// Is told that the value before was whole: a key or the object's end followed it.
    fn settle(&mut self) {}
}

/// Reads an object into the `Fields` that it borrows, key by key.
struct Object<'a, T>(&'a mut T);

/// Reads a key as its place among the known ones.
struct KeyPlace(&'static [&'static str]);

/// Reads a text; anything else, and an empty one, is `None`.
struct Text;

/// Reads a list of texts; a lone text is a list of one.
struct Texts;

/// Passes over values of kinds that the visitor does not read.
macro_rules! pass_over {
    (@scalars $value:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($value)
        }
    };
    (@text $value:expr) => {
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok($value)
        }
    };
    (@list $value:expr) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok($value)
        }
    };
    (@map $value:expr) => {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok($value)
        }
    };
}

impl<'de, T: Fields> DeserializeSeed<'de> for Object<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de, T: Fields> Visitor<'de> for Object<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(place) = map.next_key_seed(KeyPlace(T::KEYS))? {
            self.0.settle();
            match place {
                Some(key) => self.0.read(key, &mut map)?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        self.0.settle();
        Ok(())
    }

    pass_over!(@scalars ());
    pass_over!(@text ());
    pass_over!(@list ());
}

impl<'de> DeserializeSeed<'de> for KeyPlace {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<usize>, D::Error> {
        json.deserialize_identifier(self)
    }
}

impl Visitor<'_> for KeyPlace {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|known| *known == key))
    }
}

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<String>, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E>(self, text: &str) -> Result<Option<String>, E> {
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    pass_over!(@scalars None);
    pass_over!(@list None);
    pass_over!(@map None);
}

impl<'de> DeserializeSeed<'de> for Texts {
    type Value = Vec<String>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Vec<String>, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Texts {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of texts")
    }

    fn visit_str<E>(self, text: &str) -> Result<Vec<String>, E> {
        Ok(vec![text.to_owned()])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = list.next_element_seed(Text)? {
            texts.extend(text);
        }
        Ok(texts)
    }

    pass_over!(@scalars Vec::new());
    pass_over!(@map Vec::new());
}

/// The event's own level.
#[derive(Default)]
struct Top {
    kind: Option<String>,
    event: AuditEvent,
}

impl Fields for Top {
    const KEYS: &'static [&'static str] = &[
        "kind",
        "level",
        "auditID",
        "stage",
        "requestURI",
        "verb",
        "user",
        "impersonatedUser",
        "sourceIPs",
        "userAgent",
        "objectRef",
        "responseStatus",
        "requestReceivedTimestamp",
        "stageTimestamp",
        "annotations",
    ];

    fn read<'de, A: MapAccess<'de>>(&mut self, key: usize, map: &mut A) -> Result<(), A::Error> {
        let event = &mut self.event;
        match Self::KEYS[key] {
            "kind" => self.kind = map.next_value_seed(Text)?,
            "level" => event.level = map.next_value_seed(Text)?,
            "auditID" => event.audit_id = map.next_value_seed(Text)?,
            "stage" => event.stage = map.next_value_seed(Text)?,
            "requestURI" => event.request_uri = map.next_value_seed(Text)?,
            "verb" => event.verb = map.next_value_seed(Text)?,
            "user" => map.next_value_seed(Object(&mut User {
                username: &mut event.username,
                groups: Some(&mut event.groups),
            }))?,
            "impersonatedUser" => {
                map.next_value_seed(Object(&mut User { username: &mut event.impersonated_username, groups: None }))?;
            }
            "sourceIPs" => event.source_ips = map.next_value_seed(Texts)?,
            "userAgent" => event.user_agent = map.next_value_seed(Text)?,
            "objectRef" => map.next_value_seed(Object(event.object_ref.insert(ObjectRef::default())))?,
            "responseStatus" => map.next_value_seed(Object(&mut ResponseStatus { event, number: None }))?,
            "requestReceivedTimestamp" => event.request_received_timestamp = map.next_value_seed(Text)?,
            "stageTimestamp" => event.stage_timestamp = map.next_value_seed(Text)?,
            _ => map.next_value_seed(Annotations(&mut event.annotations))?,
        }
        Ok(())
    }
}

struct User<'a> {
    username: &'a mut Option<String>,
    groups: Option<&'a mut Vec<String>>,
}

impl Fields for User<'_> {
    const KEYS: &'static [&'static str] = &["username", "groups"];

    fn read<'de, A: MapAccess<'de>>(&mut self, key: usize, map: &mut A) -> Result<(), A::Error> {
        match (Self::KEYS[key], &mut self.groups) {
            ("username", _) => *self.username = map.next_value_seed(Text)?,
            (_, Some(groups)) => **groups = map.next_value_seed(Texts)?,
            (_, None) => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

impl Fields for ObjectRef {
    const KEYS: &'static [&'static str] = &["resource", "subresource", "namespace", "name", "apiGroup", "apiVersion"];

    fn read<'de, A: MapAccess<'de>>(&mut self, key: usize, map: &mut A) -> Result<(), A::Error> {
        let field = match Self::KEYS[key] {
            "resource" => &mut self.resource,
            "subresource" => &mut self.subresource,
            "namespace" => &mut self.namespace,
            "name" => &mut self.name,
            "apiGroup" => &mut self.api_group,
            _ => &mut self.api_version,
        };
        *field = map.next_value_seed(Text)?;
        Ok(())
    }
}

struct ResponseStatus<'a> {
    event: &'a mut AuditEvent,
    /// A code that was read but may have been cut off: `40` of `403`. What follows it tells.
    number: Option<i64>,
}

impl Fields for ResponseStatus<'_> {
    const KEYS: &'static [&'static str] = &["code", "reason", "message"];

    fn read<'de, A: MapAccess<'de>>(&mut self, key: usize, map: &mut A) -> Result<(), A::Error> {
        match Self::KEYS[key] {
            "code" => self.number = code(map.next_value::<&RawValue>()?.get()),
            "reason" => self.event.response_reason = map.next_value_seed(Text)?,
            _ => self.event.response_message = map.next_value_seed(Text)?,
        }
        Ok(())
    }

    fn settle(&mut self) {
        if let Some(number) = self.number.take() {
            self.event.response_code = Some(number);
        }
    }
}

/// Returns the status code that a JSON value spells: a whole number, one with a fraction of zero, or text of digits
/// without zeros in front.
fn code(json: &str) -> Option<i64> {
    if json.starts_with('"') {
        let text: String = serde_json::from_str(json).ok()?;
        // Zeros in front would make a text of which no provider's filter knows that it is this number.
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
        return is_plain.then(|| text.parse().ok())?;
    }
    let whole = match json.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|byte| byte == b'0') => whole,
        Some(_) => return None,
        None => json,
    };
    whole.parse().ok()
}

/// Reads `annotations`, whose keys are free.
struct Annotations<'a>(&'a mut Vec<(String, String)>);

impl<'de> DeserializeSeed<'de> for Annotations<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Annotations<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if let Some(value) = map.next_value_seed(Text)? {
                self.0.push((key, value));
            }
        }
        Ok(())
    }

    pass_over!(@scalars ());
    pass_over!(@text ());
    pass_over!(@list ());
}

#[cfg(test)]
mod tests;
