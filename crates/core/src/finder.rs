//! Finds audit events in whatever holds them: an object or a text, behind a prefix, in lists, answers and rows, or as
//! base64 data, several levels deep.
//!
//! An event is recognized by its own members, never by who wrapped it. What is in an event is not searched: a client may
//! write anything into a body. The records of clouds that translate events are read by their own crates, through
//! [`Envelope`]. The caller cuts lines and long documents into texts.

mod foreign;
mod object;
mod outer;
mod recognition;
mod table;

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::decode::{DecodeError, Decoded, Enveloped, json_text};
use crate::needle::Needles;
use crate::source::Provider;

pub use foreign::Foreign;
pub use outer::Outer;
pub use table::row;

use object::Object;

/// Most objects, lists and texts around an event.
///
/// Five wrappers are enough for every known chain of tools. The deepest, an OpenTelemetry export, has eight levels.
pub const DEPTH_MAX: usize = 32;
/// Most data that is unpacked of one text, in bytes: a compressed record must not cost more than a plain one may.
const UNPACKED_BYTES_MAX: usize = 64 << 20;
/// How often a text is read in vain at most, in places where no value begins after all.
const FAILURES_MAX: usize = 32;
/// A value that breaks off before so many bytes was hardly read: `[` and `{` occur in other text too.
const HARDLY_READ_BYTES: usize = 16;
/// Shortest text that may be base64 data, in bytes. An event is longer.
const DATA_BYTES_MIN: usize = 64;
/// The beginning of an event behind another one that was cut off, as the API server writes it.
const GLUED: &str = "{\"kind\":\"Event\",";
/// What hardly any record but an audit event contains.
const MARKS: [&str; 4] = ["auditID", "audit.k8s.io/v", "stageTimestamp", "cloudaudit.googleapis.com"];
/// Members of which each audit event shows one, unless it is packed.
const VISIBLE: [&str; 3] = ["auditID", "AuditId", "protoPayload"];
/// Names of lists of records in answers of services and tools.
const LISTS: [&str; 10] =
    ["events", "logEvents", "entries", "items", "records", "Records", "results", "rows", "values", "hits"];

/// Finds audit events.
#[derive(Clone, Copy, Debug)]
pub struct Finder<'a> {
    /// The records that crates of the clouds read.
    pub envelopes: &'a [Envelope],
    /// Returns the bytes of base64 data, decompressed and at most so many; `None` where the text is not such data.
    pub unpack: fn(&str, usize) -> Option<Vec<u8>>,
    /// Needles of which each record contains one that is of interest. Others are not decoded if a wrapper has their time.
    /// Without needles, all are decoded.
    pub needles: &'a [Needles],
}

/// A record of a cloud that does not hold the event as the API server wrote it.
#[derive(Clone, Copy, Debug)]
pub struct Envelope {
    /// The service that keeps such records.
    pub provider: Provider,
    /// Sets of members. A record has all members of one set.
    pub members: &'static [&'static [&'static str]],
    /// Reads the record.
    pub read: fn(&str) -> Result<Enveloped, DecodeError>,
}

/// An audit event, and what its wrappers say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundEvent {
    /// The event.
    pub decoded: Decoded,
    /// The time of the nearest wrapper that has one, else the event's own, in milliseconds since 1970.
    pub time_ms: Option<i64>,
    /// The id of the nearest wrapper that has one.
    pub record_id: Option<String>,
    /// The cluster that audited the request, if a wrapper names it.
    pub cluster: Option<String>,
    /// The service that kept the record.
    pub provider: Provider,
}

/// Why a record is not used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unusable {
    /// It looks like an audit event and cannot be read.
    #[error("{0}")]
    Damaged(DecodeError),
    /// It is something else.
    #[error("{0}")]
    Foreign(Foreign),
    /// It contains no needle. Its time, in milliseconds since 1970.
    #[error("not decoded")]
    Skipped(i64),
}

