//! Workspaces, their tables and their rows. Rows are in order of `TimeGenerated`, so that a timespan is a range.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::schema::{self, TIME};
use crate::kql::{BadRow, Cell, Column, DateTime, Row, read_row};

/// The plan of a table: its price and its query API.
/// <https://learn.microsoft.com/en-us/azure/azure-monitor/logs/data-platform-logs#table-plans>
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TablePlan {
    /// Queried by `/query`.
    #[default]
    Analytics,
    /// Cheaper; queried by `/search`, which takes the time only from `timespan`.
    Basic,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    workspaces: BTreeMap<String, BTreeMap<String, Table>>,
    arrivals: u64,
}

#[derive(Debug)]
pub(super) struct Table {
    pub(super) plan: TablePlan,
    pub(super) columns: Vec<Column>,
    /// Keyed by `TimeGenerated` and order of arrival.
    pub(super) rows: BTreeMap<(DateTime, u64), Row>,
}

impl Store {
    /// Returns whether the workspace exists; ids are GUIDs, and case does not matter.
    pub(super) fn has_workspace(&self, workspace: &str) -> bool {
        self.workspaces.contains_key(&workspace.to_ascii_lowercase())
    }

    pub(super) fn table(&self, workspace: &str, table: &str) -> Option<&Table> {
        self.workspaces.get(&workspace.to_ascii_lowercase())?.get(table)
    }

    pub(super) fn table_or_new(&mut self, workspace: &str, table: &str) -> Result<&mut Table, BadRow> {
        if !is_guid(workspace) {
            return Err(BadRow(format!("a workspace id is a GUID, which {workspace:?} is not")));
        }
        let columns = schema::columns(table).ok_or_else(|| BadRow(format!("the fake knows no table {table:?}")))?;
        let tables = self.workspaces.entry(workspace.to_ascii_lowercase()).or_default();
        let new = || Table { plan: TablePlan::default(), columns, rows: BTreeMap::new() };
        Ok(tables.entry(table.to_owned()).or_insert_with(new))
    }

    pub(super) fn ingest(&mut self, workspace: &str, table: &str, row: Json) -> Result<(), BadRow> {
        self.arrivals += 1;
        let arrival = self.arrivals;
        let table = self.table_or_new(workspace, table)?;
        let row = read_row(&table.columns, row)?;
        let time = table.columns.iter().zip(row.iter()).find(|(column, _)| column.name == TIME);
        let Some((_, Cell::DateTime(time))) = time else {
            return Err(BadRow(format!("a row needs {TIME}")));
        };
        table.rows.insert((*time, arrival), row.clone());
        Ok(())
    }
}

impl Table {
    /// Returns all rows between two times, both included.
    pub(super) fn between(&self, from: DateTime, to: DateTime) -> impl Iterator<Item = &Row> {
        let range = (from <= to).then(|| self.rows.range((from, 0)..=(to, u64::MAX)));
        range.into_iter().flatten().map(|(_, row)| row)
    }
}

/// Returns whether a text is a GUID, as `8-4-4-4-12` hexadecimal digits.
pub(super) fn is_guid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let has_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]) && parts.iter().all(|part| has_digits(part))
}
