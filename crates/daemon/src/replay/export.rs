//! Exported logs as users get them: what form a file has.
//!
//! A file holds JSON lines, one array, answers of a provider's API one after the other, or an S3 export's lines. What
//! stands in a record is the provider crates' to read.

use std::fmt;
use std::io::{self, Read};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::kind::Kind;

/// How much of a file is looked at to tell its form.
const BEGINNING_BYTES: u64 = 64 * 1024;
/// Members that hold the records of an answer, and whose answer that is.
pub(super) const LISTS: [(&str, Kind); 4] =
    [("events", Kind::Eks), ("logEvents", Kind::Eks), ("entries", Kind::Gke), ("items", Kind::Audit)];
/// Members that tell whose a single record is, the most telling first.
const TELLING: [(&str, Kind); 11] = [
    ("protoPayload", Kind::Gke),
    ("insertId", Kind::Gke),
    ("logName", Kind::Gke),
    ("log_s", Kind::Aks),
    ("AuditId", Kind::Aks),
    ("TimeGenerated", Kind::Aks),
    ("category", Kind::Aks),
    ("properties", Kind::Aks),
    ("auditID", Kind::Audit),
    ("message", Kind::Eks),
    ("verb", Kind::Audit),
];

/// How records lie in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// One record a line.
    Lines,
    /// JSON that goes over lines: an array, or answers one after the other.
    Documents,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// Whose records it holds.
    pub(super) kind: Kind,
    /// How they lie in it.
    pub(super) layout: Layout,
}

/// Reads the beginning of a file and tells its form, `asked` where the caller knows whose records it holds. Returns the
/// file whole.
pub(super) fn form_of(mut file: impl Read, asked: Option<Kind>) -> io::Result<(Form, impl Read)> {
    let mut beginning = Vec::new();
    file.by_ref().take(BEGINNING_BYTES).read_to_end(&mut beginning)?;
    let form = Form::of(&beginning, asked);
    Ok((form, io::Cursor::new(beginning).chain(file)))
}

impl Form {
    fn of(beginning: &[u8], asked: Option<Kind>) -> Form {
        let text = beginning.strip_prefix(b"\xef\xbb\xbf").unwrap_or(beginning).trim_ascii_start();
        // An S3 export puts the time and a space before each event.
        // <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/S3Export.html>
        if text.first().is_some_and(u8::is_ascii_digit) {
            return Form { kind: asked.unwrap_or(Kind::Eks), layout: Layout::Lines };
        }
        let mut glimpse = Glimpse::default();
        // It fails where the beginning ends, which is as good.
        let _ = (&mut glimpse).deserialize(&mut serde_json::Deserializer::from_slice(text));
        let first_line = text.split(|byte| *byte == b'\n').next().unwrap_or(text);
        let is_lines = !glimpse.is_list
            && !glimpse.keys.iter().any(|key| key == "tables" || LISTS.iter().any(|(name, _)| name == key))
            // A first line that is cut off is longer than what was looked at.
            && (first_line.len() == text.len() || serde_json::from_slice::<IgnoredAny>(first_line).is_ok());
        let layout = if is_lines { Layout::Lines } else { Layout::Documents };
        Form { kind: asked.or_else(|| glimpse.kind()).unwrap_or(Kind::Audit), layout }
    }
}

/// The members of the first object in a file.
#[derive(Default)]
struct Glimpse {
    is_list: bool,
    keys: Vec<String>,
}

impl Glimpse {
    fn kind(&self) -> Option<Kind> {
        let has = |name: &str| self.keys.iter().any(|key| key == name);
        if has("tables") {
            return Some(Kind::Aks);
        }
        let of = |known: &[(&str, Kind)]| known.iter().find(|(name, _)| has(name)).map(|(_, kind)| *kind);
        of(&TELLING).or_else(|| of(&LISTS))
    }
}

impl<'de> DeserializeSeed<'de> for &mut Glimpse {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Glimpse {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.is_list = true;
        list.next_element_seed(self).map(drop)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            self.keys.push(key);
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> (Kind, Layout) {
        let form = Form::of(text.as_bytes(), None);
        (form.kind, form.layout)
    }

    #[test]
    fn the_form_shows_in_the_beginning() {
        use Kind::{Aks, Audit, Eks, Gke};
        use Layout::{Documents, Lines};
        for (text, expected) in [
            ("", (Audit, Lines)),
            ("{\"kind\":\"Event\",\"verb\":\"get\"}\n{", (Audit, Lines)),
            ("\u{feff}{\"stage\":\"Panic\",\"auditID\":\"a\"}", (Audit, Lines)),
            ("{\"kind\":\"EventList\",\n \"items\":[{\"auditID\":\"a\"}]}", (Audit, Documents)),
            ("[{\"kind\":\"Event\",\"auditID\":\"a\"}]", (Audit, Documents)),
            ("2026-11-22T01:09:57.604Z {\"kind\":\"Event\"}\n", (Eks, Lines)),
            ("{\"events\":[{\"message\":\"{}\"}]}", (Eks, Documents)),
            ("{\n  \"searchedLogStreams\": [],\n  \"events\": []}", (Eks, Documents)),
            ("{\"messageType\":\"DATA_MESSAGE\",\"logEvents\":[]}", (Eks, Documents)),
            ("{\"timestamp\":1,\"message\":\"{}\"}\n{}", (Eks, Lines)),
            ("[\n  {\n    \"insertId\": \"a\"", (Gke, Documents)),
            ("{\"insertId\":\"a\",\"protoPayload\":{}}\n", (Gke, Lines)),
            ("{\n  \"insertId\": \"a\"\n}\n{", (Gke, Documents)),
            ("{\"entries\":[", (Gke, Documents)),
            ("{\"tables\":[", (Aks, Documents)),
            ("[{\"TableName\":\"PrimaryResult\",\"TimeGenerated\":\"x\",\"Verb\":\"list\"}]", (Aks, Documents)),
            ("{\"time\":\"x\",\"category\":\"kube-audit\",\"properties\":{}}\n", (Aks, Lines)),
        ] {
            assert_eq!(form(text), expected, "{text}");
        }
        let long = format!("{{\"auditID\":\"{}\"", "a".repeat(100_000));
        assert_eq!(form(&long[..65_536]), (Audit, Lines), "a first line that is longer than what is looked at");
        assert_eq!(Form::of(b"{\"verb\":1}", Some(Gke)).kind, Gke);
    }
}
