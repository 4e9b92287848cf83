//! Which findings of one actor are one incident.

use std::collections::BTreeMap;

use super::{Actor, IncidentKey};
use crate::address::SourceIp;
use crate::finding::{Finding, FindingStatus};
use crate::rule::Level;
use crate::time::Second;

/// Seconds of a day.
const DAY_SECONDS: i64 = 24 * 3_600;

/// The findings of one actor that are one incident.
pub(super) struct Run<'f> {
    pub(super) key: IncidentKey,
    pub(super) actor: Actor,
    /// In the order of their episodes.
    pub(super) findings: Vec<&'f Finding>,
    pub(super) first: Second,
    pub(super) last: Second,
    /// The highest level of their rules.
    pub(super) level: Level,
}

impl<'f> Run<'f> {
    fn of(actor: &Actor, findings: Vec<&'f Finding>) -> Run<'f> {
        let episodes = || findings.iter().map(|finding| &finding.episode);
        let first = episodes().map(|episode| episode.first).min().unwrap_or(Second(0));
        Run {
            key: IncidentKey::new(actor, first),
            actor: actor.clone(),
            first,
            last: episodes().map(|episode| episode.last).max().unwrap_or(first),
            level: findings.iter().map(|finding| finding.rule.level).max().unwrap_or(Level::Informational),
            findings,
        }
    }

    /// Returns the second from which on no finding can join it any more, and none of its own can grow.
    pub(super) fn quiet_from(&self, quiet_seconds: i64) -> Second {
        let joined_until = match self.actor {
            Actor::Crowd { .. } => Second((day_of(self.first) + 1).saturating_mul(DAY_SECONDS)),
            Actor::Account { .. } | Actor::Address(_) => self.last.plus(quiet_seconds),
        };
        let grown_until = self.findings.iter().map(|finding| finding.episode.last.plus(finding.quiet_seconds));
        grown_until.fold(joined_until, Second::max)
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
        let is_crowd = matches!(actor, Actor::Crowd { .. });
        let mut last = Second(i64::MIN);
        let goes_on = |before: &&Finding, finding: &&Finding| {
            last = last.max(before.episode.last);
            if is_crowd {
                day_of(before.episode.first) == day_of(finding.episode.first)
            } else {
                finding.episode.first.0.saturating_sub(last.0) <= quiet_seconds
            }
        };
        runs.extend(findings.chunk_by(goes_on).map(|run| Run::of(&actor, run.to_vec())));
    }
    runs
}
