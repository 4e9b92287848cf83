//! The recordings, and evasions made from them: recall, false accusations, findings.

use std::collections::BTreeMap;

use super::labels::{self, Score};
use super::{data, replay};

/// Findings that a technique may take beyond one for each of its sources.
const FINDINGS_PER_TECHNIQUE_MAX: usize = 2;
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
fn attackers_are_found_and_nobody_else() {
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
        let findings: usize = score.findings.values().sum();
        assert!(findings <= most, "{name}: {findings} findings, at most {most}: {:?}", score.findings);
    }
}
