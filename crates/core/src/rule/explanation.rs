//! Why a rule matched a request or did not: every condition with the event's value, and what follows from them.
//!
//! The matcher itself gives each result: see [`Matcher::match_part`]. Texts that the sender of a request chose are bounded
//! and made visible.

use std::net::IpAddr;

use serde::Serialize;

use super::conditions::{Conditions, Evaluation};
use super::matcher::{Matcher, Miss, PartIndex};
use super::pattern::Pattern;
use super::{Detection, Expression, Pass, ReferencedRule, Rule, Rules, SourceIpMode};
use crate::address::{self, TrustedProxies};
use crate::field::{Field, FieldValue};
use crate::hash::HashKey;
use crate::observation::Observation;
use crate::text::{bounded, visible};
use crate::time::Second;

/// Longest text of an event that is shown, in characters.
const TEXT_CHARS_MAX: usize = 200;
/// Most texts of a list that are shown, and most entries of `sourceIPs`.
const TEXTS_MAX: usize = 10;

/// What a rule makes of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The rule's name.
    pub rule: String,
    /// Whether the event counts for it.
    pub is_match: bool,
    /// Whether the event counts for its request.
    pub stage: Stage,
    /// The result for each address that the rule takes for the source: one, unless it reads each entry.
    pub clients: Vec<ClientResult>,
    /// What is needed for a finding.
    pub needed: String,
}

/// Whether an event counts for its request: only one stage does, so that each request counts once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stage {
    /// `stage`.
    pub stage: Option<String>,
    /// Whether the event is counted as far as its stage goes.
    pub is_request: bool,
    /// Why.
    pub reason: &'static str,
}

/// What a rule makes of an event as a request of one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientResult {
    /// The address, and why it is the source.
    pub source: SourceChoice,
    /// The results of the referenced rules of a sequence; of any other rule its own.
    pub rules: Vec<RuleResult>,
}

/// Which entry of `sourceIPs` is the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceChoice {
    /// The address; `None` where the event names none.
    pub source_ip: Option<IpAddr>,
    /// Why it is this one.
    pub reason: String,
    /// The last entries of `sourceIPs`, at most ten.
    pub chain: Vec<ChainEntry>,
}

/// An entry of `sourceIPs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChainEntry {
    /// The entry.
    pub entry: String,
    /// What the rule takes it for.
    pub role: Role,
}

/// What a rule takes an entry of `sourceIPs` for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The address that sent the request.
    Source,
    /// A trusted proxy, which vouches for the entry before it.
    TrustedProxy,
    /// Not an address. Nothing vouches for the entries before it.
    NoAddress,
    /// The client may have chosen it.
    Untrusted,
}

/// The result of a referenced rule of a sequence, or of the selections of any other rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleResult {
    /// The name of the referenced rule; `None` where the rule is not a sequence.
    pub name: Option<String>,
    /// What the referenced rule needs; `None` where the rule is not a sequence.
    pub needed: Option<String>,
    /// The selections; a request that fits any one of them belongs to the rule.
    pub selections: Vec<Trace>,
    /// What follows.
    pub outcome: Outcome,
}

/// What follows from the conditions of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Outcome {
    /// The request counts for a group.
    Counts {
        /// The fields of the group with their values.
        group: Vec<(String, String)>,
    },
    /// No selection fits.
    DoesNotFit {
        /// Sigma filters that excluded what the rule itself selects.
        filters: Vec<String>,
    },
    /// A selection fits, but the event names no address to count the request for.
    NoAddress,
    /// A selection fits, but the event does not have the value that is counted.
    NoValue {
        /// The field.
        field: String,
    },
    /// The referenced rule is a follow-up, and the request belongs to a rule of the first pass.
    BelongsToFirst,
}

/// A condition, and whether it held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trace {
    /// Whether it held.
    pub holds: bool,
    /// What its author called it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// What it asks.
    #[serde(flatten)]
    pub step: Step,
}

/// What a condition is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Name {
    /// A detection.
    Rule(String),
    /// A selection of a detection.
    Selection(String),
    /// A Sigma filter: what it lets through.
    Filter {
        /// Its name.
        name: String,
        /// Why it is there.
        reason: String,
        /// Who answers for it.
        owner: String,
        /// When it ends.
        #[serde(skip_serializing_if = "Option::is_none")]
        expires: Option<Second>,
    },
}

