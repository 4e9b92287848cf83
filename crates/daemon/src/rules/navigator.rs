//! `rules navigator`: the techniques that the rules detect, as a layer of the ATT&CK Navigator.
//!
//! <https://github.com/mitre-attack/attack-navigator/blob/master/layers/spec/v4.5/layerformat.md>

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use serde::Serialize;
use stakeout_core::rule::{Rule, Rules};
use tracing::warn;

/// The oldest Navigator that reads layers of this format.
const NAVIGATOR: &str = "4.9.0";
/// Colours from one rule to the most.
const COLOURS: [&str; 2] = ["#cfe8ff", "#08519c"];

/// A layer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    name: &'static str,
    versions: Versions,
    domain: &'static str,
    description: &'static str,
    techniques: Vec<Technique>,
    gradient: Gradient,
}

/// The version of ATT&CK is left out: then it is the current one.
#[derive(Serialize)]
struct Versions {
    navigator: &'static str,
    layer: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Technique {
    #[serde(rename = "techniqueID")]
    technique_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tactic: Option<String>,
    /// None where the technique is only the parent of its sub-techniques.
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<usize>,
    #[serde(skip_serializing_if = "String::is_empty")]
    comment: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    show_subtechniques: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Gradient {
    colors: [&'static str; 2],
    min_value: usize,
    max_value: usize,
}

/// Writes the layer of `rules`.
pub(super) fn write(rules: &Rules) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string_pretty(&layer(rules))?)
}

fn layer(rules: &Rules) -> Layer {
    let techniques = techniques(rules);
    // The end of the gradient must be above its begin.
    let most = techniques.iter().filter_map(|technique| technique.score).max().unwrap_or(1).max(1);
    Layer {
        name: "Stakeout",
        versions: Versions { navigator: NAVIGATOR, layer: "4.5" },
        domain: "enterprise-attack",
        description: "Techniques that the active rules detect. The score is the number of rules.",
        techniques,
        gradient: Gradient { colors: COLOURS, min_value: 0, max_value: most },
    }
}

fn techniques(rules: &Rules) -> Vec<Technique> {
    let mut by_technique: BTreeMap<&str, Vec<&Rule>> = BTreeMap::new();
    for rule in &rules.rules {
        let distinct: BTreeSet<&str> = rule.head.techniques.iter().map(String::as_str).collect();
        for technique in distinct {
            if is_technique(technique) {
                by_technique.entry(technique).or_default().push(rule);
            } else {
                warn!(rule = rule.head.name, technique, "this is not an ATT&CK id, such as T1613 or T1110.003");
            }
        }
    }
    let parents: BTreeSet<&str> =
        by_technique.keys().filter_map(|technique| technique.split_once('.')).map(|(parent, _)| parent).collect();
    for parent in &parents {
        by_technique.entry(parent).or_default();
    }
    let technique = |(id, rules): (&str, Vec<&Rule>)| Technique {
        technique_id: id.to_owned(),
        tactic: tactic(&rules),
        score: (!rules.is_empty()).then_some(rules.len()),
        comment: rules.iter().map(|rule| rule.head.name.as_str()).collect::<Vec<_>>().join(", "),
        show_subtechniques: parents.contains(id),
    };
    by_technique.into_iter().map(technique).collect()
}

/// Returns the tactic, where all rules name the same one and no other. Tags do not say which of several tactics belongs to
/// a technique. Without a tactic, the Navigator shows the technique under each of its tactics.
fn tactic(rules: &[&Rule]) -> Option<String> {
    let tactics: BTreeSet<&[String]> = rules.iter().map(|rule| rule.head.tactics.as_slice()).collect();
    match tactics.into_iter().collect::<Vec<_>>().as_slice() {
        [[one]] => Some(one.clone()),
        _ => None,
    }
}

/// Returns whether a text is `T` with four digits, and for a sub-technique a dot with three more.
fn is_technique(text: &str) -> bool {
    let are_digits = |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    let (number, sub) = match text.strip_prefix('T').and_then(|rest| rest.split_once('.')) {
        Some((number, sub)) => (number, Some(sub)),
        None => (text.strip_prefix('T').unwrap_or_default(), None),
    };
    are_digits(number, 4) && sub.is_none_or(|sub| are_digits(sub, 3))
}
