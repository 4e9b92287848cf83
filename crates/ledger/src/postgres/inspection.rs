//! What a person wants to know of the database before it holds a state. Nothing is changed.

use super::connection::Connection;
use super::options::PostgresOptions;
use crate::error::Result;

const INSPECT: &str = "
    SELECT current_setting('server_version'), current_setting('server_version_num')::int,
        (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
        CASE WHEN to_regnamespace($1) IS NULL THEN has_database_privilege(current_database(), 'CREATE')
        ELSE has_schema_privilege($1, 'CREATE, USAGE') END,
        coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)";

/// A database as it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseReport {
    /// The version, for people.
    pub version: String,
    /// The version as a number: 150018 is 15.18.
    pub version_number: i32,
    /// The database's clock, in milliseconds since 1970.
    pub clock_ms: i64,
    /// Whether the user may make the schema, or tables in it if it is there.
    pub may_create: bool,
    /// Whether the connection is encrypted.
    pub is_encrypted: bool,
}

/// Connects and asks. Fails where the database cannot be reached or used, a read-only standby included.
pub fn inspect(options: &PostgresOptions) -> Result<DatabaseReport> {
    let connection = Connection::open(options)?;
    let row = connection.wait("look at the database", connection.client().query_one(INSPECT, &[&options.schema]))?;
    Ok(DatabaseReport {
        version: row.get(0),
        version_number: row.get(1),
        clock_ms: row.get(2),
        may_create: row.get(3),
        is_encrypted: row.get(4),
    })
}
