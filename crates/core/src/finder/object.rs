//! A JSON object whose members are not read yet.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::decode::json_text;

/// Deepest level that a key with dots may name.
const KEY_PARTS_MAX: usize = 8;
/// Highest index that a key with dots may name.
const INDEX_MAX: usize = 256;

/// Members of an event that are objects, and in which no member is one.
const JOINED: [&str; 4] = ["user", "impersonatedUser", "objectRef", "responseStatus"];

/// Members in their order, each value as it is spelled.
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Object<'a> {
    /// Reads the object that `json` is.
    pub(super) fn parse(json: &'a str) -> Option<Object<'a>> {
        serde_json::from_str(json).ok()
    }

    /// Returns the members.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), *value))
    }

    /// Returns the value at a key; the last one counts.
    pub(super) fn raw(&self, key: &str) -> Option<&'a str> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.get())
    }

    /// Returns the text at a key.
    pub(super) fn text(&self, key: &str) -> Option<Cow<'a, str>> {
        json_text(self.raw(key)?)
    }

    /// Returns whether a key has a value other than `null`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.raw(key).is_some_and(|value| value != "null")
    }

    /// Returns whether all keys of one of the sets are there.
    pub(super) fn has_all_of_any(&self, sets: &[&[&str]]) -> bool {
        sets.iter().any(|set| set.iter().all(|key| self.has(key)))
    }

    /// Returns the object with its keys taken apart at their dots, where a key shows that it was flattened.
    ///
    /// Keys of annotations and labels have dots of their own.
    pub(super) fn nested(&self) -> Option<String> {
        let is_flat = |key: &str| {
            key.contains('.') && ["auditID", "verb", "requestURI", "methodName"].iter().any(|end| key.ends_with(end))
        };
        if !self.members().any(|(key, _)| is_flat(key)) {
            return None;
        }
        let mut root = Map::new();
        for (key, value) in self.members() {
            let parts: Vec<&str> = parts(key);
            if let Ok(value) = serde_json::from_str::<Value>(value.get())
                && value.as_str() != Some("")
            {
                insert(&mut root, &parts, value);
            }
        }
        Some(Value::Object(root).to_string())
    }
}

/// Returns the parts of a key with dots; `sourceIPs[0]` is `sourceIPs.0`.
pub(super) fn parts(key: &str) -> Vec<&str> {
    for of_any_key in ["annotations.", "labels."] {
        if let Some(at) = key.find(of_any_key)
            && (at == 0 || key[..at].ends_with('.'))
        {
            let (before, name) = key.split_at(at + of_any_key.len());
            let before = before.trim_end_matches('.').split('.').take(KEY_PARTS_MAX);
            return before.chain(std::iter::once(name)).collect();
        }
    }
    if let Some((object, member)) = joined(key) {
        return vec![object, member];
    }
    key.split(['.', '[', ']']).filter(|part| !part.is_empty()).take(KEY_PARTS_MAX).collect()
}

/// Returns the parts of a key that was joined without a dot: `user_username`, as Graylog does, `user__username`, `user/username`.
pub(super) fn joined(key: &str) -> Option<(&str, &str)> {
    let object = JOINED.iter().find(|object| key.starts_with(**object))?;
    let (object, rest) = key.split_at(object.len());
    let member = rest.trim_start_matches(['_', '/', ':', '-']);
    (member.len() < rest.len() && !member.is_empty()).then_some((object, member))
}

/// Inserts a value at the position that the parts of its key name. A number among them is the index of a list.
pub(super) fn insert(object: &mut Map<String, Value>, parts: &[&str], value: Value) {
    match parts {
        [] => {}
        [name] => {
            object.insert((*name).to_owned(), value);
        }
        [name, index, rest @ ..] if index.parse::<usize>().is_ok_and(|index| index < INDEX_MAX) => {
            let list = object.entry(*name).or_insert_with(|| Value::Array(Vec::new()));
            let index: usize = index.parse().unwrap_or(0);
            if let Value::Array(list) = list {
                list.resize(list.len().max(index + 1), Value::Null);
                match rest {
                    [] => list[index] = value,
                    rest => {
                        if !list[index].is_object() {
                            list[index] = Value::Object(Map::new());
                        }
                        if let Value::Object(object) = &mut list[index] {
                            insert(object, rest, value);
                        }
                    }
                }
            }
        }
        [name, rest @ ..] => {
            let inner = object.entry(*name).or_insert_with(|| Value::Object(Map::new()));
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            if let Value::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Object<'a>, D::Error> {
        #[derive(serde::Deserialize)]
        struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((Key(key), value)) = map.next_entry()? {
                    members.push((key, value));
                }
                Ok(Object(members))
            }
        }

        json.deserialize_map(Members)
    }
}