/// What a condition asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "asks", rename_all = "snake_case")]
pub enum Step {
    /// Each of its parts must hold.
    All {
        /// The parts.
        parts: Vec<Trace>,
    },
    /// One of its parts must hold.
    Any {
        /// The parts.
        parts: Vec<Trace>,
    },
    /// Its part must not hold.
    Not {
        /// The part.
        part: Box<Trace>,
    },
    /// The request came at this time or later.
    Since {
        /// The time.
        at: Second,
        /// When the request came.
        came: Second,
    },
    /// A field has one of these values.
    Field {
        /// The field.
        field: String,
        /// The event's value, as it is shown; `None` where it is missing.
        value: Option<String>,
        /// The patterns that the rule compares it with.
        patterns: Vec<PatternResult>,
        /// Whether each pattern must fit, not any one.
        all: bool,
        /// Why the value is what it is, where it is derived.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// A pattern, and whether the event's value fits it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PatternResult {
    /// The pattern, for people.
    pub pattern: String,
    /// Whether the event's value fits.
    pub fits: bool,
}

/// A request as one client's, while it is explained.
struct Request<'a> {
    observation: &'a Observation,
    client: Option<IpAddr>,
}

/// A part of a rule, and where the matcher has it.
struct RulePart<'r> {
    referenced: Option<&'r ReferencedRule>,
    pass: Pass,
    index: PartIndex,
    group_by: &'r [Field],
    selections: Vec<Indexed<'r>>,
}

/// An expression, and the index of its condition.
struct Indexed<'r> {
    expression: &'r Expression,
    index: usize,
    parts: Vec<Indexed<'r>>,
}

impl Rules {
    /// Explains what `rule` makes of an event. `observation` may be only a stage of a request (see
    /// [`Observation::of_stage`]), and `trusted` must be those that it was made with.
    #[must_use]
    pub fn explain(&self, rule: &Rule, observation: &Observation, trusted: &TrustedProxies) -> Explanation {
        let stage = Stage::of(observation);
        let [mut first, mut follow_up] =
            [Pass::First, Pass::FollowUp].map(|pass| Matcher::new([rule], pass, HashKey([0; 16])));
        let parts = parts(rule, &mut first.conditions, &mut follow_up.conditions);
        let matcher_of = |pass| if pass == Pass::First { &first } else { &follow_up };
        let clients = rule.source_ip.clients_of(observation).into_iter().map(|client| {
            let request = Request { observation, client };
            let result = |part: &RulePart<'_>| self.result(rule, part, matcher_of(part.pass), &request);
            ClientResult {
                source: SourceChoice::of(rule, observation, client, trusted),
                rules: parts.iter().map(result).collect(),
            }
        });
        let clients: Vec<ClientResult> = clients.collect();
        let counts = clients.iter().flat_map(|client| &client.rules).any(|result| result.outcome.is_match());
        Explanation {
            rule: rule.head.name.clone(),
            is_match: stage.is_request && counts,
            stage,
            clients,
            needed: rule.needed(),
        }
    }

    fn result(&self, rule: &Rule, part: &RulePart<'_>, matcher: &Matcher, request: &Request<'_>) -> RuleResult {
        let mut evaluation = matcher.evaluation(request.observation, request.client);
        let selections: Vec<Trace> =
            part.selections.iter().map(|selection| self.trace(selection, None, &mut evaluation, request)).collect();
        let outcome = match matcher.match_part(part.index, &mut evaluation) {
            Ok(found) => {
                let group = matcher.key_of(&found, request.observation).group;
                let values = group.0.iter().map(|value| shown(&value.to_string()));
                Outcome::Counts { group: part.group_by.iter().map(Field::name).zip(values).collect() }
            }
            Err(Miss::NoSelection) => {
                let mut filters: Vec<String> = Vec::new();
                selections.iter().for_each(|selection| selection.excluded_by(&mut filters));
                Outcome::DoesNotFit { filters }
            }
            Err(Miss::FirstPass) => Outcome::BelongsToFirst,
            Err(Miss::NoAddress) => Outcome::NoAddress,
            Err(Miss::NoValue) => Outcome::NoValue { field: rule.counted_field().unwrap_or_default() },
        };
        let name = part.referenced.map(|referenced| referenced.name.clone());
        RuleResult { name, needed: part.referenced.map(ReferencedRule::needed), selections, outcome }
    }

