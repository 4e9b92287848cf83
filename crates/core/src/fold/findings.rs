//! The stored findings, and what a commit does to them: episodes are laid over them, what expires moves into them,
//! what is over is closed, and what changed is owed.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use super::Limits;
use super::close_input::CloseInput;
use super::finding_limit::{self, Opening};
use super::group_index::{GroupHistory, GroupIndex};
use crate::address::SourceIp;
use crate::code::Codes;
use crate::context::FindingContext;
use crate::context_query::{CONTEXT_QUERIES_MAX, ContextQuery};
use crate::delivery::{Activity, Delivery, DeliveryId, Entry};
use crate::distinct::{Distinct, SecondSet};
use crate::episode::{Episode, PrunedSpan, episodes};
use crate::evidence::Evidence;
use crate::finding::{DistinctValues, Finding, FindingKey, RelatedActivity, Status};
use crate::group::{CountKey, GroupKey};
use crate::notice::NoticeKind;
use crate::rule::{Level, Rule, Rules};
use crate::tally::StoredMinute;
use crate::threshold::ThresholdKind;
use crate::time::Second;

/// Most findings that one commit forgets; the rest waits for the next.
const FORGOTTEN_MAX: usize = 1000;
/// How far apart, in seconds, findings of one source may lie to be told with each other: a runbook asks for a day.
const ELSEWHERE_SECONDS: i64 = 24 * 3600;
/// Findings of one source that are looked at for each of them: a source may open one for every name it calls itself.
const ELSEWHERE_MAX: usize = 256;
/// Most findings that one names as related: some rules have one in every quiet time of a week.
const RELATED_MAX: usize = 20;

/// A finding on its way through the commit.
struct Change {
    activity: Option<Activity>,
    is_escalated: bool,
    is_written: bool,
}

/// The findings, with what this commit does to them.
pub(super) struct Findings {
    findings: Vec<Finding>,
    changes: Vec<Change>,
    by_group: HashMap<GroupKey, Vec<usize>>,
    now: Timestamp,
}

impl Findings {
    pub(super) fn new(findings: Vec<Finding>, now: Timestamp) -> Findings {
        let mut all = Findings { findings: Vec::new(), changes: Vec::new(), by_group: HashMap::new(), now };
        for finding in findings {
            all.put(finding, Change { activity: None, is_escalated: false, is_written: false });
        }
        all
    }

    /// Returns the findings, stored and new.
    pub(super) fn all(&self) -> &[Finding] {
        &self.findings
    }

    /// Returns the places of the findings of a rule and group.
    fn places_of<'f>(&'f self, rule: &'f str, group: &GroupKey) -> impl Iterator<Item = usize> + 'f {
        let places = self.by_group.get(group).into_iter().flatten().copied();
        places.filter(move |place| self.findings[*place].rule.name == rule)
    }

    fn put(&mut self, finding: Finding, change: Change) -> usize {
        let place = self.findings.len();
        let places = self.by_group.entry(finding.group.clone()).or_default();
        places.reserve_exact(1);
        places.push(place);
        self.findings.push(finding);
        self.changes.push(change);
        place
    }

    /// Updates the findings of the `touched` groups to their episodes and opens new ones, then notes what else each changed
    /// finding belongs with. Returns a notice of the findings that are left out because there are too many.
    pub(super) fn update(
        &mut self,
        rules: &Rules,
        touched: &HashSet<&CountKey>,
        index: &GroupIndex<'_>,
        limits: &Limits,
    ) -> Option<NoticeKind> {
        let mut openings = Vec::new();
        for rule in &rules.rules {
            for (key, history) in index.groups_of(rule.key).filter(|(key, _)| touched.contains(key)) {
                openings.extend(self.update_group(rule, key, &history));
            }
        }
        let left_out = self.open(openings, index, limits);
        self.relate(rules);
        self.note_related_activity();
        left_out
    }

