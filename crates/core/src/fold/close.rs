//! The end of a window: its rows join what is stored, episodes are laid over the findings, and what changed is owed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use super::{Counts, Fold, cap};
use crate::commit::Commit;
use crate::delivery::{Activity, Appetite, Delivery, DeliveryId, Entry};
use crate::episode::{Episode, Span, episodes};
use crate::evidence::Evidence;
use crate::finding::{Finding, FindingKey, Status};
use crate::progress::{Notice, Progress};
use crate::rule::Rule;
use crate::source::{LogId, Provider, Source, SourceId};
use crate::tally::{CountKey, Rows, StoredMinute, Tally};
use crate::time::{Minute, Second};

/// Most findings that one commit forgets; the rest waits for the next.
const FORGOTTEN_MAX: usize = 1000;

/// What must be known of other windows and sources to close one.
#[derive(Clone, Debug)]
pub struct Carried {
    /// The number of the source that was read.
    pub source_id: SourceId,
    /// How far the source has been read with this window.
    pub progress: Progress,
    /// The stored minutes of this source inside the window, with all their rows.
    pub own: Vec<StoredMinute>,
    /// All stored minutes, with the rows of [`Fold::keys_needed`].
    pub minutes: Vec<StoredMinute>,
    /// Minutes that are not needed any more, with all their rows.
    pub expired: Vec<StoredMinute>,
    /// Every stored finding.
    pub findings: Vec<Finding>,
    /// Findings that some destination is still owed.
    pub owed: BTreeSet<FindingKey>,
    /// The service that keeps each source's log.
    pub providers: HashMap<SourceId, Provider>,
    /// All before it was read from every healthy source, this window included.
    pub read_until: Second,
    /// No source will be read again before it.
    pub forget_before: Second,
    /// What the destinations want to hear.
    pub appetites: Vec<Appetite>,
    /// What there is to tell of the watch itself.
    pub notices: Vec<Notice>,
    /// The number of the next delivery.
    pub next_delivery: DeliveryId,
}

impl Carried {
    /// Returns what is known where there is no ledger: nothing but that all before `read_until` was read.
    #[must_use]
    pub fn nothing(log: LogId, read_until: Second) -> Carried {
        Carried {
            source_id: SourceId(0),
            progress: Progress::new(log, read_until),
            own: Vec::new(),
            minutes: Vec::new(),
            expired: Vec::new(),
            findings: Vec::new(),
            owed: BTreeSet::new(),
            providers: HashMap::new(),
            read_until,
            forget_before: read_until,
            appetites: Vec::new(),
            notices: Vec::new(),
            next_delivery: DeliveryId(0),
        }
    }
}

/// A closed window: what to write, and what was seen on the way.
#[derive(Clone, Debug)]
pub struct Closed {
    /// What to write.
    pub commit: Commit,
    /// What was seen.
    pub counts: Counts,
    /// Stored rows that a re-read gave fewer requests for; the larger count stays.
    pub rows_kept: u64,
    /// What changed: new findings, grown ones and ended ones.
    pub changes: Vec<(FindingKey, Activity)>,
    /// What there is to tell of the watch itself.
    pub notices: Vec<Notice>,
}

/// A finding on its way through the commit.
struct Change {
    activity: Option<Activity>,
    is_escalated: bool,
    is_written: bool,
}

