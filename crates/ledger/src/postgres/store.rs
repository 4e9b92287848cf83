//! Values by key in tables, and the turns in which a ledger reads and writes them.
//!
//! All that a ledger reads and writes is done in turns. In a turn alone, one transaction holds the lock of all writes, so
//! that what is read is what the write is based on; a turn for reading has a snapshot. What values mean is not known here.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::iter;
use std::ops::Bound;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use super::connection::Connection;
use super::migration::migrate;
use super::options::PostgresOptions;
use super::table::{Table, columns_of, key_of};
use crate::batch::Batch;
use crate::error::{LedgerError, Result};
use crate::key::{Key, KeyRange};
use crate::live_bytes::LiveBytes;

/// All reads are by key or in the order of keys. Without this, the planner reads whole tables that it takes for small.
const PLANS: &str = "
    SET enable_seqscan TO off; SET enable_hashjoin TO off; SET enable_mergejoin TO off; SET jit TO off;
    SET plan_cache_mode TO force_generic_plan";
const BEGIN_SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// Values and ranges of one question, and values of one statement that writes.
const PAGE: usize = 512;
/// Bytes of values of one statement that writes, unless it has only one.
const STATEMENT_BYTES_MAX: usize = 4 * 1024 * 1024;

type Params<'p> = Vec<&'p (dyn ToSql + Sync)>;

/// What a turn is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TurnKind {
    /// To write, while nobody else does.
    Alone,
    /// To read one state.
    Snapshot,
}

/// The tables of a schema.
#[derive(Debug)]
pub(crate) struct Store {
    options: PostgresOptions,
    session: Mutex<Session>,
    /// The thread whose turn it is. Other threads wait: they would read and write in its transaction.
    turn: Mutex<Option<ThreadId>>,
    turn_ended: Condvar,
}

#[derive(Debug)]
struct Session {
    connection: Connection,
    statements: HashMap<String, Statement>,
}

/// Returns the statement that takes the lock for which every write waits, until its transaction ends. It is named after the
/// schema, which may not exist yet.
fn lock(options: &PostgresOptions) -> String {
    format!("SELECT pg_advisory_xact_lock(hashtextextended('stakeout {}', 0))", options.schema())
}

impl Session {
    fn open(options: &PostgresOptions) -> Result<Session> {
        let connection = Connection::open(options)?;
        connection.wait("set up the session", connection.client().batch_execute(PLANS))?;
        Ok(Session { connection, statements: HashMap::new() })
    }

    fn query(&mut self, action: &str, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        let client = self.connection.client();
        let statement = match self.statements.get(sql) {
            Some(statement) => statement.clone(),
            None => {
                let statement = self.connection.wait(action, client.prepare(sql))?;
                self.statements.insert(sql.to_owned(), statement.clone());
                statement
            }
        };
        self.connection.wait(action, client.query(&statement, params))
    }

    fn run(&self, action: &str, sql: &str) -> Result<()> {
        self.connection.wait(action, self.connection.client().batch_execute(sql))
    }
}

impl Store {
    /// Connects, and makes or changes the tables where that is due. `further` are the migrations of other modules.
    pub(crate) fn open(options: &PostgresOptions, further: &[&str]) -> Result<Store> {
        let session = Session::open(options)?;
        session.run("begin a transaction", "BEGIN")?;
        session.run("wait for other writes", &lock(options))?;
        session.run("make the schema", &format!("CREATE SCHEMA IF NOT EXISTS {}", options.schema()))?;
        migrate(&session.connection, further)?;
        session.run("commit the tables", "COMMIT")?;
        let (turn, turn_ended) = Default::default();
        Ok(Store { options: options.clone(), session: Mutex::new(session), turn, turn_ended })
    }

