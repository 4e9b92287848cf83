//! The clusters of a log that holds events of several: which were seen, by which name, and since when one is missing.
//!
//! Their ids come from the provider's labels, which no client of a cluster can choose. The progress of the log keeps them, so
//! they are committed with the windows that they were seen in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::hash::{HashKey, TextHash};
use crate::notice::NoticeKind;
use crate::retirement::{Retirement, RetirementReason};
use crate::text::counted;
use crate::time::Second;

/// Most clusters of a log. Of more, the one that was not seen for longest is forgotten.
pub const CLUSTERS_MAX: usize = 1_024;
/// After so many seconds without an event of any kind, a cluster counts as deleted. An API server in use writes each minute.
const IDLE_SECONDS: i64 = 24 * 3600;
/// After so many seconds without an audit event, while the cluster writes its other logs, the audit log counts as switched off.
const AUDIT_OFF_SECONDS: i64 = 3 * 3600;
/// For so many seconds a cluster that is gone is remembered.
const REMEMBERED_SECONDS: i64 = 90 * 24 * 3600;
/// Clusters that a summary names.
const NAMED_MAX: usize = 50;
/// Makes names of one spelling different. It is fixed, so that a cluster has the same name in every run.
const NAME_KEY: HashKey = HashKey(*b"stakeout/cluster");

/// The clusters of a log, by the ids that the provider gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KnownClusters(BTreeMap<String, KnownCluster>);

/// A cluster of a log that holds events of several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownCluster {
    /// The name in findings and messages. No two clusters of a log have one name.
    pub name: String,
    /// The time of the first record.
    pub first_seen: Second,
    /// The latest time at which it is known to have written its audit log.
    pub last_seen: Second,
    /// Since when and why nothing is expected of it any more, if nothing is.
    pub retired: Option<Retirement>,
}

/// The logs that a cluster writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterLogs {
    /// The log of reads, which shows scans.
    Audit,
    /// What else shows that the cluster is there.
    Others,
}

/// Which clusters wrote a kind of log within a window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// The latest time of each, by its id.
    pub newest: BTreeMap<String, Second>,
    /// Whether all clusters are among them.
    pub is_whole: bool,
}

impl Census {
    /// Returns in a sentence how many clusters there are, with the names of some; an id ends with the name.
    #[must_use]
    pub fn summary(&self) -> String {
        let names: Vec<&str> = self.newest.keys().take(NAMED_MAX).filter_map(|id| id.rsplit('/').next()).collect();
        let more = self.newest.len().saturating_sub(NAMED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let least = if self.is_whole { "" } else { "at least " };
        format!("{least}{}: {}{more}", counted(self.newest.len() as u64, "cluster"), names.join(", "))
    }
}

impl KnownClusters {
    /// Returns whether none was ever seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the clusters with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &KnownCluster)> {
        self.0.iter().map(|(id, cluster)| (id.as_str(), cluster))
    }

    /// Returns the name of the cluster `id`, of which there is a record of `at`. It is `wanted`, unless another cluster had
    /// that first: then a mark is added.
    pub fn name(&mut self, id: &str, wanted: &str, at: Second) -> &str {
        if self.0.get(id).is_none_or(|known| !is_named_after(&known.name, wanted)) {
            let is_taken = self.0.iter().any(|(other, known)| other != id && known.name == wanted);
            let name = if is_taken { marked(wanted, id) } else { wanted.to_owned() };
            if self.0.len() >= CLUSTERS_MAX && !self.0.contains_key(id) {
                let oldest = self.0.iter().min_by_key(|(_, known)| known.last_seen).map(|(id, _)| id.clone());
                oldest.and_then(|oldest| self.0.remove(&oldest));
            }
            let new = KnownCluster { name: String::new(), first_seen: at, last_seen: at, retired: None };
            self.0.entry(id.to_owned()).or_insert(new).name = name;
        }
        self.0.get(id).map_or("", |known| &known.name)
    }

    /// Forgets the clusters that are not watched.
    pub fn retain(&mut self, is_watched: impl Fn(&str) -> bool) {
        self.0.retain(|id, _| is_watched(id));
    }

    /// Returns whether any cluster is missing for so long at `at`, after `audited`, that its other logs must be looked at.
    #[must_use]
    pub fn has_missing(&self, audited: &Census, at: Second) -> bool {
        let is_missing = |(id, known): (&String, &KnownCluster)| {
            let seen = audited.newest.get(id).map_or(known.last_seen, |newest| known.last_seen.max(*newest));
            known.retired.is_none() && seen.plus(AUDIT_OFF_SECONDS) <= at
        };
        audited.is_whole && self.0.iter().any(is_missing)
    }

    /// Notes who wrote the audit log, and who wrote `other` logs, in a window that ends at `at`. Returns the names of those
    /// that are gone, switched off or back, with what a notice says of them; `switch_on` returns the command for an id.
    ///
    /// Where the census is not whole, a cluster that is not in it counts as seen: nobody is missed by mistake.
    pub fn note(
        &mut self,
        audited: &Census,
        other: &Census,
        at: Second,
        switch_on: impl Fn(&str) -> String,
    ) -> Vec<(String, NoticeKind)> {
        let mut changes = Vec::new();
        for (id, known) in &mut self.0 {
            let newest = audited.newest.get(id);
            if let Some(seen) = newest.or(Some(&at).filter(|_| !audited.is_whole && known.retired.is_none())) {
                known.last_seen = known.last_seen.max(*seen);
            }
            let reason = match () {
                () if newest.is_some() || !audited.is_whole => None,
                () if other.newest.contains_key(id) && known.last_seen.plus(AUDIT_OFF_SECONDS) <= at => {
                    Some(RetirementReason::AuditOff)
                }
                () if known.last_seen.plus(IDLE_SECONDS) <= at => Some(RetirementReason::Idle),
                () => continue,
            };
            let before = known.retired.map(|retired| retired.reason);
            if reason == before || (newest.is_none() && reason.is_none()) {
                continue;
            }
            known.retired = reason.map(|reason| Retirement { since: at, reason });
            let kind = match reason {
                None => NoticeKind::Returned,
                Some(RetirementReason::AuditOff) => NoticeKind::AuditOff { command: switch_on(id) },
                // What was missed already is not missed again.
                Some(_) if before.is_some() => continue,
                Some(_) => NoticeKind::Vanished,
            };
            changes.push((known.name.clone(), kind));
        }
        self.0.retain(|_, known| known.retired.is_none_or(|it| at < it.since.plus(REMEMBERED_SECONDS)));
        changes
    }
}

