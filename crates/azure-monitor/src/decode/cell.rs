//! A cell of a row: a plain text, or JSON that came as it is or as a text, whole or cut.

use std::borrow::Cow;

use serde_json::value::RawValue;
use stakeout_core::decode::json_text;

/// A cell that ought to hold an object or a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell<'a> {
    /// The cell is empty.
    Empty,
    /// JSON.
    Whole(Cow<'a, str>),
    /// The beginning of some JSON.
    Cut(Cow<'a, str>),
}

/// Returns the text of a cell, or `None` where it holds something else or nothing.
pub(super) fn text(cell: Option<&RawValue>) -> Option<Cow<'_, str>> {
    json_text(cell?.get()).filter(|text| !text.is_empty())
}

/// Returns a cell as JSON that every reader takes.
pub(super) fn as_json(cell: &RawValue) -> Cow<'_, str> {
    let is_readable = !cell.get().contains("\\u") || serde_json::from_str::<String>(cell.get()).is_ok();
    match text(Some(cell)) {
        Some(text) if !is_readable => Cow::Owned(serde_json::Value::from(text.as_ref()).to_string()),
        _ => Cow::Borrowed(cell.get()),
    }
}

impl<'a> Cell<'a> {
    /// Reads a cell. The query API writes the JSON of a `dynamic` column as a text; where the column itself holds a text,
    /// that is written as JSON once more.
    pub(super) fn of(cell: Option<&'a RawValue>) -> Cell<'a> {
        let Some(raw) = cell else {
            return Cell::Empty;
        };
        match text(cell) {
            None if matches!(raw.get(), "null" | "\"\"") => Cell::Empty,
            None => Cell::Whole(Cow::Borrowed(raw.get())),
            Some(json) => match serde_json::from_str::<String>(&json) {
                Ok(inner) => Cell::of_json(Cow::Owned(inner)),
                Err(_) => Cell::of_json(json),
            },
        }
    }

    /// Takes the first value and drops what follows it: a damaged cell must not be able to
    /// add members of another.
    fn of_json(json: Cow<'a, str>) -> Cell<'a> {
        let mut values = serde_json::Deserializer::from_str(&json).into_iter::<&RawValue>();
        match values.next() {
            None => Cell::Empty,
            Some(Err(_)) => Cell::Cut(json),
            Some(Ok(first)) if first.get().len() == json.len() => Cell::Whole(json),
            Some(Ok(first)) => Cell::Whole(Cow::Owned(first.get().to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(json: &str) -> Cell<'static> {
        let raw: Box<RawValue> = serde_json::from_str(json).expect("JSON");
        match Cell::of(Some(&raw)) {
            Cell::Empty => Cell::Empty,
            Cell::Whole(value) => Cell::Whole(Cow::Owned(value.into_owned())),
            Cell::Cut(value) => Cell::Cut(Cow::Owned(value.into_owned())),
        }
    }

    #[test]
    fn json_is_read_however_it_came() {
        let whole = Cell::Whole(Cow::Borrowed(r#"{"code":403}"#));
        for json in [r#"{"code":403}"#, r#""{\"code\":403}""#, r#""\"{\\\"code\\\":403}\"""#, r#""{\"code\":403}\n""#] {
            assert_eq!(cell(json), whole, "{json}");
        }
        for json in ["null", r#""""#, r#"" ""#] {
            assert_eq!(cell(json), Cell::Empty, "{json}");
        }
        assert_eq!(Cell::of(None), Cell::Empty);
    }

    #[test]
    fn half_of_a_pair_hides_nothing() {
        let cut = cell(r#""{\"code\":403,\"message\":\"\ud83d""#);
        assert_eq!(cut, Cell::Cut(Cow::Borrowed("{\"code\":403,\"message\":\"\u{fffd}\u{fffd}\u{fffd}")));
    }

    #[test]
    fn a_cut_cell_differs_from_a_damaged_one() {
        assert_eq!(cell(r#""{\"code\":403,\"mess""#), Cell::Cut(Cow::Borrowed(r#"{"code":403,"mess"#)));
        let damaged = r#""{\"code\":200},\"user\":{\"username\":\"system:masters\"}""#;
        assert_eq!(cell(damaged), Cell::Whole(Cow::Borrowed(r#"{"code":200}"#)));
    }
}
