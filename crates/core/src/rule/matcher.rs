//! All rules at once, as a fold asks them: which groups a request counts for, and as what.

use std::net::IpAddr;

use siphasher::sip::SipHasher13;

use super::conditions::{Conditions, Judgement};
use super::group::{self, Part, text_of};
use super::{Counting, Pass, Rule, SOURCE_IP, SourceIpReading};
use crate::address::SourceIp;
use crate::field::Field;
use crate::group::{CountKey, GroupKey, GroupValue, ReferencedRuleSet, RuleKey};
use crate::hash::{HashKey, TextHash};
use crate::observation::Observation;

/// The rules of one pass.
pub struct Matcher {
    key: HashKey,
    hasher: SipHasher13,
    conditions: Conditions,
    rules: Vec<Matched>,
}

/// A group that a request counts for, and what of it counts there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Match {
    /// The keyed hash of rule and group: see [`Matcher::hash_of`].
    pub hash: u64,
    /// The legs that it belongs to, where the rule is a sequence.
    pub legs: ReferencedRuleSet,
    /// Who sent it, where the rule counts or lists sources.
    pub source: Option<SourceIp>,
    /// The value that the rule counts, where that is no address.
    pub text: Option<TextHash>,
    /// Where the rule stands, and which of its legs put the request there.
    place: (usize, usize),
    client: Option<IpAddr>,
}

/// A rule, as far as it is looked for in the pass.
#[derive(Debug)]
struct Matched {
    key: RuleKey,
    reading: SourceIpReading,
    /// Whether it cannot count a request of nobody's.
    needs_address: bool,
    lists_sources: bool,
    value: Option<Value>,
    legs: Vec<MatchedLeg>,
    /// What belongs to an earlier leg and is no follow-up, so that a request is counted in one pass alone.
    excluded: Option<usize>,
}

/// What it counts but requests.
#[derive(Clone, Copy, Debug)]
enum Value {
    Address,
    Field(usize),
}

/// One of its legs, or the whole of a rule that is no sequence.
#[derive(Debug)]
struct MatchedLeg {
    condition: usize,
    group_by: Vec<Value>,
    legs: ReferencedRuleSet,
}

impl Matcher {
    /// Returns the matcher of `rules` in `pass`; `key` hashes groups and values.
    #[must_use]
    pub fn new<'r>(rules: impl IntoIterator<Item = &'r Rule>, pass: Pass, key: HashKey) -> Matcher {
        let mut conditions = Conditions::default();
        let rules = rules.into_iter().map(|rule| Matched::new(rule, pass, &mut conditions));
        let rules = rules.filter(|rule| !rule.legs.is_empty()).collect();
        Matcher { key, hasher: SipHasher13::new_with_key(&key.0), conditions, rules }
    }

    /// Puts into `matches` the groups that `observation` counts for, of each rule once. None of a rule that it does not
    /// fit, or for which it has no address or value to be counted by; several only where the rule reads each entry of
    /// `sourceIPs`, or its legs group by other fields.
    ///
    /// Returns whether it fits a rule that cannot count it because it names no address.
    pub fn match_all(&self, observation: &Observation, matches: &mut Vec<Match>) -> bool {
        matches.clear();
        let judgement = |client| Judgement::new(&self.conditions, observation, client);
        let mut trusted = judgement(observation.client);
        // Room for what is hashed.
        let mut written = Vec::with_capacity(64);
        let mut is_unattributed = false;
        for (place, rule) in self.rules.iter().enumerate() {
            let before = matches.len();
            let mut is_nobodys = observation.client.is_none();
            if rule.reading == SourceIpReading::Trusted {
                self.match_one(place, &mut trusted, matches, &mut written);
            } else {
                let clients = rule.reading.clients_of(observation);
                is_nobodys = clients.iter().all(Option::is_none);
                for client in clients {
                    if client == observation.client {
                        self.match_one(place, &mut trusted, matches, &mut written);
                    } else {
                        self.match_one(place, &mut judgement(client), matches, &mut written);
                    }
                }
            }
            join(matches, before);
            if is_nobodys && rule.needs_address && matches.len() == before {
                let mut nobodys = judgement(None);
                is_unattributed |= rule.legs.iter().any(|leg| nobodys.holds(leg.condition));
            }
        }
        is_unattributed
    }

    /// Returns the rule and group of a match that `observation` gave.
    #[must_use]
    pub fn key_of(&self, found: &Match, observation: &Observation) -> CountKey {
        let (rule, leg) = self.leg_of(found);
        let group = leg.group_by.iter().filter_map(|value| match value {
            Value::Address => found.client.map(|client| GroupValue::Address(SourceIp::of(client))),
            Value::Field(field) => {
                Some(Part::of(&self.conditions.field(*field).value_of(observation, found.client)).into())
            }
        });
        CountKey { rule: rule.key, group: GroupKey(group.collect()) }
    }

    /// Returns the rule of a match, and the address in its group, where there is one.
    #[must_use]
    pub fn source_of(&self, found: &Match) -> (RuleKey, Option<SourceIp>) {
        let (rule, leg) = self.leg_of(found);
        let is_by_address = leg.group_by.iter().any(|value| matches!(value, Value::Address));
        (rule.key, found.client.filter(|_| is_by_address).map(SourceIp::of))
    }

    /// Returns the keyed hash of a rule and one of its groups.
    #[must_use]
    pub fn hash_of(&self, key: &CountKey) -> u64 {
        let parts = key.group.0.iter().map(|value| Some(Part::from(value)));
        group::hash_of(key.rule, parts, &self.hasher, &mut Vec::new()).unwrap_or_default()
    }

    fn leg_of(&self, found: &Match) -> (&Matched, &MatchedLeg) {
        let (rule, leg) = found.place;
        (&self.rules[rule], &self.rules[rule].legs[leg])
    }

    fn match_one(&self, place: usize, judgement: &mut Judgement<'_>, matches: &mut Vec<Match>, written: &mut Vec<u8>) {
        let rule = &self.rules[place];
        if rule.excluded.is_some_and(|excluded| judgement.holds(excluded)) {
            return;
        }
        for (number, leg) in rule.legs.iter().enumerate() {
            if !judgement.holds(leg.condition) {
                continue;
            }
            let parts = leg.group_by.iter().map(|value| part_of(*value, judgement));
            let Some(hash) = group::hash_of(rule.key, parts, &self.hasher, written) else {
                continue;
            };
            if let Some((source, text)) = self.counted(rule, judgement) {
                let client = judgement.client;
                matches.push(Match { hash, legs: leg.legs, source, text, place: (place, number), client });
            }
        }
    }

    /// Returns the source to note and the value to count, or `None` where the request has no value to be counted.
    fn counted(&self, rule: &Matched, judgement: &mut Judgement<'_>) -> Option<(Option<SourceIp>, Option<TextHash>)> {
        let source = judgement.client.map(SourceIp::of);
        let noted = source.filter(|_| rule.lists_sources);
        match rule.value {
            None => Some((noted, None)),
            Some(Value::Address) => Some((Some(source?), None)),
            Some(Value::Field(field)) => {
                let text = text_of(judgement.value_of(field))?;
                Some((noted, Some(TextHash::of(&text, &self.key))))
            }
        }
    }
}

