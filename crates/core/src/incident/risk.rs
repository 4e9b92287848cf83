//! The risk of an incident: the sum of what its rules count for within a day, and which level that is.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::Finding;
use crate::rule::{Level, RuleHead};

/// How long, in seconds, the risk of rules is summed up.
const RISK_SECONDS: i64 = 24 * 3_600;

/// Which risk raises the level of an incident, after Splunk's risk notables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RiskLevels {
    /// From this sum on, at least medium.
    pub medium: u32,
    /// From this sum on, at least high.
    pub high: u32,
    /// From this sum on, critical.
    pub critical: u32,
    /// So many ATT&CK tactics, together with so many rules, are at least medium.
    pub tactics: usize,
    /// So many rules, together with so many tactics, are at least medium.
    pub rules: usize,
}

impl Default for RiskLevels {
    fn default() -> RiskLevels {
        RiskLevels { medium: 100, high: 250, critical: 500, tactics: 3, rules: 4 }
    }
}

/// The risk of some findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Risk {
    /// The greatest sum within a day.
    pub(super) score: u32,
    /// The level that it is at least.
    pub(super) level: Level,
}

/// What a rule counts for: its score and its tactics.
type Weight<'f> = (u32, &'f [String]);

/// The rules of one day, each with its versions and how many findings have them: people change the score of a rule.
type Day<'f> = BTreeMap<&'f str, BTreeMap<Weight<'f>, usize>>;

/// Returns the risk of the findings: of each day that begins at the first second of one, the scores of the distinct rules of
/// level low and above are summed up.
pub(super) fn of(findings: &[&Finding], levels: &RiskLevels) -> Risk {
    let mut counted: Vec<&Finding> =
        findings.iter().copied().filter(|finding| finding.rule.level >= Level::Low).collect();
    counted.sort_by_key(|finding| finding.episode.first);
    let mut day = Day::new();
    let mut risk = Risk { score: 0, level: Level::Informational };
    let mut end = 0;
    for begin in &counted {
        let latest = begin.episode.first.plus(RISK_SECONDS);
        let before = end;
        while let Some(finding) = counted.get(end).filter(|finding| finding.episode.first <= latest) {
            *day.entry(&finding.rule.name).or_default().entry(weight(&finding.rule)).or_default() += 1;
            end += 1;
        }
        // A day that only loses findings has no greater risk.
        if end > before {
            let sum = Sum::of(&day);
            risk.score = risk.score.max(sum.score);
            risk.level = risk.level.max(sum.level(levels));
        }
        remove(&mut day, &begin.rule);
    }
    risk
}

fn weight(rule: &RuleHead) -> Weight<'_> {
    (rule.risk_score, &rule.tactics)
}

fn remove<'f>(day: &mut Day<'f>, rule: &'f RuleHead) {
    if let Some(versions) = day.get_mut(rule.name.as_str()) {
        if let Some(findings) = versions.get_mut(&weight(rule)) {
            *findings -= 1;
        }
        versions.retain(|_, findings| *findings > 0);
        if versions.is_empty() {
            day.remove(rule.name.as_str());
        }
    }
}

/// What the rules of one day come to.
struct Sum {
    score: u32,
    tactics: usize,
    rules: usize,
}

impl Sum {
    fn of(day: &Day<'_>) -> Sum {
        let highest = day.values().filter_map(|versions| versions.keys().map(|(score, _)| *score).max());
        let tactics = day.values().flat_map(|versions| versions.keys().flat_map(|(_, tactics)| tactics.iter()));
        Sum {
            score: highest.fold(0, u32::saturating_add),
            tactics: tactics.collect::<BTreeSet<_>>().len(),
            rules: day.len(),
        }
    }

    fn level(&self, levels: &RiskLevels) -> Level {
        match self.score {
            score if score >= levels.critical => Level::Critical,
            score if score >= levels.high => Level::High,
            score if score >= levels.medium => Level::Medium,
            _ if self.tactics >= levels.tactics && self.rules >= levels.rules => Level::Medium,
            _ => Level::Informational,
        }
    }
}