impl Fold {
    /// Closes the window into the commit that `source` owes. `now` stamps messages and decides nothing.
    #[must_use]
    pub fn close(mut self, source: &Source, mut carried: Carried, now: Timestamp) -> Closed {
        let mut minutes = self.rows();
        let beyond = std::mem::take(&mut self.beyond);
        if let Some(kind) = cap::cap(&mut minutes, self.limits.rows_max, beyond) {
            let (source, cluster) = (source.name.clone(), source.cluster.to_string());
            carried.notices.push(Notice { source, cluster, window: self.window, kind });
        }
        let rows_kept = self.join_stored(&mut minutes, &carried.own);
        let mut desk = Desk::new(std::mem::take(&mut carried.findings), now);
        let needed = self.keys_needed(&carried.expired, &desk.findings);
        let mut book = Book::new(needed.iter());
        for stored in &carried.minutes {
            let is_overwritten = stored.source == carried.source_id && minutes.contains_key(&stored.minute);
            if !is_overwritten {
                book.enter(stored.minute, &stored.rows, carried.providers.get(&stored.source).copied());
            }
        }
        for (minute, rows) in &minutes {
            book.enter(*minute, rows, Some(source.provider));
        }
        for rule in &self.rules.rules {
            for (key, page) in book.pages.iter().filter(|(key, _)| key.rule == rule.key) {
                desk.lay(rule, key, page);
            }
        }
        desk.prune(&carried.expired, &self.rules);
        desk.close_quiet(carried.read_until);
        let forgotten = desk.forgettable(&carried);
        let changes = desk.told();
        let (deliveries, next_delivery) = desk.deliveries(&carried);
        let commit = Commit {
            source: carried.source_id,
            minutes: changed_minutes(minutes, &carried.own),
            expired: carried.expired.iter().map(|stored| (stored.source, stored.minute)).collect(),
            progress: carried.progress,
            findings: desk.written(&forgotten),
            forgotten,
            deliveries,
            next_delivery,
        };
        Closed { commit, counts: self.counts, rows_kept, changes, notices: carried.notices }
    }

    /// Joins the stored rows of this source's minutes: of two counts of one row the larger stays.
    fn join_stored(&self, minutes: &mut BTreeMap<Minute, Rows>, own: &[StoredMinute]) -> u64 {
        let mut kept = 0;
        if self.is_relook {
            for tally in minutes.values_mut().flat_map(BTreeMap::values_mut) {
                tally.late = true;
            }
        }
        for stored in own {
            let rows = minutes.entry(stored.minute).or_default();
            for (key, old) in &stored.rows {
                let new = rows.entry(key.clone()).or_default();
                kept += u64::from(new.total() < old.total());
                join(new, old);
            }
        }
        kept
    }
}

fn join(new: &mut Tally, old: &Tally) {
    if new.total() <= old.total() {
        new.seconds.clone_from(&old.seconds);
        new.late = old.late;
    }
    new.clusters.extend(old.clusters.iter().cloned());
    new.evidence.merge(&old.evidence);
}

fn changed_minutes(minutes: BTreeMap<Minute, Rows>, own: &[StoredMinute]) -> Vec<(Minute, Rows)> {
    let stored: HashMap<Minute, &Rows> = own.iter().map(|stored| (stored.minute, &stored.rows)).collect();
    minutes.into_iter().filter(|(minute, rows)| stored.get(minute).is_none_or(|old| *old != rows)).collect()
}

/// The minutes of the groups in question, over all sources.
struct Book<'a> {
    pages: BTreeMap<&'a CountKey, Page>,
}

/// One group's requests by second, and its rows.
#[derive(Default)]
struct Page {
    seconds: BTreeMap<Second, u64>,
    rows: Vec<PageRow>,
}

struct PageRow {
    first: Second,
    last: Second,
    clusters: BTreeSet<String>,
    evidence: Evidence,
    provider: Option<Provider>,
    late: bool,
}