impl Matched {
    fn new(rule: &Rule, pass: Pass, conditions: &mut Conditions) -> Matched {
        let value_of = |field: &Field, conditions: &mut Conditions| match field {
            field if *field == SOURCE_IP => Value::Address,
            field => Value::Field(conditions.number_of_field(field)),
        };
        let value = match &rule.counting {
            Counting::Values { field } => Some(value_of(field, conditions)),
            Counting::Events | Counting::Sequence { .. } => None,
        };
        let leg = |selections, group_by: &[Field], legs, conditions: &mut Conditions| MatchedLeg {
            condition: conditions.any_of(selections),
            group_by: group_by.iter().map(|field| value_of(field, conditions)).collect(),
            legs,
        };
        let mut legs = Vec::new();
        if rule.legs().is_empty() && pass == Pass::First {
            legs.push(leg(&rule.selections, &rule.group_by, ReferencedRuleSet::default(), conditions));
        }
        let of_pass = |follow_up: bool| follow_up == (pass == Pass::FollowUp);
        for (place, own) in rule.legs().iter().enumerate().filter(|(_, own)| of_pass(own.follow_up)) {
            legs.push(leg(&own.selections, &own.group_by, ReferencedRuleSet::default().with(place), conditions));
        }
        let first = rule.legs().iter().filter(|leg| !leg.follow_up).flat_map(|leg| &leg.selections);
        Matched {
            key: rule.key,
            reading: rule.source_ip,
            needs_address: rule.group_by.contains(&SOURCE_IP) || rule.counts_sources(),
            lists_sources: rule.lists_sources(),
            value,
            excluded: (pass == Pass::FollowUp && !legs.is_empty()).then(|| conditions.any_of(first)),
            legs,
        }
    }
}

/// Returns what a request has of a value that is grouped by, or `None` where that is an address that it does not name.
fn part_of<'a>(value: Value, judgement: &mut Judgement<'a>) -> Option<Part<'a>> {
    match value {
        Value::Address => judgement.client.map(|client| Part::Address(SourceIp::of(client))),
        Value::Field(field) => Some(Part::of(judgement.value_of(field))),
    }
}

/// Joins a rule's matches, which are those behind `from`, by group: each group with all the legs that put the request
/// there, each source of it once.
fn join(matches: &mut Vec<Match>, from: usize) {
    if matches.len() < from + 2 {
        return;
    }
    let mut own = matches.split_off(from);
    own.sort_by_key(|found| (found.hash, found.source, found.text));
    for group in own.chunk_by_mut(|one, next| one.hash == next.hash) {
        let legs = ReferencedRuleSet(group.iter().fold(0, |legs, found| legs | found.legs.0));
        group.iter_mut().for_each(|found| found.legs = legs);
    }
    own.dedup_by_key(|found| (found.hash, found.source, found.text));
    matches.append(&mut own);
}
