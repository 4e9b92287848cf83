//! Which findings of one actor are one incident.

use std::collections::{BTreeMap, BTreeSet};

use super::{Actor, IncidentKey, SPAN_DAYS_MAX};
use crate::address::SourceIp;
use crate::finding::{Finding, FindingStatus};
use crate::rule::Level;
use crate::time::Second;

/// Seconds of a day.
const DAY_SECONDS: i64 = 24 * 3_600;

/// The findings of one actor that are one incident.
pub(super) struct Run<'f> {
    pub(super) key: IncidentKey,
    /// When it began, as first reported.
    pub(super) opening: Second,
    pub(super) actor: Actor,
    /// In the order of their episodes.
    pub(super) findings: Vec<&'f Finding>,
    pub(super) first: Second,
    pub(super) last: Second,
    /// The highest level of their rules.
    pub(super) level: Level,
    /// The clusters that were asked.
    clusters: BTreeSet<&'f str>,
}

impl<'f> Run<'f> {
    /// Returns the run of `findings`, which are in order. Its opening is the first one that a finding has and that is not `taken`.
    fn of(actor: &Actor, findings: Vec<&'f Finding>, taken: &mut BTreeSet<Second>) -> Run<'f> {
        let episodes = || findings.iter().map(|finding| &finding.episode);
        let first = episodes().map(|episode| episode.first).min().unwrap_or(Second(0));
        let stored = findings.iter().filter_map(|finding| Some(finding.incident?.opening));
        // Late events may move a finding into the day before, and leave its opening to the others.
        let mut openings = stored.chain(findings.iter().map(|finding| finding.episode.first));
        let opening = openings.find(|opening| taken.insert(*opening)).unwrap_or(first);
        Run {
            key: actor.incident_key(opening),
            opening,
            actor: actor.clone(),
            first,
            last: episodes().map(|episode| episode.last).max().unwrap_or(first),
            level: findings.iter().map(|finding| finding.rule.level).max().unwrap_or(Level::Informational),
            clusters: findings.iter().flat_map(|finding| finding.clusters.iter().map(String::as_str)).collect(),
            findings,
        }
    }

    /// Returns the second from which on no finding can join it any more, and none of its own can grow.
    pub(super) fn quiet_from(&self, quiet_seconds: i64) -> Second {
        let grown_until = self.findings.iter().map(|finding| finding.episode.last.plus(finding.quiet_seconds));
        grown_until.fold(self.quiet_since(quiet_seconds).plus(quiet_seconds), Second::max)
    }

    /// Returns when its quiet time begins: with its last request, or, of a crowd, so that it ends with the day.
    pub(super) fn quiet_since(&self, quiet_seconds: i64) -> Second {
        match self.actor {
            Actor::Crowd { .. } => {
                self.last.max(Second((day_of(self.first) + 1).saturating_mul(DAY_SECONDS)).plus(-quiet_seconds))
            }
            Actor::Account { .. } | Actor::Address(_) => self.last,
        }
    }

    /// Returns whether it asked the cluster of the crowd, or any if the crowd is one of all clusters.
    pub(super) fn is_with(&self, crowd: &Run<'_>) -> bool {
        crowd.actor.cluster().is_none_or(|cluster| self.clusters.contains(cluster))
    }

    /// Returns every source that its findings name, each with the finding.
    pub(super) fn named(&self) -> impl Iterator<Item = (SourceIp, &'f Finding)> {
        self.findings.iter().flat_map(|finding| {
            finding.source_ip().into_iter().chain(finding.sources.iter()).map(move |source| (source, *finding))
        })
    }
}

fn day_of(at: Second) -> i64 {
    at.0.div_euclid(DAY_SECONDS)
}

/// Returns the runs of all actors, in the order of the actors, then of time.
pub(super) fn runs<'f>(findings: impl IntoIterator<Item = &'f Finding>, quiet_seconds: i64) -> Vec<Run<'f>> {
    let mut by_actor: BTreeMap<Actor, Vec<&Finding>> = BTreeMap::new();
    for finding in findings.into_iter().filter(|finding| !matches!(finding.status, FindingStatus::MergedInto(_))) {
        by_actor.entry(Actor::of(finding)).or_default().push(finding);
    }
    let mut runs = Vec::new();
    for (actor, mut findings) in by_actor {
        findings.sort_by_key(|finding| (finding.episode, finding.key));
        let mut taken = BTreeSet::new();
        let mut rest = &findings[..];
        while let Some(first) = rest.first() {
            let mut last = first.episode.last;
            let goes_on = rest.iter().take_while(|finding| {
                let is_part = is_part(&actor, first, last, finding, quiet_seconds);
                last = last.max(finding.episode.last);
                is_part
            });
            let (run, after) = rest.split_at(goes_on.count());
            runs.push(Run::of(&actor, run.to_vec(), &mut taken));
            rest = after;
        }
    }
    runs
}

/// Returns whether `finding` is a part of the run that begins with `first` and whose last request so far is at `last`.
fn is_part(actor: &Actor, first: &Finding, last: Second, finding: &Finding, quiet_seconds: i64) -> bool {
    if matches!(actor, Actor::Crowd { .. }) {
        return day_of(first.episode.first) == day_of(finding.episode.first);
    }
    let is_near = finding.episode.first.0.saturating_sub(last.0) <= quiet_seconds;
    let is_early = finding.episode.first <= first.episode.first.plus(SPAN_DAYS_MAX * DAY_SECONDS);
    // What was reported as one stays one.
    let is_named = first.incident.zip(finding.incident).is_some_and(|(first, other)| first.opening == other.opening);
    is_near && (is_early || is_named)
}
