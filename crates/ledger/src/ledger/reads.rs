//! What the ledger answers by key: rows of groups and of a source, findings of groups and of a time. Each read costs what it
//! returns, whatever else is stored.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use stakeout_core::commit::WaitingGroup;
use stakeout_core::finding::{Finding, FindingKey};
use stakeout_core::group::{CountKey, GroupKey, RuleKey};
use stakeout_core::incident::{Actor, IncidentKey};
use stakeout_core::rule::HeadKey;
use stakeout_core::shown::ShownIncident;
use stakeout_core::source::SourceId;
use stakeout_core::tally::{Rows, StoredMinute};
use stakeout_core::time::{Minute, Second, Window};

use super::{Ledger, LedgerState};
use crate::deflate::Inflater;
use crate::error::{LedgerError, Result};
use crate::findings;
use crate::key::{FindingId, FindingState, Hour, Key, RowActor};
use crate::rows::{self, ActorRows};
use crate::write_batch::{parse_json, shown_key};

/// The oldest rows of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldestRows {
    /// The rows, ascending by minute and source.
    pub minutes: Vec<StoredMinute>,
    /// No other row is older than this.
    pub others_from: Minute,
    /// No other row of a rule that does not reach far is older than this.
    pub near_from: Minute,
}

/// Which rows are still needed: those of few rules for longer than the others.
#[derive(Clone, Copy, Debug)]
pub struct NeededRows<'a> {
    /// No row in an hour that ends before or at this is needed.
    pub all_from: Minute,
    /// No row of another rule than the far ones is needed in such an hour.
    pub near_from: Minute,
    /// The rules that reach far.
    pub far_rules: &'a HashSet<RuleKey>,
}

impl Ledger {
    /// Returns the stored rows of these rules and groups, of all sources, in the span of each rule; ascending by minute and
    /// source.
    pub fn rows_of_groups(
        &self,
        keys: &HashSet<&CountKey>,
        spans: &HashMap<RuleKey, Window>,
    ) -> Result<Vec<StoredMinute>> {
        self.read(|_| {
            let mut actors: BTreeMap<RowActor, (Hour, Hour)> = BTreeMap::new();
            for key in keys {
                let Some(span) = spans.get(&key.rule) else { continue };
                let hours = (Hour::of(span.earliest().minute()), Hour::of(span.latest().plus(-1).minute()));
                let known = actors.entry(findings::actor_of(&key.group, &self.hash_key)).or_insert(hours);
                *known = (known.0.min(hours.0), known.1.max(hours.1));
            }
            let hours = actors.into_iter().map(|(actor, (first, last))| Key::hours_of_actor(actor, first, last));
            let rows_of = self.engine.keys(hours).map(|key| match key? {
                Key::RowsOfActor(actor, hour, source) => Ok(Key::Rows(hour, source, actor)),
                other => Err(LedgerError::damaged(format!("{other:?} is stored among the hours of actors"))),
            });
            let mut found = FoundRows::default();
            for stored in self.engine.get_all(rows_of) {
                let (key, value) = there(stored?)?;
                let mut rows = rows::read(key, &value, &mut found.inflater, &mut |key| keys.contains(key))?;
                for (key, minutes) in &mut rows {
                    let span = spans.get(&key.rule);
                    minutes.retain(|minute, _| span.is_some_and(|span| span.touches(*minute)));
                }
                found.add(key, rows);
            }
            Ok(found.into_minutes())
        })
    }

    /// Returns the rows of these rules and groups of one source, in the minutes `[earliest, latest_exclusive)`; ascending by
    /// minute.
    pub fn rows_of_groups_of_source(
        &self,
        source: SourceId,
        earliest: Minute,
        latest_exclusive: Minute,
        keys: &HashSet<&CountKey>,
    ) -> Result<Vec<StoredMinute>> {
        self.read(|_| {
            let actors: BTreeSet<RowActor> =
                keys.iter().map(|key| findings::actor_of(&key.group, &self.hash_key)).collect();
            let hours = Hour::of(earliest).to(Hour::of(Minute(latest_exclusive.0.saturating_sub(1))));
            let rows_of = hours.flat_map(|hour| actors.iter().map(move |actor| Ok(Key::Rows(hour, source, *actor))));
            let mut found = FoundRows::default();
            for stored in self.engine.get_all(rows_of) {
                let (key, Some(value)) = stored? else { continue };
                let mut rows = rows::read(key, &value, &mut found.inflater, &mut |key| keys.contains(key))?;
                for minutes in rows.values_mut() {
                    minutes.retain(|minute, _| earliest <= *minute && *minute < latest_exclusive);
                }
                found.add(key, rows);
            }
            Ok(found.into_minutes())
        })
    }

