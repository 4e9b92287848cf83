//! One write: a batch, with every value encoded.
//!
//! The ledger decides whether a write is consistent; this module only encodes it.

mod shown;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::Serialize;
use stakeout_core::commit::{Commit, WaitingGroup};
use stakeout_core::delivery::{Delivery, DeliveryId, Entry, Settlement};
use stakeout_core::finding::{Finding, FindingKey};
use stakeout_core::group::CountKey;
use stakeout_core::hash::HashKey;
use stakeout_core::incident::Actor;
use stakeout_core::notice::Notice;
use stakeout_core::rule::HeadKey;
use stakeout_core::source::SourceId;
use stakeout_core::tally::Tally;
use stakeout_core::time::Minute;

use crate::batch::Batch;
use crate::deflate::{Deflater, Inflater};
use crate::engine::Engine;
use crate::error::{LedgerError, Result};
use crate::findings::{self, StoredHead, keyed_hash};
use crate::key::{FindingState, Hour, Key, RowActor};
use crate::rows::{self, ActorRows, encoded};
use crate::rule_meta::{NamedRules, RuleMetaStore};
use crate::totals::Totals;

pub(crate) use shown::shown_key;

/// A batch that changes more values of rows than this is a flood, and is compressed fast.
const FAST_OVER: usize = 2_000;

/// A batch on top of what is stored.
pub(crate) struct WriteBatch<'e> {
    engine: &'e Engine,
    hash_key: HashKey,
    batch: Batch,
    /// The numbers after this batch.
    pub(crate) totals: Totals,
    /// The deliveries that it changes, as they are after it.
    pub(crate) deliveries: Vec<Delivery>,
    /// Made for the first value that needs them: a settlement needs none, and their tables are large.
    deflater: Option<Deflater>,
    inflater: Option<Inflater>,
    is_flood: bool,
}

/// The rows of one value that change: the new row, or `None` where it is deleted.
type RowChanges = Vec<(CountKey, Minute, Option<Tally>)>;