    /// Returns whether this thread has a turn.
    pub(crate) fn has_turn(&self) -> bool {
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner) == Some(thread::current().id())
    }

    /// Begins a turn of this thread, when that of another one has ended. Connects again where the connection is gone.
    pub(crate) fn begin_turn(&self, kind: TurnKind) -> Result<()> {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        while turn.is_some() {
            turn = self.turn_ended.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
        let mut session = self.session();
        if session.begin(kind, &self.options).is_err() {
            // Whatever it was: nothing is read and nothing is written yet, so a new connection may try.
            *session = Session::open(&self.options)?;
            session.begin(kind, &self.options)?;
        }
        *turn = Some(thread::current().id());
        Ok(())
    }

    /// Ends the turn of this thread, if it has one, without writing anything.
    pub(crate) fn end_turn(&self) {
        if self.has_turn() {
            if let Err(error) = self.session().run("roll back", "ROLLBACK") {
                tracing::debug!(%error, "the database rolls back a transaction whose connection ended");
            }
            self.pass_turn();
        }
    }

    /// Runs `f` on the connection, in the turn that the thread has.
    pub(crate) fn connected<T>(&self, f: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        f(&self.session().connection)
    }

    /// Returns the values of `keys` of one kind, in their order.
    pub(crate) fn get_all(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>> {
        let Some(first) = keys.first() else { return Ok(Vec::new()) };
        let table = Table::of(first);
        let sql = format!(
            "SELECT wanted.number, t.value FROM unnest({}) WITH ORDINALITY AS wanted ({}, number) JOIN {} t ON {}",
            arrays(table.columns.len(), 1),
            table.key_columns("k_"),
            table.name,
            table.each_column(|name, kind| format!("t.{name} = wanted.k_{name}::{kind}")).replace(", ", " AND "),
        );
        let columns = columns_by_position(keys.iter());
        let params: Params<'_> = columns.iter().map(|column| column as _).collect();
        let mut found = vec![None; keys.len()];
        for row in self.session().query("read values", &sql, &params)? {
            let number = usize::try_from(row.get::<_, i64>(0) - 1).unwrap_or(usize::MAX);
            if let Some(place) = found.get_mut(number) {
                *place = Some(row.get(1));
            }
        }
        Ok(found)
    }

    /// Returns the keys in `ranges` of one kind, range by range, ascending.
    pub(crate) fn keys_in(&self, ranges: &[KeyRange]) -> Result<Vec<Key>> {
        let Some(any) = ranges.first().map(|range| range.last) else { return Ok(Vec::new()) };
        let table = Table::of(&any);
        let n = table.columns.len();
        let bound = |prefix: &str| table.each_column(|name, kind| format!("wanted.{prefix}{name}::{kind}"));
        let sql = format!(
            "SELECT {} FROM unnest({}) WITH ORDINALITY AS wanted ({}, {}, number), \
             LATERAL (SELECT {columns} FROM {name} WHERE ({columns}) >= ({}) AND ({columns}) <= ({}) ORDER BY {columns}) t \
             ORDER BY wanted.number, {}",
            table.each_column(|name, _| format!("t.{name}::bigint")),
            arrays(2 * n, 1),
            table.key_columns("first_"),
            table.key_columns("last_"),
            bound("first_"),
            bound("last_"),
            table.key_columns("t."),
            columns = table.key_columns(""),
            name = table.name,
        );
        let firsts: Vec<Key> = ranges.iter().filter_map(first_key).collect();
        if firsts.len() < ranges.len() {
            return Err(LedgerError::refused("a range of keys has no first key"));
        }
        let mut columns = columns_by_position(firsts.iter());
        columns.extend(columns_by_position(ranges.iter().map(|range| &range.last)));
        let params: Params<'_> = columns.iter().map(|column| column as _).collect();
        let rows = self.session().query("read keys", &sql, &params)?;
        rows.iter().map(|row| key_in(row, &any, n)).collect()
    }

    /// Returns the keys in `range` with their values, ascending; page by page.
    pub(crate) fn values(&self, range: KeyRange) -> impl Iterator<Item = Result<(Key, Vec<u8>)>> {
        let (mut rest, mut page) = (Some(range), VecDeque::new());
        iter::from_fn(move || {
            if page.is_empty()
                && let Some(range) = rest.take()
            {
                match self.page(range) {
                    Ok(read) => page = read,
                    Err(error) => return Some(Err(error)),
                }
                if let Some((last, _)) = page.back().filter(|_| page.len() == PAGE) {
                    rest = Some(KeyRange { first: Bound::Excluded(*last), ..range });
                }
            }
            page.pop_front().map(Ok)
        })
    }

    fn page(&self, range: KeyRange) -> Result<VecDeque<(Key, Vec<u8>)>> {
        let table = Table::of(&range.last);
        let n = table.columns.len();
        let mut number = 0;
        let mut bound = || {
            table.each_column(|_, kind| {
                number += 1;
                format!("${number}::bigint::{kind}")
            })
        };
        let (first, last) = (bound(), bound());
        let (from, from_key) = match range.first {
            Bound::Included(key) => (">=", key),
            Bound::Excluded(key) => (">", key),
            Bound::Unbounded => return Err(LedgerError::refused("a range of keys has no first key")),
        };
        let value = if table.has_value { ", value" } else { "" };
        let sql = format!(
            "SELECT {}{value} FROM {} WHERE ({columns}) {from} ({first}) AND ({columns}) <= ({last}) \
             ORDER BY {columns} LIMIT {PAGE}",
            table.each_column(|name, _| format!("{name}::bigint")),
            table.name,
            columns = table.key_columns(""),
        );
        let bounds = [columns_of(&from_key), columns_of(&range.last)].concat();
        let params: Params<'_> = bounds.iter().map(|bound| bound as _).collect();
        let rows = self.session().query("read values", &sql, &params)?;
        let value = |row: &Row| if table.has_value { row.get(n) } else { Vec::new() };
        rows.iter().map(|row| Ok((key_in(row, &range.last, n)?, value(row)))).collect()
    }

    /// Returns what the writes after `writes` wrote of the kind of `any`, which must be one that is kept in memory.
    pub(crate) fn written_after(&self, any: Key, writes: u64) -> Result<Vec<(Key, Vec<u8>)>> {
        let table = Table::of(&any);
        let n = table.columns.len();
        let columns = table.each_column(|name, _| format!("{name}::bigint"));
        let sql = format!("SELECT {columns}, value FROM {} WHERE written > $1", table.name);
        let rows = self.session().query("read what is new", &sql, &[&number_of(writes)])?;
        rows.iter().map(|row| Ok((key_in(row, &any, n)?, row.get(n)))).collect()
    }

    /// Writes a batch, the number `writes` of the ledger, commits the turn, and returns when that is durable.
    ///
    /// Where the answer to the commit is lost, the database is asked what became of it. Only if that fails too, it is not
    /// known whether the batch was written.
    pub(crate) fn apply(&self, mut batch: Batch, writes: u64) -> Result<()> {
        let mut session = self.session();
        let mut changes: BTreeMap<(Table, bool), Changes> = BTreeMap::new();
        while let Some((key, value)) = batch.pop() {
            let (table, is_put) = (Table::of(&key), value.is_some());
            let of_table = changes.entry((table, is_put)).or_default();
            of_table.bytes += value.as_ref().map_or(0, Vec::len);
            of_table.keys.push(key);
            of_table.values.extend(value);
            if of_table.keys.len() >= PAGE || of_table.bytes >= STATEMENT_BYTES_MAX {
                session.write(table, is_put, &std::mem::take(of_table), writes)?;
            }
        }
        for ((table, is_put), changes) in changes.into_iter().filter(|(_, changes)| !changes.keys.is_empty()) {
            session.write(table, is_put, &changes, writes)?;
        }
        let transaction = session.query("name the transaction", "SELECT pg_current_xact_id()::text", &[])?;
        let transaction: Option<String> = transaction.first().map(|row| row.get(0));
        let committed = session.run("commit", "COMMIT").or_else(|error| {
            let is_known = transaction.is_some_and(|number| self.is_committed(&mut session, &number).unwrap_or(false));
            if is_known { Ok(()) } else { Err(error) }
        });
        drop(session);
        self.pass_turn();
        committed
    }

    /// Returns whether a transaction was committed whose answer was lost. Connects again, and waits until it has ended.
    fn is_committed(&self, session: &mut Session, transaction: &str) -> Result<bool> {
        *session = Session::open(&self.options)?;
        session.run("wait for the lost transaction", &format!("BEGIN; {}; COMMIT", lock(&self.options)))?;
        let status =
            session.query("read what became of it", "SELECT pg_xact_status($1::text::xid8)", &[&transaction])?;
        Ok(status.first().and_then(|row| row.get::<_, Option<&str>>(0)) == Some("committed"))
    }

    /// Runs a statement on the archive, which no commit reads.
    pub(super) fn query(&self, action: &str, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        self.session().query(action, sql, params)
    }

    /// Returns how to connect to the same database.
    pub(crate) fn options(&self) -> &PostgresOptions {
        &self.options
    }

    /// Returns how many records there are of each kind, by the first byte of their keys, and their bytes. Reads all of it.
    pub(crate) fn live_bytes(&self) -> Result<BTreeMap<u8, LiveBytes>> {
        let mut kinds = BTreeMap::new();
        for any in Key::KINDS {
            let table = Table::of(&any);
            let sql = format!("SELECT count(*), coalesce(sum(pg_column_size(t.*)), 0)::bigint FROM {} t", table.name);
            for row in self.session().query("measure the tables", &sql, &[])? {
                let number = |column| u64::try_from(row.get::<_, i64>(column)).unwrap_or_default();
                if number(0) > 0 {
                    kinds.insert(any.letter(), LiveBytes { records: number(0), bytes: number(1) });
                }
            }
        }
        Ok(kinds)
    }

    /// Returns the bytes of all tables with their indexes.
    pub(crate) fn size_on_disk(&self) -> Result<u64> {
        const SIZE: &str = "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class \
                            WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'";
        let rows = self.session().query("measure the tables", SIZE, &[])?;
        Ok(rows.first().map_or(0, |row| u64::try_from(row.get::<_, i64>(0)).unwrap_or_default()))
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass_turn(&self) {
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.turn_ended.notify_one();
    }
}

/// Changes of one table by one statement.
#[derive(Default)]
struct Changes {
    keys: Vec<Key>,
    values: Vec<Vec<u8>>,
    bytes: usize,
}

impl Session {
    fn begin(&self, kind: TurnKind, options: &PostgresOptions) -> Result<()> {
        match kind {
            TurnKind::Snapshot => self.run("begin to read", BEGIN_SNAPSHOT),
            TurnKind::Alone => {
                self.run("begin to write", "BEGIN")?;
                self.run("wait for other writes", &lock(options))
            }
        }
    }

    fn write(&mut self, table: Table, is_put: bool, changes: &Changes, writes: u64) -> Result<()> {
        let columns = columns_by_position(changes.keys.iter());
        let written = number_of(writes);
        let mut params: Params<'_> = columns.iter().map(|column| column as _).collect();
        if is_put && table.has_value {
            params.push(&changes.values);
        }
        if is_put && table.has_written {
            params.push(&written);
        }
        let sql = if is_put { put(&table) } else { delete(&table) };
        self.query("write values", &sql, &params).map(drop)
    }
}

fn put(table: &Table) -> String {
    let n = table.columns.len();
    let names = table.key_columns("");
    let keys = table.each_column(|name, kind| format!("k_{name}::{kind}"));
    let columns = table.key_columns("k_");
    let (name, keys_of) = (table.name, arrays(n, 1));
    if !table.has_value {
        return format!(
            "INSERT INTO {name} ({names}) SELECT {keys} FROM unnest({keys_of}) AS new ({columns}) ON CONFLICT DO NOTHING"
        );
    }
    let (written, number, set) = match table.has_written {
        true => (", written", format!(", ${}::bigint", n + 2), ", written = excluded.written"),
        false => ("", String::new(), ""),
    };
    format!(
        "INSERT INTO {name} ({names}, value{written}) \
         SELECT {keys}, new.value{number} FROM unnest({keys_of}, ${}::bytea[]) AS new ({columns}, value) \
         ON CONFLICT ({names}) DO UPDATE SET value = excluded.value{set}",
        n + 1
    )
}

fn delete(table: &Table) -> String {
    let is_it = table.each_column(|name, kind| format!("t.{name} = gone.k_{name}::{kind}")).replace(", ", " AND ");
    let (keys_of, columns) = (arrays(table.columns.len(), 1), table.key_columns("k_"));
    format!("DELETE FROM {} t USING unnest({keys_of}) AS gone ({columns}) WHERE {is_it}", table.name)
}

/// Returns `n` parameters from number `first` on that are arrays of numbers.
fn arrays(n: usize, first: usize) -> String {
    (first..first + n).map(|number| format!("${number}::bigint[]")).collect::<Vec<_>>().join(", ")
}

/// Returns the columns of `keys` of one kind, each with the values of all keys.
fn columns_by_position<'k>(keys: impl Iterator<Item = &'k Key>) -> Vec<Vec<i64>> {
    let mut columns: Vec<Vec<i64>> = Vec::new();
    for key in keys {
        let values = columns_of(key);
        columns.resize_with(values.len(), Vec::new);
        columns.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
    }
    columns
}

fn key_in(row: &Row, any: &Key, n: usize) -> Result<Key> {
    let columns: Vec<i64> = (0..n).map(|column| row.get(column)).collect();
    key_of(any, &columns)
        .ok_or_else(|| LedgerError::damaged(format!("{columns:?} is no key in table {}", Table::of(any).name)))
}

/// Returns the first key of a range that includes it.
fn first_key(range: &KeyRange) -> Option<Key> {
    match range.first {
        Bound::Included(key) => Some(key),
        Bound::Excluded(_) | Bound::Unbounded => None,
    }
}

fn number_of(writes: u64) -> i64 {
    i64::try_from(writes).unwrap_or(i64::MAX)
}