/// Returns whether a name is `wanted`, with a mark or without.
fn is_named_after(name: &str, wanted: &str) -> bool {
    name.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('~'))
}

/// Returns the name of a second cluster that would be called `wanted`.
fn marked(wanted: &str, id: &str) -> String {
    format!("{wanted}~{:06x}", TextHash::of(id, &NAME_KEY).0 & 0xff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;

    fn census(newest: &[(&str, i64)]) -> Census {
        Census { newest: newest.iter().map(|(id, at)| ((*id).to_owned(), Second(*at))).collect(), is_whole: true }
    }

    /// Notes an hour, and returns what changed.
    fn note(known: &mut KnownClusters, hour: i64, audited: &Census, other: &[&str]) -> Vec<(String, NoticeKind)> {
        let at = Second(hour * HOUR);
        let other: Vec<(&str, i64)> = other.iter().map(|id| (*id, at.0)).collect();
        known.note(audited, &census(&other), at, |id| format!("switch on {id}"))
    }

    #[test]
    fn two_clusters_of_one_name_are_two_and_keep_their_names() {
        let mut known = KnownClusters::default();
        let names = ["/a/prod", "/b/prod", "/a/prod"].map(|id| known.name(id, "prod", Second(0)).to_owned());
        assert_eq!((names[0].as_str(), names[1].len(), names[1].starts_with("prod~")), ("prod", 11, true));
        assert_eq!(names[2], "prod");
        // The name of the other is the same when the first is gone, and the config may name all anew.
        let mut later = KnownClusters::default();
        later.name("/b/prod", &names[1], Second(0));
        assert_eq!(later.name("/b/prod", "prod", Second(9)), names[1]);
        assert_eq!(later.name("/b/prod", "prod.b", Second(9)), "prod.b");
    }

    #[test]
    fn a_cluster_is_missed_once_after_a_day_and_its_return_is_told() {
        let mut known = KnownClusters::default();
        known.name("a", "a", Second(0));
        assert_eq!(note(&mut known, 1, &census(&[("a", 30)]), &[]), []);
        for hour in 2..=24 {
            assert_eq!(note(&mut known, hour, &census(&[]), &[]), [], "{hour}");
        }
        assert_eq!(note(&mut known, 25, &census(&[]), &[]), [("a".to_owned(), NoticeKind::Vanished)]);
        assert_eq!(note(&mut known, 26, &census(&[]), &[]), []);
        let back = census(&[("a", 27 * HOUR - 9)]);
        assert_eq!(note(&mut known, 27, &back, &[]), [("a".to_owned(), NoticeKind::Returned)]);
        assert_eq!(note(&mut known, 28, &back, &[]), []);
        for hour in [60, 70, 60 + 90 * 24] {
            note(&mut known, hour, &census(&[]), &[]);
        }
        assert_eq!(known, KnownClusters::default());
    }

    #[test]
    fn an_audit_log_is_off_when_only_the_other_logs_are_written() {
        let mut known = KnownClusters::default();
        known.name("a", "a", Second(0));
        assert_eq!(note(&mut known, 1, &census(&[("a", HOUR)]), &["a"]), []);
        assert_eq!(note(&mut known, 3, &census(&[]), &["a"]), []);
        assert!(!known.has_missing(&census(&[]), Second(3 * HOUR)));
        assert!(known.has_missing(&census(&[]), Second(4 * HOUR)));
        let off = NoticeKind::AuditOff { command: "switch on a".to_owned() };
        assert_eq!(note(&mut known, 4, &census(&[]), &["a"]), [("a".to_owned(), off)]);
        assert!(!known.has_missing(&census(&[]), Second(5 * HOUR)));
        assert_eq!(note(&mut known, 5, &census(&[]), &["a"]), []);
        // That it is deleted then is no news.
        assert_eq!(note(&mut known, 40, &census(&[]), &[]), []);
    }

    #[test]
    fn who_is_not_in_half_a_census_is_not_missed() {
        let mut known = KnownClusters::default();
        known.name("a", "a", Second(0));
        let half = Census { is_whole: false, ..Census::default() };
        assert_eq!(note(&mut known, 40, &half, &[]), []);
        assert_eq!(note(&mut known, 41, &census(&[]), &[]), []);
        assert_eq!(note(&mut known, 64, &census(&[]), &[]), [("a".to_owned(), NoticeKind::Vanished)]);
    }

    #[test]
    fn the_cluster_that_was_not_seen_for_longest_makes_room() {
        let mut known = KnownClusters::default();
        for n in 0..=CLUSTERS_MAX {
            known.name(&format!("/{n}"), &n.to_string(), Second(i64::try_from(n).expect("small")));
        }
        assert_eq!(known.iter().count(), CLUSTERS_MAX);
        assert!(known.iter().all(|(id, _)| id != "/0"));
    }
}
