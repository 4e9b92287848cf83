//! The form of an exported log: whose records it contains, and how they are laid out.
//!
//! A file contains JSON lines, one array, or answers of a provider's API one after the other. Each cloud's own names are
//! in `cloud`, and provider crates read the records.

use std::fmt;
use std::io::{self, Read};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use stakeout_core::decode::LINE_BYTES_MAX;

use crate::cloud::Cloud;
use crate::line_reader::Lines;

/// How much of a file is read to find its form.
const BEGINNING_BYTES: u64 = 64 * 1024;
/// Longest line with an envelope, in bytes: the clouds keep at most 1 MiB of an event, in which every character may be
/// escaped.
const ENVELOPE_BYTES_MAX: usize = 8 << 20;

/// The value of `--kind`: whose records the files contain, or `auto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExportKind(pub(super) Option<Cloud>);

/// How records are laid out in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordLayout {
    /// One record a line.
    Lines,
    /// JSON over several lines: an array, or answers one after the other.
    Documents,
}

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExportForm {
    /// Whose records it contains.
    pub(super) cloud: Cloud,
    /// How they are laid out.
    pub(super) layout: RecordLayout,
}

/// Reads the beginning of a file and returns its form with the whole file. `cloud` is whose records it contains, where
/// the caller knows.
pub(super) fn form_of(mut file: impl Read, cloud: Option<Cloud>) -> io::Result<(ExportForm, impl Read)> {
    let mut beginning = Vec::new();
    file.by_ref().take(BEGINNING_BYTES).read_to_end(&mut beginning)?;
    let form = ExportForm::of(&beginning, cloud);
    Ok((form, io::Cursor::new(beginning).chain(file)))
}

/// Returns a reader of records of `cloud`, one a line. The first line starts at `offset` of its file.
pub(super) fn lines_of<R: Read>(cloud: Cloud, file: R, offset: u64) -> Lines<R> {
    let export = cloud.export();
    let limit = if export.envelope.is_some() { ENVELOPE_BYTES_MAX } else { LINE_BYTES_MAX };
    Lines::with_limit(file, limit, export.time_of).beginning_at(offset)
}

impl ExportKind {
    /// Returns the parser of `--kind`.
    pub(super) fn parser() -> impl TypedValueParser<Value = ExportKind> {
        let auto = PossibleValue::new("auto").help("Detect it from the beginning of each file");
        let named = Cloud::ALL.into_iter().map(|cloud| {
            let profile = cloud.profile();
            PossibleValue::new(profile.export_name).help(profile.export_help)
        });
        let cloud_of = |name: String| Cloud::ALL.into_iter().find(|cloud| cloud.profile().export_name == name);
        PossibleValuesParser::new(std::iter::once(auto).chain(named)).map(move |name| ExportKind(cloud_of(name)))
    }
}

impl ExportForm {
    fn of(beginning: &[u8], cloud: Option<Cloud>) -> ExportForm {
        let text = beginning.strip_prefix(b"\xef\xbb\xbf").unwrap_or(beginning).trim_ascii_start();
        if text.first().is_some_and(u8::is_ascii_digit) {
            return ExportForm { cloud: cloud.unwrap_or(Cloud::of_timed_lines()), layout: RecordLayout::Lines };
        }
        let mut first = FirstObject::default();
        // An error at the end of the beginning changes nothing.
        let _ = (&mut first).deserialize(&mut serde_json::Deserializer::from_slice(text));
        let first_line = text.split(|byte| *byte == b'\n').next().unwrap_or(text);
        let is_lines = !first.is_in_list
            && !first.keys.iter().any(|key| Cloud::of_list(key).is_some())
            // A first line without an end is longer than the beginning.
            && (first_line.len() == text.len() || serde_json::from_slice::<IgnoredAny>(first_line).is_ok());
        let layout = if is_lines { RecordLayout::Lines } else { RecordLayout::Documents };
        ExportForm { cloud: cloud.or_else(|| first.cloud()).unwrap_or(Cloud::File(())), layout }
    }

