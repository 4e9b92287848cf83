//! The tables of a schema, and their versions. A migration is run once, under the lock of all writes, and never changed.

use super::connection::Connection;
use super::table::TABLES;
use crate::error::{LedgerError, Result};

/// The migrations in their order; the first makes what a state of this format needs.
const MIGRATIONS: [&str; 1] = [TABLES];

const APPLIED: &str = "
    CREATE TABLE IF NOT EXISTS migration (number integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())";

const NOTE: &str = "INSERT INTO migration (number) VALUES ($1)";

/// Brings the tables of `schema` up to this version, in the transaction of `connection`. `further` are those of other modules.
///
/// Fails where a newer version has changed them; with both numbers.
pub(super) fn migrate(connection: &Connection, further: &[&str]) -> Result<()> {
    let migrations: Vec<&str> = MIGRATIONS.iter().chain(further).copied().collect();
    let client = connection.client();
    connection.wait("make the table of migrations", client.batch_execute(APPLIED))?;
    let applied = connection.wait(
        "read the version of the tables",
        client.query_one("SELECT coalesce(max(number), 0) FROM migration", &[]),
    )?;
    let applied = usize::try_from(applied.get::<_, i32>(0)).unwrap_or(usize::MAX);
    if applied > migrations.len() {
        return Err(LedgerError::Rejected {
            reason: format!("its tables have version {applied}, this version of Stakeout knows {}", migrations.len()),
            fix: "start the version that made them, or name another `schema`",
        });
    }
    for (number, migration) in (1_i32..).zip(migrations).skip(applied) {
        connection.wait("change the tables", client.batch_execute(migration))?;
        connection.wait("change the tables", client.execute(NOTE, &[&number]))?;
    }
    Ok(())
}
