//! The story of an incident: a sentence, and its steps. A step is what one rule found of the actor.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Actor;
use crate::address::SourceIp;
use crate::distinct::Distinct;
use crate::finding::Finding;
use crate::response_code::ResponseCodes;
use crate::rule::{Level, RuleHead, StoryValue};
use crate::text::{bounded, counted};
use crate::time::Second;

/// Most steps that an incident shows.
pub const STEPS_MAX: usize = 12;
/// Longest title, in characters.
const TITLE_CHARS_MAX: usize = 240;
/// Longest name of a cluster or an account in a title, in characters.
const NAME_CHARS_MAX: usize = 96;
/// The tactic of rules that find somebody who was let in.
const LET_IN_TACTIC: &str = "initial-access";

/// What one rule found of the actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The name of the rule.
    pub rule: String,
    /// What the actor did, without the actor: `probed 3 clusters without credentials`. Raw text.
    pub phrase: String,
    /// The highest level of the rule's findings.
    pub level: Level,
    /// The highest risk score of the rule's findings.
    pub risk_score: u32,
    /// Whether the actor was let in.
    pub is_let_in: bool,
    /// The first request.
    pub first: Second,
    /// The last request.
    pub last: Second,
    /// The requests.
    pub count: u64,
    /// The requests by response code.
    pub codes: ResponseCodes,
    /// How many findings of the rule it sums up.
    pub findings: usize,
}

/// Returns what each rule found, the most important first: somebody who was let in, then by level, risk, requests and time.
pub(super) fn steps(findings: &[&Finding]) -> Vec<Step> {
    let mut by_rule: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
    for finding in findings {
        by_rule.entry(&finding.rule.name).or_default().push(finding);
    }
    let mut steps: Vec<Step> = by_rule.values().filter_map(|findings| step(findings)).collect();
    // The rules are in the order of their names.
    steps.sort_by_key(|step| (Reverse((step.is_let_in, step.level, step.risk_score, step.count)), step.first));
    steps
}

/// Returns what a rule found; `None` where there are no findings.
fn step(findings: &[&Finding]) -> Option<Step> {
    let version =
        |finding: &&&Finding| (finding.rule.level, finding.rule.risk_score, finding.episode.last, finding.key);
    let rule = &findings.iter().max_by_key(version)?.rule;
    let mut codes = ResponseCodes::default();
    findings.iter().for_each(|finding| codes.add_all(&finding.codes));
    let episodes = || findings.iter().map(|finding| &finding.episode);
    let count = episodes().map(|episode| episode.count).fold(0, u64::saturating_add);
    Some(Step {
        rule: rule.name.clone(),
        phrase: phrase(rule, findings, count),
        level: rule.level,
        risk_score: rule.risk_score,
        is_let_in: rule.tactics.iter().any(|tactic| tactic == LET_IN_TACTIC),
        first: episodes().map(|episode| episode.first).min()?,
        last: episodes().map(|episode| episode.last).max()?,
        count,
        codes,
        findings: findings.len(),
    })
}

fn phrase(rule: &Arc<RuleHead>, findings: &[&Finding], requests: u64) -> String {
    let clusters = || clusters(findings);
    let shown = |value| match value {
        StoryValue::Clusters => clusters(),
        StoryValue::Requests => counted(requests, "request"),
        StoryValue::Sources => sources(findings),
        StoryValue::Values => values(findings),
    };
    rule.story.phrase(shown).unwrap_or_else(|| format!("matched {} in {}", rule.title, clusters()))
}

/// Returns the only cluster, or how many there are.
fn clusters(findings: &[&Finding]) -> String {
    let clusters: BTreeSet<&String> = findings.iter().flat_map(|finding| &finding.clusters).collect();
    match clusters.first() {
        None => "the API".to_owned(),
        Some(only) if clusters.len() == 1 => format!("cluster {}", bounded(only, NAME_CHARS_MAX)),
        Some(_) => counted(clusters.len() as u64, "cluster"),
    }
}

/// Returns how many addresses the findings name.
fn sources(findings: &[&Finding]) -> String {
    let mut sources: Distinct<SourceIp> = Distinct::default();
    for finding in findings {
        sources.join(&finding.sources);
        if let Some(source) = finding.source_ip() {
            sources.add(source);
        }
    }
    let more = if sources.is_cut() { "more than " } else { "" };
    format!("{more}{}", counted(sources.len() as u64, "address"))
}

/// Returns how many values one finding counted at most, such as `23 paths`.
fn values(findings: &[&Finding]) -> String {
    let most = findings.iter().filter_map(|finding| finding.distinct_values()).max_by_key(|(_, number, _)| *number);
    let Some((field, number, _)) = most else {
        return "some values".to_owned();
    };
    match field.rsplit('.').next().unwrap_or(field) {
        "source_ip" => counted(number as u64, "address"),
        noun => counted(number as u64, noun),
    }
}

/// Returns the [`STEPS_MAX`] most important steps: somebody who was let in, then by time.
pub(super) fn timeline(mut steps: Vec<Step>) -> Vec<Step> {
    steps.truncate(STEPS_MAX);
    steps.sort_by_key(|step| (!step.is_let_in, step.first));
    steps
}

/// Returns the sentence: the actor, and the most important of `steps`.
pub(super) fn title(actor: &str, steps: &[Step]) -> String {
    let phrase = steps.first().map_or("did nothing", |step| step.phrase.as_str());
    bounded(&format!("{actor} {phrase}"), TITLE_CHARS_MAX)
}

/// Returns the name of the actor of the findings.
pub(super) fn actor_name(actor: &Actor, findings: &[&Finding]) -> String {
    match actor {
        Actor::Account { name, .. } => bounded(name, NAME_CHARS_MAX),
        Actor::Address(source) => source.to_string(),
        Actor::Crowd { .. } => sources(findings),
    }
}
