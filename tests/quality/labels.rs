//! What is known of every source of a recording, and how findings are judged by it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

use super::{Finding, by_rule, data, network};

/// What is known of one source.
#[derive(Debug, Deserialize)]
pub(super) struct Label {
    label: Kind,
    technique: String,
    /// Other addresses that name it as rightly.
    #[serde(default)]
    aliases: Vec<IpAddr>,
    /// Whether finding it is neither expected nor wrong.
    #[serde(default)]
    doubtful: bool,
    #[serde(default)]
    neutral: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Attack,
    Benign,
    Infrastructure,
    /// A misconfiguration: tolerable in a finding, but nothing that anybody waits for.
    Noisy,
}

/// The labels of one recording, by address.
pub(super) type Labels = BTreeMap<IpAddr, Label>;

/// Returns the labels of every recording, by its name.
pub(super) fn all() -> BTreeMap<String, Labels> {
    of("quality/labels.json")
}

/// Returns the labels in a file of the test data.
pub(super) fn of(file: &str) -> BTreeMap<String, Labels> {
    let text = std::fs::read_to_string(data(file)).expect("readable");
    let all: BTreeMap<String, serde_json::Value> = serde_json::from_str(&text).expect("JSON");
    let recordings = all.into_iter().filter(|(name, _)| !name.starts_with('_'));
    recordings.map(|(name, labels)| (name, serde_json::from_value(labels).expect("labels"))).collect()
}

/// A source that attacks.
#[derive(Clone, Debug)]
pub(super) struct Attacker {
    /// Its labelled address.
    pub(super) source: IpNet,
    pub(super) technique: String,
}

/// Returns the attackers by every address that names them.
pub(super) fn attackers(labels: &Labels) -> BTreeMap<IpNet, Attacker> {
    let source = |address: &IpAddr| network(&address.to_string());
    let attacking = labels.iter().filter(|(_, label)| label.label == Kind::Attack);
    let named = attacking.flat_map(|(address, label)| {
        let attacker = Attacker { source: source(address), technique: label.technique.clone() };
        std::iter::once(address).chain(&label.aliases).map(move |address| (source(address), attacker.clone()))
    });
    named.collect()
}

/// What the findings of one recording are worth.
#[derive(Debug, Default)]
pub(super) struct Score {
    /// Of each technique, how many sources were found, and how many there are.
    pub(super) techniques: BTreeMap<String, (usize, usize)>,
    /// Whom a finding accuses who is no attacker.
    pub(super) accused: BTreeSet<String>,
    /// How many findings there are of each rule.
    pub(super) findings: BTreeMap<String, usize>,
}

impl Score {
    /// Judges the findings of a recording.
    pub(super) fn of(labels: &Labels, findings: &[Finding]) -> Score {
        let rules = by_rule(findings).into_iter().map(|(rule, number)| (rule.to_owned(), number));
        let mut score = Score { findings: rules.collect(), ..Score::default() };
        let mut found = BTreeSet::new();
        for source in findings.iter().flat_map(|finding| &finding.sources) {
            let named: Vec<_> = labels
                .iter()
                .filter(|(address, label)| {
                    source.contains(*address) || label.aliases.iter().any(|alias| source.contains(alias))
                })
                .collect();
            if named.is_empty() {
                score.accused.insert(format!("{source}, of whom nothing is known"));
            }
            for (address, label) in named {
                if label.label == Kind::Attack {
                    found.insert(*address);
                } else if !label.neutral {
                    score.accused.insert(format!("{address}, {:?}: {}", label.label, label.technique));
                }
            }
        }
        for (address, label) in labels.iter().filter(|(_, label)| label.label == Kind::Attack && !label.doubtful) {
            let technique = score.techniques.entry(label.technique.clone()).or_default();
            technique.0 += usize::from(found.contains(address));
            technique.1 += 1;
        }
        score
    }

    /// Returns how many sources attack, as far as that is beyond doubt.
    pub(super) fn attackers(&self) -> usize {
        self.techniques.values().map(|(_, all)| all).sum()
    }
}