impl Finder<'_> {
    /// Returns the records in `text` in their order: a JSON document, several of them, or a line with a prefix.
    ///
    /// A text without an event is one record, or as many as the list in it has elements.
    #[must_use]
    pub fn find(&self, text: &str, outer: &Outer) -> Vec<Result<FoundEvent, Unusable>> {
        self.find_before(text, text, outer)
    }

    /// Returns the same as [`Finder::find`]. `around` is the text with what follows it, which shows what a text without an
    /// event is.
    #[must_use]
    pub fn find_before(&self, text: &str, around: &str, outer: &Outer) -> Vec<Result<FoundEvent, Unusable>> {
        let mut search = Search { finder: self, found: Vec::new(), unpacked: 0, empty_lists: 0 };
        search.text(text, outer, 0);
        if search.found.is_empty() && search.empty_lists == 0 && !is_blank(text) {
            search.found.push(Err(Unusable::of_line(text, around)));
        }
        search.found
    }
}

impl Unusable {
    /// Returns why `text` is not used, in which no event was found. `around` is the text with what follows it.
    #[must_use]
    pub fn of_line(text: &str, around: &str) -> Unusable {
        let is_whole = |json: &str| value_end(json).is_some_and(|end| json[end..].trim().is_empty());
        if is_whole(text.trim_start()) || !MARKS.iter().any(|mark| text.contains(mark)) {
            return Unusable::Foreign(Foreign::of(around));
        }
        match text.find('{').map(|begin| &text[begin..]) {
            Some(behind_prefix) if is_whole(behind_prefix) => Unusable::Foreign(Foreign::of(behind_prefix)),
            _ => Unusable::Damaged(DecodeError::NotJson("it is cut off or damaged".to_owned())),
        }
    }
}

struct Search<'a> {
    finder: &'a Finder<'a>,
    found: Vec<Result<FoundEvent, Unusable>>,
    unpacked: usize,
    /// Lists of records that had none: an answer without records is not a record.
    empty_lists: usize,
}

