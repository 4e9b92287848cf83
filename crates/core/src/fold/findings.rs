//! What a commit does to the findings: it matches episodes with findings, keeps the counts of expired minutes, closes quiet
//! findings, and makes deliveries of the changes.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use super::finding_limit::Opening;
use super::group_index::{GroupHistory, GroupIndex};
use crate::address::SourceIp;
use crate::commit::WaitingGroup;
use crate::context::FindingContext;
use crate::context_query::{CONTEXT_QUERIES_MAX, ContextQuery};
use crate::delivery::Activity;
use crate::distinct::{Distinct, SecondSet};
use crate::episode::{Episode, Episodes, Known, PrunedSpan, episodes};
use crate::evidence::Evidence;
use crate::finding::{DistinctValues, Finding, FindingKey, FindingStatus, RelatedActivity};
use crate::group::{CountKey, GroupKey, RuleKey};
use crate::incident::Actor;
use crate::incident_key::IncidentPart;
use crate::novelty::SeenWith;
use crate::response_code::ResponseCodes;
use crate::rule::{Level, Rule, Rules};
use crate::tally::StoredMinute;
use crate::threshold::ThresholdKind;
use crate::time::{Second, Window};

/// How far apart, in seconds, findings of one source may be to count as related activity: a runbook asks for a day.
const RELATED_ACTIVITY_SECONDS: i64 = 24 * 3600;
/// Findings of one source that related activity compares: a source may open one for every user agent that it claims.
const RELATED_ACTIVITY_MAX: usize = 256;
/// Most related findings that a finding names: some rules open one in every quiet time of a week.
const RELATED_MAX: usize = 20;

/// What the commit does to a finding.
struct FindingChange {
    activity: Option<Activity>,
    is_escalated: bool,
    is_written: bool,
    /// Whether incidents may see the change.
    is_touched: bool,
}

impl FindingChange {
    const NONE: FindingChange =
        FindingChange { activity: None, is_escalated: false, is_written: false, is_touched: false };
}

/// The findings, with what this commit does to them.
pub(super) struct Findings {
    findings: Vec<Finding>,
    changes: Vec<FindingChange>,
    /// The indices of the findings of each group.
    by_group: HashMap<GroupKey, Vec<usize>>,
    /// The actors of changed findings as they were before.
    actors_before: BTreeSet<Actor>,
    now: Timestamp,
}

impl Findings {
    pub(super) fn new(findings: Vec<Finding>, now: Timestamp) -> Findings {
        let mut all = Findings {
            findings: Vec::new(),
            changes: Vec::new(),
            by_group: HashMap::new(),
            actors_before: BTreeSet::new(),
            now,
        };
        for finding in findings {
            all.put(finding, FindingChange::NONE);
        }
        all
    }

    /// Returns the findings, stored and new.
    pub(super) fn all(&self) -> &[Finding] {
        &self.findings
    }

    /// Returns the indices of the findings of a rule and group.
    fn indices_of<'f>(&'f self, rule: &'f str, group: &GroupKey) -> impl Iterator<Item = usize> + 'f {
        let indices = self.by_group.get(group).into_iter().flatten().copied();
        indices.filter(move |index| self.findings[*index].rule.name == rule)
    }

    fn put(&mut self, finding: Finding, change: FindingChange) -> usize {
        let index = self.findings.len();
        let indices = self.by_group.entry(finding.group.clone()).or_default();
        indices.reserve_exact(1);
        indices.push(index);
        self.findings.push(finding);
        self.changes.push(change);
        index
    }