    /// Returns the result of a condition. `detection` is the one that it is part of, where that is known.
    fn trace(
        &self,
        indexed: &Indexed<'_>,
        detection: Option<&Detection>,
        evaluation: &mut Evaluation<'_>,
        request: &Request<'_>,
    ) -> Trace {
        let (name, detection) = self.name_of(indexed.expression, detection);
        let holds = evaluation.holds(indexed.index);
        let mut parts: Vec<Trace> =
            indexed.parts.iter().map(|part| self.trace(part, detection, evaluation, request)).collect();
        let step = match indexed.expression {
            Expression::And(_) => Step::All { parts },
            Expression::Or(_) => Step::Any { parts },
            Expression::Not(_) => Step::Not { part: Box::new(parts.remove(0)) },
            Expression::Since(at) => Step::Since { at: *at, came: request.observation.first },
            Expression::Is { field, patterns, all } => {
                let (value, fits) = evaluation.compared(indexed.index);
                let result =
                    |(pattern, fits): (&Pattern, bool)| PatternResult { pattern: shown(&pattern.to_string()), fits };
                Step::Field {
                    field: shown(&field.name()),
                    value: value_shown(&value),
                    patterns: patterns.iter().zip(fits).map(result).collect(),
                    all: *all,
                    reason: field.reason(request.observation, request.client),
                }
            }
        };
        Trace { holds, name, step }
    }

    /// Returns the name of a condition, and the detection that contains its parts. A condition itself has no name: it is
    /// equal to one that has.
    fn name_of<'r>(
        &'r self,
        expression: &Expression,
        within: Option<&'r Detection>,
    ) -> (Option<Name>, Option<&'r Detection>) {
        let named = within.and_then(|detection| detection.selections.iter().find(|(_, known)| known == expression));
        if let Some((name, _)) = named {
            return (Some(Name::Selection(name.clone())), within);
        }
        if let Some(filter) = self.filters.iter().find(|filter| filter.passing == *expression) {
            let name = Name::Filter {
                name: filter.name.clone(),
                reason: filter.reason.clone(),
                owner: filter.owner.clone(),
                expires: filter.expires,
            };
            return (Some(name), within);
        }
        let is_new = |known: &&Detection| within.is_none() && known.expression == *expression;
        match self.detections.iter().find(is_new) {
            Some(known) => (Some(Name::Rule(known.name.clone())), Some(known)),
            None => (None, within),
        }
    }
}

/// Returns the parts of a rule, with indexes into the conditions of the matcher of their pass.
fn parts<'r>(rule: &'r Rule, first: &mut Conditions, follow_up: &mut Conditions) -> Vec<RulePart<'r>> {
    let indexed = |selections: &'r [Expression], conditions: &mut Conditions| {
        selections.iter().map(|selection| Indexed::of(selection, conditions)).collect()
    };
    if rule.referenced_rules().is_empty() {
        let selections = indexed(&rule.selections, first);
        let index = PartIndex::of_only_rule(0);
        return vec![RulePart { referenced: None, pass: Pass::First, index, group_by: &rule.group_by, selections }];
    }
    let (mut of_first, mut of_follow_up) = (0.., 0..);
    let part = |referenced: &'r ReferencedRule| {
        let pass = referenced.pass();
        let (conditions, indexes) =
            if pass == Pass::First { (&mut *first, &mut of_first) } else { (&mut *follow_up, &mut of_follow_up) };
        RulePart {
            referenced: Some(referenced),
            pass,
            index: PartIndex::of_only_rule(indexes.next().unwrap_or_default()),
            group_by: &referenced.group_by,
            selections: indexed(&referenced.selections, conditions),
        }
    };
    rule.referenced_rules().iter().map(part).collect()
}

