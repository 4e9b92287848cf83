//! Reads JSON objects of which nobody says that they hold what they should.
//!
//! A value of another type than the one asked for is missing, and so is an empty text; of a key that stands twice the
//! last counts. What is not asked for is passed over without building it, so that neither depth nor size of a request
//! body costs more than looking at it once.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// An object's members, each value as it is spelled.
#[derive(Debug, Default)]
pub(crate) struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Object<'a> {
    /// Reads the object that `json` is.
    pub(crate) fn parse(json: &'a str) -> serde_json::Result<Object<'a>> {
        serde_json::from_str(json)
    }

    /// Returns the text at a key, unless it is empty.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        text(self.spelled(key)?)
    }

    /// Returns the object at a key; an empty one where there is none.
    pub(crate) fn object(&self, key: &str) -> Object<'a> {
        self.spelled(key).and_then(|json| Object::parse(json).ok()).unwrap_or_default()
    }

    /// Returns the objects of the list at a key; an element that is none is an empty one.
    pub(crate) fn objects(&self, key: &str) -> Vec<Object<'a>> {
        let elements: Vec<&RawValue> =
            self.spelled(key).and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        elements.into_iter().map(|element| Object::parse(element.get()).unwrap_or_default()).collect()
    }

    /// Returns the whole number at a key; it may have a fraction of zero, or be a text of digits.
    pub(crate) fn number(&self, key: &str) -> Option<i64> {
        let json = self.spelled(key)?;
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

    /// Tells whether `true` stands at a key, or `false`, or neither.
    pub(crate) fn fact(&self, key: &str) -> Option<bool> {
        self.spelled(key)?.parse().ok()
    }

    /// Tells whether anything but `null` stands at a key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.spelled(key).is_some_and(|json| json != "null")
    }

    /// Tells whether anything at all stands at a key.
    pub(crate) fn names(&self, key: &str) -> bool {
        self.spelled(key).is_some()
    }

    /// Returns the members that are texts, each key once, in the order of the keys.
    pub(crate) fn texts(&self) -> Vec<(String, String)> {
        let mut texts: Vec<(String, String)> =
            self.0.iter().rev().filter_map(|(key, value)| Some((key.clone(), text(value.get())?))).collect();
        texts.sort_by(|(one, _), (other, _)| one.cmp(other));
        texts.dedup_by(|(later, _), (first, _)| later == first);
        texts
    }

    fn spelled(&self, key: &str) -> Option<&'a str> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.get())
    }
}

fn text(json: &str) -> Option<String> {
    serde_json::from_str::<String>(json).ok().filter(|text| !text.is_empty())
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Object<'a>, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }

        json.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_what_was_asked_for_is_missing() {
        let json = r#"{"a":1,"t":"x","t":"y","e":"","n":null,"o":{"k":"v"},"l":[{"k":"1"},2],"yes":true,"s":"true"}"#;
        let object = Object::parse(json).expect("an object");
        assert_eq!(
            ["t", "a", "e", "n", "o", "?"].map(|key| object.text(key)),
            [Some("y".to_owned()), None, None, None, None, None]
        );
        assert_eq!(object.object("o").text("k").as_deref(), Some("v"));
        assert_eq!(object.object("l").text("k"), None);
        let elements: Vec<_> = object.objects("l").iter().map(|element| element.text("k")).collect();
        assert_eq!(elements, [Some("1".to_owned()), None]);
        assert_eq!(["yes", "s", "a"].map(|key| object.fact(key)), [Some(true), None, None]);
        assert_eq!(["n", "e", "?"].map(|key| object.has(key)), [false, true, false]);
        assert_eq!(object.texts(), [("s", "true"), ("t", "y")].map(|(key, text)| (key.to_owned(), text.to_owned())));
        assert!(Object::parse("[]").is_err() && Object::parse("{} {}").is_err());
    }

    #[test]
    fn a_number_may_be_spelled_in_many_ways() {
        let json =
            r#"{"a":403,"b":403.0,"c":"403","d":403.5,"e":"4 3","f":4e2,"g":-7,"h":99999999999999999999,"i":true}"#;
        let object = Object::parse(json).expect("an object");
        let numbers = ["a", "b", "c", "d", "e", "f", "g", "h", "i"].map(|key| object.number(key));
        assert_eq!(numbers, [Some(403), Some(403), Some(403), None, None, None, Some(-7), None, None]);
    }

    #[test]
    fn depth_costs_nothing() {
        let deep = format!(r#"{{"request":{}{},"t":"x"}}"#, "[".repeat(100_000), "]".repeat(100_000));
        let object = Object::parse(&deep).expect("an object");
        assert_eq!(object.text("t").as_deref(), Some("x"));
        assert_eq!(object.object("request").texts(), []);
    }
}