impl<'a> Book<'a> {
    fn new(keys: impl Iterator<Item = &'a CountKey>) -> Book<'a> {
        Book { pages: keys.map(|key| (key, Page::default())).collect() }
    }

    fn enter(&mut self, minute: Minute, rows: &Rows, provider: Option<Provider>) {
        for (key, tally) in rows {
            let Some(page) = self.pages.get_mut(key) else {
                continue;
            };
            for (second, n) in tally.at(minute) {
                *page.seconds.entry(second).or_default() += n;
            }
            let at = |seconds: Option<&(u8, u32)>| {
                seconds.map_or(minute.start(), |(second, _)| minute.start().plus(i64::from(*second)))
            };
            page.rows.push(PageRow {
                first: at(tally.seconds.first()),
                last: at(tally.seconds.last()),
                clusters: tally.clusters.clone(),
                evidence: tally.evidence.clone(),
                provider,
                late: tally.late,
            });
        }
    }
}

/// The findings, with what this commit does to them.
struct Desk {
    findings: Vec<Finding>,
    changes: Vec<Change>,
    by_group: HashMap<(String, crate::tally::GroupKey), Vec<usize>>,
    now: Timestamp,
}

impl Desk {
    fn new(findings: Vec<Finding>, now: Timestamp) -> Desk {
        let mut desk = Desk { findings: Vec::new(), changes: Vec::new(), by_group: HashMap::new(), now };
        for finding in findings {
            desk.put(finding, Change { activity: None, is_escalated: false, is_written: false });
        }
        desk
    }

    fn put(&mut self, finding: Finding, change: Change) -> usize {
        let place = self.findings.len();
        self.by_group.entry((finding.rule.name.clone(), finding.group.clone())).or_default().push(place);
        self.findings.push(finding);
        self.changes.push(change);
        place
    }

    /// Lays the episodes of one group over its findings.
    fn lay(&mut self, rule: &Rule, key: &CountKey, page: &Page) {
        let seconds: Vec<(Second, u64)> = page.seconds.iter().map(|(at, n)| (*at, *n)).collect();
        let mut told: Vec<usize> = self
            .by_group
            .get(&(rule.head.name.clone(), key.group.clone()))
            .map_or(&[][..], Vec::as_slice)
            .iter()
            .copied()
            .filter(|place| !matches!(self.findings[*place].status, Status::MergedInto(_)))
            .collect();
        told.sort_by_key(|place| (self.findings[*place].episode, self.findings[*place].key));
        let spans: Vec<Span> = told.iter().filter_map(|place| self.findings[*place].pruned).collect();
        for episode in episodes(&seconds, &spans, &rule.threshold) {
            let mut overlapped = told.iter().copied().filter(|place| self.findings[*place].episode.overlaps(&episode));
            match overlapped.next() {
                None => self.create(rule, key, episode, page),
                Some(earliest) => {
                    let joined: Vec<usize> = overlapped.collect();
                    self.grow(earliest, rule, episode, page);
                    for other in joined {
                        self.merge(other, earliest);
                    }
                }
            }
        }
    }

    fn create(&mut self, rule: &Rule, key: &CountKey, episode: Episode, page: &Page) {
        let mut finding = Finding {
            key: FindingKey::new(&rule.head.name, &key.group, episode.first),
            rule: rule.head.clone(),
            group: key.group.clone(),
            episode,
            pruned: None,
            quiet_seconds: rule.threshold.quiet_seconds,
            status: Status::Open,
            clusters: BTreeSet::new(),
            providers: BTreeSet::new(),
            evidence: Evidence::default(),
            late: false,
            created_at: self.now,
            updated_at: self.now,
        };
        show(&mut finding, page);
        self.put(finding, Change { activity: Some(Activity::Create), is_escalated: false, is_written: true });
    }

    /// Updates a told finding to `episode`. What was told is never taken back, whatever became of the rule.
    fn grow(&mut self, place: usize, rule: &Rule, episode: Episode, page: &Page) {
        let finding = &mut self.findings[place];
        let before = finding.clone();
        finding.episode = Episode {
            first: before.episode.first.min(episode.first),
            last: before.episode.last.max(episode.last),
            count: before.episode.count.max(episode.count),
        };
        show(finding, page);
        if *finding == before {
            return;
        }
        let is_more = finding.episode != before.episode || finding.clusters != before.clusters;
        let change = &mut self.changes[place];
        change.is_written = true;
        if is_more {
            change.is_escalated = finding.clusters != before.clusters || rule.head.level > before.rule.level;
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
            let kept = &mut self.findings[into].pruned;
            *kept = Some(joined(*kept, span));
            self.changes[into].is_written = true;
        }
    }

