//! The text that a JSON value is, also where a cut has damaged it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, Error, Visitor};

/// Returns the text that `json` is, or `None` where it is something else.
///
/// Half of a surrogate pair becomes U+FFFD: a cut that counts in UTF-16 leaves one where the sender put an emoji there, and
/// the sender must not hide a request with it.
#[must_use]
pub fn json_text(json: &str) -> Option<Cow<'_, str>> {
    if !json.starts_with('"') {
        return None;
    }
    // Most texts have no escapes and can be borrowed.
    if let Ok(text) = serde_json::from_str::<&str>(json) {
        return Some(Cow::Borrowed(text));
    }
    serde_json::from_str(json).ok().or_else(|| lossy(json)).map(Cow::Owned)
}

fn lossy(json: &str) -> Option<String> {
    struct Bytes;

    impl Visitor<'_> for Bytes {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<String, E> {
            Ok(String::from_utf8_lossy(bytes).into_owned())
        }
    }

    serde_json::Deserializer::from_str(json).deserialize_bytes(Bytes).ok()
}
