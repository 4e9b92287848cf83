//! Where the tables keep the fields of an audit event.

use stakeout_core::field::Field;

use super::kql;

/// The field that the API server writes as a number.
pub(super) const CODE: Field = Field::Named("responseStatus.code");

/// What a field is to a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    /// The expression for its text.
    pub(super) text: String,
    /// Whether that is a list, or holds one, as JSON.
    pub(super) is_list: bool,
    /// The cell of JSON that it is read from, which may have been cut.
    pub(super) cell: Option<&'static Cell>,
}

/// A column that holds JSON: an object, or an object's text where it came as such.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cell {
    /// The part of an audit event that it holds.
    part: &'static str,
    /// The column's name.
    column: &'static str,
    /// The name that what is read of it gets in a query.
    pub(super) json: &'static str,
}

/// The cells whose members a prefilter may name.
pub(super) const CELLS: &[Cell] = &[
    Cell { part: "user", column: "User", json: "UserJson" },
    Cell { part: "objectRef", column: "ObjectRef", json: "ObjectRefJson" },
    Cell { part: "responseStatus", column: "ResponseStatus", json: "ResponseStatusJson" },
    Cell { part: "annotations", column: "Annotations", json: "AnnotationsJson" },
];

impl Cell {
    /// Returns the definition of what is read of the cell.
    pub(super) fn read(&self) -> String {
        format!("{} = parse_json(tostring({}))", self.json, self.column)
    }

    /// Returns the condition that something stands in the cell and is no object. `parse_json` gives a text back where
    /// it is no JSON: <https://learn.microsoft.com/kusto/query/parse-json-function>.
    pub(super) fn is_cut(&self) -> String {
        format!("(isnotempty(tostring({})) and gettype({}) != \"dictionary\")", self.column, self.json)
    }
}

impl Spot {
    /// Returns where the resource-specific tables keep a field, or `None` where they do not.
    pub(super) fn in_audit_table(field: &Field) -> Option<Spot> {
        let column = |name: &str| Some(Spot { text: name.to_owned(), is_list: false, cell: None });
        let list = |name: &str| Some(Spot { text: format!("tostring({name})"), is_list: true, cell: None });
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

    /// Returns where an event of the shared table keeps a field, or `None` where it is not one of its own.
    pub(super) fn in_event(field: &Field) -> Option<Spot> {
        let path = match field {
            Field::Named(name) if field.is_audited() => format!("Event.{name}"),
            Field::Named(_) => return None,
            Field::Annotation(key) => format!("Event.annotations{}", indexed(key)?),
        };
        Some(Spot { text: format!("tostring({path})"), is_list: field.is_array(), cell: None })
    }
}

fn member(part: &str, path: &str) -> Option<Spot> {
    let cell = CELLS.iter().find(|cell| cell.part == part)?;
    Some(Spot { text: format!("tostring({}{path})", cell.json), is_list: false, cell: Some(cell) })
}

/// Returns how an annotation is named in brackets. A key of Kubernetes has letters, digits and a few signs; anything
/// else is no key of an audit event's.
fn indexed(key: &str) -> Option<String> {
    let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte));
    is_key.then(|| format!("[{}]", kql::literal(key)))
}