impl<'e> WriteBatch<'e> {
    /// Returns an empty batch on top of a ledger with `totals`.
    pub(crate) fn new(engine: &'e Engine, hash_key: HashKey, totals: Totals) -> WriteBatch<'e> {
        WriteBatch {
            engine,
            hash_key,
            batch: Batch::default(),
            totals,
            deliveries: Vec::new(),
            deflater: None,
            inflater: None,
            is_flood: false,
        }
    }

    /// Adds all changes of some windows, and takes their minutes. Returns the findings that leave the database.
    pub(crate) fn add_commit(
        &mut self,
        commit: &mut Commit,
        rules: &NamedRules,
        stored_rules: &RuleMetaStore,
    ) -> Result<Vec<Finding<HeadKey>>> {
        let written =
            commit.logs.iter().flat_map(|log| &log.minutes).map(|(minute, _)| Hour::of(*minute).begin()).min();
        let near_rows_from = self.totals.near_rows_from.max(commit.near_rows_from);
        self.totals.near_rows_from = written.map_or(near_rows_from, |written| written.min(near_rows_from));
        self.add_rows(commit)?;
        for (key, meta) in &rules.new {
            self.put_json(Key::RuleMeta(*key), &**meta)?;
        }
        let hash_key = self.hash_key;
        let key_of = |finding: &FindingKey| Key::Finding(findings::id_of(*finding, &hash_key));
        let keys: Vec<Key> = commit.findings.iter().map(|finding| key_of(&finding.key)).collect();
        let leaving: Vec<Key> = commit.archived.iter().map(key_of).collect();
        for (finding, stored) in commit.findings.iter().zip(self.engine.get_all(keys.into_iter().map(Ok))) {
            let (_, stored) = stored?;
            self.put_incident_keys(finding, stored.as_deref(), stored_rules)?;
            self.put_finding(rules.stored(finding), stored.as_deref())?;
        }
        let archived = self.remove_findings(leaving, stored_rules)?;
        self.add_waiting(commit)?;
        for (key, days) in &commit.seen.days {
            self.put_json(Key::Seen(*key), days)?;
        }
        for key in &commit.seen.forgotten {
            self.batch.delete(Key::Seen(*key));
            self.totals.groups_forgotten_at = self.totals.writes + 1;
        }
        for delivery in &commit.deliveries {
            self.put_delivery(delivery.clone())?;
        }
        for log in &commit.logs {
            self.put_json(Key::Progress(log.source), &log.progress)?;
        }
        self.totals.next_delivery = commit.next_delivery;
        self.totals.quiet_before = self.totals.quiet_before.max(commit.quiet_before);
        self.totals.is_anew = false;
        self.totals.restored_from = None;
        self.totals.notices = self.totals.notices.saturating_add(commit.notices);
        if let Some(day) = commit.day_reported {
            self.totals.day_reported = self.totals.day_reported.max(Some(day));
            self.totals.notices = 0;
        }
        Ok(archived)
    }

    /// Adds the groups that wait, and removes those that wait no more.
    fn add_waiting(&mut self, commit: &Commit) -> Result<()> {
        let waiting: BTreeSet<&WaitingGroup> = commit.waiting.iter().collect();
        for group in commit.judged.iter().filter(|group| !waiting.contains(group)) {
            self.batch.delete(waiting_key(group, &self.hash_key)?);
        }
        for group in waiting {
            self.put_json(waiting_key(group, &self.hash_key)?, &group.key)?;
        }
        Ok(())
    }

    /// Removes what a destination accepted from its deliveries, and writes what it shows of incidents.
    pub(crate) fn add_settlement(&mut self, settlement: &Settlement) -> Result<()> {
        let entries: HashSet<&(DeliveryId, Entry)> = settlement.entries.iter().collect();
        let notices: HashSet<(DeliveryId, &Notice)> =
            settlement.notices.iter().map(|(delivery, notice)| (*delivery, notice)).collect();
        let touched: BTreeSet<DeliveryId> = entries
            .iter()
            .map(|(delivery, _)| *delivery)
            .chain(notices.iter().map(|(delivery, _)| *delivery))
            .collect();
        let keys = touched.into_iter().map(|id| Ok(Key::Delivery(id)));
        for stored in self.engine.get_all(keys) {
            let (key @ Key::Delivery(id), Some(value)) = stored? else { continue };
            let mut delivery: Delivery = parse_json(key, &value)?;
            let pending = delivery.entries.len() + delivery.notices.len();
            delivery.entries.retain(|entry| !entries.contains(&(id, *entry)));
            delivery.notices.retain(|notice| !notices.contains(&(id, notice)));
            if delivery.entries.len() + delivery.notices.len() < pending {
                self.put_delivery(delivery)?;
            }
        }
        self.add_shown(&settlement.shown)
    }

    /// Adds the first records of a new ledger.
    pub(crate) fn add_beginning(&mut self, format: u32) -> Result<()> {
        self.batch.put(Key::Format, format.to_le_bytes().into())?;
        self.batch.put(Key::Hash, self.hash_key.0.into())
    }

    /// Returns whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Writes the batch and returns when it is durable, with the numbers after it.
    pub(crate) fn apply(mut self) -> Result<(Totals, Vec<Delivery>)> {
        self.totals.writes += 1;
        let totals = self.totals;
        self.put_json(Key::Totals, &totals)?;
        self.engine.apply(self.batch, totals.writes)?;
        Ok((totals, self.deliveries))
    }

    /// Adds the new and deleted rows, value by value in the order of their keys.
    fn add_rows(&mut self, commit: &mut Commit) -> Result<()> {
        let hash_key = self.hash_key;
        let mut changes: BTreeMap<(Hour, SourceId, RowActor), RowChanges> = BTreeMap::new();
        let mut change = |source, minute, key: CountKey, tally| {
            let actor = findings::actor_of(&key.group, &hash_key);
            changes.entry((Hour::of(minute), source, actor)).or_default().push((key, minute, tally));
        };
        for stored in &commit.expired {
            stored.rows.keys().for_each(|key| change(stored.source, stored.minute, key.clone(), None));
        }
        for log in &mut commit.logs {
            for (minute, rows) in std::mem::take(&mut log.minutes) {
                rows.into_iter().for_each(|(key, tally)| change(log.source, minute, key, Some(tally)));
            }
        }
        self.is_flood = changes.len() > FAST_OVER;
        // The rows of a flood fill memory: each value is freed as soon as it is encoded.
        let keys: Vec<Key> = changes.keys().map(|(hour, source, actor)| Key::Rows(*hour, *source, *actor)).collect();
        let mut stored = self.engine.get_all(keys.into_iter().map(Ok));
        while let (Some(((hour, source, actor), changes)), Some(stored)) = (changes.pop_first(), stored.next()) {
            self.change_rows(stored?, Key::RowsOfActor(actor, hour, source), changes)?;
        }
        Ok(())
    }

    fn change_rows(&mut self, stored: (Key, Option<Vec<u8>>), of_actor: Key, changes: RowChanges) -> Result<()> {
        let (key, stored) = stored;
        let mut rows = match &stored {
            Some(value) => rows::read(key, value, self.inflater(), &mut |_| true)?,
            None => ActorRows::new(),
        };
        let before = rows::count(&rows);
        for (count_key, minute, tally) in changes {
            match tally {
                Some(tally) => drop(rows.entry(count_key).or_default().insert(minute, tally)),
                None => {
                    if let Some(minutes) = rows.get_mut(&count_key) {
                        minutes.remove(&minute);
                    }
                }
            }
        }
        rows.retain(|_, minutes| !minutes.is_empty());
        self.totals.rows = (self.totals.rows + rows::count(&rows)).saturating_sub(before);
        if rows.is_empty() {
            self.batch.delete(key);
            self.batch.delete(of_actor);
            return Ok(());
        }
        let value = rows::write(rows, self.deflater())?;
        if stored.is_none() {
            self.batch.put_key(of_actor);
        }
        self.batch.put(key, value)
    }

    /// Writes the keys by which incidents find the finding, and deletes those that it does not have any more.
    fn put_incident_keys(
        &mut self,
        finding: &Finding,
        stored: Option<&[u8]>,
        stored_rules: &RuleMetaStore,
    ) -> Result<()> {
        let after = findings::incident_keys(finding, &self.hash_key);
        // The group decides whether a finding has any.
        if after.is_empty() {
            return Ok(());
        }
        let key = Key::Finding(findings::id_of(finding.key, &self.hash_key));
        let before = match stored {
            Some(value) => {
                let before = stored_rules.complete(findings::read_bare(key, value)?)?;
                findings::incident_keys(&before, &self.hash_key)
            }
            None => BTreeSet::new(),
        };
        before.difference(&after).for_each(|key| self.batch.delete(*key));
        after.difference(&before).for_each(|key| self.batch.put_key(*key));
        Ok(())
    }

    fn put_finding(&mut self, finding: Finding<HeadKey>, stored: Option<&[u8]>) -> Result<()> {
        let id = findings::id_of(finding.key, &self.hash_key);
        let key = Key::Finding(id);
        let before = stored.map(|value| StoredHead::read(key, value)).transpose()?;
        let after = StoredHead::of(&finding);
        match before {
            None => {
                self.batch.put_key(findings::actor_key(&finding, &self.hash_key));
                self.totals.findings += 1;
            }
            Some(before) => {
                if before != after {
                    self.batch.delete(before.due_key(id));
                }
                self.count_open(before, false);
            }
        }
        self.count_open(after, true);
        if before != Some(after) {
            self.batch.put_key(after.due_key(id));
        }
        let value = findings::write(finding, self.deflater())?;
        self.batch.put(key, value)
    }

    /// Deletes findings and their keys, and returns those that are stored and that the batch does not write.
    fn remove_findings(&mut self, mut keys: Vec<Key>, stored_rules: &RuleMetaStore) -> Result<Vec<Finding<HeadKey>>> {
        keys.retain(|key| !self.batch.has(*key));
        let (mut removed, mut incidents) = (Vec::new(), BTreeSet::new());
        for stored in self.engine.get_all(keys.into_iter().map(Ok)) {
            let (key @ Key::Finding(id), Some(value)) = stored? else { continue };
            let head = StoredHead::read(key, &value)?;
            let finding = findings::read(key, &value, self.inflater())?;
            self.batch.delete(head.due_key(id));
            self.batch.delete(findings::actor_key(&finding, &self.hash_key));
            let complete = stored_rules.complete(finding.clone())?;
            findings::incident_keys(&complete, &self.hash_key).into_iter().for_each(|key| self.batch.delete(key));
            incidents.extend(Actor::incident_of(&complete));
            self.batch.delete(key);
            self.totals.findings = self.totals.findings.saturating_sub(1);
            self.count_open(head, false);
            removed.push(finding);
        }
        self.remove_shown(&incidents)?;
        Ok(removed)
    }

    fn deflater(&mut self) -> &mut Deflater {
        let is_flood = self.is_flood;
        self.deflater.get_or_insert_with(|| if is_flood { Deflater::fast() } else { Deflater::new() })
    }

    fn inflater(&mut self) -> &mut Inflater {
        self.inflater.get_or_insert_with(Inflater::new)
    }

    fn count_open(&mut self, head: StoredHead, is_more: bool) {
        let open = usize::from(head.state == FindingState::Open);
        let totals = &mut self.totals.findings_open;
        *totals = if is_more { *totals + open } else { totals.saturating_sub(open) };
    }

    /// Writes a delivery, or deletes it when it is complete.
    pub(crate) fn put_delivery(&mut self, delivery: Delivery) -> Result<()> {
        let key = Key::Delivery(delivery.id);
        if delivery.entries.is_empty() && delivery.notices.is_empty() {
            self.batch.delete(key);
        } else {
            self.put_json(key, &delivery)?;
        }
        self.deliveries.push(delivery);
        Ok(())
    }

    fn put_json(&mut self, key: Key, value: &impl Serialize) -> Result<()> {
        let encoded = serde_json::to_vec(value)
            .map_err(|error| LedgerError::refused(format!("{key:?} cannot be encoded as JSON: {error}")))?;
        self.batch.put(key, encoded)
    }
}

/// Returns the key of a group that waits.
fn waiting_key(group: &WaitingGroup, hash_key: &HashKey) -> Result<Key> {
    Ok(Key::Waiting(group.until, keyed_hash(&encoded(&group.key)?, hash_key)))
}

/// Parses the JSON value of `key`.
pub(crate) fn parse_json<T: serde::de::DeserializeOwned>(key: Key, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| LedgerError::damaged(format!("{key:?} cannot be read: {error}")))
}
