//! Rule files into active rules: every document is read, correlations are joined with the rules that they name.

use siphasher::sip::SipHasher24;

use super::sigma::{Body, Document, document};
use super::{Counting, Expression, Rule, RuleHead, Rules};
use crate::diagnostic::Diagnostic;
use crate::episode::Threshold;
use crate::field::Field;
use crate::tally::RuleKey;
use crate::yaml::{self, At};

/// What a rule without a correlation counts by.
const DEFAULT_GROUP_BY: [&str; 3] = ["source_ip", "cluster", "user.username"];
/// Timespan of a rule without a correlation, in seconds.
const DEFAULT_TIMESPAN_SECONDS: i64 = 3600;

/// A rule file: its name, for messages, and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFile {
    /// The file's name.
    pub name: String,
    /// Its text: one or more YAML documents.
    pub text: String,
}

/// Returns the active rules in `files`, or every fault that was found: at most one for each document.
pub fn load(files: &[RuleFile]) -> Result<Rules, Vec<Diagnostic>> {
    let mut documents = Vec::new();
    let mut faults = Vec::new();
    for file in files {
        match yaml::parse(&file.name, &file.text) {
            Err(fault) => faults.push(fault),
            Ok(nodes) => {
                for node in nodes.iter().filter(|node| node.value != yaml::Value::Null) {
                    match document(&At::top(&file.name, node)) {
                        Ok(document) => documents.push(document),
                        Err(fault) => faults.push(fault),
                    }
                }
            }
        }
    }
    faults.extend(name_faults(&documents));
    if !faults.is_empty() {
        return Err(faults);
    }
    join(&documents)
}

fn name_faults(documents: &[Document]) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    for (place, document) in documents.iter().enumerate() {
        for earlier in &documents[..place] {
            let is_same_name = earlier.shown_name() == document.shown_name();
            let is_same_id = document.id.is_some() && earlier.id == document.id;
            if is_same_name || is_same_id {
                let key = if is_same_name { "name" } else { "id" };
                faults.push(Diagnostic {
                    file: document.file.clone(),
                    line: document.line,
                    key: key.to_owned(),
                    problem: format!("the rule at {}:{} has this {key} already", earlier.file, earlier.line),
                    mend: format!("give each rule {} of its own", if is_same_name { "a name" } else { "an id" }),
                });
            }
        }
    }
    faults
}

fn join(documents: &[Document]) -> Result<Rules, Vec<Diagnostic>> {
    let mut faults = Vec::new();
    let mut rules = Rules::default();
    for document in documents {
        let selections = match &document.body {
            Body::Detection(_) if is_only_counted(document, documents) => None,
            Body::Detection(expression) => Some(vec![expression.clone()]),
            Body::Correlation(correlation) => {
                let mut selections = Vec::new();
                for reference in &correlation.rules {
                    let named = documents.iter().find(|candidate| candidate.is_named(&reference.target));
                    match named.map(|candidate| &candidate.body) {
                        Some(Body::Detection(expression)) => selections.push(expression.clone()),
                        Some(Body::Correlation(_)) => {
                            let mut fault = reference.fault.clone();
                            fault.problem = format!("`{}` is a correlation itself", reference.target);
                            faults.push(fault);
                        }
                        None => faults.push(reference.fault.clone()),
                    }
                }
                Some(selections)
            }
        };
        rules.cases.extend(document.own.cases.iter().cloned());
        if let Some(selections) = selections {
            rules.rules.push(rule(document, selections));
        }
        if let Body::Detection(expression) = &document.body {
            rules.detections.push((document.shown_name().to_owned(), expression.clone()));
        }
    }
    rules.rules.sort_by(|left, right| left.head.name.cmp(&right.head.name));
    if faults.is_empty() { Ok(rules) } else { Err(faults) }
}

/// Tells whether `document` is a detection that some correlation counts, so that it does not fire alone.
fn is_only_counted(document: &Document, documents: &[Document]) -> bool {
    let mut correlations = documents
        .iter()
        .filter_map(|other| match &other.body {
            Body::Correlation(correlation) => Some(correlation),
            Body::Detection(_) => None,
        })
        .filter(|correlation| correlation.rules.iter().any(|reference| document.is_named(&reference.target)))
        .peekable();
    correlations.peek().is_some() && !correlations.any(|correlation| correlation.generate)
}

fn rule(document: &Document, selections: Vec<Expression>) -> Rule {
    let (group_by, timespan_seconds, count) = match &document.body {
        Body::Correlation(correlation) => {
            (correlation.group_by.clone(), correlation.timespan_seconds, correlation.count)
        }
        Body::Detection(_) => {
            let fields = DEFAULT_GROUP_BY.iter().map(|name| Field::Named(name)).collect();
            (fields, DEFAULT_TIMESPAN_SECONDS, 1)
        }
    };
    let names: Vec<String> = group_by.iter().map(Field::name).collect();
    let own = &document.own;
    let logic = (document.shown_name(), &selections, &names, format!("{:?}", own.source_ip));
    let spelled = serde_json::to_vec(&logic).expect("names, texts and numbers always spell as JSON");
    Rule {
        head: RuleHead {
            name: document.shown_name().to_owned(),
            id: document.id.clone().unwrap_or_default(),
            title: document.title.clone(),
            description: document.description.clone(),
            level: document.level,
            techniques: document.techniques.clone(),
            falsepositives: document.falsepositives.clone(),
            risk_score: own.risk_score,
            group_by: names,
        },
        selections,
        counting: Counting::Events,
        group_by,
        threshold: Threshold { count, timespan_seconds, quiet_seconds: timespan_seconds.max(own.dedup_period_seconds) },
        source_ip: own.source_ip,
        key: RuleKey(SipHasher24::new().hash(&spelled)),
        file: document.file.clone(),
        line: document.line,
    }
}
