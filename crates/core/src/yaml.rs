//! YAML that a person wrote, read so that every error can name its line and key.
//!
//! Config and rules share this reader. It reads plain YAML only: a duplicate key, an alias, a tag and too deep nesting are
//! errors.

use std::collections::HashSet;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::diagnostic::{Diagnostic, suggestion};

/// Deepest nesting that is read: rules and configs need less than ten.
const DEPTH_MAX: usize = 32;

/// A value with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The line, from 1.
    pub line: usize,
    /// The value.
    pub value: Value,
}

/// A YAML value. Scalars keep their text; its meaning is up to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// A scalar; `is_plain` without quotes, so that `403` can be a number and `"403"` a text.
    Scalar {
        /// The text, unquoted.
        text: String,
        /// Whether it has no quotes.
        is_plain: bool,
    },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub name: String,
    /// The line, from 1.
    pub line: usize,
}

/// Returns the documents in `text`, or the first error, which names `file`.
pub fn parse(file: &str, text: &str) -> Result<Vec<Node>, Diagnostic> {
    let mut reader = Reader { file, events: Parser::new_from_str(text) };
    let mut documents = Vec::new();
    loop {
        match reader.next()? {
            (Event::DocumentStart(_), _) => {
                let first = reader.next()?;
                documents.push(reader.node(first, 0)?);
            }
            (Event::StreamEnd, _) => return Ok(documents),
            _ => {}
        }
    }
}

struct Reader<'a, I: Iterator> {
    file: &'a str,
    events: I,
}

impl<'a, I> Reader<'a, I>
where
    I: Iterator<Item = Result<(Event<'a>, Span), saphyr_parser::ScanError>>,
{
    fn next(&mut self) -> Result<(Event<'a>, Span), Diagnostic> {
        match self.events.next() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(self.error(
                error.marker().line(),
                "",
                format!("this is not YAML: {}", error.info()),
                "fix the indentation, quotes or brackets near this line",
            )),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn error(&self, line: usize, key: &str, problem: String, fix: &str) -> Diagnostic {
        Diagnostic { file: self.file.to_owned(), line, key: key.to_owned(), problem, fix: fix.to_owned() }
    }

    fn node(&mut self, (event, span): (Event<'a>, Span), depth: usize) -> Result<Node, Diagnostic> {
        let line = span.start.line();
        if depth > DEPTH_MAX {
            return Err(self.error(line, "", format!("values nest deeper than {DEPTH_MAX}"), "flatten the file"));
        }
        let value = match event {
            Event::Scalar(_, _, _, Some(tag))
            | Event::SequenceStart(_, Some(tag))
            | Event::MappingStart(_, Some(tag)) => {
                return Err(self.error(
                    line,
                    "",
                    format!("the tag {tag} is not read here"),
                    "write the value without a tag",
                ));
            }
            Event::Scalar(text, style, ..) => scalar(text.into_owned(), style),
            Event::SequenceStart(..) => Value::List(self.list(depth)?),
            Event::MappingStart(..) => Value::Map(self.map(depth)?),
            Event::Alias(_) => {
                return Err(self.error(line, "", "aliases are not read here".to_owned(), "write the value out"));
            }
            _ => Value::Null,
        };
        Ok(Node { line, value })
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Diagnostic> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd | Event::StreamEnd, _) => return Ok(items),
                item => items.push(self.node(item, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(Key, Node)>, Diagnostic> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut names = HashSet::new();
        loop {
            let (name, line) = match self.next()? {
                (Event::MappingEnd | Event::StreamEnd, _) => return Ok(entries),
                (Event::Scalar(name, ..), span) => (name.into_owned(), span.start.line()),
                (_, span) => {
                    return Err(self.error(
                        span.start.line(),
                        "",
                        "a key must be a plain word".to_owned(),
                        "put a name before the colon",
                    ));
                }
            };
            if !names.insert(name.clone()) {
                return Err(self.error(line, &name, "duplicate key".to_owned(), "keep one of the two"));
            }
            let value = self.next()?;
            let node = self.node(value, depth + 1)?;
            entries.push((Key { name, line }, node));
        }
    }
}

fn scalar(text: String, style: ScalarStyle) -> Value {
    let is_plain = style == ScalarStyle::Plain;
    if is_plain && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL") {
        return Value::Null;
    }
    Value::Scalar { text, is_plain }
}

/// A location in a file: a value, and the path of keys to it.
#[derive(Clone, Debug)]
pub struct At<'a> {
    file: &'a str,
    path: String,
    line: usize,
    /// The value.
    pub node: &'a Node,
}

impl<'a> At<'a> {
    /// Returns the top of a document.
    #[must_use]
    pub fn top(file: &'a str, node: &'a Node) -> At<'a> {
        At { file, path: String::new(), line: node.line, node }
    }

    /// Returns the line, from 1: the key's, where the value belongs to one.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// Returns the keys that lead here, such as `sources[0].name`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the file's name.
    #[must_use]
    pub fn file(&self) -> &'a str {
        self.file
    }

    /// Returns an error at this location.
    #[must_use]
    pub fn error(&self, problem: impl Into<String>, fix: impl Into<String>) -> Diagnostic {
        Diagnostic {
            file: self.file.to_owned(),
            line: self.line,
            key: self.path.clone(),
            problem: problem.into(),
            fix: fix.into(),
        }
    }

    /// Returns the mapping here; a key that is not in `known` is an error with a suggestion.
    pub fn map(&self, known: &[&str]) -> Result<Map<'a>, Diagnostic> {
        let map = self.any_map()?;
        let unknown = map.entries().find(|(name, _)| !known.contains(name));
        if let Some((name, at)) = unknown {
            return Err(at.error("unknown key", suggestion(name, known)));
        }
        Ok(map)
    }

    /// Returns the mapping here, whatever its keys are.
    pub fn any_map(&self) -> Result<Map<'a>, Diagnostic> {
        match &self.node.value {
            Value::Map(_) => Ok(Map { at: self.clone() }),
            _ => Err(self.error(
                format!("{} where a mapping is needed", self.kind()),
                "write `key: value` pairs, indented below",
            )),
        }
    }

    /// Returns the items of the list here.
    pub fn list(&self) -> Result<Vec<At<'a>>, Diagnostic> {
        match &self.node.value {
            Value::List(items) => Ok(items
                .iter()
                .enumerate()
                .map(|(index, node)| At {
                    file: self.file,
                    path: format!("{}[{index}]", self.path),
                    line: node.line,
                    node,
                })
                .collect()),
            _ => Err(self.error(
                format!("{} where a list is needed", self.kind()),
                "write items, each behind `- `, or within [ ]",
            )),
        }
    }

    /// Returns the items of the list here, or the single value as a list of one.
    pub fn list_or_one(&self) -> Result<Vec<At<'a>>, Diagnostic> {
        if matches!(self.node.value, Value::List(_)) { self.list() } else { Ok(vec![self.clone()]) }
    }

    /// Returns the text here; numbers and booleans are the text that they are written with.
    pub fn text(&self) -> Result<&'a str, Diagnostic> {
        match &self.node.value {
            Value::Scalar { text, .. } if !text.is_empty() => Ok(text),
            Value::Scalar { .. } => Err(self.error("an empty text", "write a value, or leave the key out")),
            _ => Err(self.error(format!("{} where a text is needed", self.kind()), "write one value")),
        }
    }

    /// Returns the whole number here.
    pub fn integer(&self) -> Result<i64, Diagnostic> {
        match &self.node.value {
            Value::Scalar { text, is_plain: true } => text.parse().ok(),
            _ => None,
        }
        .ok_or_else(|| {
            self.error(format!("{} where a whole number is needed", self.kind()), "write digits without quotes")
        })
    }

    /// Returns the boolean here.
    pub fn boolean(&self) -> Result<bool, Diagnostic> {
        match &self.node.value {
            Value::Scalar { text, is_plain: true } if text == "true" => Ok(true),
            Value::Scalar { text, is_plain: true } if text == "false" => Ok(false),
            _ => Err(self
                .error(format!("{} where true or false is needed", self.kind()), "write true or false without quotes")),
        }
    }

    /// Returns whether the value is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.node.value == Value::Null
    }

    fn kind(&self) -> String {
        match &self.node.value {
            Value::Null => "nothing".to_owned(),
            Value::Scalar { text, .. } => format!("`{}`", crate::text::bounded(text, 60)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }
}

/// A mapping at a location in a file.
#[derive(Clone, Debug)]
pub struct Map<'a> {
    at: At<'a>,
}

