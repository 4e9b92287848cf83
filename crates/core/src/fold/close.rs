//! The end of a window: its rows join what is stored, episodes are laid over the findings, and what changed is owed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use super::book::Book;
use super::findings::Findings;
use super::{Counts, Fold, cap};
use crate::commit::Commit;
use crate::delivery::{Activity, Appetite, DeliveryId};
use crate::finding::{Finding, FindingKey};
use crate::progress::{Notice, Progress};
use crate::source::{LogId, Provider, Source, SourceId};
use crate::tally::{Rows, StoredMinute, Tally};
use crate::time::{Minute, Second};

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
    /// No source will be read again before it, and no minute before it is stored.
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
        let mut findings = Findings::new(std::mem::take(&mut carried.findings), now);
        let needed = self.keys_needed(&carried.expired, findings.all());
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
                findings.lay(rule, key, page);
            }
        }
        findings.prune(&carried.expired, &self.rules);
        findings.close_quiet(carried.read_until);
        let forgotten = findings.forgettable(&carried);
        let changes = findings.told();
        let (deliveries, next_delivery) = findings.deliveries(&carried);
        let commit = Commit {
            source: carried.source_id,
            minutes: changed_minutes(minutes, &carried.own),
            expired: carried.expired.iter().map(|stored| (stored.source, stored.minute)).collect(),
            progress: carried.progress,
            findings: findings.written(&forgotten),
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