    /// Returns an error where the cloud is not built into this binary.
    pub(super) fn check_built_in(self) -> Result<(), NotBuiltIn> {
        let profile = self.cloud.profile();
        profile.missing_feature.map_or(Ok(()), |feature| Err(NotBuiltIn { export: profile.export_name, feature }))
    }
}

/// The records are of a cloud that is not built in.
#[derive(Debug, thiserror::Error)]
#[error("records of the kind {export}, and this binary was built without the cargo feature {feature}")]
pub(super) struct NotBuiltIn {
    export: &'static str,
    feature: &'static str,
}

/// The members of the first object in a file.
#[derive(Default)]
struct FirstObject {
    is_in_list: bool,
    keys: Vec<String>,
}

impl FirstObject {
    /// Returns whose record or answer it is.
    fn cloud(&self) -> Option<Cloud> {
        Cloud::of_members(&self.keys).or_else(|| self.keys.iter().find_map(|key| Cloud::of_list(key)))
    }
}

impl<'de> DeserializeSeed<'de> for &mut FirstObject {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut FirstObject {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.is_in_list = true;
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

    fn form(text: &str) -> (Cloud, RecordLayout) {
        let form = ExportForm::of(text.as_bytes(), None);
        (form.cloud, form.layout)
    }

    #[test]
    fn the_beginning_shows_the_form() {
        const AUDIT: Cloud = Cloud::File(());
        const EKS: Cloud = Cloud::Eks(());
        const GKE: Cloud = Cloud::Gke(());
        const AKS: Cloud = Cloud::Aks(());
        use RecordLayout::{Documents, Lines};
        for (text, expected) in [
            ("", (AUDIT, Lines)),
            ("{\"kind\":\"Event\",\"verb\":\"get\"}\n{", (AUDIT, Lines)),
            ("\u{feff}{\"stage\":\"Panic\",\"auditID\":\"a\"}", (AUDIT, Lines)),
            ("{\"kind\":\"EventList\",\n \"items\":[{\"auditID\":\"a\"}]}", (AUDIT, Documents)),
            ("[{\"kind\":\"Event\",\"auditID\":\"a\"}]", (AUDIT, Documents)),
            ("2026-11-22T01:09:57.604Z {\"kind\":\"Event\"}\n", (EKS, Lines)),
            ("{\"events\":[{\"message\":\"{}\"}]}", (EKS, Documents)),
            ("{\n  \"searchedLogStreams\": [],\n  \"events\": []}", (EKS, Documents)),
            ("{\"messageType\":\"DATA_MESSAGE\",\"logEvents\":[]}", (EKS, Documents)),
            ("{\"timestamp\":1,\"message\":\"{}\"}\n{}", (EKS, Lines)),
            ("[\n  {\n    \"insertId\": \"a\"", (GKE, Documents)),
            ("{\"insertId\":\"a\",\"protoPayload\":{}}\n", (GKE, Lines)),
            ("{\n  \"insertId\": \"a\"\n}\n{", (GKE, Documents)),
            ("{\"entries\":[", (GKE, Documents)),
            ("{\"tables\":[", (AKS, Documents)),
            ("[{\"TableName\":\"PrimaryResult\",\"TimeGenerated\":\"x\",\"Verb\":\"list\"}]", (AKS, Documents)),
            ("{\"time\":\"x\",\"category\":\"kube-audit\",\"properties\":{}}\n", (AKS, Lines)),
        ] {
            assert_eq!(form(text), expected, "{text}");
        }
        let long = format!("{{\"auditID\":\"{}\"", "a".repeat(100_000));
        assert_eq!(form(&long[..65_536]), (AUDIT, Lines), "a first line that is longer than the beginning");
        assert_eq!(ExportForm::of(b"{\"verb\":1}", Some(GKE)).cloud, GKE);
    }
}
