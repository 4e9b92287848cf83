//! The value of a cell: the scalar types of Kusto in the audit tables.
//! <https://learn.microsoft.com/en-us/kusto/query/scalar-data-types/>

use std::fmt;
use std::sync::Arc;

use serde_json::Value as Json;

use super::datetime::DateTime;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// `bool`
    Bool,
    /// `datetime`
    DateTime,
    /// `dynamic`: any JSON.
    Dynamic,
    /// `long`
    Long,
    /// `string`, which is never null.
    String,
}

/// A column of a table or of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name; case matters.
    pub name: String,
    /// Its type.
    pub kind: ColumnType,
}

/// A row: as many values as there are columns.
pub type Row = Arc<[Cell]>;

/// The value of a cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing, in a column of any type but `string`.
    Null,
    /// A `bool`.
    Bool(bool),
    /// A `datetime`.
    DateTime(DateTime),
    /// A `dynamic` that is not null.
    Dynamic(Arc<Dynamic>),
    /// A `long`.
    Long(i64),
    /// A `string`.
    String(Arc<str>),
}

/// A JSON value, with its original text if it came as text.
#[derive(Clone, Debug)]
pub struct Dynamic {
    pub(super) json: Json,
    text: Option<Box<str>>,
}

impl PartialEq for Dynamic {
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json
    }
}

impl ColumnType {
    /// The name of the type.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::DateTime => "datetime",
            Self::Dynamic => "dynamic",
            Self::Long => "long",
            Self::String => "string",
        }
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Cell {
    /// Returns a `string`.
    pub fn text(text: &str) -> Self {
        Self::String(text.into())
    }

    /// Returns a `dynamic`.
    pub fn dynamic(json: Json) -> Self {
        match json {
            Json::Null => Self::Null,
            json => Self::Dynamic(Arc::new(Dynamic { json, text: None })),
        }
    }

    /// Returns a `dynamic` like `parse_json`: text that is not JSON becomes a string, and empty text null.
    /// <https://learn.microsoft.com/en-us/kusto/query/parse-json-function>
    pub fn parse_json(text: &str) -> Self {
        match serde_json::from_str(text) {
            Ok(Json::Null) => Self::Null,
            Ok(json) => Self::Dynamic(Arc::new(Dynamic { json, text: Some(text.trim().into()) })),
            Err(_) if text.is_empty() => Self::Null,
            Err(_) => Self::dynamic(Json::String(text.to_owned())),
        }
    }

    pub(super) fn bool(truth: Option<bool>) -> Self {
        truth.map_or(Self::Null, Self::Bool)
    }

    /// Reads a bool; `None` is null.
    pub(super) fn truth(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    pub(super) fn json(&self) -> Option<&Json> {
        match self {
            Self::Dynamic(dynamic) => Some(&dynamic.json),
            _ => None,
        }
    }

    /// Returns the value like `tostring`; null is the empty text.
    /// <https://learn.microsoft.com/en-us/kusto/query/tostring-function>
    pub(super) fn to_text(&self) -> Arc<str> {
        match self {
            Self::Null => "".into(),
            Self::Bool(true) => "True".into(),
            Self::Bool(false) => "False".into(),
            Self::DateTime(moment) => moment.in_full().into(),
            Self::Dynamic(dynamic) => dynamic.to_text().into(),
            Self::Long(number) => number.to_string().into(),
            Self::String(text) => Arc::clone(text),
        }
    }

    /// Returns the value as a cell of an answer: a dynamic value is JSON in a string.
    pub(crate) fn to_cell(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(truth) => Json::Bool(*truth),
            Self::DateTime(moment) => Json::String(moment.to_string()),
            Self::Dynamic(dynamic) => Json::String(dynamic.to_json_text()),
            Self::Long(number) => Json::from(*number),
            Self::String(text) => Json::String(text.to_string()),
        }
    }
}

impl Dynamic {
    /// Shows a string as it is, and everything else as JSON.
    fn to_text(&self) -> String {
        match &self.json {
            Json::String(text) => text.clone(),
            _ => self.to_json_text(),
        }
    }

    fn to_json_text(&self) -> String {
        self.text.as_ref().map_or_else(|| self.json.to_string(), |text| text.to_string())
    }
}