    /// Returns a number of the group: the rows of groups with the same number are one value in each hour of a log, and those of
    /// numbers that follow each other are side by side.
    #[must_use]
    pub fn row_order(&self, group: &GroupKey) -> u64 {
        findings::actor_of(group, &self.hash_key).0
    }

    /// Returns the rows of one source in the minutes `[earliest, latest_exclusive)` whose rule and group `keep` accepts,
    /// ascending by minute. `keep` must not call the ledger.
    pub fn rows_of_source(
        &self,
        source: SourceId,
        earliest: Minute,
        latest_exclusive: Minute,
        mut keep: impl FnMut(&CountKey) -> bool,
    ) -> Result<Vec<StoredMinute>> {
        self.read(|_| {
            let mut found = FoundRows::default();
            for hour in Hour::of(earliest).to(Hour::of(Minute(latest_exclusive.0.saturating_sub(1)))) {
                for stored in self.engine.values(Key::rows_of_source(hour, source)) {
                    let (key, value) = stored?;
                    let mut rows = rows::read(key, &value, &mut found.inflater, &mut keep)?;
                    for minutes in rows.values_mut() {
                        minutes.retain(|minute, _| earliest <= *minute && *minute < latest_exclusive);
                    }
                    found.add(key, rows);
                }
            }
            Ok(found.into_minutes())
        })
    }

    /// Returns the oldest rows that `needed` does not need any more: about `rows_max` of them and at least one if there is any, in
    /// whole hours where that is possible.
    pub fn oldest_rows(&self, needed: &NeededRows<'_>, rows_max: usize) -> Result<OldestRows> {
        self.read(|state| {
            let mut found = FoundRows::default();
            let (others_from, rows) =
                self.add_oldest(&mut found, Hour::MIN, needed.all_from, rows_max, &mut |_| true)?;
            let mut near_from = others_from;
            if rows < rows_max {
                // Before this, earlier commits deleted them.
                let first = Hour::of(others_from.max(state.totals.near_rows_from));
                let mut is_near = |key: &CountKey| !needed.far_rules.contains(&key.rule);
                (near_from, _) = self.add_oldest(&mut found, first, needed.near_from, rows_max - rows, &mut is_near)?;
            }
            Ok(OldestRows { minutes: found.into_minutes(), others_from, near_from })
        })
    }

    /// Adds the oldest rows that `keep` accepts in hours from `first` on that end before or at `before`. Returns a time before
    /// which there are no others, and how many were added.
    fn add_oldest(
        &self,
        found: &mut FoundRows,
        first: Hour,
        before: Minute,
        rows_max: usize,
        keep: &mut impl FnMut(&CountKey) -> bool,
    ) -> Result<(Minute, usize)> {
        let (mut hours, mut rows) = (BTreeSet::new(), 0);
        let mut others_from = before;
        let first = Key::Rows(first, SourceId(0), RowActor(0));
        for stored in self.engine.values(first.to(first.kind().last)) {
            let (key, value) = stored?;
            let Key::Rows(hour, ..) = key else {
                return Err(LedgerError::damaged(format!("{key:?} is stored among the rows")));
            };
            if hour.end() > before || rows >= rows_max {
                others_from = hour.begin().min(before);
            }
            if hour.end() > before {
                break;
            }
            if rows >= rows_max {
                if let Some(begun) = hours.last().copied().filter(|last| *last == hour && hours.len() > 1) {
                    found.drop_hour(begun);
                }
                break;
            }
            hours.insert(hour);
            let read = rows::read(key, &value, &mut found.inflater, keep)?;
            rows += rows::count(&read);
            found.add(key, read);
        }
        Ok((others_from, rows))
    }

    /// Returns the findings of these groups, and of other groups of the same source addresses: of these at most `others_max`
    /// for each address. Ascending by key.
    pub fn findings_of_groups(&self, groups: &HashSet<&GroupKey>, others_max: usize) -> Result<Vec<Finding>> {
        self.read(|state| {
            let mut wanted: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
            for group in groups {
                let (actor, group) = findings::beginnings(group, &self.hash_key);
                wanted.entry(actor).or_default().insert(group);
            }
            let mut others: HashMap<u32, usize> = HashMap::new();
            let mut ids = BTreeSet::new();
            for key in self.engine.keys(wanted.keys().map(|actor| Key::findings_of_actor(*actor))) {
                let Key::FindingOfActor(actor, group, id) = key? else { continue };
                if !wanted.get(&actor).is_some_and(|groups| groups.contains(&group)) {
                    let others = others.entry(actor).or_default();
                    *others += 1;
                    if *others > others_max {
                        continue;
                    }
                }
                ids.insert(id);
            }
            self.findings_with(state, ids)
        })
    }