impl<'r> Indexed<'r> {
    fn of(expression: &'r Expression, conditions: &mut Conditions) -> Indexed<'r> {
        let parts = match expression {
            Expression::And(parts) | Expression::Or(parts) => parts.as_slice(),
            Expression::Not(part) => std::slice::from_ref(&**part),
            Expression::Since(_) | Expression::Is { .. } => &[],
        };
        let parts = parts.iter().map(|part| Indexed::of(part, conditions)).collect();
        Indexed { expression, index: conditions.index_of(expression), parts }
    }
}

impl Stage {
    fn of(observation: &Observation) -> Stage {
        let event = &observation.event;
        let is_request = event.is_request();
        let reason = match (event.stage.as_deref(), is_request) {
            (None, _) => "an event without a stage counts",
            (Some("ResponseStarted"), true) => {
                "a failed authentication counts here: it is only audited at this stage, with code 401 and no username"
            }
            (Some("RequestReceived"), false) => "a later event counts for this request, at ResponseComplete or Panic",
            (Some("ResponseStarted"), false) => {
                "the event at ResponseComplete counts for this request; only a failed authentication counts at this stage"
            }
            (_, true) => "the request is complete and counts",
            (_, false) => "events of this stage do not count",
        };
        Stage { stage: event.stage.as_deref().map(shown), is_request, reason }
    }
}

impl Outcome {
    /// Returns whether the request counts.
    #[must_use]
    pub fn is_match(&self) -> bool {
        matches!(self, Outcome::Counts { .. })
    }
}

impl SourceChoice {
    fn of(rule: &Rule, observation: &Observation, client: Option<IpAddr>, trusted: &TrustedProxies) -> SourceChoice {
        let entries = &observation.event.source_ips;
        let (source, reason) = match rule.source_ip {
            SourceIpMode::First => {
                (client.map(|_| 0), "the rule uses the first entry, which clients choose".to_owned())
            }
            SourceIpMode::Each => {
                let position = entries.iter().position(|entry| client.is_some() && address::parse(entry) == client);
                (position, "the rule uses every entry".to_owned())
            }
            SourceIpMode::Trusted => {
                let position = trusted.index_of_client(entries).map(|(position, _)| position);
                (position, trusted_reason(entries, position, client.is_some_and(|client| trusted.contains(client))))
            }
        };
        let reason =
            if client.is_none() { "no entry of sourceIPs is a trustworthy address".to_owned() } else { reason };
        let skipped = entries.len().saturating_sub(TEXTS_MAX);
        let chain_entry = |(position, entry): (usize, &String)| ChainEntry {
            entry: shown(entry),
            role: match (source, address::parse(entry)) {
                (Some(source), _) if source == position => Role::Source,
                (_, None) => Role::NoAddress,
                (Some(source), Some(_)) if rule.source_ip == SourceIpMode::Trusted && position > source => {
                    Role::TrustedProxy
                }
                _ => Role::Untrusted,
            },
        };
        let chain = entries.iter().enumerate().skip(skipped).map(chain_entry).collect();
        SourceChoice { source_ip: client, reason, chain }
    }
}

/// Returns why the entry at `position` is the source.
fn trusted_reason(entries: &[String], position: Option<usize>, is_proxy: bool) -> String {
    let Some(position) = position else {
        return String::new();
    };
    let number = format!("entry {} of {}", position + 1, entries.len());
    match (position + 1 == entries.len(), is_proxy) {
        (true, false) => format!("{number}: the last one, which clients cannot choose"),
        (false, false) => format!("{number}: all entries after it are trusted proxies"),
        (_, true) if position == 0 => format!("{number}: all entries are trusted proxies, so the rule uses the first"),
        (_, true) => format!("{number}: the entry before it is not an address, so the rule uses the trusted proxy"),
    }
}

impl Trace {
    /// Adds the filters that excluded the conditions beside them.
    fn excluded_by(&self, filters: &mut Vec<String>) {
        let Step::All { parts } = &self.step else {
            return;
        };
        for part in parts.iter().filter(|part| !part.holds) {
            match &part.name {
                Some(Name::Filter { name, .. }) => {
                    let is_alone =
                        parts.iter().all(|other| other.holds || matches!(other.name, Some(Name::Filter { .. })));
                    if is_alone && !filters.contains(name) {
                        filters.push(name.clone());
                    }
                }
                _ => part.excluded_by(filters),
            }
        }
    }
}

fn value_shown(value: &FieldValue<'_>) -> Option<String> {
    Some(match value {
        FieldValue::Missing => return None,
        FieldValue::Text(text) => shown(text),
        FieldValue::Owned(text) => shown(text),
        FieldValue::Texts(texts) => {
            let mut all: Vec<String> = texts.iter().take(TEXTS_MAX).map(|text| shown(text)).collect();
            if texts.len() > TEXTS_MAX {
                all.push(format!("and {} more", texts.len() - TEXTS_MAX));
            }
            format!("[{}]", all.join(", "))
        }
        FieldValue::Number(number) => number.to_string(),
        FieldValue::Bool(value) => value.to_string(),
    })
}

/// Returns a text that the sender of the request chose, as people may be shown it.
fn shown(text: &str) -> String {
    visible(&bounded(text, TEXT_CHARS_MAX))
}
