//! An answer of the query API, and what `az` prints of one, into rows.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use stakeout_core::decode::DecodeError;
use stakeout_core::text::{bounded, visible};

/// The name of the table that holds the rows; the other tables describe the query.
const PRIMARY: &str = "PrimaryResult";
/// Longest text of an answer's own error, in characters.
const ERROR_CHARS_MAX: usize = 600;
/// Deepest error within an error that is read.
const ERROR_DEPTH_MAX: usize = 8;

/// What an answer holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryAnswer {
    /// The rows, each a JSON object by the names of its columns; empty cells are left out.
    pub rows: Vec<String>,
    /// The answer's own error; the rows are then incomplete.
    pub error: Option<String>,
}

#[derive(Deserialize)]
struct AnswerTables<'a> {
    #[serde(borrow)]
    tables: Vec<AnswerTable<'a>>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct AnswerTable<'a> {
    #[serde(default)]
    name: String,
    columns: Vec<AnswerColumn>,
    #[serde(borrow)]
    rows: Vec<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct AnswerColumn {
    name: String,
}

/// Returns the rows of an answer: `{"tables":[...]}` as the API gives it, or the list of objects that `az monitor
/// log-analytics query` prints.
///
/// # Errors
///
/// `NotJson` where it is neither.
pub fn rows(json: &str) -> Result<QueryAnswer, DecodeError> {
    let not_json = |error: serde_json::Error| DecodeError::NotJson(error.to_string());
    if json.trim_start().starts_with('[') {
        let rows: Vec<&RawValue> = serde_json::from_str(json).map_err(not_json)?;
        return Ok(QueryAnswer { rows: rows.into_iter().map(|row| row.get().to_owned()).collect(), error: None });
    }
    let AnswerTables { tables, error } = serde_json::from_str(json).map_err(not_json)?;
    let error = error.map(RawValue::get).filter(|error| *error != "null");
    let is_named = tables.iter().any(|table| table.name == PRIMARY);
    let rows = tables
        .iter()
        .filter(|table| !is_named || table.name == PRIMARY)
        .flat_map(|table| table.rows.iter().map(|cells| object(&table.columns, cells)))
        .collect();
    Ok(QueryAnswer { rows, error: error.map(|error| visible(&bounded(&innermost(error), ERROR_CHARS_MAX))) })
}

/// Returns the innermost message of an error: the outer ones only report that something went wrong.
/// <https://learn.microsoft.com/azure/azure-monitor/logs/api/response-format>
fn innermost(error: &str) -> String {
    let Ok(json) = serde_json::from_str::<Value>(error) else {
        return error.to_owned();
    };
    let inner = |error: &Value| error.pointer("/details/0").or_else(|| error.get("innererror")).cloned();
    let messages = std::iter::successors(Some(json), inner).take(ERROR_DEPTH_MAX);
    let deepest = messages.filter_map(|error| error.get("message")?.as_str().map(str::to_owned)).last();
    deepest.unwrap_or_else(|| error.to_owned())
}

/// Returns a row as an object.
fn object(columns: &[AnswerColumn], cells: &[&RawValue]) -> String {
    let mut row = String::from("{");
    for (column, cell) in columns.iter().zip(cells) {
        if cell.get() == "null" {
            continue;
        }
        if row.len() > 1 {
            row.push(',');
        }
        row.push_str(&Value::from(column.name.as_str()).to_string());
        row.push(':');
        row.push_str(cell.get());
    }
    row.push('}');
    row
}