impl<'a> Map<'a> {
    /// Returns the location of the mapping.
    #[must_use]
    pub fn at(&self) -> &At<'a> {
        &self.at
    }

    /// Returns every key with the location of its value, in the order of the file.
    pub fn entries(&self) -> impl Iterator<Item = (&'a str, At<'a>)> + '_ {
        let Value::Map(entries) = &self.at.node.value else { unreachable!("a Map is only made of a mapping") };
        entries.iter().map(|(key, node)| {
            let dot = if self.at.path.is_empty() { "" } else { "." };
            let path = format!("{}{dot}{}", self.at.path, key.name);
            (key.name.as_str(), At { file: self.at.file, path, line: key.line, node })
        })
    }

    /// Returns the value of `name`, or `None` where the key is missing or has no value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<At<'a>> {
        self.entries().find(|(key, at)| *key == name && !at.is_null()).map(|(_, at)| at)
    }

    /// Returns the value of `name`; a missing one is an error of the mapping, with this `fix`.
    pub fn need(&self, name: &str, fix: &str) -> Result<At<'a>, Diagnostic> {
        self.get(name).ok_or_else(|| {
            let mut error = self.at.error(format!("`{name}` is missing"), fix);
            if !error.key.is_empty() {
                error.key.push('.');
            }
            error.key.push_str(name);
            error
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse("f.yaml", text).expect_err("an error").to_string()
    }

    #[test]
    fn errors_name_their_line() {
        assert_eq!(error("a: 1\nb: 2\na: 3\n"), "f.yaml:3: a: duplicate key (keep one of the two)");
        assert_eq!(error("a: &x 1\nb: *x\n"), "f.yaml:2: aliases are not read here (write the value out)");
        assert!(error("a: [1, 2\nb: 3\n").starts_with("f.yaml:"));
        assert!(error(&"[".repeat(100)).contains("deeper than 32"));
    }

    #[test]
    fn a_place_knows_its_path_and_suggests_keys() {
        let documents = parse("f.yaml", "sources:\n  - name: a\n    regoin: b\n").expect("YAML");
        let top = At::top("f.yaml", &documents[0]);
        let sources = top.map(&["sources"]).expect("known").get("sources").expect("there").list().expect("a list");
        let error = sources[0].map(&["name", "region"]).expect_err("unknown");
        assert_eq!(error.to_string(), "f.yaml:3: sources[0].regoin: unknown key (did you mean `region`?)");
    }

    #[test]
    fn scalars_keep_their_spelling() {
        let documents = parse("f", "a: 007\nb: '403'\nc: ~\nd: \"\"\n").expect("YAML");
        let map = At::top("f", &documents[0]).any_map().expect("a mapping");
        assert_eq!(map.get("a").expect("there").text(), Ok("007"));
        assert!(map.get("b").expect("there").integer().is_err());
        assert!(map.get("c").is_none());
        assert!(map.get("d").expect("there").text().is_err());
    }
}
