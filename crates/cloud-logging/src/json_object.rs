//! Reads JSON objects whose content is not trusted to have the expected types.
//!
//! A value of an unexpected type counts as missing, and so does an empty text; of a repeated key the last one counts.
//! Other members are skipped without building them, so that neither depth nor size of a request body costs more than
//! reading it once.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// An object's members, each value as it is spelled.
#[derive(Debug, Default)]
pub(crate) struct JsonObject<'a>(Vec<(String, &'a RawValue)>);

impl<'a> JsonObject<'a> {
    /// Reads the object that `json` is.
    pub(crate) fn parse(json: &'a str) -> serde_json::Result<JsonObject<'a>> {
        serde_json::from_str(json)
    }

    /// Returns the text at a key, unless it is empty.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        text(self.raw(key)?)
    }

    /// Returns the object at a key; an empty one if there is none.
    pub(crate) fn object(&self, key: &str) -> JsonObject<'a> {
        self.raw(key).and_then(|json| JsonObject::parse(json).ok()).unwrap_or_default()
    }

    /// Returns the objects of the list at a key; an element that is none is an empty one.
    pub(crate) fn objects(&self, key: &str) -> Vec<JsonObject<'a>> {
        let elements: Vec<&RawValue> =
            self.raw(key).and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        elements.into_iter().map(|element| JsonObject::parse(element.get()).unwrap_or_default()).collect()
    }

    /// Returns the whole number at a key; it may have a fraction of zero, or be a text of digits.
    pub(crate) fn number(&self, key: &str) -> Option<i64> {
        let json = self.raw(key)?;
        if let Some(text) = text(json) {
            return text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
        }
        let whole = match json.split_once('.') {
            Some((whole, fraction)) if fraction.bytes().all(|byte| byte == b'0') => whole,
            Some(_) => return None,
            None => json,
        };
        whole.parse().ok()
    }

    /// Returns the boolean at a key.
    pub(crate) fn boolean(&self, key: &str) -> Option<bool> {
        self.raw(key)?.parse().ok()
    }

    /// Returns whether a key has a value other than `null`.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.raw(key).is_some_and(|json| json != "null")
    }

    /// Returns whether there is a key of this name.
    pub(crate) fn names(&self, key: &str) -> bool {
        self.raw(key).is_some()
    }

    /// Returns the members that are texts, each key once, in the order of the keys.
    pub(crate) fn texts(&self) -> Vec<(String, String)> {
        let mut texts: Vec<(String, String)> =
            self.0.iter().rev().filter_map(|(key, value)| Some((key.clone(), text(value.get())?))).collect();
        texts.sort_by(|(one, _), (other, _)| one.cmp(other));
        texts.dedup_by(|(later, _), (first, _)| later == first);
        texts
    }

    fn raw(&self, key: &str) -> Option<&'a str> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.get())
    }
}

fn text(json: &str) -> Option<String> {
    serde_json::from_str::<String>(json).ok().filter(|text| !text.is_empty())
}

impl<'de: 'a, 'a> Deserialize<'de> for JsonObject<'a> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<JsonObject<'a>, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = JsonObject<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonObject<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(JsonObject(members))
            }
        }

        json.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_another_type_is_missing() {
        let json = r#"{"a":1,"t":"x","t":"y","e":"","n":null,"o":{"k":"v"},"l":[{"k":"1"},2],"yes":true,"s":"true"}"#;
        let object = JsonObject::parse(json).expect("an object");
        assert_eq!(
            ["t", "a", "e", "n", "o", "?"].map(|key| object.text(key)),
            [Some("y".to_owned()), None, None, None, None, None]
        );
        assert_eq!(object.object("o").text("k").as_deref(), Some("v"));
        assert_eq!(object.object("l").text("k"), None);
        let elements: Vec<_> = object.objects("l").iter().map(|element| element.text("k")).collect();
        assert_eq!(elements, [Some("1".to_owned()), None]);
        assert_eq!(["yes", "s", "a"].map(|key| object.boolean(key)), [Some(true), None, None]);
        assert_eq!(["n", "e", "?"].map(|key| object.has(key)), [false, true, false]);
        assert_eq!(object.texts(), [("s", "true"), ("t", "y")].map(|(key, text)| (key.to_owned(), text.to_owned())));
        assert!(JsonObject::parse("[]").is_err() && JsonObject::parse("{} {}").is_err());
    }

    #[test]
    fn a_number_has_several_spellings() {
        let json =
            r#"{"a":403,"b":403.0,"c":"403","d":403.5,"e":"4 3","f":4e2,"g":-7,"h":99999999999999999999,"i":true}"#;
        let object = JsonObject::parse(json).expect("an object");
        let numbers = ["a", "b", "c", "d", "e", "f", "g", "h", "i"].map(|key| object.number(key));
        assert_eq!(numbers, [Some(403), Some(403), Some(403), None, None, None, Some(-7), None, None]);
    }

    #[test]
    fn depth_costs_nothing() {
        let deep = format!(r#"{{"request":{}{},"t":"x"}}"#, "[".repeat(100_000), "]".repeat(100_000));
        let object = JsonObject::parse(&deep).expect("an object");
        assert_eq!(object.text("t").as_deref(), Some("x"));
        assert_eq!(object.object("request").texts(), []);
    }
}
