//! All rules at once, as a fold asks them: which groups a request counts for, and as what.

use std::net::IpAddr;

use siphasher::sip::SipHasher13;

use super::conditions::{Conditions, Evaluation};
use super::group::{self, GroupPart, text_of};
use super::{Counting, Pass, ReferencedRule, Rule, SOURCE_IP, SourceIpMode};
use crate::address::SourceIp;
use crate::field::Field;
use crate::group::{CountKey, GroupKey, GroupValue, ReferencedRuleSet, RuleKey};
use crate::hash::{HashKey, TextHash};
use crate::observation::Observation;

/// The rules of one pass.
pub struct Matcher {
    key: HashKey,
    hasher: SipHasher13,
    pub(super) conditions: Conditions,
    rules: Vec<MatchedRule>,
}

/// A group that a request counts for, and what of it counts there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Match {
    /// The keyed hash of rule and group: see [`Matcher::hash_of`].
    pub hash: u64,
    /// The referenced rules that it belongs to, where the rule is a sequence.
    pub referenced: ReferencedRuleSet,
    /// The sender, where the rule counts or lists sources.
    pub source: Option<SourceIp>,
    /// The value that the rule counts, where that is not an address.
    pub text: Option<TextHash>,
    /// The rule, and which of its parts matched.
    index: PartIndex,
    client: Option<IpAddr>,
}

/// Why a request does not count for a part of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    /// No selection fits.
    NoSelection,
    /// The part is a follow-up, and the request belongs to a part of the first pass.
    FirstPass,
    /// A selection fits, but the request has no address to be counted for.
    NoAddress,
    /// A selection fits, but the request does not have the value that is counted.
    NoValue,
}

/// An index into the rules of a matcher, and into the parts of that rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PartIndex {
    rule: usize,
    part: usize,
}

impl PartIndex {
    /// Returns the index of a part of a matcher's only rule.
    pub(super) fn of_only_rule(part: usize) -> PartIndex {
        PartIndex { rule: 0, part }
    }
}

/// A rule, as far as the pass looks for it.
#[derive(Debug)]
struct MatchedRule {
    key: RuleKey,
    source_ip: SourceIpMode,
    /// Whether it cannot count a request without an address.
    needs_address: bool,
    lists_sources: bool,
    value: Option<CountedValue>,
    parts: Vec<MatchedPart>,
    /// The condition of the parts of the first pass. A request that they match is not a follow-up as well, so that one
    /// pass alone counts it.
    excluded: Option<usize>,
}

/// What a rule counts or groups by: the source, or the field at this index.
#[derive(Clone, Copy, Debug)]
enum CountedValue {
    Address,
    Field(usize),
}

/// A referenced rule of a sequence, or the whole of any other rule.
#[derive(Debug)]
struct MatchedPart {
    condition: usize,
    group_by: Vec<CountedValue>,
    referenced: ReferencedRuleSet,
}

