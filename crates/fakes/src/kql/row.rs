//! Rows in JSON: an object by column names.

use std::fmt;

use serde_json::Value as Json;

use super::datetime::DateTime;
use super::value::{Cell, Column, ColumnType, Row};

/// Why a value is not a row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow(pub(crate) String);

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadRow {}

/// Reads a row by the columns of its table. Missing cells are empty.
///
/// # Errors
///
/// If a cell does not fit its column, or the column does not exist.
pub fn read_row(columns: &[Column], row: Json) -> Result<Row, BadRow> {
    let Json::Object(mut cells) = row else {
        return Err(BadRow("a row is an object by column names".to_owned()));
    };
    let read = |column: &Column| {
        let cell = cells.remove(&column.name).unwrap_or(Json::Null);
        read_cell(column.kind, cell).ok_or_else(|| BadRow(format!("{} is not a {}", column.name, column.kind)))
    };
    let row = columns.iter().map(read).collect::<Result<_, _>>()?;
    match cells.keys().next() {
        Some(name) => Err(BadRow(format!("the table has no column {name:?}"))),
        None => Ok(row),
    }
}

/// Reads a cell; text in a dynamic column is JSON, as in answers of the cloud.
fn read_cell(kind: ColumnType, cell: Json) -> Option<Cell> {
    match (kind, cell) {
        (ColumnType::String, Json::Null) => Some(Cell::text("")),
        (_, Json::Null) => Some(Cell::Null),
        (ColumnType::String, Json::String(text)) => Some(Cell::text(&text)),
        (ColumnType::DateTime, Json::String(text)) => DateTime::parse(&text).map(Cell::DateTime),
        (ColumnType::Dynamic, Json::String(text)) => Some(Cell::parse_json(&text)),
        (ColumnType::Dynamic, json) => Some(Cell::dynamic(json)),
        (ColumnType::Bool, Json::Bool(truth)) => Some(Cell::Bool(truth)),
        (ColumnType::Long, json) => json.as_i64().map(Cell::Long),
        _ => None,
    }
}
