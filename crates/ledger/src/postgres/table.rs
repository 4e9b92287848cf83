//! The layout in PostgreSQL: a table for each kind of key, with a primary key in the order of the keys.
//!
//! Values are encoded as in the other engine. Unsigned numbers are stored with their highest bit flipped, so that the
//! database's signed numbers sort like them; a log's id 0 is -2147483648.

use stakeout_core::delivery::DeliveryId;
use stakeout_core::novelty::SeenKey;
use stakeout_core::rule::HeadKey;
use stakeout_core::source::SourceId;
use stakeout_core::time::Second;

use crate::key::{DestinationHash, FindingId, FindingState, Hour, IncidentHash, Key, RowActor};

const SIGN_32: u32 = 1 << 31;
const SIGN_64: u64 = 1 << 63;

/// The tables of the first version. The archive is beside the tables of keys: no commit reads it.
pub(super) const TABLES: &str = "
    CREATE TABLE ledger (part smallint PRIMARY KEY, value bytea NOT NULL);
    CREATE TABLE progress (log integer PRIMARY KEY, value bytea NOT NULL, written bigint NOT NULL);
    CREATE TABLE rows (
        hour integer, log integer, actor bigint, value bytea NOT NULL, PRIMARY KEY (hour, log, actor));
    CREATE TABLE rows_of_actor (actor bigint, hour integer, log integer, PRIMARY KEY (actor, hour, log));
    CREATE TABLE rule_meta (rule bigint PRIMARY KEY, value bytea NOT NULL, written bigint NOT NULL);
    CREATE TABLE finding (id bigint PRIMARY KEY, value bytea NOT NULL);
    CREATE TABLE finding_of_actor (
        actor integer, group_hash integer, finding bigint, PRIMARY KEY (actor, group_hash, finding));
    CREATE TABLE finding_of_incident (actor bigint, finding bigint, PRIMARY KEY (actor, finding));
    CREATE TABLE finding_due (state smallint, at bigint, finding bigint, PRIMARY KEY (state, at, finding));
    CREATE TABLE waiting (until bigint, group_hash bigint, value bytea NOT NULL, PRIMARY KEY (until, group_hash));
    CREATE TABLE seen (group_hash bigint PRIMARY KEY, value bytea NOT NULL, written bigint NOT NULL);
    CREATE INDEX seen_by_written ON seen (written);
    CREATE TABLE shown (
        incident bigint, destination bigint, value bytea NOT NULL, PRIMARY KEY (incident, destination));
    CREATE TABLE delivery (id bigint PRIMARY KEY, value bytea NOT NULL, written bigint NOT NULL);
    CREATE TABLE archive (
        position bigint PRIMARY KEY, key bytea NOT NULL, first bigint NOT NULL, last bigint NOT NULL,
        level smallint NOT NULL, value bytea NOT NULL);
    CREATE INDEX archive_by_last ON archive (last);
    -- These are compressed already.
    ALTER TABLE rows ALTER value SET STORAGE EXTERNAL;
    ALTER TABLE finding ALTER value SET STORAGE EXTERNAL;
    ALTER TABLE archive ALTER value SET STORAGE EXTERNAL;
";

/// A table with the values of some kinds of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// The columns of the primary key with their types.
    pub(super) columns: &'static [(&'static str, &'static str)],
    /// Whether there is a column `value`.
    pub(super) has_value: bool,
    /// Whether there is a column `written`, the number of the write that wrote the row: what is in the memory of each replica.
    pub(super) has_written: bool,
}

const INT: &str = "integer";
const BIG: &str = "bigint";
const SMALL: &str = "smallint";

impl Table {
    /// Returns the table that holds `key`.
    pub(super) fn of(key: &Key) -> Table {
        let (name, columns, has_written): (_, &'static [(&'static str, &'static str)], _) = match key {
            Key::Format | Key::Hash | Key::Totals => ("ledger", &[("part", SMALL)], false),
            Key::Progress(_) => ("progress", &[("log", INT)], true),
            Key::Rows(..) => ("rows", &[("hour", INT), ("log", INT), ("actor", BIG)], false),
            Key::RowsOfActor(..) => ("rows_of_actor", &[("actor", BIG), ("hour", INT), ("log", INT)], false),
            Key::RuleMeta(_) => ("rule_meta", &[("rule", BIG)], true),
            Key::Finding(_) => ("finding", &[("id", BIG)], false),
            Key::FindingOfActor(..) => {
                ("finding_of_actor", &[("actor", INT), ("group_hash", INT), ("finding", BIG)], false)
            }
            Key::FindingOfIncident(..) => ("finding_of_incident", &[("actor", BIG), ("finding", BIG)], false),
            Key::FindingDue(..) => ("finding_due", &[("state", SMALL), ("at", BIG), ("finding", BIG)], false),
            Key::Waiting(..) => ("waiting", &[("until", BIG), ("group_hash", BIG)], false),
            Key::Seen(_) => ("seen", &[("group_hash", BIG)], true),
            Key::Shown(..) => ("shown", &[("incident", BIG), ("destination", BIG)], false),
            Key::Delivery(_) => ("delivery", &[("id", BIG)], true),
        };
        Table { name, columns, has_value: key.has_value(), has_written }
    }

