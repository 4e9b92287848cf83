//! The end of a window: its rows join what is stored, episodes are laid over the findings, and what changed is owed.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;

use super::close_input::CloseInput;
use super::findings::Findings;
use super::group_index::GroupIndex;
use super::window_counts::leaving;
use super::{Counts, Fold, WindowCounts};
use crate::commit::Commit;
use crate::delivery::Activity;
use crate::finding::FindingKey;
use crate::progress::{Notice, NoticeKind};
use crate::source::Source;
use crate::tally::{CountKey, Rows, StoredMinute};
use crate::time::Minute;

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
    pub fn close(self, source: &Source, carried: CloseInput, now: Timestamp) -> Closed {
        self.count().close(source, carried, now)
    }
}

impl WindowCounts {
    /// Closes the window into the commit that `source` owes. `now` stamps messages and decides nothing.
    #[must_use]
    pub fn close(mut self, source: &Source, mut carried: CloseInput, now: Timestamp) -> Closed {
        let notice = |kind| {
            let (source, cluster) = (source.name.clone(), source.cluster.to_string());
            Notice { source, cluster, window: self.window, kind }
        };
        // A re-read of a window that overflowed overflows as well, and was told.
        carried.notices.extend(self.overflow.take().filter(|_| !self.is_reread).map(notice));
        let followed = self.keys_to_follow(&carried.found_before);
        let mut minutes = std::mem::take(&mut self.minutes);
        let rows_kept = self.join_stored(&mut minutes, &carried.own);
        let mut findings = Findings::new(std::mem::take(&mut carried.findings), now);
        // A group whose rows stay as they were was laid over the findings by the commit that wrote them.
        let mut touched = changed_keys(&minutes, &carried.own);
        touched.extend(leaving(&self.rules, &carried.expired, findings.all().iter()));
        let stored = carried.minutes.iter().filter(|stored| {
            let is_overwritten = stored.source == carried.source_id && minutes.contains_key(&stored.minute);
            !is_overwritten
        });
        let stored = stored.map(|stored| (stored.minute, &stored.rows, carried.providers.get(&stored.source).copied()));
        let own = minutes.iter().map(|(minute, rows)| (*minute, rows, Some(source.provider)));
        let book = GroupIndex::new(stored.chain(own), |key| touched.contains(key) || followed.contains(key));
        let mut openings = Vec::new();
        for rule in &self.rules.rules {
            for (key, page) in book.pages(rule.key).filter(|(key, _)| touched.contains(key)) {
                openings.extend(findings.lay(rule, key, &page));
            }
        }
        let left_out = findings.open(openings, &book, &self.limits);
        carried.notices.extend(left_out.map(notice));
        findings.relate(&self.rules);
        findings.note_elsewhere();
        let owed = self.owed_follow_ups(&book, &followed);
        let given_up = owed.follow_ups.into_iter().map(|follow_up| carried.progress.owe(follow_up)).sum::<usize>();
        if owed.sources_left_out + given_up > 0 {
            let reason = "too many sources at once".to_owned();
            carried
                .notices
                .push(notice(NoticeKind::NotFollowedUp { sources: owed.sources_left_out + given_up, reason }));
        }
        findings.surround(std::mem::take(&mut carried.context));
        findings.prune(&carried.expired, &self.rules);
        findings.close_quiet(carried.read_until);
        let forgotten = findings.forgettable(&carried);
        if let Some(level_min) = self.limits.context_query_min {
            carried.progress.owe_context_queries(findings.context_queries(level_min));
        }
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

    /// Joins the stored rows of this source's minutes: nothing is taken away from them.
    fn join_stored(&self, minutes: &mut BTreeMap<Minute, Rows>, own: &[StoredMinute]) -> u64 {
        let mut kept = 0;
        if self.is_reread {
            for tally in minutes.values_mut().flat_map(BTreeMap::values_mut) {
                tally.late = true;
            }
        }
        for stored in own {
            let rows = minutes.entry(stored.minute).or_default();
            for (key, old) in &stored.rows {
                let new = rows.entry(key.clone()).or_default();
                if self.is_follow_up {
                    new.join_seconds(old);
                } else {
                    kept += u64::from(new.join(old));
                }
            }
        }
        kept
    }
}

/// Returns the rules and groups whose rows are other ones than those that are stored.
fn changed_keys<'m>(minutes: &'m BTreeMap<Minute, Rows>, own: &[StoredMinute]) -> HashSet<&'m CountKey> {
    let stored: HashMap<Minute, &Rows> = own.iter().map(|stored| (stored.minute, &stored.rows)).collect();
    let rows = minutes.iter().flat_map(|(minute, rows)| rows.iter().map(|(key, tally)| (*minute, key, tally)));
    rows.filter(|(minute, key, tally)| stored.get(minute).and_then(|rows| rows.get(*key)) != Some(*tally))
        .map(|(_, key, _)| key)
        .collect()
}

fn changed_minutes(minutes: BTreeMap<Minute, Rows>, own: &[StoredMinute]) -> Vec<(Minute, Rows)> {
    let stored: HashMap<Minute, &Rows> = own.iter().map(|stored| (stored.minute, &stored.rows)).collect();
    minutes.into_iter().filter(|(minute, rows)| stored.get(minute).is_none_or(|old| *old != rows)).collect()
}
