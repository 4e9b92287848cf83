//! The leases of replicas that share a state in PostgreSQL: who reads which log, and who sends to which destination.
//!
//! This is the third write: it touches leases only, never a finding. All times are those of the database's clock. A commit
//! takes its lease's row with `FOR KEY SHARE`: renewing changes no key and passes, while claiming takes the row `FOR UPDATE`
//! and skips it, so nobody takes a lease over during a commit. What one replica should hold, core decides.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use stakeout_core::lease::{self, Lease, ReplicaId};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::error::{LedgerError, Result};
use crate::postgres::{Connection, PostgresOptions};

/// The tables; a migration makes them.
pub(crate) const TABLES: &str = "
    CREATE TABLE lease (
        name text PRIMARY KEY,
        owner text,
        epoch bigint NOT NULL,
        expires timestamptz NOT NULL
    );
    CREATE TABLE replica (
        id text PRIMARY KEY,
        host text NOT NULL,
        seen timestamptz NOT NULL
    )";

const NOTE_ALIVE: &str = "
    INSERT INTO replica (id, host, seen) VALUES ($1, $2, now())
    ON CONFLICT (id) DO UPDATE SET seen = now()";
/// Those that were not seen for so many lengths of a lease are forgotten.
const FORGET: &str = "DELETE FROM replica WHERE seen < now() - 10 * $1::float8 * interval '1 second'";
/// A lease that expired is renewed too, where nobody took it over: its epoch is the same.
const RENEW: &str = "
    UPDATE lease SET expires = now() + $2::float8 * interval '1 second' WHERE owner = $1 RETURNING name, epoch";
const ALIVE: &str = "SELECT id, host FROM replica WHERE seen > now() - $1::float8 * interval '1 second'";
const OWNERS: &str = "SELECT name, owner FROM lease WHERE owner IS NOT NULL AND expires > now()";
const HOSTS: &str = "
    SELECT lease.name, replica.host FROM lease JOIN replica ON replica.id = lease.owner WHERE lease.expires > now()";
const GIVE_BACK: &str = "
    UPDATE lease SET owner = NULL, epoch = epoch + 1, expires = now() WHERE owner = $1 AND name = ANY($2)";
const ADD: &str = "
    INSERT INTO lease (name, owner, epoch, expires) SELECT name, NULL, 0, now() FROM unnest($1::text[]) AS name
    ORDER BY name ON CONFLICT DO NOTHING";
const CLAIM: &str = "
    UPDATE lease SET owner = $1, epoch = epoch + 1, expires = now() + $3::float8 * interval '1 second'
    WHERE name IN (
        SELECT name FROM lease WHERE name = ANY($2) AND (owner IS NULL OR expires <= now())
        ORDER BY name FOR UPDATE SKIP LOCKED)
    RETURNING name, epoch";
const LEAVE: &str = "DELETE FROM replica WHERE id = $1";
const EPOCHS: &str = "SELECT name, epoch FROM lease WHERE name = ANY($1) ORDER BY name FOR KEY SHARE";

/// Most characters of a host's name that are stored (RFC 1035).
const HOST_CHARS_MAX: usize = 253;

/// Fails with [`LedgerError::Fenced`] unless the `leases` hold, and keeps others from taking them over until the
/// transaction of `connection` ends.
pub(crate) fn fence(connection: &Connection, leases: &[Lease]) -> Result<()> {
    if leases.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = leases.iter().map(|lease| lease.name.as_str()).collect();
    let rows = connection.wait("check the leases", connection.client().query(EPOCHS, &[&names]))?;
    let epochs: BTreeMap<String, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    match leases.iter().find(|lease| epochs.get(&lease.name) != Some(&lease.epoch)) {
        None => Ok(()),
        Some(lease) => Err(LedgerError::Fenced { lease: lease.name.clone() }),
    }
}

/// Returns the host of the replica that has each lease, by name, as the database knows it now.
pub fn lease_hosts(options: &PostgresOptions) -> Result<BTreeMap<String, String>> {
    let connection = Connection::open(options)?;
    let rows = connection.wait("read the leases", connection.client().query(HOSTS, &[]))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// What a replica wants a share of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedLeases {
    /// Shared with the others; each kind by itself, so that everybody gets logs as well as destinations.
    pub shared: Vec<BTreeSet<String>>,
    /// For this replica only, such as files on its disk.
    pub own: BTreeSet<String>,
    /// Held already, and not to be given back now, because something of it is in flight.
    pub in_use: BTreeSet<String>,
}

/// What a beat left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldLeases {
    /// The epoch of each lease that this replica holds, by name.
    pub mine: BTreeMap<String, i64>,
    /// Those of them that are over this replica's share: it gives them back when nothing of them is in flight.
    pub surplus: BTreeSet<String>,
    /// Who holds each lease, by name: the host of the replica.
    pub hosts: BTreeMap<String, String>,
    /// The replicas that are alive: this one too.
    pub alive: usize,
}

/// The leases of one replica. Its connection is its own, so that no long commit delays a beat.
#[derive(Debug)]
pub struct Leases {
    options: PostgresOptions,
    me: ReplicaId,
    host: String,
    length: Duration,
    connection: Mutex<Option<Connection>>,
}