    /// Moves what expires of told episodes into their findings.
    fn prune(&mut self, expired: &[StoredMinute], rules: &crate::rule::Rules) {
        for stored in expired {
            for (key, tally) in &stored.rows {
                let Some(rule) = rules.rules.iter().find(|rule| rule.key == key.rule) else {
                    continue;
                };
                let Some(places) = self.by_group.get(&(rule.head.name.clone(), key.group.clone())) else {
                    continue;
                };
                for (second, n) in tally.at(stored.minute) {
                    let told = places.iter().copied().find(|place| {
                        let finding = &self.findings[*place];
                        let is_merged = matches!(finding.status, Status::MergedInto(_));
                        !is_merged && finding.episode.first <= second && second <= finding.episode.last
                    });
                    let Some(place) = told else { continue };
                    let pruned = &mut self.findings[place].pruned;
                    *pruned = Some(joined(*pruned, Span { first: second, last: second, count: n }));
                    self.changes[place].is_written = true;
                }
            }
        }
    }

    fn close_quiet(&mut self, read_until: Second) {
        for (finding, change) in self.findings.iter_mut().zip(&mut self.changes) {
            let is_new = change.activity == Some(Activity::Create);
            if !is_new && finding.is_open() && finding.is_quiet_at(read_until) {
                finding.status = Status::Quiet;
                finding.updated_at = self.now;
                change.is_written = true;
                change.activity = Some(Activity::Close);
            }
        }
    }

    /// Returns the findings that are over, told everywhere, and that no late event can join any more.
    fn forgettable(&self, carried: &Carried) -> Vec<FindingKey> {
        self.findings
            .iter()
            .zip(&self.changes)
            .filter(|(finding, change)| {
                change.activity.is_none()
                    && !finding.is_open()
                    && finding.is_quiet_at(carried.forget_before)
                    && !carried.owed.contains(&finding.key)
            })
            .map(|(finding, _)| finding.key)
            .take(FORGOTTEN_MAX)
            .collect()
    }

    fn told(&self) -> Vec<(FindingKey, Activity)> {
        let changed = self.findings.iter().zip(&self.changes);
        changed.filter_map(|(finding, change)| Some((finding.key, change.activity?))).collect()
    }

    fn deliveries(&self, carried: &Carried) -> (Vec<Delivery>, DeliveryId) {
        let mut next = carried.next_delivery;
        let mut deliveries = Vec::new();
        for appetite in &carried.appetites {
            let entries: Vec<Entry> = self
                .findings
                .iter()
                .zip(&self.changes)
                .filter_map(|(finding, change)| {
                    let activity = change.activity?;
                    let entry = Entry { finding: finding.key, activity };
                    appetite.wants(finding, activity, change.is_escalated).then_some(entry)
                })
                .collect();
            if entries.is_empty() && carried.notices.is_empty() {
                continue;
            }
            deliveries.push(Delivery {
                id: next,
                destination: appetite.destination.clone(),
                entries,
                notices: carried.notices.clone(),
            });
            next = DeliveryId(next.0 + 1);
        }
        (deliveries, next)
    }

    fn written(self, forgotten: &[FindingKey]) -> Vec<Finding> {
        self.findings
            .into_iter()
            .zip(self.changes)
            .filter(|(finding, change)| change.is_written && !forgotten.contains(&finding.key))
            .map(|(finding, _)| finding)
            .collect()
    }
}

/// Adds what is shown of the rows inside the finding's episode.
fn show(finding: &mut Finding, page: &Page) {
    let episode = finding.episode;
    for row in page.rows.iter().filter(|row| row.first <= episode.last && episode.first <= row.last) {
        finding.clusters.extend(row.clusters.iter().cloned());
        finding.providers.extend(row.provider);
        finding.late |= row.late;
        finding.evidence.merge(&row.evidence);
    }
}

fn joined(span: Option<Span>, more: Span) -> Span {
    match span {
        None => more,
        Some(span) => {
            Span { first: span.first.min(more.first), last: span.last.max(more.last), count: span.count + more.count }
        }
    }
}