    /// Returns the findings that decide about the incidents of these actors: their own, and, for an address, those of accounts
    /// that list it among few. Ascending by key.
    pub fn findings_of_actors(&self, actors: &BTreeSet<Actor>) -> Result<Vec<Finding>> {
        self.read(|state| self.findings_with(state, self.ids_of_actors(actors)?))
    }

    /// Returns the same without samples and context, which are most of a finding and no part of an incident.
    pub fn findings_of_actors_without_evidence(&self, actors: &BTreeSet<Actor>) -> Result<Vec<Finding>> {
        self.read(|state| self.each_with(state, self.ids_of_actors(actors)?, findings::read_bare))
    }

    /// Returns open findings whose quiet time is over before `before`: those that have been for longest, at most `max`.
    /// Ascending by key.
    pub fn findings_quiet(&self, before: Second, max: usize) -> Result<Vec<Finding>> {
        self.read(|state| {
            let ids = self
                .due(FindingState::Open, Second(i64::MIN), before)
                .take(max)
                .map(|due| Ok(due?.1))
                .collect::<Result<BTreeSet<_>>>()?;
            self.findings_with(state, ids)
        })
    }

    /// Returns closed findings that `is_over` accepts and that have no pending delivery, of those whose incidents are quiet since
    /// before `before`: those that have been over for longest, at most `max`.
    pub fn findings_over(
        &self,
        before: Second,
        max: usize,
        is_over: impl Fn(&Finding) -> bool,
    ) -> Result<Vec<Finding>> {
        self.read(|state| {
            let mut over = Vec::new();
            let mut inflater = Inflater::new();
            // Those with a pending delivery are read in vain; their number has a limit.
            let due = self.due(FindingState::Closed, Second(i64::MIN), before);
            for stored in self.engine.get_all(due.map(|due| Ok(Key::Finding(due?.1)))) {
                if over.len() >= max {
                    break;
                }
                let (key, value) = there(stored?)?;
                let finding = state.rule_meta.complete(findings::read(key, &value, &mut inflater)?)?;
                if is_over(&finding) && !state.pending.has(finding.key) {
                    over.push(finding);
                }
            }
            Ok(over)
        })
    }

    /// Returns closed findings whose incidents are quiet, as far as they know, since a time from where earlier commits ended
    /// up to `before`: about `max` of them, and before which second they are all. Ascending by key.
    pub fn findings_quiet_until(&self, before: Second, max: usize) -> Result<(Vec<Finding>, Second)> {
        self.read(|state| {
            let from = state.totals.quiet_before;
            let (mut ids, mut until) = (BTreeSet::new(), before.max(from));
            for due in self.due(FindingState::Closed, from, before) {
                let (at, id) = due?;
                // Those of one second are not parted.
                if ids.len() >= max && ids.last().is_some_and(|(last, _)| *last < at) {
                    until = at;
                    break;
                }
                ids.insert((at, id));
            }
            let ids = ids.into_iter().map(|(_, id)| id).collect();
            Ok((self.findings_with(state, ids)?, until))
        })
    }

    /// Returns the incidents that are not over, as far as a commit has decided that, each with a finding of it: those with an open
    /// finding first, and at most `max` of them.
    pub fn incidents_not_over(&self, max: usize) -> Result<Vec<(IncidentKey, FindingKey)>> {
        self.read(|state| {
            let forever = Second(i64::MAX);
            let open = self.due(FindingState::Open, Second(i64::MIN), forever);
            let quiet = self.due(FindingState::Closed, state.totals.quiet_before, forever);
            let (mut seen, mut incidents) = (HashSet::new(), Vec::new());
            for due in open.chain(quiet) {
                if incidents.len() >= max {
                    break;
                }
                let [finding] = &self.each_with(state, BTreeSet::from([due?.1]), findings::read_bare)?[..] else {
                    continue;
                };
                if let Some(incident) = Actor::incident_of(finding).filter(|incident| seen.insert(*incident)) {
                    incidents.push((incident, finding.key));
                }
            }
            Ok(incidents)
        })
    }

