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
use crate::chunk::ValueReader;
use crate::deflate::Inflater;
use crate::error::{LedgerError, Result};
use crate::findings;
use crate::key::{FindingId, FindingState, Hour, Key, RowActor};
use crate::rows::{self, ActorRows};
use crate::write_batch::{get, get_json, parse_json, shown_key};

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
            let mut found = FoundRows::default();
            for (actor, (first, last)) in actors {
                for value in self.keys_in(Key::hours_of_actor(actor, first, last)) {
                    let Key::RowsOfActor(_, hour, source) = value? else { continue };
                    let key = Key::Rows(hour, source, actor);
                    let value = get(&self.engine, key)?;
                    let value = value.ok_or_else(|| LedgerError::damaged(format!("{key:?} is missing")))?;
                    let mut rows = rows::read(key, &value, &mut found.inflater, &mut |key| keys.contains(key))?;
                    for (key, minutes) in &mut rows {
                        let span = spans.get(&key.rule);
                        minutes.retain(|minute, _| span.is_some_and(|span| span.touches(*minute)));
                    }
                    found.add(source, rows);
                }
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
            let mut found = FoundRows::default();
            for hour in Hour::of(earliest).to(Hour::of(Minute(latest_exclusive.0.saturating_sub(1)))) {
                for key in actors.iter().map(|actor| Key::Rows(hour, source, *actor)) {
                    let Some(value) = get(&self.engine, key)? else { continue };
                    let mut rows = rows::read(key, &value, &mut found.inflater, &mut |key| keys.contains(key))?;
                    for minutes in rows.values_mut() {
                        minutes.retain(|minute, _| earliest <= *minute && *minute < latest_exclusive);
                    }
                    found.add(source, rows);
                }
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
                let mut reader = ValueReader::new(self.engine.range(Key::rows_of_source(hour, source)));
                while let Some(value) = reader.next_value()? {
                    let key = value.key();
                    let mut rows = rows::read(key, &value.into_bytes()?, &mut found.inflater, &mut keep)?;
                    for minutes in rows.values_mut() {
                        minutes.retain(|minute, _| earliest <= *minute && *minute < latest_exclusive);
                    }
                    found.add(source, rows);
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
        let range =
            Key::Rows(first, SourceId(0), RowActor(0)).body()..Key::Rows(first, SourceId(0), RowActor(0)).kind().end;
        let mut reader = ValueReader::new(self.engine.range(range));
        while let Some(value) = reader.next_value()? {
            let key = value.key();
            let Key::Rows(hour, source, _) = key else {
                return Err(value.damaged("is stored among the rows"));
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
            let read = rows::read(key, &value.into_bytes()?, &mut found.inflater, keep)?;
            rows += rows::count(&read);
            found.add(source, read);
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
            let mut ids = BTreeSet::new();
            for (actor, groups) in wanted {
                let mut others = 0;
                for key in self.keys_in(Key::findings_of_actor(actor)) {
                    let Key::FindingOfActor(_, group, id) = key? else { continue };
                    let is_other = !groups.contains(&group);
                    others += usize::from(is_other);
                    if !is_other || others <= others_max {
                        ids.insert(id);
                    }
                }
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
            for due in self.due(FindingState::Closed, Second(i64::MIN), before) {
                if over.len() >= max {
                    break;
                }
                let Some(finding) = self.stored_finding(due?.1, &mut inflater)? else { continue };
                let finding = state.rule_meta.complete(finding)?;
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

    /// Returns whether the finding has no pending delivery.
    pub fn is_reported(&self, finding: FindingKey) -> Result<bool> {
        self.read(|state| Ok(!state.pending.has(finding)))
    }

    /// Returns groups that wait until `until` or less: those that have waited for longest, at most `max`.
    pub fn waiting(&self, until: Second, max: usize) -> Result<Vec<WaitingGroup>> {
        self.read(|_| {
            let mut waiting = Vec::new();
            let first = Key::Waiting(Second(i64::MIN), 0);
            let mut reader = ValueReader::new(self.engine.range(first.until(&Key::Waiting(until.plus(1), 0))));
            while let Some(value) = reader.next_value()? {
                let key = value.key();
                let Key::Waiting(until, _) = key else { return Err(value.damaged("is stored among waiting groups")) };
                waiting.push(WaitingGroup { until, key: parse_json(key, &value.into_bytes()?)? });
                if waiting.len() >= max {
                    break;
                }
            }
            Ok(waiting)
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
            let mut keys = Key::Finding(FindingId(0)).kind();
            if let Some(after) = after {
                keys.start = Key::Finding(findings::id_of(after, &self.hash_key)).chunks_from(0).end;
            }
            let (mut inflater, mut last) = (Inflater::new(), None);
            let mut reader = ValueReader::new(self.engine.range(keys));
            for _ in 0..max {
                let Some(value) = reader.next_value()? else { return Ok(None) };
                let key = value.key();
                let finding = findings::read(key, &value.into_bytes()?, &mut inflater)?;
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
            for due in self.due(FindingState::Open, Second(i64::MIN), Second(i64::MAX)) {
                if let Some(finding) = self.stored_finding(due?.1, &mut inflater)? {
                    f(state.rule_meta.complete(finding)?);
                }
            }
            Ok(())
        })
    }

    /// Returns the finding with this key, if it is stored outside of the archive.
    pub fn finding(&self, key: &FindingKey) -> Result<Option<Finding>> {
        self.read(|state| {
            let id = findings::id_of(*key, &self.hash_key);
            let finding = self.stored_finding(id, &mut Inflater::new())?;
            finding.map(|finding| state.rule_meta.complete(finding)).transpose()
        })
    }

    fn ids_of_actors(&self, actors: &BTreeSet<Actor>) -> Result<BTreeSet<FindingId>> {
        let mut ids = BTreeSet::new();
        for actor in actors {
            let of_groups = match actor {
                Actor::Address(source) => Some(Key::findings_of_actor(findings::beginning_of(*source, &self.hash_key))),
                Actor::Account { .. } | Actor::Crowd { .. } => None,
            };
            let others = Key::findings_of_incidents(findings::incident_hash(actor, &self.hash_key));
            for range in of_groups.into_iter().chain([others]) {
                for key in self.keys_in(range) {
                    if let Key::FindingOfActor(_, _, id) | Key::FindingOfIncident(_, id) = key? {
                        ids.insert(id);
                    }
                }
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
            let mut known = HashMap::new();
            for incident in incidents {
                if let Some(shown) = get_json(&self.engine, shown_key(incident, destination, &self.hash_key))? {
                    known.insert(incident, shown);
                }
            }
            Ok(known)
        })
    }

    /// Returns the keys without values in a range.
    fn keys_in(&self, range: std::ops::Range<Vec<u8>>) -> impl Iterator<Item = Result<Key>> {
        self.engine.range(range).keys().map(|stored| {
            let stored = stored.map_err(|error| LedgerError::of_engine("read the database", error))?;
            let key = Key::parse(&stored).map(|(key, _)| key);
            key.ok_or_else(|| LedgerError::damaged(format!("{stored:?} is no key of a ledger")))
        })
    }

    /// Returns the findings in this state that are due from `from` on and before `before`, earliest first, each with when.
    fn due(
        &self,
        state: FindingState,
        from: Second,
        before: Second,
    ) -> impl Iterator<Item = Result<(Second, FindingId)>> {
        let first = Key::FindingDue(state, from, FindingId(0));
        let keys = self.keys_in(first.until(&Key::FindingDue(state, before, FindingId(0))));
        keys.filter_map(|key| match key {
            Ok(Key::FindingDue(_, at, id)) => Some(Ok((at, id))),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        })
    }

    fn stored_finding(&self, id: FindingId, inflater: &mut Inflater) -> Result<Option<Finding<HeadKey>>> {
        let key = Key::Finding(id);
        get(&self.engine, key)?.map(|value| findings::read(key, &value, inflater)).transpose()
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
        for key in ids.into_iter().map(Key::Finding) {
            let value = get(&self.engine, key)?;
            let value = value.ok_or_else(|| LedgerError::damaged(format!("{key:?} is missing")))?;
            found.push(state.rule_meta.complete(read(key, &value)?)?);
        }
        found.sort_by_key(|finding| finding.key);
        Ok(found)
    }
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
    fn add(&mut self, source: SourceId, rows: ActorRows) {
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