impl Matcher {
    /// Returns the matcher of `rules` in `pass`; `key` hashes groups and values.
    #[must_use]
    pub fn new<'r>(rules: impl IntoIterator<Item = &'r Rule>, pass: Pass, key: HashKey) -> Matcher {
        let mut conditions = Conditions::default();
        let rules = rules.into_iter().map(|rule| MatchedRule::new(rule, pass, &mut conditions));
        let rules = rules.filter(|rule| !rule.parts.is_empty()).collect();
        Matcher { key, hasher: SipHasher13::new_with_key(&key.0), conditions, rules }
    }

    /// Puts into `matches` the groups that `observation` counts for, each group of a rule once. A rule that it does not
    /// fit, or whose address or value it lacks, gets no group. A rule gets several groups only if it reads each entry of
    /// `sourceIPs`, or if its referenced rules group by different fields.
    ///
    /// Returns whether the request fits a rule that cannot count it because it names no address.
    pub fn match_all(&self, observation: &Observation, matches: &mut Vec<Match>) -> bool {
        matches.clear();
        let mut trusted = self.evaluation(observation, observation.client);
        // A buffer for what is hashed.
        let mut buffer = Vec::with_capacity(64);
        let mut is_unattributed = false;
        for (index, rule) in self.rules.iter().enumerate() {
            let before = matches.len();
            let mut is_without_address = observation.client.is_none();
            if rule.source_ip == SourceIpMode::Trusted {
                self.match_one(index, &mut trusted, matches, &mut buffer);
            } else {
                let clients = rule.source_ip.clients_of(observation);
                is_without_address = clients.iter().all(Option::is_none);
                for client in clients {
                    if client == observation.client {
                        self.match_one(index, &mut trusted, matches, &mut buffer);
                    } else {
                        self.match_one(index, &mut self.evaluation(observation, client), matches, &mut buffer);
                    }
                }
            }
            join(matches, before);
            if is_without_address && rule.needs_address && matches.len() == before {
                let mut evaluation = self.evaluation(observation, None);
                is_unattributed |= rule.parts.iter().any(|part| evaluation.holds(part.condition));
            }
        }
        is_unattributed
    }

    /// Returns the rule and group of a match that `observation` gave.
    #[must_use]
    pub fn key_of(&self, found: &Match, observation: &Observation) -> CountKey {
        let (rule, part) = self.part_at(found.index);
        let group = part.group_by.iter().filter_map(|value| match value {
            CountedValue::Address => found.client.map(|client| GroupValue::Address(SourceIp::of(client))),
            CountedValue::Field(field) => {
                Some(GroupPart::of(&self.conditions.read(*field, observation, found.client)).into())
            }
        });
        CountKey { rule: rule.key, group: GroupKey(group.collect()) }
    }

    /// Returns the rule of a match, and the address in its group, where there is one.
    #[must_use]
    pub fn source_of(&self, found: &Match) -> (RuleKey, Option<SourceIp>) {
        let (rule, part) = self.part_at(found.index);
        let is_by_address = part.group_by.iter().any(|value| matches!(value, CountedValue::Address));
        (rule.key, found.client.filter(|_| is_by_address).map(SourceIp::of))
    }

    /// Returns the keyed hash of a rule and one of its groups.
    #[must_use]
    pub fn hash_of(&self, key: &CountKey) -> u64 {
        let parts = key.group.0.iter().map(|value| Some(GroupPart::from(value)));
        group::hash_of(key.rule, parts, &self.hasher, &mut Vec::new()).unwrap_or_default()
    }

    /// Returns the evaluation of `observation` as a request of `client`.
    pub(super) fn evaluation<'a>(&'a self, observation: &'a Observation, client: Option<IpAddr>) -> Evaluation<'a> {
        Evaluation::new(&self.conditions, observation, client)
    }

    /// Returns the match of a request with a part of a rule, or the reason that it does not match. `buffer` is scratch space.
    #[inline]
    pub(super) fn match_part(
        &self,
        index: PartIndex,
        evaluation: &mut Evaluation<'_>,
        buffer: &mut Vec<u8>,
    ) -> Result<Match, Miss> {
        let (rule, part) = self.part_at(index);
        if !evaluation.holds(part.condition) {
            return Err(Miss::NoSelection);
        }
        if rule.excluded.is_some_and(|excluded| evaluation.holds(excluded)) {
            return Err(Miss::FirstPass);
        }
        let group = part.group_by.iter().map(|value| group_part(*value, evaluation));
        let hash = group::hash_of(rule.key, group, &self.hasher, buffer).ok_or(Miss::NoAddress)?;
        let (source, text) = self.counted(rule, evaluation)?;
        Ok(Match { hash, referenced: part.referenced, source, text, index, client: evaluation.client })
    }

    fn part_at(&self, index: PartIndex) -> (&MatchedRule, &MatchedPart) {
        let rule = &self.rules[index.rule];
        (rule, &rule.parts[index.part])
    }

    fn match_one(&self, rule: usize, evaluation: &mut Evaluation<'_>, matches: &mut Vec<Match>, buffer: &mut Vec<u8>) {
        for part in 0..self.rules[rule].parts.len() {
            matches.extend(self.match_part(PartIndex { rule, part }, evaluation, buffer));
        }
    }

    /// Returns the source to note and the value to count.
    fn counted(
        &self,
        rule: &MatchedRule,
        evaluation: &mut Evaluation<'_>,
    ) -> Result<(Option<SourceIp>, Option<TextHash>), Miss> {
        let source = evaluation.client.map(SourceIp::of);
        let noted = source.filter(|_| rule.lists_sources);
        match rule.value {
            None => Ok((noted, None)),
            Some(CountedValue::Address) => Ok((Some(source.ok_or(Miss::NoAddress)?), None)),
            Some(CountedValue::Field(field)) => {
                let text = text_of(evaluation.value_of(field)).ok_or(Miss::NoValue)?;
                Ok((noted, Some(TextHash::of(&text, &self.key))))
            }
        }
    }
}

