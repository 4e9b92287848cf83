//! What a commit and a message need of the stored findings to know the incidents around them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use stakeout_core::finding::{Finding, FindingKey, FindingStatus};
use stakeout_core::fold::{Decided, IncidentInput};
use stakeout_core::incident::{Actor, IncidentKey, NearbyFindings, incidents_with};
use stakeout_core::shown::{Shown, ShownIncident};
use stakeout_core::time::Second;
use stakeout_ledger::{Ledger, LedgerError};

use super::close::{EngineConfig, QUIET_MAX};
use super::{AskedIncidents, ReportedIncidents};

/// Most findings that were merged one into the other and are followed to the one that lives.
const MERGES_MAX: usize = 16;

/// Reads the findings around those that the commit touches, around those whose incidents may be over, and around those that may
/// go to the archive: the findings `over`, of which `is_over` says which they are.
pub(super) fn input(
    ledger: &Ledger,
    config: &EngineConfig,
    decided: &Decided<'_>,
    read_until: Second,
    over: &[Finding],
    is_over: impl Fn(&Finding) -> bool,
) -> Result<IncidentInput, LedgerError> {
    let options = &config.incidents;
    let quiet_before = ledger.quiet_before()?;
    let (quiet, quiet_before_now) = ledger.findings_quiet_until(read_until.plus(-options.quiet_seconds), QUIET_MAX)?;
    let mut actors = decided.actors_before();
    actors.extend(over.iter().chain(&quiet).map(Actor::of));
    let nearby = NearbyFindings::new(decided.touched(), actors, options.quiet_seconds);
    let nearby = read(nearby, |actors| ledger.findings_of_actors(actors))?;
    let mut known_over = HashSet::new();
    for finding in nearby.before().filter(|finding| is_over(finding)) {
        if ledger.is_reported(finding.key)? {
            known_over.insert(finding.key);
        }
    }
    let silenced = if config.has_silences { silenced(ledger, config, &nearby)? } else { HashMap::new() };
    Ok(IncidentInput { nearby, options: *options, quiet_before, quiet_before_now, over: known_over, silenced })
}

/// Returns which of the nearby incidents were silenced, for each destination.
fn silenced(
    ledger: &Ledger,
    config: &EngineConfig,
    nearby: &NearbyFindings,
) -> Result<HashMap<String, HashSet<IncidentKey>>, LedgerError> {
    let incidents: HashSet<IncidentKey> = nearby.before().filter_map(Actor::incident_of).collect();
    let mut silenced = HashMap::new();
    for filter in &config.notification_filters {
        let shown = ledger.shown(&filter.destination, incidents.iter().copied())?;
        silenced.insert(filter.destination.clone(), of_silenced(shown));
    }
    Ok(silenced)
}

fn of_silenced(shown: HashMap<IncidentKey, ShownIncident>) -> HashSet<IncidentKey> {
    shown.into_iter().filter(|(_, shown)| shown.shown == Shown::Silenced).map(|(key, _)| key).collect()
}

/// Returns the incidents that the findings are a part of now, by the keys that are asked for, and which of them are silenced.
pub(super) fn reported(ledger: &Ledger, question: &AskedIncidents) -> Result<ReportedIncidents, LedgerError> {
    let shown = ledger.shown(&question.destination, question.asked.iter().map(|(key, _)| *key))?;
    // A crowd has the findings of thousands of addresses, so one is read after another; all others are read together.
    let mut read_together: BTreeMap<Option<Actor>, Vec<(IncidentKey, Finding)>> = BTreeMap::new();
    for (key, finding) in &question.asked {
        if let Some(finding) = living_finding(ledger, *finding)? {
            let crowd = Some(Actor::of(&finding)).filter(|actor| matches!(actor, Actor::Crowd { .. }));
            read_together.entry(crowd).or_default().push((*key, finding));
        }
    }
    let mut reported = ReportedIncidents { shown, ..ReportedIncidents::default() };
    for asked in read_together.into_values() {
        add_reported(ledger, &asked, question, &mut reported)?;
    }
    Ok(reported)
}

fn add_reported(
    ledger: &Ledger,
    asked: &[(IncidentKey, Finding)],
    question: &AskedIncidents,
    reported: &mut ReportedIncidents,
) -> Result<(), LedgerError> {
    let AskedIncidents { options, silences, now, .. } = question;
    let mut living: HashMap<FindingKey, Vec<IncidentKey>> = HashMap::new();
    for (key, finding) in asked {
        living.entry(finding.key).or_default().push(*key);
    }
    let nearby = NearbyFindings::whole(asked.iter().map(|(_, finding)| finding), options.quiet_seconds);
    let nearby = read(nearby, |actors| ledger.findings_of_actors_without_evidence(actors))?;
    let by_key: HashMap<FindingKey, &Finding> = match silences.is_any_active(*now) {
        true => nearby.after().map(|finding| (finding.key, finding)).collect(),
        false => HashMap::new(),
    };
    for incident in incidents_with(nearby.after(), options, |finding| living.contains_key(&finding)) {
        let asked = incident.own.iter().filter_map(|key| living.get(key)).flatten();
        let mut is_silenced = None;
        for key in asked {
            // A finding that was named earlier may be a part of another by now.
            if incident.key == *key || !reported.incidents.contains_key(key) {
                let findings = || incident.findings.iter().filter_map(|(key, _)| by_key.get(key).copied());
                if *is_silenced.get_or_insert_with(|| silences.silence(findings(), *now).is_some()) {
                    reported.silenced.insert(*key);
                } else {
                    reported.silenced.remove(key);
                }
                reported.incidents.insert(*key, incident.clone());
            }
        }
    }
    Ok(())
}

/// Returns the finding, or the one that it was merged into; `None` if it is not stored any more.
fn living_finding(ledger: &Ledger, mut key: FindingKey) -> Result<Option<Finding>, LedgerError> {
    for _ in 0..MERGES_MAX {
        match ledger.finding(&key)? {
            Some(Finding { status: FindingStatus::MergedInto(into), .. }) => key = into,
            found => return Ok(found),
        }
    }
    Ok(None)
}

fn read(
    mut nearby: NearbyFindings,
    findings_of: impl Fn(&BTreeSet<Actor>) -> Result<Vec<Finding>, LedgerError>,
) -> Result<NearbyFindings, LedgerError> {
    loop {
        let wanted = nearby.next_actors();
        if wanted.is_empty() {
            return Ok(nearby);
        }
        nearby.add(findings_of(&wanted)?);
    }
}