    /// Returns up to when commits have ended incidents: those without an open finding that are quiet since before it
    /// are over.
    pub fn quiet_before(&self) -> Result<Second> {
        self.read(|state| Ok(state.totals.quiet_before))
    }

    /// Reads and decodes every value.
    pub(super) fn read_all(&self) -> Result<()> {
        self.read(|state| {
            let mut inflater = Inflater::new();
            for any in Key::KINDS.into_iter().filter(|any| any.has_value()) {
                for value in self.engine.values(any.kind()) {
                    let (key, value) = value?;
                    match key {
                        Key::Rows(..) => drop(rows::read(key, &value, &mut inflater, &mut |_| true)?),
                        Key::Finding(_) => {
                            drop(state.rule_meta.complete(findings::read(key, &value, &mut inflater)?)?);
                        }
                        Key::Format | Key::Hash => {}
                        _ => drop(parse_json::<serde::de::IgnoredAny>(key, &value)?),
                    }
                }
            }
            Ok(())
        })
    }

    /// Returns whether the finding has no pending delivery.
    pub fn is_reported(&self, finding: FindingKey) -> Result<bool> {
        self.read(|state| Ok(!state.pending.has(finding)))
    }

    /// Returns groups that wait until `until` or less: those that have waited for longest, at most `max`.
    pub fn waiting(&self, until: Second, max: usize) -> Result<Vec<WaitingGroup>> {
        self.read(|_| {
            let range = Key::Waiting(Second(i64::MIN), 0).to(Key::Waiting(until, u64::MAX));
            let waiting = self.engine.values(range).take(max).map(|stored| match stored? {
                (key @ Key::Waiting(until, _), value) => Ok(WaitingGroup { until, key: parse_json(key, &value)? }),
                (key, _) => Err(LedgerError::damaged(format!("{key:?} is stored among waiting groups"))),
            });
            waiting.collect()
        })
    }

    /// Calls `f` with the findings outside of the archive that come after `after`, at most `max` of them, in an order of no
    /// meaning. Returns the last of them, or `None` if no other comes after it: a search in steps lets writes pass. `f` must
    /// not call the ledger.
    pub fn each_finding_after(
        &self,
        after: Option<FindingKey>,
        max: usize,
        mut f: impl FnMut(Finding),
    ) -> Result<Option<FindingKey>> {
        self.read(|state| {
            let keys = match after {
                Some(after) => Key::Finding(findings::id_of(after, &self.hash_key)).and_later(),
                None => Key::Finding(FindingId::MIN).kind(),
            };
            let (mut inflater, mut last) = (Inflater::new(), None);
            let mut stored = self.engine.values(keys);
            for _ in 0..max {
                let Some((key, value)) = stored.next().transpose()? else { return Ok(None) };
                let finding = findings::read(key, &value, &mut inflater)?;
                last = Some(finding.key);
                f(state.rule_meta.complete(finding)?);
            }
            Ok(last)
        })
    }

    /// Calls `f` with every open finding, that whose quiet time ends first first, one at a time. `f` must not call the ledger.
    pub fn each_open_finding(&self, mut f: impl FnMut(Finding)) -> Result<()> {
        self.read(|state| {
            let mut inflater = Inflater::new();
            let due = self.due(FindingState::Open, Second(i64::MIN), Second(i64::MAX));
            for stored in self.engine.get_all(due.map(|due| Ok(Key::Finding(due?.1)))) {
                let (key, value) = there(stored?)?;
                f(state.rule_meta.complete(findings::read(key, &value, &mut inflater)?)?);
            }
            Ok(())
        })
    }

    /// Returns the finding with this key, if it is stored outside of the archive.
    pub fn finding(&self, key: &FindingKey) -> Result<Option<Finding>> {
        self.read(|state| {
            let key = Key::Finding(findings::id_of(*key, &self.hash_key));
            let Some(value) = self.engine.get(key)? else { return Ok(None) };
            state.rule_meta.complete(findings::read(key, &value, &mut Inflater::new())?).map(Some)
        })
    }

    /// Returns those of the findings with these keys that are stored outside of the archive. Ascending by key.
    pub fn findings(&self, keys: &BTreeSet<FindingKey>) -> Result<Vec<Finding>> {
        self.read(|state| {
            let ids = keys.iter().map(|key| Ok(Key::Finding(findings::id_of(*key, &self.hash_key))));
            let (mut found, mut inflater) = (Vec::new(), Inflater::new());
            for stored in self.engine.get_all(ids) {
                if let (key, Some(value)) = stored? {
                    found.push(state.rule_meta.complete(findings::read(key, &value, &mut inflater)?)?);
                }
            }
            Ok(found)
        })
    }

