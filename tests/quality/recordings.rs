//! The recordings, and evasions made from them: recall, false accusations, findings.

use std::collections::{BTreeMap, BTreeSet};

use super::labels::{self, Score};
use super::{Finding, data, network, replay, replay_all};

/// Findings that a technique may take beyond one for each of its sources: an account that asks what it may do, looks around
/// and looks for a way up does three things.
const FINDINGS_PER_TECHNIQUE_MAX: usize = 4;
/// From so many sources on, a technique is one attacker's who owns them all: naming each of them helps nobody.
const SOURCES_MANY: usize = 50;

fn scores() -> BTreeMap<String, Score> {
    let scores = labels::all().into_iter().map(|(name, labels)| {
        let paths = ["audit", "quality"].map(|folder| data(&format!("{folder}/{name}.audit.log.gz")));
        let path = paths.iter().find(|path| path.exists()).unwrap_or_else(|| panic!("{name} is recorded"));
        let score = Score::of(&labels, &replay(path));
        (name, score)
    });
    scores.collect()
}

/// The figures that the rules are shipped with.
#[test]
fn only_attackers_are_found() {
    let scores = scores();
    let accused: Vec<_> = scores.iter().filter(|(_, score)| !score.accused.is_empty()).collect();
    assert!(accused.is_empty(), "{accused:?}");

    let mut techniques: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (technique, (found, all)) in scores.values().flat_map(|score| &score.techniques) {
        let sum = techniques.entry(technique).or_default();
        *sum = (sum.0 + found, sum.1 + all);
    }
    assert_eq!(techniques.len(), 29);
    let share = |(found, all): (usize, usize)| found as f64 / all as f64;
    let recall = share(techniques.values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1)));
    let macro_recall = techniques.values().map(|one| share(*one)).sum::<f64>() / techniques.len() as f64;
    assert!(recall >= 0.98 && macro_recall >= 0.95, "{recall}, {macro_recall}: {techniques:?}");
}

#[test]
fn an_attack_takes_few_findings() {
    for (name, score) in scores() {
        let spread: usize =
            score.techniques.values().map(|(_, all)| all).filter(|all| **all >= SOURCES_MANY).map(|all| all - 1).sum();
        let most = score.attackers() - spread + FINDINGS_PER_TECHNIQUE_MAX * score.techniques.len();
        // One rule needs one request only, and names one address in each finding.
        let lone = "kubernetes-probing-without-credentials";
        let findings: usize = score.findings.iter().filter(|(rule, _)| *rule != lone).map(|(_, number)| number).sum();
        assert!(findings <= most, "{name}: {findings} findings, at most {most}: {:?}", score.findings);
    }
}

/// Whoever cannot log in is named, also where it is an expired login of the cluster's own that no rule may accuse.
#[test]
fn each_burst_of_failed_authentications_is_named() {
    let findings = replay_all(&data("audit/auth-failures.audit.log.gz"));
    let sources = |fits: &dyn Fn(&Finding) -> bool| -> BTreeSet<_> {
        findings.iter().filter(|finding| fits(finding)).flat_map(|finding| &finding.sources).copied().collect()
    };
    let failing = ["5.5.5.80", "5.5.5.81", "5.5.5.82", "10.0.3.30", "54.10.0.30"].map(network);
    assert_eq!(sources(&|finding| finding.rule == "kubernetes-authentication-failures"), BTreeSet::from(failing));
    // Half of this one's ten were at a health endpoint, where a rule of its own waits.
    assert!(sources(&|finding| finding.severity > 1).contains(&network("5.5.5.86")));
}