/// The methods return whether there was an audit event, readable or not.
impl Search<'_> {
    fn value(&mut self, json: &str, outer: &Outer, depth: usize) -> bool {
        match json.as_bytes().first() {
            _ if depth > DEPTH_MAX => false,
            Some(b'{') => self.object(json, outer, depth),
            Some(b'[') => self.list(json, outer, depth),
            Some(b'"') => json_text(json).is_some_and(|text| self.inner_text(&text, outer, depth)),
            _ => false,
        }
    }

    fn object(&mut self, json: &str, outer: &Outer, depth: usize) -> bool {
        let Some(object) = Object::parse(json) else {
            return false;
        };
        if let Some(time_ms) = self.skipped_time_ms(&object, json, outer) {
            self.found.push(Err(Unusable::Skipped(time_ms)));
            return true;
        }
        let mut damage = None;
        if let Some(envelope) = self.finder.envelopes.iter().find(|envelope| object.has_all_of_any(envelope.members)) {
            match (envelope.read)(json) {
                Ok(enveloped) => {
                    self.found.push(Ok(FoundEvent::of_envelope(enveloped, envelope.provider)));
                    return true;
                }
                Err(DecodeError::OtherService(service)) => {
                    self.found.push(Err(Unusable::Foreign(Foreign::of_service(&service, json))));
                    return false;
                }
                Err(error) => damage = Some(error),
            }
        }
        // A record with the whole event in a text may also have some of its fields.
        if !object.has("@message") {
            match recognition::event_in(&object, json) {
                Some(Ok(decoded)) => {
                    self.found.push(Ok(FoundEvent::of_wrapped(decoded, outer)));
                    return true;
                }
                Some(Err(DecodeError::OtherService(service))) => {
                    self.found.push(Err(Unusable::Foreign(Foreign::of_service(&service, json))));
                    return false;
                }
                Some(Err(error)) => damage = Some(error),
                None => {}
            }
        }
        if let Some(nested) = object.nested() {
            return self.value(&nested, outer, depth + 1);
        }
        let before = self.found.len();
        if self.members(&object, outer, depth) {
            return true;
        }
        if let Some(error) = damage.filter(|_| VISIBLE.iter().any(|mark| json.contains(mark))) {
            self.found.truncate(before);
            self.found.push(Err(Unusable::Damaged(error)));
            return true;
        }
        if object.has("@message")
            && let Some(Ok(decoded)) = recognition::event_in(&object, json)
        {
            self.found.push(Ok(FoundEvent::of_wrapped(decoded, outer)));
            return true;
        }
        false
    }

    /// Returns the time of an object that holds an audit event without a needle, if it says its time.
    fn skipped_time_ms(&self, object: &Object<'_>, json: &str, outer: &Outer) -> Option<i64> {
        let needles = self.finder.needles;
        if needles.is_empty() || needles.iter().any(|needles| needles.occur_in(json.as_bytes())) {
            return None;
        }
        let time_ms = outer.within_object(object).time_ms?;
        VISIBLE.iter().any(|mark| json.contains(mark)).then_some(time_ms)
    }

    /// Searches the members of an object. Where one of them holds an event, the others are not records.
    fn members(&mut self, object: &Object<'_>, outer: &Outer, depth: usize) -> bool {
        let outer = outer.within_object(object);
        self.empty_lists += usize::from(LISTS.iter().any(|name| matches!(object.raw(name), Some("[]" | "null"))));
        if let Some(rows) = table::rows(object) {
            return self.elements(rows.iter().map(String::as_str), &outer, depth + 1);
        }
        let begin = self.found.len();
        let mut foreign = Vec::new();
        let mut is_found = false;
        for (_, value) in object.members() {
            let before = self.found.len();
            if self.value(value.get(), &outer, depth + 1) {
                is_found = true;
            } else {
                let records = self.found.split_off(before);
                foreign = if records.len() > foreign.len() { records } else { foreign };
            }
        }
        if self.found.len() == begin {
            self.found.append(&mut foreign);
        }
        is_found
    }

    fn list(&mut self, json: &str, outer: &Outer, depth: usize) -> bool {
        let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(json) else {
            return false;
        };
        if let Some(fields) = table::fields(&elements) {
            return self.value(&fields, outer, depth + 1);
        }
        let outer = outer.of_pair(&elements);
        self.elements(elements.iter().map(|element| element.get()), &outer, depth + 1)
    }

    /// Searches records of a list. Each is one, also without an event.
    fn elements<'a>(&mut self, elements: impl Iterator<Item = &'a str>, outer: &Outer, depth: usize) -> bool {
        let mut is_found = false;
        for element in elements {
            let before = (self.found.len(), self.empty_lists);
            is_found |= self.value(element, outer, depth);
            let is_record = element.starts_with('{') || (element.starts_with('"') && element.len() >= DATA_BYTES_MIN);
            if (self.found.len(), self.empty_lists) == before && is_record {
                self.found.push(Err(Unusable::Foreign(Foreign::of(element))));
            }
        }
        is_found
    }

    /// Searches a text inside of a document.
    fn inner_text(&mut self, text: &str, outer: &Outer, depth: usize) -> bool {
        if text.contains('{') {
            return self.text(text, outer, depth + 1);
        }
        let is_data = text.len() >= DATA_BYTES_MIN && !text.contains(char::is_whitespace);
        let left = UNPACKED_BYTES_MAX - self.unpacked;
        let Some(bytes) = is_data.then(|| (self.finder.unpack)(text, left)).flatten() else {
            return false;
        };
        self.unpacked += bytes.len().min(left);
        let unpacked = String::from_utf8_lossy(&bytes);
        let mut is_found = false;
        for line in lines_or_all(&unpacked) {
            is_found |= self.text(line, outer, depth + 1);
        }
        is_found
    }

    /// Searches the JSON values in a text. What is between and before them is passed over.
    fn text(&mut self, text: &str, outer: &Outer, depth: usize) -> bool {
        if depth > DEPTH_MAX {
            return false;
        }
        let (mut at, mut vain, mut is_found) = (0, 0, false);
        if !text.contains('{') && text.len() >= DATA_BYTES_MIN {
            return self.inner_text(text.trim(), outer, depth);
        }
        let outer = match text.trim_start().starts_with(['{', '[']) {
            true => Cow::Borrowed(outer),
            false => Cow::Owned(outer.after_prefix(&text[..text.find('{').unwrap_or(0)])),
        };
        while let Some(open) = text[at..].find(['{', '[']) {
            let begin = at + open;
            let rest = &text[begin..];
            if vain > FAILURES_MAX * text.len() {
                // Nothing is left out in silence.
                let error = DecodeError::NotJson("what is before it breaks off too often".to_owned());
                self.found.push(Err(Unusable::Damaged(error)));
                break;
            }
            let whole = read_value(rest);
            if let Ok(end) = whole {
                is_found |= self.value(&rest[..end], &outer, depth);
                at = begin + end;
            } else if let Err(read) = whole
                && read < HARDLY_READ_BYTES
                && !text[..begin].ends_with('"')
                && !rest.starts_with(GLUED)
            {
                vain += HARDLY_READ_BYTES;
                at = begin + 1;
            } else if let Some((quoted, end)) = quoted(text, begin) {
                is_found |= self.text(&quoted, &outer, depth + 1);
                at = end;
            } else if let Some(decoded) = recognition::cut_event(rest) {
                self.found.push(Ok(FoundEvent::of_wrapped(decoded, &outer)));
                is_found = true;
                // The next line may be glued to one that was cut off.
                let Some(next) = glued(rest) else { break };
                at = begin + next;
            } else {
                vain += rest.len();
                at = begin + 1;
            }
        }
        is_found
    }
}