impl Leases {
    /// Returns the leases of a new replica, on `host`, that hold for `length` after each beat. Connects with the first beat.
    pub fn new(options: PostgresOptions, host: &str, length: Duration) -> Result<Leases> {
        let host = host.chars().filter(|c| !c.is_control()).take(HOST_CHARS_MAX).collect();
        Ok(Leases { options, me: random_id()?, host, length, connection: Mutex::default() })
    }

    /// Returns how long a lease holds.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.length
    }

    /// Renews all leases, gives back what is over this replica's share, and claims what is missing of it. They hold from
    /// the moment at which this was called.
    ///
    /// Fails with [`LedgerError::Unavailable`] and [`LedgerError::Conflict`] where the next beat may succeed.
    pub fn beat(&self, wanted: &WantedLeases) -> Result<HeldLeases> {
        self.connected(|connection| {
            let (me, seconds) = (&self.me.0, self.length.as_secs_f64());
            let client = connection.client();
            run(connection, "note that this replica is alive", NOTE_ALIVE, &[me, &self.host])?;
            run(connection, "forget replicas", FORGET, &[&seconds])?;
            let renewed = connection.wait("renew leases", client.query(RENEW, &[me, &seconds]))?;
            let mut mine: BTreeMap<String, i64> = renewed.iter().map(epoch_of).collect();
            let alive = connection.wait("read the replicas", client.query(ALIVE, &[&seconds]))?;
            let hosts: BTreeMap<ReplicaId, String> =
                alive.iter().map(|row| (ReplicaId(row.get(0)), row.get(1))).collect();
            let owners = connection.wait("read the leases", client.query(OWNERS, &[]))?;
            let owners: BTreeMap<String, ReplicaId> =
                owners.iter().map(|row| (row.get(0), ReplicaId(row.get(1)))).collect();

            let (claim, mut give_back) = self.changes(wanted, &hosts, &owners);
            let surplus = give_back.extract_if(.., |name| wanted.in_use.contains(name)).collect();
            if !give_back.is_empty() {
                run(connection, "give leases back", GIVE_BACK, &[me, &give_back])?;
                mine.retain(|name, _| !give_back.contains(name));
            }
            if !claim.is_empty() {
                run(connection, "add leases", ADD, &[&claim])?;
                let claimed = connection.wait("claim leases", client.query(CLAIM, &[me, &claim, &seconds]))?;
                mine.extend(claimed.iter().map(epoch_of));
            }
            let host_of = |replica: &ReplicaId| hosts.get(replica).cloned().unwrap_or_default();
            let of_others = owners.iter().filter(|(_, owner)| **owner != self.me);
            let of_others = of_others.map(|(name, owner)| (name.clone(), host_of(owner)));
            let own = mine.keys().map(|name| (name.clone(), self.host.clone()));
            let hosts_of = of_others.chain(own).collect();
            Ok(HeldLeases { mine, surplus, hosts: hosts_of, alive: hosts.len() })
        })
    }

    /// Returns what to claim and what to give back.
    fn changes(
        &self,
        wanted: &WantedLeases,
        hosts: &BTreeMap<ReplicaId, String>,
        owners: &BTreeMap<String, ReplicaId>,
    ) -> (Vec<String>, Vec<String>) {
        let alive: BTreeSet<ReplicaId> = hosts.keys().cloned().collect();
        let free_of_own = wanted.own.iter().filter(|name| !owners.contains_key(*name));
        let (mut claim, mut give_back) = (free_of_own.cloned().collect::<Vec<_>>(), Vec::new());
        for names in &wanted.shared {
            let changes = lease::share(&self.me, &alive, names, owners);
            claim.extend(changes.claim);
            give_back.extend(changes.give_back);
        }
        // What the config does not name any more.
        let is_wanted =
            |name: &&String| wanted.own.contains(*name) || wanted.shared.iter().any(|it| it.contains(*name));
        let mine = owners.iter().filter(|(_, owner)| **owner == self.me).map(|(name, _)| name);
        give_back.extend(mine.filter(|name| !is_wanted(name)).cloned());
        (claim, give_back)
    }

    /// Gives back everything, and ends this replica: others take over at once.
    pub fn leave(&self) -> Result<()> {
        self.connected(|connection| {
            let client = connection.client();
            let rows = connection.wait("read the leases", client.query(OWNERS, &[]))?;
            let mine: Vec<String> =
                rows.iter().filter(|row| row.get::<_, &str>(1) == self.me.0).map(|row| row.get(0)).collect();
            run(connection, "give leases back", GIVE_BACK, &[&self.me.0, &mine])?;
            run(connection, "end this replica", LEAVE, &[&self.me.0])
        })
    }

    /// Runs `f` on the connection. After a failure, the next call connects again.
    fn connected<T>(&self, f: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let mut held = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = match held.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => Connection::open(&self.options)?,
        };
        let done = f(&connection)?;
        *held = Some(connection);
        Ok(done)
    }
}

/// Runs one statement of a beat.
fn run(connection: &Connection, action: &str, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<()> {
    connection.wait(action, connection.client().execute(sql, params)).map(drop)
}

fn epoch_of(row: &Row) -> (String, i64) {
    (row.get(0), row.get(1))
}

fn random_id() -> Result<ReplicaId> {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(|error| LedgerError::of_io("read /dev/urandom", error))?;
    let mut text = String::new();
    bytes.iter().for_each(|byte| write!(text, "{byte:02x}").expect("a text takes all"));
    Ok(ReplicaId(text))
}

#[cfg(test)]
mod tests;