    /// Updates the findings of the `touched` groups to their episodes, and returns the episodes that have no finding, and the
    /// groups that wait to be judged.
    pub(super) fn update<'a>(
        &mut self,
        rules: &'a Rules,
        touched: &HashSet<&CountKey>,
        indices: &Indices<'_, 'a>,
    ) -> (Vec<Opening<'a>>, Vec<WaitingGroup>) {
        let (mut openings, mut waiting) = (Vec::new(), Vec::new());
        for rule in &rules.rules {
            let span = indices.spans.get(&rule.key).copied().unwrap_or(Window::ALL);
            for (key, history) in indices.now.groups_of(rule.key, |key| touched.contains(key)) {
                let seen = indices.seen.before(rule, &key.group);
                let known = Known { from: span.earliest(), until: indices.judged_until, reported: &[], seen };
                let waits_until =
                    self.update_group(rule, key, &history, &indices.before.history(key), known, &mut openings);
                waiting.extend(waits_until.map(|until| WaitingGroup { until, key: key.clone() }));
            }
        }
        (openings, waiting)
    }

    /// Updates the findings of one group to its episodes, and adds the episodes that have no finding to `openings`. `before`
    /// and `history` are the `known` rows, as they were stored and as they are now. Returns until when the group waits.
    fn update_group<'a>(
        &mut self,
        rule: &'a Rule,
        key: &'a CountKey,
        history: &GroupHistory<'_>,
        before: &GroupHistory<'_>,
        known: Known<'_>,
        openings: &mut Vec<Opening<'a>>,
    ) -> Option<Second> {
        let span = Window::new(known.from, Window::ALL.latest()).unwrap_or(Window::ALL);
        let mut reported: Vec<(usize, Outside)> = self
            .indices_of(&rule.head.name, &key.group)
            .filter(|index| !matches!(self.findings[*index].status, FindingStatus::MergedInto(_)))
            .map(|index| (index, Outside::of(&self.findings[index], before, span)))
            .collect();
        reported.sort_by_key(|(index, _)| (self.findings[*index].episode, self.findings[*index].key));
        let spans: Vec<PrunedSpan> = reported.iter().flat_map(|(_, outside)| outside.spans.iter().copied()).collect();
        let known_findings: Vec<Episode> = reported.iter().map(|(index, _)| self.findings[*index].episode).collect();
        let known = Known { reported: &known_findings, ..known };
        let Episodes { found, waits_until } =
            episodes(&history.timeline, &spans, &rule.threshold, &ThresholdKind::of(rule), &known);
        for episode in found {
            let mut overlapped = reported.iter().filter(|(index, _)| {
                let finding = &self.findings[*index];
                !matches!(finding.status, FindingStatus::MergedInto(_)) && finding.episode.overlaps(&episode)
            });
            match overlapped.next() {
                None => openings.push(Opening { rule, key, episode }),
                Some((earliest, outside)) => {
                    let joined: Vec<&(usize, Outside)> = overlapped.collect();
                    self.grow(*earliest, rule, episode, history, &outside.codes);
                    for (other, outside) in joined {
                        self.merge(*other, *earliest, &outside.codes);
                    }
                }
            }
        }
        waits_until
    }

    /// Opens findings.
    pub(super) fn open(&mut self, openings: Vec<Opening<'_>>, index: &GroupIndex<'_>) {
        for Opening { rule, key, episode } in openings {
            self.create(rule, key, episode, &index.history(key));
        }
    }

    fn create(&mut self, rule: &Rule, key: &CountKey, episode: Episode, history: &GroupHistory<'_>) {
        let mut finding = Finding {
            key: FindingKey::new(&rule.head.name, &key.group, episode.first),
            rule: rule.head.clone(),
            group: key.group.clone(),
            episode,
            codes: ResponseCodes::default(),
            pruned: None,
            pruned_codes: ResponseCodes::default(),
            quiet_seconds: rule.threshold.quiet_seconds,
            status: FindingStatus::Open,
            clusters: BTreeSet::new(),
            providers: BTreeSet::new(),
            sources: Distinct::default(),
            values: rule.counted_field().map(|field| DistinctValues { field, texts: Distinct::default() }),
            related: BTreeSet::new(),
            related_activity: RelatedActivity::default(),
            incident: None,
            context: None,
            evidence: Evidence::default(),
            late: false,
            created_at: self.now,
            updated_at: self.now,
        };
        show(&mut finding, history, &ResponseCodes::default());
        let activity = Some(Activity::Create);
        self.put(finding, FindingChange { activity, is_written: true, is_touched: true, ..FindingChange::NONE });
    }

    /// Updates a reported finding to `episode`. It never shrinks, even if its rule has changed. `outside` has the response
    /// codes of its requests that are not in `history`.
    fn grow(
        &mut self,
        index: usize,
        rule: &Rule,
        episode: Episode,
        history: &GroupHistory<'_>,
        outside: &ResponseCodes,
    ) {
        let finding = &mut self.findings[index];
        let before = finding.clone();
        finding.episode = Episode {
            first: before.episode.first.min(episode.first),
            last: before.episode.last.max(episode.last),
            count: before.episode.count.max(episode.count),
        };
        show(finding, history, outside);
        if *finding == before {
            return;
        }
        let is_more = finding.episode != before.episode || finding.clusters != before.clusters;
        let change = &mut self.changes[index];
        change.is_written = true;
        change.is_touched = true;
        self.actors_before.insert(Actor::of(&before));
        if is_more {
            change.is_escalated |= finding.clusters != before.clusters || rule.head.level > before.rule.level;
            finding.rule = rule.head.clone();
            finding.quiet_seconds = rule.threshold.quiet_seconds;
            finding.updated_at = self.now;
            finding.status = FindingStatus::Open;
            change.activity = change.activity.or(Some(Activity::Update));
        }
    }

    /// Merges a finding into another, whose episode holds its own by now. `outside` has the response codes of its requests
    /// that were not among the rows: of these, only the finding itself has the counts.
    fn merge(&mut self, index: usize, into: usize, outside: &ResponseCodes) {
        let into_key = self.findings[into].key;
        let merged = &mut self.findings[index];
        merged.status = FindingStatus::MergedInto(into_key);
        merged.updated_at = self.now;
        let change = &mut self.changes[index];
        change.is_written = true;
        change.is_touched = true;
        change.activity = Some(Activity::Close);
        let merged = self.findings[index].clone();
        self.actors_before.extend([index, into].map(|index| Actor::of(&self.findings[index])));
        let kept = &mut self.findings[into];
        if let Some(span) = merged.pruned {
            kept.pruned = Some(joined(kept.pruned, span));
            kept.pruned_codes.add_all(&merged.pruned_codes);
        }
        kept.codes.add_all(outside);
        kept.clusters.extend(merged.clusters);
        kept.providers.extend(merged.providers);
        kept.late |= merged.late;
        kept.evidence.merge(&merged.evidence);
        kept.sources.join(&merged.sources);
        if let (Some(kept), Some(merged)) = (&mut kept.values, &merged.values) {
            kept.texts.join(&merged.texts);
        }
        self.changes[into].is_written = true;
        self.changes[into].is_touched = true;
    }

    /// Notes in each changed finding what else it belongs with.
    pub(super) fn relate(&mut self, rules: &Rules) {
        self.name_related(rules);
        self.note_related_activity();
    }

    /// Names in each changed finding of a temporal correlation the findings of its referenced rules: those of the same group
    /// that are at most a timespan away. A name stays once it is there.
    fn name_related(&mut self, rules: &Rules) {
        for index in 0..self.findings.len() {
            let finding = &self.findings[index];
            let rule = rules.named(&finding.rule.name).filter(|rule| !rule.referenced_rules().is_empty());
            let Some(rule) = rule.filter(|_| self.changes[index].is_written) else {
                continue;
            };
            let (episode, group) = (finding.episode, &finding.group);
            let mut related = finding.related.clone();
            for referenced in rule.referenced_rules() {
                let near =
                    self.indices_of(&referenced.name, group).map(|index| &self.findings[index]).filter(|other| {
                        let apart = seconds_apart(&episode, &other.episode);
                        !matches!(other.status, FindingStatus::MergedInto(_))
                            && apart <= rule.threshold.timespan_seconds
                    });
                related.extend(near.map(|other| other.key));
            }
            while related.len() > RELATED_MAX {
                related.pop_last();
            }
            self.findings[index].related = related;
        }
    }

    /// Notes in each changed finding of one source the related activity of that source. Notes stay.
    fn note_related_activity(&mut self) {
        let written = self.findings.iter().zip(&self.changes).filter(|(_, change)| change.is_written);
        let mut by_source: HashMap<SourceIp, Vec<usize>> =
            written.filter_map(|(finding, _)| Some((finding.source_ip()?, Vec::new()))).collect();
        for (index, finding) in self.findings.iter().enumerate() {
            let indices = finding.source_ip().and_then(|source| by_source.get_mut(&source));
            if let Some(indices) = indices.filter(|indices| indices.len() < RELATED_ACTIVITY_MAX)
                && !matches!(finding.status, FindingStatus::MergedInto(_))
            {
                indices.push(index);
            }
        }
        for index in (0..self.findings.len()).filter(|index| self.changes[*index].is_written).collect::<Vec<_>>() {
            let finding = &self.findings[index];
            let Some(indices) = finding.source_ip().and_then(|source| by_source.get(&source)) else {
                continue;
            };
            let mut related_activity = finding.related_activity.clone();
            for other in indices.iter().filter(|other| **other != index).map(|other| &self.findings[*other]) {
                if seconds_apart(&finding.episode, &other.episode) <= RELATED_ACTIVITY_SECONDS {
                    related_activity.add(other);
                }
            }
            self.findings[index].related_activity = related_activity;
        }
    }

    /// Attaches contexts to their findings. This makes no delivery: a pending delivery of the finding shows both.
    pub(super) fn attach(&mut self, context: Vec<(FindingKey, FindingContext)>) {
        for (key, found) in context {
            if let Some(index) = self.findings.iter().position(|finding| finding.key == key) {
                self.findings[index].context = Some(found);
                self.changes[index].is_written = true;
            }
        }
    }

    /// Returns the context queries of new findings of at least `level_min`, the most severe first, then those with most
    /// requests; at most as many as a log may have pending.
    pub(super) fn context_queries(&self, level_min: Level) -> Vec<ContextQuery> {
        let new =
            self.findings.iter().zip(&self.changes).filter(|(_, change)| change.activity == Some(Activity::Create));
        let mut new: Vec<&Finding> =
            new.map(|(finding, _)| finding).filter(|finding| finding.rule.level >= level_min).collect();
        new.sort_by_key(|finding| (Reverse((finding.rule.level, finding.episode.count)), finding.key));
        new.into_iter().filter_map(ContextQuery::of).take(CONTEXT_QUERIES_MAX).collect()
    }

    /// Moves the counts of expired minutes into the findings of their episodes.
    pub(super) fn prune(&mut self, expired: &[StoredMinute], rules: &Rules) {
        for stored in expired {
            for (key, tally) in &stored.rows {
                let Some(rule) = rules.rules.iter().find(|rule| rule.key == key.rule) else {
                    continue;
                };
                let indices: Vec<usize> = self.indices_of(&rule.head.name, &key.group).collect();
                for (second, code, n) in tally.codes_at(stored.minute) {
                    let reported = indices.iter().copied().find(|index| {
                        let finding = &self.findings[*index];
                        let is_merged = matches!(finding.status, FindingStatus::MergedInto(_));
                        !is_merged && finding.episode.first <= second && second <= finding.episode.last
                    });
                    let Some(index) = reported else { continue };
                    let finding = &mut self.findings[index];
                    finding.pruned = Some(joined(finding.pruned, PrunedSpan { first: second, last: second, count: n }));
                    finding.pruned_codes.add(code, n);
                    self.changes[index].is_written = true;
                }
            }
        }
    }

    /// Closes findings whose quiet time is over.
    pub(super) fn close_quiet(&mut self, read_until: Second) {
        for (finding, change) in self.findings.iter_mut().zip(&mut self.changes) {
            // A commit reports one activity of a finding. What destinations must report, its beginning or another cluster, goes
            // first.
            let is_reported = change.activity == Some(Activity::Create) || change.is_escalated;
            if !is_reported && finding.is_open() && finding.is_quiet_at(read_until) {
                finding.status = FindingStatus::Quiet;
                finding.updated_at = self.now;
                change.is_written = true;
                change.is_touched = true;
                change.activity = Some(Activity::Close);
            }
        }
    }

    /// Returns the findings that incidents may see changed, as they are now.
    pub(super) fn touched(&self) -> Vec<Finding> {
        let touched = self.findings.iter().zip(&self.changes).filter(|(_, change)| change.is_touched);
        touched.map(|(finding, _)| finding.clone()).collect()
    }

    /// Returns the actors that changed findings had before.
    pub(super) fn actors_before(&self) -> BTreeSet<Actor> {
        self.actors_before.clone()
    }

    /// Notes the incident of a finding. Where it was a part of another or of none, that is written.
    pub(super) fn note_incident(&mut self, finding: &Finding, part: IncidentPart) {
        let is_known = finding.incident.is_some_and(|known| known.opening == part.opening);
        if is_known && !self.writes(finding) {
            return;
        }
        self.put_off(finding, part);
    }

    /// Writes the finding with its incident: it is looked at again when that may be over.
    pub(super) fn put_off(&mut self, finding: &Finding, part: IncidentPart) {
        let index = self.index_of(finding).unwrap_or_else(|| self.put(finding.clone(), FindingChange::NONE));
        self.findings[index].incident = Some(part);
        self.changes[index].is_written = true;
    }

    fn index_of(&self, finding: &Finding) -> Option<usize> {
        let indices = self.by_group.get(&finding.group)?;
        indices.iter().copied().find(|index| self.findings[*index].key == finding.key)
    }

    /// Returns whether this commit writes the finding.
    pub(super) fn writes(&self, finding: &Finding) -> bool {
        self.index_of(finding).is_some_and(|index| self.changes[index].is_written)
    }

    /// Returns what happened to each changed finding, with its level and whether it is escalated.
    pub(super) fn reported(&self) -> impl Iterator<Item = (&Finding, Activity, bool)> {
        let changed = self.findings.iter().zip(&self.changes);
        changed.filter_map(|(finding, change)| Some((finding, change.activity?, change.is_escalated)))
    }

    /// Returns what happened to each changed finding.
    pub(super) fn changes(&self) -> Vec<(FindingKey, Activity)> {
        let changed = self.findings.iter().zip(&self.changes);
        changed.filter_map(|(finding, change)| Some((finding.key, change.activity?))).collect()
    }

    /// Returns the findings to write.
    pub(super) fn written(self) -> Vec<Finding> {
        let written = self.findings.into_iter().zip(self.changes).filter(|(_, change)| change.is_written);
        written.map(|(finding, _)| finding).collect()
    }
}