impl FoundEvent {
    fn of_envelope(enveloped: Enveloped, provider: Provider) -> FoundEvent {
        let Enveloped { decoded, time_ms, record_id, cluster, .. } = enveloped;
        let record_id = Some(record_id).filter(|id| !id.is_empty());
        FoundEvent { decoded, time_ms: Some(time_ms), record_id, cluster, provider }
    }

    fn of_wrapped(decoded: Decoded, outer: &Outer) -> FoundEvent {
        FoundEvent {
            time_ms: outer.time_ms.or_else(|| decoded.event.stage_time_ms()),
            record_id: outer.record_id.clone(),
            cluster: None,
            provider: outer.provider.unwrap_or(Provider::File),
            decoded,
        }
    }
}

/// Returns whether a text has nothing but blanks, and lists without elements.
fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || matches!(c, '[' | ']' | '\0'))
}

/// Returns the end of the JSON value at the beginning of `text`.
fn value_end(text: &str) -> Option<usize> {
    read_value(text).ok()
}

/// Returns the end of the JSON value at the beginning of `text`, or how much of it was read where it is damaged.
fn read_value(text: &str) -> Result<usize, usize> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => Ok(values.byte_offset()),
        Some(Err(error)) if error.line() == 1 && !error.is_eof() => Err(error.column()),
        Some(Err(_)) | None => Err(text.len()),
    }
}

/// Returns the text in the JSON string that begins right before `brace`, and its end: `msg="{\"kind\":..."` as logfmt has it.
fn quoted(text: &str, brace: usize) -> Option<(Cow<'_, str>, usize)> {
    let begin = text[..brace].strip_suffix('"')?.len();
    let end = begin + value_end(&text[begin..])?;
    Some((json_text(&text[begin..end])?, end))
}

/// Returns the position of a whole event behind a damaged one. It must reach to the end of the text: an object in a body
/// does not.
fn glued(text: &str) -> Option<usize> {
    let next = 1 + text.get(1..)?.find(GLUED)?;
    let end = next + value_end(&text[next..])?;
    let rest = text[end..].trim_start();
    (rest.is_empty() || rest.starts_with(GLUED)).then_some(next)
}

/// Returns the lines of unpacked data, or the whole of it where it is one document over several lines.
fn lines_or_all(text: &str) -> Vec<&str> {
    match value_end(text) {
        Some(end) if text[..end].contains('\n') => vec![text],
        _ => text.lines().collect(),
    }
}

#[cfg(test)]
mod tests;
