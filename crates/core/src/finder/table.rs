//! Records that are spread over a table: columns and rows, or fields by name.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::object::Object;

#[derive(Deserialize)]
struct Column {
    #[serde(alias = "ColumnName")]
    name: String,
}

#[derive(Deserialize)]
struct Field<'a> {
    field: String,
    #[serde(borrow)]
    value: &'a RawValue,
}

/// Returns the rows of a table as objects by the names of its columns, as Log Analytics answers.
/// <https://learn.microsoft.com/azure/azure-monitor/logs/api/response-format>
pub(super) fn rows(object: &Object<'_>) -> Option<Vec<String>> {
    let columns: Vec<Column> = serde_json::from_str(object.raw("columns")?).ok()?;
    let rows: Vec<Vec<&RawValue>> = serde_json::from_str(object.raw("rows")?).ok()?;
    let row = |cells: Vec<&RawValue>| self::object(columns.iter().map(|column| column.name.as_str()).zip(cells));
    Some(rows.into_iter().map(row).collect())
}

/// Returns a row as an object by the names of its columns, both as JSON lists.
#[must_use]
pub fn row(columns: &str, cells: &str) -> Option<String> {
    let columns: Vec<Column> = serde_json::from_str(columns).ok()?;
    let cells: Vec<&RawValue> = serde_json::from_str(cells).ok()?;
    Some(object(columns.iter().map(|column| column.name.as_str()).zip(cells)))
}

/// Returns a list of fields as an object by their names, as Logs Insights answers.
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetQueryResults.html>
pub(super) fn fields(elements: &[&RawValue]) -> Option<String> {
    if !elements.first()?.get().contains("\"field\"") {
        return None;
    }
    let fields: Vec<Field<'_>> =
        elements.iter().map(|element| serde_json::from_str(element.get())).collect::<Result<_, _>>().ok()?;
    Some(object(fields.iter().map(|field| (field.field.as_str(), field.value))))
}

/// Returns the JSON object with these members; empty ones are left out.
fn object<'a>(members: impl Iterator<Item = (&'a str, &'a RawValue)>) -> String {
    let members = members.filter(|(_, value)| value.get() != "null");
    let members = members.map(|(key, value)| format!("{}:{}", serde_json::Value::from(key), value.get()));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}
