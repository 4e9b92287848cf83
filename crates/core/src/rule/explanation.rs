//! Why a rule matched a request or did not: every condition with the event's value, and what follows from them.
//!
//! Each status here is asked of the same code that matches: [`Expression::holds`], [`Pattern::fits`], the rule's own
//! reading of addresses and groups. What an attacker wrote is bounded and made visible; nothing of it is raw.

use std::net::IpAddr;

use serde::Serialize;

use super::group::{group_of, text_of};
use super::pattern::Pattern;
use super::{Counting, Expression, ReferencedRule, Rule, Rules, SOURCE_IP, SourceIpReading};
use crate::address::{self, TrustedProxies};
use crate::field::{Field, FieldValue};
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
    /// Whether the event tells a request at all.
    pub stage: Stage,
    /// What the rule makes of each address that it takes for the source; of one, unless it reads each of them.
    pub tried: Vec<Tried>,
    /// What is needed for a finding.
    pub needed: String,
}

/// Whether an event stands for a request, so that each request is counted once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stage {
    /// `stage`.
    pub stage: Option<String>,
    /// Whether the event is counted as far as its stage goes.
    pub is_request: bool,
    /// Why.
    pub reason: &'static str,
}

/// What a rule makes of an event as one address's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// The address, and why it is the source.
    pub reading: Reading,
    /// The legs of a sequence; of any other rule one.
    pub legs: Vec<TriedLeg>,
}

/// Which entry of `sourceIPs` is the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reading {
    /// The address; `None` where the event names none.
    pub source_ip: Option<IpAddr>,
    /// Why it is this one.
    pub reason: String,
    /// The entries, the last ten of them.
    pub chain: Vec<Hop>,
}

/// An entry of `sourceIPs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// The entry.
    pub entry: String,
    /// What it is taken for.
    pub role: Role,
}

/// What an entry of `sourceIPs` is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The address that sent the request.
    Source,
    /// A proxy of the user's own, whose word about the entry before it counts.
    TrustedProxy,
    /// No address, so that nothing before it can be vouched for.
    NoAddress,
    /// Whatever the client wrote.
    NotVouchedFor,
}

/// A leg of a sequence, or the selections of any other rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TriedLeg {
    /// The leg's name; `None` where the rule is no sequence.
    pub name: Option<String>,
    /// What the leg needs, where the rule is a sequence.
    pub needed: Option<String>,
    /// The selections; a request that fits any one of them belongs to the leg.
    pub selections: Vec<Trace>,
    /// What follows.
    pub outcome: Outcome,
}

/// What follows from the conditions of a leg.
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
        /// Sigma filters that left out what the rule itself selects.
        filters: Vec<String>,
    },
    /// A selection fits, but the event names no address to count the request for.
    NoAddress,
    /// A selection fits, but the event does not have the value that is counted.
    NoValue {
        /// The field.
        field: String,
    },
    /// The leg is a follow-up, and the request belongs to a leg that is looked for first.
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
        /// What the event holds there, as it is shown; `None` where it is missing.
        value: Option<String>,
        /// The values that are wanted.
        wanted: Vec<Wanted>,
        /// Whether each of them must fit.
        all: bool,
        /// What the value follows from, where it is derived.
        #[serde(skip_serializing_if = "Option::is_none")]
        because: Option<String>,
    },
}

/// A value that a field is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wanted {
    /// The value, and how it is compared.
    pub spelled: String,
    /// Whether the event's value fits.
    pub fits: bool,
}

impl Rules {
    /// Explains what `rule` makes of an event. `observation` may tell only a stage of a request (see
    /// [`Observation::of_stage`]), and `trusted` must be those that it was made with.
    #[must_use]
    pub fn explain(&self, rule: &Rule, observation: &Observation, trusted: &TrustedProxies) -> Explanation {
        let stage = Stage::of(observation);
        let clients = rule.source_ip.clients_of(observation).into_iter();
        let tried: Vec<Tried> = clients
            .map(|client| Tried {
                reading: Reading::of(rule, observation, client, trusted),
                legs: self.legs(rule, observation, client),
            })
            .collect();
        let counts = tried.iter().flat_map(|tried| &tried.legs).any(|leg| leg.outcome.is_match());
        Explanation {
            rule: rule.head.name.clone(),
            is_match: stage.is_request && counts,
            stage,
            tried,
            needed: rule.needed(),
        }
    }

