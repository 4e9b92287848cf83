//! The records of JSON documents one by one, however large a document is.
//!
//! Lists and answers are walked by hand, so that memory contains one record at a time. serde_json finds the end of each
//! record.

use std::io::{self, Read};
use std::ops::Range;

use serde_json::value::RawValue;

use crate::cloud::Cloud;

/// Bytes that one read asks for.
const BLOCK_BYTES: usize = 256 * 1024;
/// Deepest nesting of answers in each other.
const DEPTH_MAX: usize = 16;
/// The member of an answer whose records are rows of tables, with their columns before them.
const TABLES: &str = "tables";

/// Calls `observe` with the text of every record in `file`, a JSON object each. Records before an error are observed too.
pub(super) fn documents(file: impl Read, observe: &mut dyn FnMut(&str)) -> io::Result<()> {
    walk(file, 0, observe)
}

fn walk(file: impl Read, depth: usize, observe: &mut dyn FnMut(&str)) -> io::Result<()> {
    let mut walk = Walk { file, text: Vec::new(), at: 0, is_over: false, depth };
    while walk.peek()?.is_some() {
        walk.document(observe)?;
    }
    Ok(())
}

/// A walk through documents, one after the other.
struct Walk<R> {
    file: R,
    /// What was read; from `at` on it is still to be parsed.
    text: Vec<u8>,
    at: usize,
    is_over: bool,
    depth: usize,
}

#[derive(serde::Deserialize)]
struct Column {
    name: String,
}

