//! The columns in which the tables keep the fields of an audit event.

use stakeout_core::field::Field;

use super::kql;

/// The field that the API server writes as a number.
pub(super) const CODE: Field = Field::Named("responseStatus.code");

/// The column of a field, as a query reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ColumnMapping {
    /// The column of the table that holds it, whose terms are indexed.
    pub(super) column: &'static str,
    /// The expression for its text.
    pub(super) text: String,
    /// Whether that is a list, or holds one, as JSON.
    pub(super) is_list: bool,
    /// The JSON column that it is read from, whose cells may have been cut.
    pub(super) json_column: Option<&'static JsonColumn>,
}

/// A column that holds JSON: an object, or an object as text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct JsonColumn {
    /// The part of an audit event that it holds.
    part: &'static str,
    /// The column's name.
    column: &'static str,
    /// The name of the parsed column in a query.
    pub(super) json: &'static str,
}

/// The JSON columns whose members a prefilter may name.
pub(super) const JSON_COLUMNS: &[JsonColumn] = &[
    JsonColumn { part: "user", column: "User", json: "UserJson" },
    JsonColumn { part: "objectRef", column: "ObjectRef", json: "ObjectRefJson" },
    JsonColumn { part: "responseStatus", column: "ResponseStatus", json: "ResponseStatusJson" },
    JsonColumn { part: "annotations", column: "Annotations", json: "AnnotationsJson" },
];

impl JsonColumn {
    /// Returns the definition of the parsed column.
    pub(super) fn read(&self) -> String {
        format!("{} = parse_json(tostring({}))", self.json, self.column)
    }

    /// Returns the condition that a cell is neither empty nor an object. `parse_json` returns a text that is not
    /// JSON unchanged: <https://learn.microsoft.com/kusto/query/parse-json-function>.
    pub(super) fn is_cut(&self) -> String {
        format!("(isnotempty(tostring({})) and gettype({}) != \"dictionary\")", self.column, self.json)
    }
}

impl ColumnMapping {
    /// Returns whether the column is the field itself, which is compared as it is.
    pub(super) fn is_plain(&self) -> bool {
        !self.is_list && self.text == self.column
    }

    /// Returns the column of a field in the resource-specific tables, or `None` if they have none.
    pub(super) fn in_audit_table(field: &Field) -> Option<ColumnMapping> {
        let column =
            |column| Some(ColumnMapping { column, text: column.to_owned(), is_list: false, json_column: None });
        let list = |column| Some(ColumnMapping { column, text: column.to_owned(), is_list: true, json_column: None });
        let name = match field {
            Field::Named(name) => *name,
            Field::Annotation(key) => return member("annotations", &indexed(key)?),
        };
        match name {
            "level" => column("Level"),
            "auditID" => column("AuditId"),
            "stage" => column("Stage"),
            "requestURI" => column("RequestUri"),
            "verb" => column("Verb"),
            "userAgent" => column("UserAgent"),
            "user.groups" => list("User"),
            "sourceIPs" => list("SourceIps"),
            _ => {
                let (part, key) = name.split_once('.')?;
                member(part, &format!(".{key}"))
            }
        }
    }

    /// Returns the path of a field in an event of the shared table, or `None` for a derived field.
    pub(super) fn in_event(field: &Field) -> Option<ColumnMapping> {
        let path = match field {
            Field::Named(name) if field.is_audited() => format!("Event.{name}"),
            Field::Named(_) => return None,
            Field::Annotation(key) => format!("Event.annotations{}", indexed(key)?),
        };
        let text = format!("tostring({path})");
        Some(ColumnMapping { column: "log_s", text, is_list: field.is_array(), json_column: None })
    }
}

fn member(part: &str, path: &str) -> Option<ColumnMapping> {
    let json = JSON_COLUMNS.iter().find(|json| json.part == part)?;
    let text = format!("tostring({}{path})", json.json);
    Some(ColumnMapping { column: json.column, text, is_list: false, json_column: Some(json) })
}

/// Returns how an annotation is named in brackets. A key of Kubernetes has letters, digits and a few signs; anything
/// else is no key of an audit event's.
fn indexed(key: &str) -> Option<String> {
    let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte));
    is_key.then(|| format!("[{}]", kql::literal(key)))
}