    fn legs(&self, rule: &Rule, observation: &Observation, client: Option<IpAddr>) -> Vec<TriedLeg> {
        if rule.legs().is_empty() {
            let selections = self.traces(&rule.selections, observation, client);
            let outcome = outcome(rule, &rule.group_by, &selections, observation, client);
            return vec![TriedLeg { name: None, needed: None, selections, outcome }];
        }
        let holds = |leg: &ReferencedRule| leg.selections.iter().any(|selection| selection.holds(observation, client));
        let is_of_first = rule.legs().iter().any(|leg| !leg.follow_up && holds(leg));
        let tried = |leg: &ReferencedRule| {
            let selections = self.traces(&leg.selections, observation, client);
            let outcome = match outcome(rule, &leg.group_by, &selections, observation, client) {
                Outcome::DoesNotFit { filters } => Outcome::DoesNotFit { filters },
                _ if leg.follow_up && is_of_first => Outcome::BelongsToFirst,
                outcome => outcome,
            };
            TriedLeg { name: Some(leg.name.clone()), needed: Some(leg.needed()), selections, outcome }
        };
        rule.legs().iter().map(tried).collect()
    }

    fn traces(&self, selections: &[Expression], observation: &Observation, client: Option<IpAddr>) -> Vec<Trace> {
        selections.iter().map(|selection| self.trace(selection, None, observation, client)).collect()
    }

    /// Returns what becomes of a condition that stands in `detection`, where it is known which.
    fn trace(
        &self,
        expression: &Expression,
        detection: Option<&super::Detection>,
        observation: &Observation,
        client: Option<IpAddr>,
    ) -> Trace {
        let (name, detection) = self.name_of(expression, detection);
        let trace = |part: &Expression| self.trace(part, detection, observation, client);
        let step = match expression {
            Expression::And(parts) => Step::All { parts: parts.iter().map(trace).collect() },
            Expression::Or(parts) => Step::Any { parts: parts.iter().map(trace).collect() },
            Expression::Not(part) => Step::Not { part: Box::new(trace(part)) },
            Expression::Since(at) => Step::Since { at: *at, came: observation.first },
            Expression::Is { field, patterns, all } => field_step(field, patterns, *all, observation, client),
        };
        Trace { holds: expression.holds(observation, client), name, step }
    }

    /// Returns what a condition is called, and the detection that its parts stand in. A condition has no name of its
    /// own: it is known by being the same as one that has.
    fn name_of<'r>(
        &'r self,
        expression: &Expression,
        within: Option<&'r super::Detection>,
    ) -> (Option<Name>, Option<&'r super::Detection>) {
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
        let is_new = |known: &&super::Detection| within.is_none() && known.expression == *expression;
        match self.detections.iter().find(is_new) {
            Some(known) => (Some(Name::Rule(known.name.clone())), Some(known)),
            None => (None, within),
        }
    }
}

impl Stage {
    fn of(observation: &Observation) -> Stage {
        let event = &observation.event;
        let is_request = event.is_request();
        let reason = match (event.stage.as_deref(), is_request) {
            (None, _) => "an event without a stage stands for its request",
            (Some("ResponseStarted"), true) => {
                "a failed authentication is audited at this stage only, with code 401 and no username"
            }
            (Some("RequestReceived"), false) => "the request is told by a later event, at ResponseComplete or Panic",
            (Some("ResponseStarted"), false) => {
                "the request is told by its event at ResponseComplete; only a failed authentication counts at this stage"
            }
            (_, true) => "the request is over, and is told here",
            (_, false) => "this is no stage that tells a request",
        };
        Stage { stage: event.stage.as_deref().map(shown), is_request, reason }
    }
}

impl Outcome {
    /// Tells whether the request counts.
    #[must_use]
    pub fn is_match(&self) -> bool {
        matches!(self, Outcome::Counts { .. })
    }
}

impl Reading {
    fn of(rule: &Rule, observation: &Observation, client: Option<IpAddr>, trusted: &TrustedProxies) -> Reading {
        let entries = &observation.event.source_ips;
        let (source, reason) = match rule.source_ip {
            SourceIpReading::First => {
                (client.map(|_| 0), "the rule takes the first entry, which clients choose".to_owned())
            }
            SourceIpReading::Each => {
                let place = entries.iter().position(|entry| client.is_some() && address::parse(entry) == client);
                (place, "the rule takes every entry for itself".to_owned())
            }
            SourceIpReading::Trusted => {
                let place = trusted.place_of_client(entries).map(|(place, _)| place);
                (place, trusted_reason(entries, place, client.is_some_and(|client| trusted.contains(client))))
            }
        };
        let reason = if client.is_none() {
            "no entry of sourceIPs is an address that can be vouched for".to_owned()
        } else {
            reason
        };
        let skipped = entries.len().saturating_sub(TEXTS_MAX);
        let hop = |(place, entry): (usize, &String)| Hop {
            entry: shown(entry),
            role: match (source, address::parse(entry)) {
                (Some(source), _) if source == place => Role::Source,
                (_, None) => Role::NoAddress,
                (Some(source), Some(_)) if rule.source_ip == SourceIpReading::Trusted && place > source => {
                    Role::TrustedProxy
                }
                _ => Role::NotVouchedFor,
            },
        };
        let chain = entries.iter().enumerate().skip(skipped).map(hop).collect();
        Reading { source_ip: client, reason, chain }
    }
}

