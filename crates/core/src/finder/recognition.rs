//! Whether an object is an audit event, by its own members.

use serde_json::{Map, Value};

use super::object::{Object, insert, joined, parts};
use crate::decode::{DecodeError, Decoded, decode, json_text};

/// Members of an event that are read. What a client writes into bodies is not.
const KNOWN: [&str; 16] = [
    "kind",
    "apiVersion",
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
/// Longest key that may mean a member, in bytes.
const KEY_BYTES_MAX: usize = 32;
/// Members that say what was requested.
const REQUEST: [&str; 3] = ["verb", "requestURI", "stage"];
/// Members that hardly any other record has.
const TELLING: [&str; 9] = [
    "auditID",
    "stage",
    "requestURI",
    "sourceIPs",
    "objectRef",
    "responseStatus",
    "requestReceivedTimestamp",
    "stageTimestamp",
    "user",
];
/// Members of an event that are objects or lists. Some tools write them as JSON texts.
const STRUCTURED: [&str; 6] = ["user", "impersonatedUser", "sourceIPs", "objectRef", "responseStatus", "annotations"];

/// Returns the event that `object` is, or `None` where it is something else. `json` is its text.
pub(super) fn event_in(object: &Object<'_>, json: &str) -> Option<Result<Decoded, DecodeError>> {
    if !is_event(object) {
        return None;
    }
    let is_text = |name: &&str| {
        let json = object.raw(name).filter(|json| json.starts_with('"'));
        json.and_then(json_text).is_some_and(|text| text.trim_start().starts_with(['{', '[']))
    };
    let is_other = |key: &str| !KNOWN.contains(&key) && known(key).is_some();
    let is_flat = object.members().any(|(key, _)| key.contains(['.', '[']) || joined(key).is_some() || is_other(key));
    if is_flat || STRUCTURED.iter().any(is_text) {
        return Some(decode(assembled(object).as_bytes()));
    }
    Some(decode(json.as_bytes()))
}

/// Returns the event at the beginning of a text that is cut off or damaged later.
pub(super) fn cut_event(text: &str) -> Option<Decoded> {
    let decoded = decode(text.as_bytes()).ok()?;
    let event = &decoded.event;
    let named = [&event.audit_id, &event.stage, &event.request_uri, &event.verb];
    let is_event = text.starts_with("{\"kind\":\"Event\",") || named.into_iter().flatten().count() >= 2;
    is_event.then_some(decoded)
}

fn is_event(object: &Object<'_>) -> bool {
    match object.text("kind") {
        Some(kind) if kind == "Event" => {
            return object.text("apiVersion").is_none_or(|version| version.starts_with("audit.k8s.io/"));
        }
        Some(_) => return false,
        None => {}
    }
    let has = |name: &&str| object.members().any(|(key, _)| key.split(['.', '[']).next() == Some(*name));
    let is_request = REQUEST.iter().any(has);
    let telling = TELLING.iter().filter(|name| has(name)).count();
    is_request && (telling >= 2 || (telling == 1 && has(&"verb"))) && !is_of_rancher(object)
}

/// Returns whether the record is from Rancher's own API, whose audit log has the same names.
/// <https://ranchermanager.docs.rancher.com/how-to-guides/advanced-user-guides/enable-api-audit-log>
pub(super) fn is_of_rancher(object: &Object<'_>) -> bool {
    let is_user = |user: Object<'_>| user.has("name") && !user.has("username");
    object.has("requestURI")
        && (["method", "requestTimestamp", "responseTimestamp", "responseCode"].iter().any(|key| object.has(key))
            || object.raw("user").and_then(Object::parse).is_some_and(is_user))
}

/// Returns the member that a key means, also in other letters: Athena has columns in lower case, others write `request_uri`.
fn known(key: &str) -> Option<&'static str> {
    let letters = |text: &'_ str| -> Vec<u8> {
        text.bytes().filter(|byte| *byte != b'_').map(|byte| byte.to_ascii_lowercase()).collect()
    };
    if KNOWN.contains(&key) || key.len() > KEY_BYTES_MAX {
        return KNOWN.into_iter().find(|name| *name == key);
    }
    let key = letters(key);
    KNOWN.into_iter().find(|name| letters(name) == key)
}

/// Returns the event with its flattened members put together and its texts of JSON read.
fn assembled(object: &Object<'_>) -> String {
    let mut event = Map::new();
    for (key, value) in object.members() {
        let mut parts = known(key).map_or_else(|| parts(key), |name| vec![name]);
        let Some(name) = parts.first().and_then(|name| known(name)) else {
            continue;
        };
        parts[0] = name;
        let Ok(value) = serde_json::from_str::<Value>(value.get()) else {
            continue;
        };
        let value = match value {
            Value::String(text) if STRUCTURED.contains(&name) && text.trim_start().starts_with(['{', '[']) => {
                serde_json::from_str(&text).unwrap_or(Value::String(text))
            }
            value => value,
        };
        // An empty cell of a table says nothing.
        if value.as_str() != Some("") {
            insert(&mut event, &parts, value);
        }
    }
    Value::Object(event).to_string()
}
