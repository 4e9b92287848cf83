//! Rows as others write them: an object of JSON by names of columns.

use std::fmt;

use serde_json::Value as Json;

use super::datetime::DateTime;
use super::value::{Column, Kind, Row, Value};

/// Why something is no row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow(pub(crate) String);

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadRow {}

/// Reads a row by the columns of its table. What is left out is empty.
///
/// # Errors
///
/// Where a cell does not fit its column, or there is no such column.
pub fn read_row(columns: &[Column], row: Json) -> Result<Row, BadRow> {
    let Json::Object(mut cells) = row else {
        return Err(BadRow("a row is an object by column names".to_owned()));
    };
    let read = |column: &Column| {
        let cell = cells.remove(&column.name).unwrap_or(Json::Null);
        read_cell(column.kind, cell).ok_or_else(|| BadRow(format!("{} is no {}", column.name, column.kind)))
    };
    let row = columns.iter().map(read).collect::<Result<_, _>>()?;
    match cells.keys().next() {
        Some(name) => Err(BadRow(format!("the table has no column {name:?}"))),
        None => Ok(row),
    }
}

/// Reads a cell; text in a dynamic column is the JSON that the cloud answers there, and no text at all is empty.
fn read_cell(kind: Kind, cell: Json) -> Option<Value> {
    match (kind, cell) {
        (Kind::String, Json::Null) => Some(Value::text("")),
        (_, Json::Null) => Some(Value::Null),
        (Kind::String, Json::String(text)) => Some(Value::text(&text)),
        (Kind::DateTime, Json::String(text)) => DateTime::parse(&text).map(Value::DateTime),
        (Kind::Dynamic, Json::String(text)) => Some(Value::parse_json(&text)),
        (Kind::Dynamic, json) => Some(Value::dynamic(json)),
        (Kind::Bool, Json::Bool(fact)) => Some(Value::Bool(fact)),
        (Kind::Int | Kind::Long, json) => json.as_i64().map(Value::Long),
        (Kind::Real, json) => json.as_f64().map(Value::Real),
        _ => None,
    }
}
