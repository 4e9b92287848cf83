//! Exported logs as users get them: what form a file has, and its records one by one, however large it is.
//!
//! A file holds JSON lines, one array, answers of a provider's API one after the other, or an S3 export's lines. What
//! stands in a record is the provider crates' to read.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use clap::ValueEnum;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// How much of a file is looked at to tell its form.
const BEGINNING_BYTES: u64 = 64 * 1024;
/// Members that hold the records of an answer, and whose answer that is.
const LISTS: [(&str, Kind); 4] =
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

/// Whose records a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Events as the API server writes them
    Audit,
    /// Events of CloudWatch Logs: FilterLogEvents answers, S3 exports, subscription data
    Eks,
    /// Entries of Cloud Logging: gcloud logging read --format=json, entries.list answers, bucket exports
    Gke,
    /// Rows of Log Analytics: az monitor log-analytics query, query answers, storage exports
    Aks,
}

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

/// Hands the text of every record in `file` to `observe`, a JSON object each. What stands before a fault was handed over.
pub(super) fn documents(file: impl Read, observe: &mut dyn FnMut(&str)) -> io::Result<()> {
    let mut file = BufReader::with_capacity(256 * 1024, file);
    loop {
        let space = file.fill_buf()?.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        if space > 0 {
            file.consume(space);
            continue;
        }
        if file.fill_buf()?.is_empty() {
            return Ok(());
        }
        // An object or a list ends with its last byte, so nothing behind it is lost with the deserializer.
        let mut json = serde_json::Deserializer::from_reader(&mut file);
        Records(observe).deserialize(&mut json)?;
    }
}

/// Reads one document: a list of records, an answer that holds one, or a record.
struct Records<'a>(&'a mut dyn FnMut(&str));

impl<'de> DeserializeSeed<'de> for Records<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Records<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(record) = list.next_element::<Box<RawValue>>()? {
            if is_answer(record.get()) {
                // Answers of several pages, collected into a list.
                Records(self.0)
                    .deserialize(&mut serde_json::Deserializer::from_str(record.get()))
                    .map_err(A::Error::custom)?;
            } else {
                (self.0)(record.get());
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut members: Vec<(String, Box<RawValue>)> = Vec::new();
        let mut is_answer = false;
        while let Some(key) = map.next_key::<String>()? {
            if LISTS.iter().any(|(name, _)| *name == key) {
                is_answer = true;
                map.next_value_seed(Records(self.0))?;
            } else if key == "tables" {
                is_answer = true;
                map.next_value_seed(Tables(self.0))?;
            } else {
                members.push((key, map.next_value()?));
            }
        }
        if !is_answer {
            (self.0)(&object(members.iter().map(|(key, value)| (key.as_str(), value.get()))));
        }
        Ok(())
    }
}

/// Tells whether an object begins with its list of records, as answers do.
fn is_answer(object: &str) -> bool {
    let first = object.strip_prefix('{').map_or("", str::trim_start).strip_prefix('"').unwrap_or("");
    let key = first.split('"').next().unwrap_or("");
    key == "tables" || LISTS.iter().any(|(name, _)| *name == key)
}

/// Returns the JSON object of these members, whose values are JSON already.
fn object<'a>(members: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::from("{");
    for (key, value) in members {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&serde_json::Value::from(key).to_string());
        text.push(':');
        text.push_str(value);
    }
    text.push('}');
    text
}

/// Reads the tables of a query answer: columns, then rows, which become objects.
struct Tables<'a>(&'a mut dyn FnMut(&str));

impl<'de> DeserializeSeed<'de> for Tables<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Tables<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of tables")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Table(self.0))?.is_some() {}
        Ok(())
    }
}

struct Table<'a>(&'a mut dyn FnMut(&str));

#[derive(serde::Deserialize)]
struct Column {
    name: String,
}

impl<'de> DeserializeSeed<'de> for Table<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Table<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table with columns and rows")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut columns: Option<Vec<Column>> = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "columns" => columns = Some(map.next_value()?),
                "rows" => {
                    let columns =
                        columns.as_deref().ok_or_else(|| A::Error::custom("rows stand before their columns"))?;
                    map.next_value_seed(Rows { columns, observe: self.0 })?;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

struct Rows<'a> {
    columns: &'a [Column],
    observe: &'a mut dyn FnMut(&str),
}

impl<'de> DeserializeSeed<'de> for Rows<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(row) = list.next_element::<Vec<Box<RawValue>>>()? {
            let cells = self.columns.iter().map(|column| column.name.as_str()).zip(row.iter().map(|cell| cell.get()));
            (self.observe)(&object(cells));
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

    fn records(text: &str) -> Vec<String> {
        let mut records = Vec::new();
        documents(text.as_bytes(), &mut |record| records.push(record.to_owned())).expect("well-formed");
        records
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

    #[test]
    fn every_form_gives_its_records_one_by_one() {
        let two = [r#"{"a":1}"#, r#"{"b":[2]}"#];
        assert_eq!(records(r#"[{"a":1}, {"b":[2]}]"#), two);
        assert_eq!(records("{\"a\":1}\n\n  {\n\"b\":[2]}\n"), two);
        assert_eq!(records(r#"{"nextToken":"t","events":[{"a":1}]}{"events":[{"b":[2]}],"x":{}}"#), two);
        assert_eq!(records(r#"[{"entries":[{"a":1}]},{"entries":[{"b":[2]}]}]"#), two);
        let table = r#"{"tables":[{"name":"PrimaryResult","columns":[{"name":"a\"","type":"string"},{"name":"b"}],
            "rows":[["1",{"x":null}],[2,3]]},{"name":"empty","columns":[],"rows":[]}]}"#;
        assert_eq!(records(table), [r#"{"a\"":"1","b":{"x":null}}"#, r#"{"a\"":2,"b":3}"#]);
        assert_eq!(records(" \n"), [""; 0]);
    }

    #[test]
    fn what_stands_before_a_fault_was_read() {
        for (text, before) in [(r#"[{"a":1},{"a":"#, 1), (r#"{"tables":[{"rows":[[1]]}]}"#, 0), ("[1]x", 1)] {
            let mut n = 0;
            let fault = documents(text.as_bytes(), &mut |_| n += 1).expect_err(text);
            assert!(!fault.to_string().is_empty());
            assert_eq!(n, before, "{text}");
        }
    }
}