    fn ids_of_actors(&self, actors: &BTreeSet<Actor>) -> Result<BTreeSet<FindingId>> {
        let of_addresses = actors.iter().filter_map(|actor| match actor {
            Actor::Address(source) => Some(Key::findings_of_actor(findings::beginning_of(*source, &self.hash_key))),
            Actor::Account { .. } | Actor::Crowd { .. } => None,
        });
        let of_incidents =
            actors.iter().map(|actor| Key::findings_of_incidents(findings::incident_hash(actor, &self.hash_key)));
        let mut ids = BTreeSet::new();
        for key in self.engine.keys(of_addresses).chain(self.engine.keys(of_incidents)) {
            if let Key::FindingOfActor(_, _, id) | Key::FindingOfIncident(_, id) = key? {
                ids.insert(id);
            }
        }
        Ok(ids)
    }

    /// Returns what a destination shows of those of these incidents of which anything is known.
    pub fn shown(
        &self,
        destination: &str,
        incidents: impl IntoIterator<Item = IncidentKey>,
    ) -> Result<HashMap<IncidentKey, ShownIncident>> {
        self.read(|_| {
            let incidents: Vec<IncidentKey> = incidents.into_iter().collect();
            let keys = incidents.iter().map(|incident| Ok(shown_key(*incident, destination, &self.hash_key)));
            let mut known = HashMap::new();
            for (incident, stored) in incidents.iter().zip(self.engine.get_all(keys)) {
                if let (key, Some(value)) = stored? {
                    known.insert(*incident, parse_json(key, &value)?);
                }
            }
            Ok(known)
        })
    }

    /// Returns the findings in this state that are due from `from` on and before `before`, earliest first, each with when.
    fn due(
        &self,
        state: FindingState,
        from: Second,
        before: Second,
    ) -> impl Iterator<Item = Result<(Second, FindingId)>> {
        self.engine.keys([Key::findings_due(state, from, before)]).filter_map(|key| match key {
            Ok(Key::FindingDue(_, at, id)) => Some(Ok((at, id))),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        })
    }

    fn findings_with(&self, state: &LedgerState, ids: BTreeSet<FindingId>) -> Result<Vec<Finding>> {
        let mut inflater = Inflater::new();
        self.each_with(state, ids, |key, value| findings::read(key, value, &mut inflater))
    }

    /// Returns the findings with these ids, each as `read` reads it of its value.
    fn each_with(
        &self,
        state: &LedgerState,
        ids: BTreeSet<FindingId>,
        mut read: impl FnMut(Key, &[u8]) -> Result<Finding<HeadKey>>,
    ) -> Result<Vec<Finding>> {
        let mut found = Vec::with_capacity(ids.len());
        for stored in self.engine.get_all(ids.into_iter().map(|id| Ok(Key::Finding(id)))) {
            let (key, value) = there(stored?)?;
            found.push(state.rule_meta.complete(read(key, &value)?)?);
        }
        found.sort_by_key(|finding| finding.key);
        Ok(found)
    }
}

/// Returns a value that another record names, so that it must be stored.
fn there((key, value): (Key, Option<Vec<u8>>)) -> Result<(Key, Vec<u8>)> {
    let value = value.ok_or_else(|| LedgerError::damaged(format!("{key:?} is missing")))?;
    Ok((key, value))
}

/// Rows that were read, by minute and source.
struct FoundRows {
    minutes: BTreeMap<(Minute, SourceId), Rows>,
    inflater: Inflater,
}

impl Default for FoundRows {
    fn default() -> FoundRows {
        FoundRows { minutes: BTreeMap::new(), inflater: Inflater::new() }
    }
}

impl FoundRows {
    /// Adds the rows of the value of `key`.
    fn add(&mut self, key: Key, rows: ActorRows) {
        let Key::Rows(_, source, _) = key else { return };
        for (key, minutes) in rows {
            for (minute, tally) in minutes {
                self.minutes.entry((minute, source)).or_default().insert(key.clone(), tally);
            }
        }
    }

    fn drop_hour(&mut self, hour: Hour) {
        self.minutes.retain(|(minute, _), _| Hour::of(*minute) != hour);
    }

    fn into_minutes(self) -> Vec<StoredMinute> {
        let minutes = self.minutes.into_iter();
        minutes.map(|((minute, source), rows)| StoredMinute { source, minute, rows }).collect()
    }
}