impl MatchedRule {
    fn new(rule: &Rule, pass: Pass, conditions: &mut Conditions) -> MatchedRule {
        let value_of = |field: &Field, conditions: &mut Conditions| match field {
            field if *field == SOURCE_IP => CountedValue::Address,
            field => CountedValue::Field(conditions.index_of_field(field)),
        };
        let value = match &rule.counting {
            Counting::Values { field } => Some(value_of(field, conditions)),
            Counting::Events | Counting::Sequence { .. } => None,
        };
        let part = |selections, group_by: &[Field], set, conditions: &mut Conditions| MatchedPart {
            condition: conditions.any_of(selections),
            group_by: group_by.iter().map(|field| value_of(field, conditions)).collect(),
            referenced: set,
        };
        let mut parts = Vec::new();
        if rule.referenced_rules().is_empty() && pass == Pass::First {
            parts.push(part(&rule.selections, &rule.group_by, ReferencedRuleSet::default(), conditions));
        }
        for (position, referenced) in rule.referenced_rules().iter().enumerate() {
            if referenced.pass() == pass {
                let set = ReferencedRuleSet::default().with(position);
                parts.push(part(&referenced.selections, &referenced.group_by, set, conditions));
            }
        }
        let is_first = |referenced: &&ReferencedRule| referenced.pass() == Pass::First;
        let first = rule.referenced_rules().iter().filter(is_first).flat_map(|referenced| &referenced.selections);
        MatchedRule {
            key: rule.key,
            source_ip: rule.source_ip,
            needs_address: rule.group_by.contains(&SOURCE_IP) || rule.counts_sources(),
            lists_sources: rule.lists_sources(),
            value,
            excluded: (pass == Pass::FollowUp && !parts.is_empty()).then(|| conditions.any_of(first)),
            parts,
        }
    }
}

/// Returns the request's part of the group key, or `None` if that is an address and the request names none.
fn group_part<'a>(value: CountedValue, evaluation: &mut Evaluation<'a>) -> Option<GroupPart<'a>> {
    match value {
        CountedValue::Address => evaluation.client.map(|client| GroupPart::Address(SourceIp::of(client))),
        CountedValue::Field(field) => Some(GroupPart::of(evaluation.value_of(field))),
    }
}

/// Joins the matches of a rule, which begin at `from`, by group: each group gets all referenced rules that put the
/// request there, and each source once.
fn join(matches: &mut Vec<Match>, from: usize) {
    if matches.len() < from + 2 {
        return;
    }
    let mut own = matches.split_off(from);
    own.sort_by_key(|found| (found.hash, found.source, found.text));
    for group in own.chunk_by_mut(|one, next| one.hash == next.hash) {
        let set = ReferencedRuleSet(group.iter().fold(0, |set, found| set | found.referenced.0));
        group.iter_mut().for_each(|found| found.referenced = set);
    }
    own.dedup_by_key(|found| (found.hash, found.source, found.text));
    matches.append(&mut own);
}