    /// Returns the columns of the primary key, with commas between and `prefix` before each.
    pub(super) fn key_columns(&self, prefix: &str) -> String {
        self.each_column(|name, _| format!("{prefix}{name}"))
    }

    /// Returns a text for each column of the primary key, with commas between.
    pub(super) fn each_column(&self, mut text: impl FnMut(&str, &str) -> String) -> String {
        self.columns.iter().map(|(name, kind)| text(name, kind)).collect::<Vec<_>>().join(", ")
    }
}

/// Returns the values of the columns of a key.
pub(super) fn columns_of(key: &Key) -> Vec<i64> {
    match *key {
        Key::Format => vec![0],
        Key::Hash => vec![1],
        Key::Totals => vec![2],
        Key::Progress(log) => vec![signed_32(log.0)],
        Key::Rows(hour, log, actor) => vec![hour.number().into(), signed_32(log.0), signed(actor.0)],
        Key::RowsOfActor(actor, hour, log) => vec![signed(actor.0), hour.number().into(), signed_32(log.0)],
        Key::RuleMeta(rule) => vec![signed(rule.0)],
        Key::Finding(finding) => vec![signed(finding.0)],
        Key::FindingOfActor(actor, group, finding) => vec![signed_32(actor), signed_32(group), signed(finding.0)],
        Key::FindingOfIncident(actor, finding) => vec![signed(actor), signed(finding.0)],
        Key::FindingDue(state, at, finding) => vec![state as i64, at.0, signed(finding.0)],
        Key::Waiting(until, group) => vec![until.0, signed(group)],
        Key::Seen(group) => vec![signed(group.0)],
        Key::Shown(incident, destination) => vec![signed(incident.0), signed(destination.0)],
        Key::Delivery(delivery) => vec![signed(delivery.0)],
    }
}

/// Returns the key of the same kind as `any` whose columns have these values, or `None` where there is none.
pub(super) fn key_of(any: &Key, columns: &[i64]) -> Option<Key> {
    let log = |column| Some(SourceId(unsigned_32(column)?));
    let hour = |column| Some(Hour::from_number(i32::try_from(column).ok()?));
    let finding = |column| FindingId(unsigned(column));
    Some(match (any, columns) {
        (Key::Format | Key::Hash | Key::Totals, [0]) => Key::Format,
        (Key::Format | Key::Hash | Key::Totals, [1]) => Key::Hash,
        (Key::Format | Key::Hash | Key::Totals, [2]) => Key::Totals,
        (Key::Progress(_), [a]) => Key::Progress(log(*a)?),
        (Key::Rows(..), [a, b, c]) => Key::Rows(hour(*a)?, log(*b)?, RowActor(unsigned(*c))),
        (Key::RowsOfActor(..), [a, b, c]) => Key::RowsOfActor(RowActor(unsigned(*a)), hour(*b)?, log(*c)?),
        (Key::RuleMeta(_), [a]) => Key::RuleMeta(HeadKey(unsigned(*a))),
        (Key::Finding(_), [a]) => Key::Finding(finding(*a)),
        (Key::FindingOfActor(..), [a, b, c]) => Key::FindingOfActor(unsigned_32(*a)?, unsigned_32(*b)?, finding(*c)),
        (Key::FindingOfIncident(..), [a, b]) => Key::FindingOfIncident(unsigned(*a), finding(*b)),
        (Key::FindingDue(..), [0, b, c]) => Key::FindingDue(FindingState::Closed, Second(*b), finding(*c)),
        (Key::FindingDue(..), [1, b, c]) => Key::FindingDue(FindingState::Open, Second(*b), finding(*c)),
        (Key::Waiting(..), [a, b]) => Key::Waiting(Second(*a), unsigned(*b)),
        (Key::Seen(_), [a]) => Key::Seen(SeenKey(unsigned(*a))),
        (Key::Shown(..), [a, b]) => Key::Shown(IncidentHash(unsigned(*a)), DestinationHash(unsigned(*b))),
        (Key::Delivery(_), [a]) => Key::Delivery(DeliveryId(unsigned(*a))),
        _ => return None,
    })
}

fn signed(number: u64) -> i64 {
    (number ^ SIGN_64).cast_signed()
}

fn unsigned(column: i64) -> u64 {
    column.cast_unsigned() ^ SIGN_64
}

fn signed_32(number: u32) -> i64 {
    (number ^ SIGN_32).cast_signed().into()
}

fn unsigned_32(column: i64) -> Option<u32> {
    Some(i32::try_from(column).ok()?.cast_unsigned() ^ SIGN_32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::tests::keys;

    proptest! {
        #[test]
        fn columns_round_trip_and_sort_like_the_keys(a in keys(), b in keys()) {
            prop_assert_eq!(key_of(&a, &columns_of(&a)), Some(a));
            if Table::of(&a) == Table::of(&b) && Table::of(&a).name != "ledger" {
                prop_assert_eq!(columns_of(&a).cmp(&columns_of(&b)), a.body().cmp(&b.body()));
                prop_assert_eq!(a.cmp(&b), a.body().cmp(&b.body()));
            }
            prop_assert_eq!(columns_of(&a).len(), Table::of(&a).columns.len());
        }
    }
}
