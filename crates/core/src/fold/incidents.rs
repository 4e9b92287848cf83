//! What a commit does to the incidents around the findings that it changes.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::findings::Findings as ChangedFindings;
use crate::finding::{Finding, FindingKey, FindingStatus};
use crate::incident::{Actor, Incident, IncidentOptions, NearbyFindings};
use crate::incident_change::{self, Findings, IncidentChange};
use crate::incident_key::{IncidentKey, IncidentPart};
use crate::time::Second;

/// The stored findings that decide about incidents.
pub struct IncidentInput {
    /// The findings around those that the commit touches.
    pub nearby: NearbyFindings,
    /// How incidents are joined and rated.
    pub options: IncidentOptions,
    /// Incidents whose quiet time began before this were over before the commit.
    pub quiet_before: Second,
    /// Incidents whose quiet time began before this are over after it, if none of their findings is open.
    pub quiet_before_now: Second,
    /// Which of these findings are over, have no pending delivery, and can be joined by no late event.
    pub over: HashSet<FindingKey>,
    /// The incidents that were silenced for each destination: what it hears of them next is their beginning.
    pub silenced: HashMap<String, HashSet<IncidentKey>>,
}

/// What a commit changes of incidents.
#[derive(Default)]
pub(super) struct DecidedIncidents {
    pub(super) changes: Vec<IncidentChange>,
    /// Findings that go to the archive.
    pub(super) archived: Vec<FindingKey>,
}

/// Decides about the incidents around `findings`, and notes in the findings which incident they are a part of.
pub(super) fn decide(findings: &mut ChangedFindings, input: &IncidentInput) -> DecidedIncidents {
    let before: Vec<&Finding> = input.nearby.before().collect();
    let after: Vec<&Finding> = input.nearby.after().collect();
    let changed = incident_change::changes(
        Findings { findings: &before, quiet_before: input.quiet_before },
        Findings { findings: &after, quiet_before: input.quiet_before_now },
        &input.options,
    );
    let by_key: HashMap<FindingKey, &Finding> = after.iter().map(|finding| (finding.key, *finding)).collect();
    for incident in &changed.after {
        let part = IncidentPart { opening: incident.opening, quiet_since: incident.quiet_since };
        let own = incident.own.iter().filter_map(|key| by_key.get(key));
        own.for_each(|finding| findings.note_incident(finding, part));
    }
    let is_over = |key: &&FindingKey| {
        input.over.contains(*key) && by_key.get(*key).is_some_and(|finding| !findings.writes(finding))
    };
    let merged = after.iter().filter(|finding| matches!(finding.status, FindingStatus::MergedInto(_)));
    let mut archived: Vec<FindingKey> = merged.map(|finding| &finding.key).filter(is_over).copied().collect();
    let mut waiting = Vec::new();
    let is_known = |incident: &Incident| {
        let own = incident.own.iter().filter_map(|key| by_key.get(key).copied());
        input.nearby.is_known(&incident.actor, own)
    };
    for unit in units(&changed.after, is_known) {
        let own = || unit.iter().flat_map(|incident| &incident.own);
        let quiet_since = unit.iter().map(|incident| incident.quiet_since).max().unwrap_or(Second(i64::MIN));
        let is_over_whole = |incident: &&Incident| !incident.is_open && is_known(incident);
        let is_quiet = quiet_since < input.quiet_before_now && unit.iter().all(is_over_whole);
        if is_quiet && own().all(|key| is_over(&key)) {
            archived.extend(own());
            continue;
        }
        for incident in unit {
            let part = IncidentPart { opening: incident.opening, quiet_since };
            let known = incident.own.iter().filter(is_over).filter_map(|key| by_key.get(key).copied());
            waiting.extend(known.filter(|finding| finding.quiet_since() < quiet_since).map(|finding| (finding, part)));
        }
    }
    for (finding, part) in waiting {
        findings.put_off(finding, part);
    }
    DecidedIncidents { changes: changed.changes, archived }
}

/// Returns the incidents in groups that go to the archive together: an incident with those that are a part of it. A crowd is
/// reported without them. Of what is not known whole, nobody can say whether a part of it goes on.
fn units(incidents: &[Incident], is_known: impl Fn(&Incident) -> bool) -> Vec<Vec<&Incident>> {
    let has_parts = |incident: &&Incident| !matches!(incident.actor, Actor::Crowd { .. }) && is_known(incident);
    let with_parts: HashSet<IncidentKey> = incidents.iter().filter(has_parts).map(|incident| incident.key).collect();
    let mut units: BTreeMap<IncidentKey, Vec<&Incident>> = BTreeMap::new();
    for incident in incidents {
        let parent = incident.parent.filter(|parent| with_parts.contains(parent));
        units.entry(parent.unwrap_or(incident.key)).or_default().push(incident);
    }
    units.into_values().collect()
}