impl<R: Read> Walk<R> {
    /// Walks a document: a list of records, an answer with such a list, or a record.
    fn document(&mut self, observe: &mut dyn FnMut(&str)) -> io::Result<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(invalid("answers nest too deep"));
        }
        match self.peek()? {
            Some(b'[') => self.list(&mut |walk| walk.record(observe))?,
            Some(b'{') => self.object(observe)?,
            _ => return Err(invalid("not an object or a list of objects")),
        }
        self.depth -= 1;
        Ok(())
    }

    /// Observes a record, or the records of an answer: several answers may be in one list.
    fn record(&mut self, observe: &mut dyn FnMut(&str)) -> io::Result<()> {
        let record = self.value()?;
        let record = self.text_of(record)?;
        if is_answer(record) {
            // A trait object, or the type would contain itself.
            let mut text: &[u8] = record.as_bytes();
            return walk(&mut text as &mut dyn Read, self.depth, observe);
        }
        observe(record);
        Ok(())
    }

    fn object(&mut self, observe: &mut dyn FnMut(&str)) -> io::Result<()> {
        let mut members: Vec<(String, String)> = Vec::new();
        let mut is_answer = false;
        self.members(&mut |walk, key| {
            if key == TABLES {
                is_answer = true;
                walk.list(&mut |walk| walk.table(observe))
            } else if Cloud::of_list(&key).is_some() {
                is_answer = true;
                walk.document(observe)
            } else {
                let value = walk.value()?;
                members.push((key, walk.text_of(value)?.to_owned()));
                Ok(())
            }
        })?;
        if !is_answer {
            observe(&object(members.iter().map(|(key, value)| (key.as_str(), value.as_str()))));
        }
        Ok(())
    }

    /// Observes the rows of a table in a query answer as objects. Its columns are before them.
    fn table(&mut self, observe: &mut dyn FnMut(&str)) -> io::Result<()> {
        let mut columns: Option<Vec<Column>> = None;
        self.members(&mut |walk, key| match key.as_str() {
            "columns" => {
                let value = walk.value()?;
                columns = Some(serde_json::from_str(walk.text_of(value)?)?);
                Ok(())
            }
            "rows" => {
                let columns = columns.as_deref().ok_or_else(|| invalid("rows before their columns"))?;
                walk.list(&mut |walk| {
                    let row = walk.value()?;
                    let row: Vec<&RawValue> = serde_json::from_str(walk.text_of(row)?)?;
                    let cells = row.iter().map(|cell| cell.get());
                    observe(&object(columns.iter().map(|column| column.name.as_str()).zip(cells)));
                    Ok(())
                })
            }
            _ => walk.value().map(drop),
        })
    }

    /// Walks a list. `element` takes one element each time.
    fn list(&mut self, element: &mut dyn FnMut(&mut Walk<R>) -> io::Result<()>) -> io::Result<()> {
        self.take(b'[')?;
        if self.peek()? == Some(b']') {
            return self.take(b']');
        }
        loop {
            element(self)?;
            if self.peek()? != Some(b',') {
                return self.take(b']');
            }
            self.take(b',')?;
        }
    }

    /// Walks an object. `member` takes one value each time.
    fn members(&mut self, member: &mut dyn FnMut(&mut Walk<R>, String) -> io::Result<()>) -> io::Result<()> {
        self.take(b'{')?;
        if self.peek()? == Some(b'}') {
            return self.take(b'}');
        }
        loop {
            let key = self.value()?;
            let key = serde_json::from_str(self.text_of(key)?)?;
            self.take(b':')?;
            member(self, key)?;
            if self.peek()? != Some(b',') {
                return self.take(b'}');
            }
            self.take(b',')?;
        }
    }

    /// Takes a value of any type, and returns its position, which is valid until the next value is taken.
    fn value(&mut self) -> io::Result<Range<usize>> {
        self.peek()?;
        loop {
            let rest = &self.text[self.at..];
            let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<&RawValue>();
            let end = match values.next() {
                Some(Ok(_)) => Some(values.byte_offset()),
                Some(Err(error)) if !error.is_eof() => return Err(error.into()),
                _ => None,
            };
            match end {
                // A number may continue after what was read.
                Some(end) if end < rest.len() || self.is_over => {
                    let begin = self.at;
                    self.at += end;
                    return Ok(begin..self.at);
                }
                _ if self.is_over => return Err(invalid("the text ends inside of a value")),
                _ => self.read_on()?,
            }
        }
    }

    fn text_of(&self, range: Range<usize>) -> io::Result<&str> {
        std::str::from_utf8(&self.text[range]).map_err(|_| invalid("not UTF-8"))
    }

    fn take(&mut self, expected: u8) -> io::Result<()> {
        if self.peek()? != Some(expected) {
            return Err(invalid(&format!("`{}` is missing", char::from(expected))));
        }
        self.at += 1;
        Ok(())
    }

    /// Returns the next byte that is not white space, or `None` at the end.
    fn peek(&mut self) -> io::Result<Option<u8>> {
        loop {
            self.at += self.text[self.at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            match self.text.get(self.at) {
                Some(byte) => return Ok(Some(*byte)),
                None if self.is_over => return Ok(None),
                None => self.read_on()?,
            }
        }
    }

    /// Reads as much as was read already, at least a block. So a long value is parsed only a few times.
    fn read_on(&mut self) -> io::Result<()> {
        self.text.drain(..self.at);
        self.at = 0;
        let more = self.text.len().max(BLOCK_BYTES) as u64;
        self.is_over = (&mut self.file).take(more).read_to_end(&mut self.text)? == 0;
        Ok(())
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Returns whether an object starts with its list of records, as answers do.
fn is_answer(object: &str) -> bool {
    let first = object.strip_prefix('{').map_or("", str::trim_start).strip_prefix('"').unwrap_or("");
    let key = first.split('"').next().unwrap_or("");
    Cloud::of_list(key).is_some()
}

/// Returns the JSON object with these members, whose values are JSON already.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &str) -> Vec<String> {
        let mut records = Vec::new();
        documents(text.as_bytes(), &mut |record| records.push(record.to_owned())).expect("well-formed");
        records
    }

    #[test]
    fn every_layout_gives_its_records_one_by_one() {
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
    fn records_before_an_error_are_observed() {
        for (text, before) in [(r#"[{"a":1},{"a":"#, 1), (r#"{"tables":[{"rows":[[1]]}]}"#, 0), ("[1]x", 1)] {
            let mut n = 0;
            let error = documents(text.as_bytes(), &mut |_| n += 1).expect_err(text);
            assert!(!error.to_string().is_empty());
            assert_eq!(n, before, "{text}");
        }
    }

    /// A block may end inside of any value.
    #[test]
    fn the_end_of_a_block_changes_nothing() {
        let long = "x".repeat(BLOCK_BYTES);
        let list: Vec<String> = (0..40).map(|n| format!(r#"{{"n":{n},"t":"{}"}}"#, &long[n * 1_000..])).collect();
        let text = format!("[{}, 7]\n{{\"events\": [{}]}}", list.join(" , "), list.join(","));
        let read = records(&text);
        assert_eq!(read.len(), 81);
        assert!(read[..40] == list && read[40] == "7" && read[41..] == list);
    }

    #[test]
    fn the_nesting_of_answers_is_limited() {
        for deep in [r#"{"events":"#, r#"{"events":["#, r#"[{"tables":[{"columns":[],"rows":["#, "[["] {
            let deep = deep.repeat(100_000);
            assert!(documents(deep.as_bytes(), &mut |_| {}).is_err());
        }
        let deep = format!("{}{}", r#"[{"events":"#.repeat(20), "}]".repeat(20));
        assert!(documents(deep.as_bytes(), &mut |_| {}).is_err());
    }
}