/// The rows around the windows that are closed.
pub(super) struct Indices<'i, 'a> {
    /// As they were stored.
    pub(super) before: &'i GroupIndex<'a>,
    /// As they are now.
    pub(super) now: &'i GroupIndex<'a>,
    /// Which rows of each rule they are.
    pub(super) spans: &'i HashMap<RuleKey, Window>,
    /// No more requests are read before this second.
    pub(super) judged_until: Second,
    /// The days on which groups were seen.
    pub(super) seen: &'i SeenWith<'i>,
}

/// The requests of a finding that are not among the rows that were read: its rows outside of their span, and those that were
/// deleted. Of these, the finding has the counts, and they reached the threshold.
struct Outside {
    /// The requests before and after the rows, which join them.
    spans: Vec<PrunedSpan>,
    codes: ResponseCodes,
}

impl Outside {
    fn of(finding: &Finding, before: &GroupHistory<'_>, span: Window) -> Outside {
        let Episode { first, last, count } = finding.episode;
        let is_inside = span.contains(first) && span.contains(last);
        if is_inside {
            return Outside { spans: finding.pruned.into_iter().collect(), codes: finding.pruned_codes.clone() };
        }
        let mut codes = ResponseCodes::default();
        for row in &before.rows {
            let within = row.tally.codes_at(row.minute).filter(|(at, ..)| first <= *at && *at <= last);
            within.for_each(|(_, code, n)| codes.add(code, n));
        }
        let seconds = before.timeline.seconds.range(first..=last);
        let (read_first, read_last) = (seconds.clone().next(), seconds.clone().next_back());
        let (Some((read_first, _)), Some((read_last, _))) = (read_first, read_last) else {
            // No row of it was read, so it is too far away to change.
            return Outside { spans: Vec::new(), codes: finding.codes.clone() };
        };
        let read: u64 = seconds.map(|(_, requests)| requests.n).sum();
        let mut left = count.saturating_sub(read);
        let mut spans = Vec::new();
        if !span.contains(first) {
            let last = read_first.plus(-1).max(first);
            spans.push(PrunedSpan { first, last, count: std::mem::take(&mut left) });
        }
        if !span.contains(last) {
            let first = read_last.plus(1).min(last);
            spans.push(PrunedSpan { first, last, count: left });
        }
        Outside { spans, codes: finding.codes.without(&codes) }
    }
}