/// Says why the entry at `place` is the source.
fn trusted_reason(entries: &[String], place: Option<usize>, is_proxy: bool) -> String {
    let Some(place) = place else {
        return String::new();
    };
    let number = format!("entry {} of {}", place + 1, entries.len());
    match (place + 1 == entries.len(), is_proxy) {
        (true, false) => format!("{number}: the last one, which no client can choose"),
        (false, false) => format!("{number}: all behind it are trusted proxies"),
        (_, true) if place == 0 => format!("{number}: all are trusted proxies, so the first is taken"),
        (_, true) => format!("{number}: the one before it is no address, so the trusted proxy is named"),
    }
}

fn outcome(
    rule: &Rule,
    group_by: &[Field],
    selections: &[Trace],
    observation: &Observation,
    client: Option<IpAddr>,
) -> Outcome {
    if !selections.iter().any(|selection| selection.holds) {
        let mut filters: Vec<String> = Vec::new();
        selections.iter().for_each(|selection| selection.excluded_by(&mut filters));
        return Outcome::DoesNotFit { filters };
    }
    let Some(group) = group_of(group_by, observation, client) else {
        return Outcome::NoAddress;
    };
    match &rule.counting {
        Counting::Values { field } if *field == SOURCE_IP && client.is_none() => return Outcome::NoAddress,
        Counting::Values { field }
            if *field != SOURCE_IP && text_of(&field.value_of(observation, client)).is_none() =>
        {
            return Outcome::NoValue { field: field.name() };
        }
        Counting::Values { .. } | Counting::Events | Counting::Sequence { .. } => {}
    }
    let fields = group_by.iter().map(Field::name);
    Outcome::Counts { group: fields.zip(group.0.iter().map(|value| shown(&value.to_string()))).collect() }
}

impl Trace {
    /// Adds the filters that left out what stands beside them.
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

fn field_step(
    field: &Field,
    patterns: &[Pattern],
    all: bool,
    observation: &Observation,
    client: Option<IpAddr>,
) -> Step {
    let value = field.value_of(observation, client);
    let wanted = |pattern: &Pattern| Wanted {
        spelled: shown(&pattern.to_string()),
        fits: pattern.fits(&value, observation, client),
    };
    Step::Field {
        field: shown(&field.name()),
        wanted: patterns.iter().map(wanted).collect(),
        value: value_shown(&value),
        all,
        because: because(field, observation, client),
    }
}

fn value_shown(value: &FieldValue<'_>) -> Option<String> {
    Some(match value {
        FieldValue::Missing => return None,
        FieldValue::Text(text) => shown(text),
        FieldValue::Made(text) => shown(text),
        FieldValue::Texts(texts) => {
            let mut all: Vec<String> = texts.iter().take(TEXTS_MAX).map(|text| shown(text)).collect();
            if texts.len() > TEXTS_MAX {
                all.push(format!("and {} more", texts.len() - TEXTS_MAX));
            }
            format!("[{}]", all.join(", "))
        }
        FieldValue::Number(number) => number.to_string(),
        FieldValue::Fact(fact) => fact.to_string(),
    })
}

/// Says what a derived fact follows from.
fn because(field: &Field, observation: &Observation, client: Option<IpAddr>) -> Option<String> {
    let event = &observation.event;
    match field {
        Field::Named("source_ip_public") => Some(match client {
            None => "the event names no address".to_owned(),
            Some(client) => match address::special_range(client) {
                Some(range) => format!("{client} is {range}"),
                None => format!("{client} is in no special range"),
            },
        }),
        field if *field == SOURCE_IP => None,
        Field::Named("unauthenticated") => Some(if event.username.as_deref() == Some("system:anonymous") {
            "the user is system:anonymous".to_owned()
        } else if event.auth_failure().is_some() {
            "the code is 401".to_owned()
        } else if event.is_unauthenticated() {
            "a group is system:unauthenticated".to_owned()
        } else {
            "neither user, groups nor code say so".to_owned()
        }),
        Field::Named("health_probe") => {
            Some(format!("requestURI is {}", event.request_uri.as_deref().map_or_else(|| "missing".to_owned(), shown)))
        }
        Field::Named("forwarded_for") => Some(format!("sourceIPs has {} entries", event.source_ips.len())),
        _ => None,
    }
}

/// Returns a text of somebody else's as it may be shown.
fn shown(text: &str) -> String {
    visible(&bounded(text, TEXT_CHARS_MAX))
}