    /// Lays the episodes of one group over its findings, and returns those that lie over none.
    fn update_group<'a>(&mut self, rule: &'a Rule, key: &'a CountKey, history: &GroupHistory<'_>) -> Vec<Opening<'a>> {
        let mut openings = Vec::new();
        let mut told: Vec<usize> = self
            .places_of(&rule.head.name, &key.group)
            .filter(|place| !matches!(self.findings[*place].status, Status::MergedInto(_)))
            .collect();
        told.sort_by_key(|place| (self.findings[*place].episode, self.findings[*place].key));
        let spans: Vec<PrunedSpan> = told.iter().filter_map(|place| self.findings[*place].pruned).collect();
        for episode in episodes(&history.timeline, &spans, &rule.threshold, &ThresholdKind::of(rule)) {
            let mut overlapped = told.iter().copied().filter(|place| {
                let finding = &self.findings[*place];
                !matches!(finding.status, Status::MergedInto(_)) && finding.episode.overlaps(&episode)
            });
            match overlapped.next() {
                None => openings.push(Opening { rule, key, episode }),
                Some(earliest) => {
                    let joined: Vec<usize> = overlapped.collect();
                    self.grow(earliest, rule, episode, history);
                    for other in joined {
                        self.merge(other, earliest);
                    }
                }
            }
        }
        openings
    }

    /// Opens findings, as many as there is room for, and returns what is to be told of the others.
    fn open(&mut self, openings: Vec<Opening<'_>>, index: &GroupIndex<'_>, limits: &Limits) -> Option<NoticeKind> {
        let (opened, notice) = finding_limit::share(openings, limits.findings_room(self.findings.len()));
        for Opening { rule, key, episode } in opened {
            self.create(rule, key, episode, &index.history(key));
        }
        notice
    }

    fn create(&mut self, rule: &Rule, key: &CountKey, episode: Episode, history: &GroupHistory<'_>) {
        let mut finding = Finding {
            key: FindingKey::new(&rule.head.name, &key.group, episode.first),
            rule: rule.head.clone(),
            group: key.group.clone(),
            episode,
            codes: Codes::default(),
            pruned: None,
            pruned_codes: Codes::default(),
            quiet_seconds: rule.threshold.quiet_seconds,
            status: Status::Open,
            clusters: BTreeSet::new(),
            providers: BTreeSet::new(),
            sources: Distinct::default(),
            values: rule.counted_field().map(|field| DistinctValues { field, texts: Distinct::default() }),
            related: BTreeSet::new(),
            elsewhere: RelatedActivity::default(),
            context: None,
            evidence: Evidence::default(),
            late: false,
            created_at: self.now,
            updated_at: self.now,
        };
        show(&mut finding, history);
        self.put(finding, Change { activity: Some(Activity::Create), is_escalated: false, is_written: true });
    }

    /// Updates a told finding to `episode`. What was told is never taken back, whatever became of the rule.
    fn grow(&mut self, place: usize, rule: &Rule, episode: Episode, history: &GroupHistory<'_>) {
        let finding = &mut self.findings[place];
        let before = finding.clone();
        finding.episode = Episode {
            first: before.episode.first.min(episode.first),
            last: before.episode.last.max(episode.last),
            count: before.episode.count.max(episode.count),
        };
        show(finding, history);
        if *finding == before {
            return;
        }
        let is_more = finding.episode != before.episode || finding.clusters != before.clusters;
        let change = &mut self.changes[place];
        change.is_written = true;
        if is_more {
            change.is_escalated |= finding.clusters != before.clusters || rule.head.level > before.rule.level;
            finding.rule = rule.head.clone();
            finding.quiet_seconds = rule.threshold.quiet_seconds;
            finding.updated_at = self.now;
            finding.status = Status::Open;
            change.activity = change.activity.or(Some(Activity::Update));
        }
    }

    fn merge(&mut self, place: usize, into: usize) {
        let into_key = self.findings[into].key;
        let merged = &mut self.findings[place];
        merged.status = Status::MergedInto(into_key);
        merged.updated_at = self.now;
        let pruned = merged.pruned;
        let change = &mut self.changes[place];
        change.is_written = true;
        change.activity = Some(Activity::Close);
        if let Some(span) = pruned {
            // What was deleted of its minutes is shown by nobody else.
            let merged = self.findings[place].clone();
            let kept = &mut self.findings[into];
            kept.pruned = Some(joined(kept.pruned, span));
            kept.pruned_codes.add_all(&merged.pruned_codes);
            kept.codes.add_all(&merged.pruned_codes);
            kept.clusters.extend(merged.clusters);
            kept.providers.extend(merged.providers);
            kept.evidence.merge(&merged.evidence);
            kept.sources.join(&merged.sources);
            if let (Some(kept), Some(merged)) = (&mut kept.values, &merged.values) {
                kept.texts.join(&merged.texts);
            }
            self.changes[into].is_written = true;
        }
    }

    /// Names in each changed finding of a sequence the findings of its legs: of the rules that bear their names, of the
    /// same group, and at most a timespan away. What was named stays named.
    fn relate(&mut self, rules: &Rules) {
        for place in 0..self.findings.len() {
            let finding = &self.findings[place];
            let rule = rules.named(&finding.rule.name).filter(|rule| !rule.referenced_rules().is_empty());
            let Some(rule) = rule.filter(|_| self.changes[place].is_written) else {
                continue;
            };
            let (episode, group) = (finding.episode, &finding.group);
            let mut related = finding.related.clone();
            for leg in rule.referenced_rules() {
                let near = self.places_of(&leg.name, group).map(|place| &self.findings[place]).filter(|other| {
                    let apart = seconds_apart(&episode, &other.episode);
                    !matches!(other.status, Status::MergedInto(_)) && apart <= rule.threshold.timespan_seconds
                });
                related.extend(near.map(|other| other.key));
            }
            while related.len() > RELATED_MAX {
                related.pop_last();
            }
            self.findings[place].related = related;
        }
    }

    /// Notes in each changed finding of one source what else the source was found at. What was noted stays.
    fn note_related_activity(&mut self) {
        let written = self.findings.iter().zip(&self.changes).filter(|(_, change)| change.is_written);
        let mut by_source: HashMap<SourceIp, Vec<usize>> =
            written.filter_map(|(finding, _)| Some((finding.source_ip()?, Vec::new()))).collect();
        for (place, finding) in self.findings.iter().enumerate() {
            let places = finding.source_ip().and_then(|source| by_source.get_mut(&source));
            if let Some(places) = places.filter(|places| places.len() < ELSEWHERE_MAX)
                && !matches!(finding.status, Status::MergedInto(_))
            {
                places.push(place);
            }
        }
        for place in (0..self.findings.len()).filter(|place| self.changes[*place].is_written).collect::<Vec<_>>() {
            let finding = &self.findings[place];
            let Some(places) = finding.source_ip().and_then(|source| by_source.get(&source)) else {
                continue;
            };
            let mut elsewhere = finding.elsewhere.clone();
            for other in places.iter().filter(|other| **other != place).map(|other| &self.findings[*other]) {
                if seconds_apart(&finding.episode, &other.episode) <= ELSEWHERE_SECONDS {
                    elsewhere.add(other);
                }
            }
            self.findings[place].elsewhere = elsewhere;
        }
    }

    /// Keeps what was found around findings. Nothing is told of it: who is still owed its finding hears of both.
    pub(super) fn attach(&mut self, context: Vec<(FindingKey, FindingContext)>) {
        for (key, around) in context {
            if let Some(place) = self.findings.iter().position(|finding| finding.key == key) {
                self.findings[place].context = Some(around);
                self.changes[place].is_written = true;
            }
        }
    }

    /// Returns the context queries that new findings of at least `level_min` owe, most severe first, then those with most
    /// requests; no more than a log can owe.
    pub(super) fn context_queries(&self, level_min: Level) -> Vec<ContextQuery> {
        let new =
            self.findings.iter().zip(&self.changes).filter(|(_, change)| change.activity == Some(Activity::Create));
        let mut new: Vec<&Finding> =
            new.map(|(finding, _)| finding).filter(|finding| finding.rule.level >= level_min).collect();
        new.sort_by_key(|finding| (Reverse((finding.rule.level, finding.episode.count)), finding.key));
        new.into_iter().filter_map(ContextQuery::of).take(CONTEXT_QUERIES_MAX).collect()
    }

    /// Moves what expires of told episodes into their findings.
    pub(super) fn prune(&mut self, expired: &[StoredMinute], rules: &Rules) {
        for stored in expired {
            for (key, tally) in &stored.rows {
                let Some(rule) = rules.rules.iter().find(|rule| rule.key == key.rule) else {
                    continue;
                };
                let places: Vec<usize> = self.places_of(&rule.head.name, &key.group).collect();
                for (second, code, n) in tally.codes_at(stored.minute) {
                    let told = places.iter().copied().find(|place| {
                        let finding = &self.findings[*place];
                        let is_merged = matches!(finding.status, Status::MergedInto(_));
                        !is_merged && finding.episode.first <= second && second <= finding.episode.last
                    });
                    let Some(place) = told else { continue };
                    let finding = &mut self.findings[place];
                    finding.pruned = Some(joined(finding.pruned, PrunedSpan { first: second, last: second, count: n }));
                    finding.pruned_codes.add(code, n);
                    self.changes[place].is_written = true;
                }
            }
        }
    }

    pub(super) fn close_quiet(&mut self, read_until: Second) {
        for (finding, change) in self.findings.iter_mut().zip(&mut self.changes) {
            // A commit tells one thing of a finding. What people hear of, its beginning or another cluster, goes first.
            let is_heard = change.activity == Some(Activity::Create) || change.is_escalated;
            if !is_heard && finding.is_open() && finding.is_quiet_at(read_until) {
                finding.status = Status::Quiet;
                finding.updated_at = self.now;
                change.is_written = true;
                change.activity = Some(Activity::Close);
            }
        }
    }

    /// Returns the findings that are over, told everywhere, and that no late event can join any more.
    pub(super) fn forgettable(&self, input: &CloseInput) -> Vec<FindingKey> {
        self.findings
            .iter()
            .zip(&self.changes)
            .filter(|(finding, change)| {
                change.activity.is_none()
                    && !finding.is_open()
                    && finding.is_quiet_at(input.forget_before)
                    && !input.owed.contains(&finding.key)
            })
            .map(|(finding, _)| finding.key)
            .take(FORGOTTEN_MAX)
            .collect()
    }

    pub(super) fn changes(&self) -> Vec<(FindingKey, Activity)> {
        let changed = self.findings.iter().zip(&self.changes);
        changed.filter_map(|(finding, change)| Some((finding.key, change.activity?))).collect()
    }

    pub(super) fn deliveries(&self, input: &CloseInput) -> (Vec<Delivery>, DeliveryId) {
        let mut next = input.next_delivery;
        let mut deliveries = Vec::new();
        for notification_filter in &input.notification_filters {
            let entries: Vec<Entry> = self
                .findings
                .iter()
                .zip(&self.changes)
                .filter_map(|(finding, change)| {
                    let activity = change.activity?;
                    let entry = Entry { finding: finding.key, activity };
                    notification_filter.wants(finding, activity, change.is_escalated).then_some(entry)
                })
                .collect();
            if entries.is_empty() && input.notices.is_empty() {
                continue;
            }
            deliveries.push(Delivery {
                id: next,
                destination: notification_filter.destination.clone(),
                entries,
                notices: input.notices.clone(),
            });
            next = DeliveryId(next.0 + 1);
        }
        (deliveries, next)
    }

    pub(super) fn written(self, forgotten: &[FindingKey]) -> Vec<Finding> {
        self.findings
            .into_iter()
            .zip(self.changes)
            .filter(|(finding, change)| change.is_written && !forgotten.contains(&finding.key))
            .map(|(finding, _)| finding)
            .collect()
    }
}

/// Adds what is shown of the rows inside the finding's episode.
fn show(finding: &mut Finding, history: &GroupHistory<'_>) {
    let episode = finding.episode;
    let mut codes = finding.pruned_codes.clone();
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

/// Returns how long after one episode the other begins; nothing or less where they meet.
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
