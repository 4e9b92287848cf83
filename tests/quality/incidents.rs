//! Incidents of the labelled recordings: one for each attacker, and no attacker in two.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use ipnet::IpNet;
use serde_json::Value;

use super::labels::{self, Attacker, Labels};
use super::{SEVERITY_MIN, data, network, printed, replay};

/// From so many sources on, a technique is one attacker's who owns them all.
const SOURCES_MANY: usize = 10;
/// Fewest sources of a crowd.
const CROWD_SOURCES_MIN: usize = 3;

/// An incident, as far as it is judged.
#[derive(Debug)]
struct Incident {
    kind: String,
    /// OCSF's `severity_id`.
    severity: u64,
    sources: BTreeSet<IpNet>,
}

/// A labelled recording.
struct Recording {
    name: String,
    path: PathBuf,
    attackers: BTreeMap<IpNet, Attacker>,
}

fn recordings() -> Vec<Recording> {
    let quality = labels::all().into_iter().map(|(name, labels)| {
        let paths = ["audit", "quality"].map(|folder| data(&format!("{folder}/{name}.audit.log.gz")));
        (name, paths.into_iter().find(|path| path.exists()).expect("recorded"), labels)
    });
    let blind = labels::of("blind/labels.json").into_iter().map(|(name, labels)| {
        let path = data(&format!("blind/{name}.audit.log.zst"));
        (name, path, labels)
    });
    let recording = |(name, path, labels): (String, PathBuf, Labels)| Recording {
        name,
        path,
        attackers: labels::attackers(&labels),
    };
    quality.chain(blind).map(recording).collect()
}

impl Recording {
    /// Returns the attacker that a source belongs to: a technique of many sources, or the source itself.
    fn attacker_of(&self, source: &IpNet) -> Option<String> {
        let attacker = self.attackers.get(source)?;
        let alike = self.attackers.values().filter(|other| other.technique == attacker.technique);
        let sources: BTreeSet<IpNet> = alike.map(|other| other.source).collect();
        let is_many = sources.len() >= SOURCES_MANY;
        Some(if is_many { attacker.technique.clone() } else { attacker.source.to_string() })
    }

    fn incidents(&self) -> Vec<Incident> {
        let text = printed(&self.path, "incidents");
        text.lines().map(|line| incident(&serde_json::from_str(line).expect("a JSON object a line"))).collect()
    }
}

fn incident(object: &Value) -> Incident {
    let details = &object["unmapped"]["incident"];
    let sources = details["sources"].as_array().expect("sources").iter().map(|source| {
        let text = source.as_str().expect("a text");
        text.parse::<IpNet>().unwrap_or_else(|_| network(text))
    });
    Incident {
        kind: details["actor"]["kind"].as_str().expect("a kind").to_owned(),
        severity: object["severity_id"].as_u64().expect("a severity"),
        sources: sources.collect(),
    }
}

/// Whether a technique is that of somebody who uses an account of others.
fn uses_account(technique: &str) -> bool {
    technique.starts_with("stolen-") || ["exec-attempts", "impersonation", "token-and-csr"].contains(&technique)
}

#[test]
fn each_attacker_is_one_incident() {
    for recording in recordings() {
        let Recording { name, attackers, .. } = &recording;
        let incidents = recording.incidents();
        let found: BTreeSet<IpNet> = replay(&recording.path).into_iter().flat_map(|finding| finding.sources).collect();
        for source in found.iter().filter(|source| attackers.contains_key(source)) {
            let holding: Vec<_> = incidents.iter().filter(|incident| incident.sources.contains(source)).collect();
            assert_eq!(holding.len(), 1, "{name}: {source}: {holding:#?}");
            let expects_account = uses_account(&attackers[source].technique);
            assert!(!expects_account || holding[0].kind == "account", "{name}: {source}: {holding:#?}");
        }
        let about_attackers: Vec<&Incident> = incidents
            .iter()
            .filter(|incident| incident.severity >= SEVERITY_MIN)
            .filter(|incident| incident.sources.iter().any(|source| attackers.contains_key(source)))
            .collect();
        let actors: BTreeSet<String> = attackers.keys().filter_map(|source| recording.attacker_of(source)).collect();
        assert!(about_attackers.len() <= actors.len(), "{name}: {} actors: {about_attackers:#?}", actors.len());
        for incident in &incidents {
            let held: BTreeSet<String> =
                incident.sources.iter().filter_map(|source| recording.attacker_of(source)).collect();
            match incident.kind.as_str() {
                "address" => assert!(held.len() <= 1, "{name}: {incident:#?}"),
                // Somebody may use one stolen account from several addresses.
                "account" => {
                    let mut attacking = incident.sources.iter().filter_map(|source| attackers.get(source));
                    let is_one = held.len() <= 1 || attacking.all(|attacker| uses_account(&attacker.technique));
                    assert!(is_one, "{name}: {incident:#?}");
                }
                _ => assert!(incident.sources.len() >= CROWD_SOURCES_MIN, "{name}: {incident:#?}"),
            }
        }
    }
}
