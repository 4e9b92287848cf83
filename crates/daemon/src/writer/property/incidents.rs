//! A property: the incidents that are reported while windows are read in any order, with rereads, restarts and late records,
//! are those that one computation over all findings makes.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::test_runner::TestCaseError;
use proptest::{prop_assert, prop_assert_eq};
use stakeout_core::delivery::Activity;
use stakeout_core::finding::{Finding, FindingKey};
use stakeout_core::fold::Limits;
use stakeout_core::incident::{Actor, Incident, IncidentKey, IncidentOptions, incidents};
use stakeout_core::route::Subjects;

use super::place::EngineKind;
use super::world::{Setting, World};
use super::{RULES, for_each_world};

/// Rules about accounts and crowds, with levels of which an address may be above or below.
const MORE_RULES: &str = "
---
title: Account Refused
name: account-refused
level: high
correlation:
  {type: event_count, rules: [refused], group-by: [cluster, user.username], timespan: 10m, condition: {gte: 2}}
stakeout: {dedup_period: 20m}
---
title: Account Listed
name: account-listed
level: low
correlation: {type: event_count, rules: [listed], group-by: [user.username], timespan: 5m, condition: {gte: 1}}
stakeout: {dedup_period: 5m}
---
title: Crowd Of A Cluster
name: crowd-of-a-cluster
level: medium
correlation:
  {type: value_count, rules: [refused], group-by: [cluster], timespan: 15m, condition: {field: source_ip, gte: 3}}
stakeout: {dedup_period: 15m}
";

/// What an incident is reported to be. Which sources it owns changes with what others do, and is not reported again.
#[derive(Debug, PartialEq, Eq)]
struct Reported {
    title: String,
    level: String,
    own: BTreeSet<FindingKey>,
    findings: Vec<FindingKey>,
    steps: String,
    parent: Option<IncidentKey>,
}

fn reported(incident: &Incident) -> Reported {
    Reported {
        title: incident.title.clone(),
        level: incident.level.to_string(),
        own: incident.own.iter().copied().collect(),
        findings: match incident.actor {
            // What the addresses of a crowd did by themselves goes to the archive by itself.
            Actor::Crowd { .. } => Vec::new(),
            Actor::Account { .. } | Actor::Address(_) => incident.findings.iter().map(|(key, _)| *key).collect(),
        },
        steps: format!("{:?}", incident.steps),
        parent: incident.parent,
    }
}

/// Returns whether it ends before the timeline does: a crowd lasts until its day is over.
fn is_over(incident: &Incident) -> bool {
    !matches!(incident.actor, Actor::Crowd { .. })
}

fn check(world: &World, options: &IncidentOptions) -> Result<(), TestCaseError> {
    let findings: Vec<&Finding> = world.stored.values().collect();
    let now: BTreeMap<IncidentKey, Incident> =
        incidents(findings.iter().copied(), options).into_iter().map(|incident| (incident.key, incident)).collect();
    let anew: Vec<Finding> = findings.iter().map(|one| Finding { incident: None, ..(*one).clone() }).collect();
    let of = |incidents: &[Incident]| -> BTreeSet<BTreeSet<FindingKey>> {
        incidents.iter().map(|incident| incident.own.iter().copied().collect()).collect()
    };
    let stored: Vec<Incident> = now.values().cloned().collect();
    prop_assert_eq!(of(&stored), of(&incidents(&anew, options)), "the same findings are together");
    for incident in now.values() {
        for key in &incident.own {
            let named = Actor::incident_of(&world.stored[key]);
            prop_assert_eq!(
                named,
                Some(incident.key),
                "finding {} names its incident: {:#?}",
                key,
                incident
                    .own
                    .iter()
                    .map(|key| {
                        let f = &world.stored[key];
                        (f.rule.name.clone(), f.episode, f.incident, f.status, f.late)
                    })
                    .collect::<Vec<_>>()
            );
        }
    }
    for (key, incident) in &now {
        let heard = world.reported.incidents.get(key).map_or(&[][..], Vec::as_slice);
        if incident.parent.is_none() {
            let Some((activity, last)) = heard.last() else {
                return Err(TestCaseError::fail(format!("nobody heard of {incident:?}")));
            };
            prop_assert_eq!(reported(last), reported(incident), "as last reported");
            prop_assert_eq!(*activity == Activity::Close, is_over(incident), "the end of {} is reported", key);
        }
    }
    for (key, heard) in &world.reported.incidents {
        prop_assert_eq!(heard[0].0, Activity::Create, "{} begins", key);
        for pair in heard.windows(2) {
            let begins_anew = pair[1].0 == Activity::Create;
            prop_assert!(!begins_anew || pair[0].0 == Activity::Close, "{} begins twice", key);
        }
        if now.get(key).is_none_or(is_over) {
            prop_assert_eq!(heard.last().map(|(activity, _)| *activity), Some(Activity::Close), "{} ends", key);
        }
    }
    Ok(())
}

#[test]
fn reported_incidents_are_those_of_all_findings_at_once() {
    let options = IncidentOptions { quiet_seconds: 900, ..IncidentOptions::default() };
    let daemon = Setting {
        limits: Limits::default(),
        rules: format!("{RULES}{MORE_RULES}"),
        incidents: options,
        subjects: Subjects::Incidents,
        engine: EngineKind::Embedded,
    };
    let met = Cell::new([0_usize; 4]);
    for_each_world(&daemon, 60, |_, world| {
        let all = incidents(world.stored.values(), &options);
        let is_joined = |key: &&IncidentKey| !all.iter().any(|incident| incident.key == **key);
        let [reported, parts, joined, again] = met.get();
        met.set([
            reported + world.reported.incidents.len(),
            parts + all.iter().filter(|incident| incident.parent.is_some()).count(),
            joined + world.reported.incidents.keys().filter(is_joined).count(),
            again + world.reported.incidents.values().filter(|heard| heard.len() > 2).count(),
        ]);
        check(world, &options)
    });
    let met = met.get();
    eprintln!("reported, parts of others, joined with others, changed: {met:?}");
    assert!(met[0] < 800 || met.iter().all(|times| *times > 0), "the timelines lack some hard cases and prove nothing");
}