/// Adds to the finding what it shows of the rows inside its episode. `outside` has the response codes of its other requests.
fn show(finding: &mut Finding, history: &GroupHistory<'_>, outside: &ResponseCodes) {
    let episode = finding.episode;
    let mut codes = outside.clone();
    for row in history.rows.iter().filter(|row| row.first <= episode.last && episode.first <= row.last) {
        finding.clusters.extend(row.tally.clusters.iter().cloned());
        finding.providers.extend(row.provider);
        finding.late |= row.tally.late;
        finding.evidence.merge(&row.tally.evidence);
        let seconds = SecondSet::between(row.minute, episode.first, episode.last);
        finding.sources.add_within(&row.tally.sources, seconds);
        let within = row.tally.codes_at(row.minute).filter(|(at, ..)| episode.first <= *at && *at <= episode.last);
        within.for_each(|(_, code, n)| codes.add(code, n));
        if let Some(values) = &mut finding.values {
            values.texts.add_within(&row.tally.texts, seconds);
        }
    }
    finding.codes.join(&codes);
}

/// Returns how many seconds after one episode the other begins; zero or less where they overlap.
fn seconds_apart(one: &Episode, other: &Episode) -> i64 {
    one.first.0.saturating_sub(other.last.0).max(other.first.0.saturating_sub(one.last.0))
}

fn joined(span: Option<PrunedSpan>, more: PrunedSpan) -> PrunedSpan {
    match span {
        None => more,
        Some(span) => PrunedSpan {
            first: span.first.min(more.first),
            last: span.last.max(more.last),
            count: span.count + more.count,
        },
    }
}
