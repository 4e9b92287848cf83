//! Rows of a table with a header, as consoles export it.

use csv_core::{ReadRecordResult, ReaderBuilder};
use serde_json::{Map, Value};

/// Most columns of a table.
const COLUMNS_MAX: usize = 256;
/// Longest name of a column, in bytes.
const NAME_BYTES_MAX: usize = 80;
/// Names of columns of which each table with audit events has one.
const TELLING: [&str; 16] = [
    "@message",
    "message",
    "Message",
    "_raw",
    "log",
    "line",
    "Line",
    "body",
    "log_s",
    "properties",
    "AuditId",
    "RequestUri",
    "auditID",
    "requestURI",
    "insertId",
    "verb",
];

/// The header of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CsvHeader {
    names: Vec<String>,
    delimiter: u8,
}

impl CsvHeader {
    /// Most lines of a row: a damaged row reaches to the end, and each line is tried.
    pub(super) const ROW_LINES_MAX: usize = 256;
    /// Longest row, in bytes.
    pub(super) const ROW_BYTES_MAX: usize = 4 << 20;

    /// Returns the header in a line, if it is one.
    pub(super) fn of(line: &str) -> Option<CsvHeader> {
        if line.len() > COLUMNS_MAX * NAME_BYTES_MAX || line.contains(['{', '=']) {
            return None;
        }
        [b',', b';', b'\t'].into_iter().find_map(|delimiter| {
            let names = cells(line.as_bytes(), delimiter, COLUMNS_MAX)?;
            let names: Vec<String> = names.iter().map(|name| name.trim().replace(" [UTC]", "")).collect();
            let is_name = |name: &String| !name.is_empty() && name.len() <= NAME_BYTES_MAX;
            let is_telling = |name: &String| TELLING.iter().any(|known| name == known || name.ends_with("methodName"));
            (names.iter().all(is_name) && names.iter().any(is_telling)).then_some(CsvHeader { names, delimiter })
        })
    }

    /// Returns a row as a JSON object by the names of its columns; `None` where it has another number of cells.
    pub(super) fn row(&self, row: &[u8]) -> Option<String> {
        let cells = cells(row, self.delimiter, self.names.len())?;
        if cells.len() != self.names.len() {
            return None;
        }
        let members = self.names.iter().cloned().zip(cells).filter(|(_, cell)| !cell.is_empty());
        Some(Value::Object(members.map(|(name, cell)| (name, Value::String(cell))).collect::<Map<_, _>>()).to_string())
    }
}

/// Returns the cells of one row; `None` where it has more than `cells_max`, or does not end.
fn cells(row: &[u8], delimiter: u8, cells_max: usize) -> Option<Vec<String>> {
    // A quote that is open at the end of a row continues in the next line.
    if row.iter().filter(|byte| **byte == b'"').count() % 2 == 1 {
        return None;
    }
    let mut reader = ReaderBuilder::new().delimiter(delimiter).build();
    let mut output = vec![0; row.len() + 1];
    let mut ends = vec![0; cells_max + 1];
    let (result, read, written, mut number) = reader.read_record(row, &mut output, &mut ends);
    let mut end_of_output = written;
    match result {
        ReadRecordResult::Record => {}
        ReadRecordResult::InputEmpty => {
            // An empty input is the end of the row.
            let (result, _, more, others) = reader.read_record(&[], &mut output[written..], &mut ends[number..]);
            if !matches!(result, ReadRecordResult::Record) {
                return None;
            }
            end_of_output += more;
            number += others;
        }
        _ => return None,
    }
    if row[read..].iter().any(|byte| !byte.is_ascii_whitespace()) {
        return None;
    }
    let mut begin = 0;
    let cell = |end: &usize| {
        let cell = String::from_utf8_lossy(&output[begin..(*end).min(end_of_output)]).into_owned();
        begin = *end;
        cell
    };
    Some(ends[..number].iter().map(cell).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_an_object_by_the_names_of_the_header() {
        let header = CsvHeader::of("\"@timestamp\",@message").expect("a header");
        let row = header.row(b"2026-11-22 01:00:52.748,\"{\"\"verb\"\":\"\"list\"\"}\"\r").expect("a row");
        assert_eq!(row, r#"{"@message":"{\"verb\":\"list\"}","@timestamp":"2026-11-22 01:00:52.748"}"#);
        assert_eq!(header.row(b"one"), None);
        assert_eq!(header.row(b"one,\"two"), None, "it goes on in the next line");
        assert_eq!(header.row(b"one,two,three"), None);
        for line in ["I1122 01:01:20.123456       1 httplog.go:132] message", "a,b,c", "", "{\"message\":1}"] {
            assert_eq!(CsvHeader::of(line), None, "{line}");
        }
    }
}
