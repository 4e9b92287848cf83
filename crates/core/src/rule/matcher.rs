//! All rules at once, as a fold asks them: which groups a request counts for, and as what.
//!
//! Conditions are evaluated only for requests that look new to them (see `verdicts`), and each value is hashed once per
//! request, however many rules count by it.

use std::net::IpAddr;

use siphasher::sip::SipHasher13;

use super::conditions::{Conditions, Evaluation};
use super::group::{self, GroupPart, text_of};
use super::verdicts::{Verdict, Verdicts};
use super::{Counting, Expression, Pass, ReferencedRule, Rule, SOURCE_IP, SourceIpMode};
use crate::address::SourceIp;
use crate::event::CutFields;
use crate::field::{Field, FieldValue};
use crate::group::{CountKey, GroupBase, ReferencedRuleSet, RuleKey};
use crate::hash::{HashKey, TextHash};
use crate::observation::Observation;

/// The rules of one pass.
pub struct Matcher {
    key: HashKey,
    hasher: SipHasher13,
    pub(super) conditions: Conditions,
    rules: Vec<MatchedRule>,
    /// What rules count by, each list of fields once.
    groupings: Vec<Vec<CountedValue>>,
    verdicts: Verdicts,
    /// Reused for each request.
    hashes: Hashes,
}

/// The hashes of one request, as one client's: each is made once, when a rule first needs it.
#[derive(Debug, Default)]
struct Hashes {
    client: Option<IpAddr>,
    /// The hash of each grouping without the address.
    groups: Vec<Option<u64>>,
    /// The hash of each field; `Some(None)` where the request lacks it.
    texts: Vec<Option<Option<TextHash>>>,
    buffer: Vec<u8>,
}

/// A group that a request counts for, and what of it counts there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Match {
    /// The keyed hash of rule and group.
    pub hash: u64,
    /// The keyed hash of the same without the address: see [`Matcher::base_of`].
    pub base: u64,
    /// The referenced rules that it belongs to, where the rule is a sequence.
    pub referenced: ReferencedRuleSet,
    /// The sender, where the rule counts or lists sources.
    pub source: Option<SourceIp>,
    /// The value that the rule counts, where that is not an address.
    pub text: Option<TextHash>,
    /// The address that the rule takes for the sender, where it does not take the one that clients cannot forge.
    pub other_sender: Option<SourceIp>,
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
    /// The keyed hash of `key`.
    hash: u64,
    source_ip: SourceIpMode,
    /// Whether it cannot count a request without an address.
    needs_address: bool,
    lists_sources: bool,
    value: Option<CountedValue>,
    parts: Vec<MatchedPart>,
    /// The fields that it reads and a provider may cut.
    cut_by: CutFields,
    /// The condition of the parts of the first pass. A request that they match is not a follow-up as well, so that one
    /// pass alone counts it.
    excluded: Option<usize>,
}

/// What a rule counts or groups by: the source, or the field at this index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CountedValue {
    Address,
    Field(usize),
}

/// A referenced rule of a sequence, or the whole of any other rule.
#[derive(Debug)]
struct MatchedPart {
    condition: usize,
    /// The index of what it counts by.
    grouping: usize,
    referenced: ReferencedRuleSet,
}

impl Matcher {
    /// Returns the matcher of `rules` in `pass`; `key` hashes groups and values.
    #[must_use]
    pub fn new<'r>(rules: impl IntoIterator<Item = &'r Rule>, pass: Pass, key: HashKey) -> Matcher {
        let mut matcher = Matcher {
            key,
            hasher: SipHasher13::new_with_key(&key.0),
            conditions: Conditions::default(),
            rules: Vec::new(),
            groupings: Vec::new(),
            verdicts: Verdicts::default(),
            hashes: Hashes::default(),
        };
        for rule in rules {
            let rule = matcher.prepared(rule, pass);
            if !rule.parts.is_empty() {
                matcher.rules.push(rule);
            }
        }
        matcher
    }

    /// Puts into `matches` the groups that `observation` counts for, each group of a rule once. A rule that it does not
    /// fit, or whose address or value it lacks, gets no group. A rule gets several groups only if it reads each entry of
    /// `sourceIPs`, or if its referenced rules group by different fields.
    ///
    /// Returns whether the request fits a rule that cannot count it because it names no address.
    pub fn match_all(&mut self, observation: &Observation, matches: &mut Vec<Match>) -> bool {
        matches.clear();
        let mut hashes = std::mem::take(&mut self.hashes);
        let trusted = self.verdict(observation, observation.client, &mut hashes);
        hashes.begin(observation.client, self);
        let mut rest = &trusted[..];
        let mut is_unattributed = false;
        for index in 0..self.rules.len() {
            let own;
            (own, rest) = rest.split_at(rest.iter().take_while(|part| part.rule == index).count());
            if observation.event.cut_fields.meets(self.rules[index].cut_by) {
                continue;
            }
            let before = matches.len();
            let mode = self.rules[index].source_ip;
            let mut is_without_address = observation.client.is_none();
            if mode == SourceIpMode::Trusted {
                self.match_parts(own, observation, observation.client, &mut hashes, matches);
            } else {
                let clients = mode.clients_of(observation);
                is_without_address = clients.iter().all(Option::is_none);
                for client in clients {
                    if client == observation.client {
                        self.match_parts(own, observation, client, &mut hashes, matches);
                    } else {
                        let verdict = self.verdict(observation, client, &mut hashes);
                        let parts: Vec<PartIndex> = verdict.iter().copied().filter(|part| part.rule == index).collect();
                        self.match_parts(&parts, observation, client, &mut hashes, matches);
                    }
                }
            }
            join(matches, before);
            let rule = &self.rules[index];
            if is_without_address && rule.needs_address && matches.len() == before {
                let mut evaluation = self.evaluation(observation, None);
                is_unattributed |= rule.parts.iter().any(|part| evaluation.holds(part.condition));
            }
        }
        self.hashes = hashes;
        is_unattributed
    }

    /// Returns the rule and group of a match that `observation` gave.
    #[must_use]
    pub fn key_of(&self, found: &Match, observation: &Observation) -> CountKey {
        self.base_of(found, observation).of(found.client.map(SourceIp::of))
    }

    /// Returns the same without the address.
    #[must_use]
    pub fn base_of(&self, found: &Match, observation: &Observation) -> GroupBase {
        let (rule, part) = self.part_at(found.index);
        let parts = self.parts_of(part.grouping, observation, found.client);
        GroupBase { rule: rule.key, values: parts.map(GroupPart::into_value).collect() }
    }

    /// Writes all that decides what `observation` counts for, but for the address of its sender: two requests that write the
    /// same match the same parts of the rules, with the same values, referenced rules and other senders.
    pub fn write_read(&self, observation: &Observation, to: &mut Vec<u8>) {
        let CutFields { request_uri, user_agent } = observation.event.cut_fields;
        to.extend([group::READ, u8::from(observation.client.is_some()), u8::from(request_uri), u8::from(user_agent)]);
        FieldValue::Text(&observation.cluster).write(to);
        observation.event.response_code.map_or(FieldValue::Missing, FieldValue::Number).write(to);
        self.conditions.write_read(observation, to);
        if self.rules.iter().any(|rule| rule.source_ip != SourceIpMode::Trusted) {
            FieldValue::Texts(&observation.event.source_ips).write(to);
            to.extend(
                observation.client.map(|client| self.hash_of_source(SourceIp::of(client))).unwrap_or(0).to_le_bytes(),
            );
        }
    }

    /// Returns the keyed hash of a sender. Exclusive or joins it with that of a group without its address.
    #[must_use]
    pub fn hash_of_source(&self, source: SourceIp) -> u64 {
        group::hash_of_source(source, &self.hasher)
    }

    /// Returns the rule of a match, and the address in its group, where there is one.
    #[must_use]
    pub fn source_of(&self, found: &Match) -> (RuleKey, Option<SourceIp>) {
        let (rule, part) = self.part_at(found.index);
        let is_by_address = self.groupings[part.grouping].iter().any(|value| matches!(value, CountedValue::Address));
        (rule.key, found.client.filter(|_| is_by_address).map(SourceIp::of))
    }

    /// Returns the evaluation of `observation` as a request of `client`.
    pub(super) fn evaluation<'a>(&'a self, observation: &'a Observation, client: Option<IpAddr>) -> Evaluation<'a> {
        Evaluation::new(&self.conditions, observation, client)
    }

    /// Returns the match of a request with a part of a rule, or the reason that it does not match.
    pub(super) fn match_part(&self, index: PartIndex, evaluation: &mut Evaluation<'_>) -> Result<Match, Miss> {
        self.fits(index, evaluation)?;
        let mut hashes = Hashes::default();
        hashes.begin(evaluation.client, self);
        self.match_of(index, evaluation.observation, &mut hashes)
    }

    /// Returns the parts of a group of `observation` as a request of `client`.
    fn parts_of<'a>(
        &'a self,
        grouping: usize,
        observation: &'a Observation,
        client: Option<IpAddr>,
    ) -> impl Iterator<Item = GroupPart<'a>> {
        self.groupings[grouping].iter().map(move |value| match value {
            CountedValue::Address => GroupPart::Address,
            CountedValue::Field(field) => GroupPart::of(&self.conditions.read(*field, observation, client)),
        })
    }

    fn part_at(&self, index: PartIndex) -> (&MatchedRule, &MatchedPart) {
        let rule = &self.rules[index.rule];
        (rule, &rule.parts[index.part])
    }

    /// Returns the parts whose conditions `observation` fits as a request of `client`.
    fn verdict(&mut self, observation: &Observation, client: Option<IpAddr>, hashes: &mut Hashes) -> Verdict {
        hashes.buffer.clear();
        hashes.buffer.push(group::COMPARED);
        self.conditions.write_compared(observation, client, &mut hashes.buffer);
        let hash = self.hasher.hash(&hashes.buffer);
        let mut verdicts = std::mem::take(&mut self.verdicts);
        let verdict = verdicts.get(hash, || self.decide(&mut self.evaluation(observation, client)));
        self.verdicts = verdicts;
        verdict
    }

    fn decide(&self, evaluation: &mut Evaluation<'_>) -> Verdict {
        let parts =
            |(rule, matched): (usize, &MatchedRule)| (0..matched.parts.len()).map(move |part| PartIndex { rule, part });
        let all = self.rules.iter().enumerate().flat_map(parts);
        all.filter(|index| self.fits(*index, evaluation).is_ok()).collect()
    }

    /// Checks the conditions of a part.
    fn fits(&self, index: PartIndex, evaluation: &mut Evaluation<'_>) -> Result<(), Miss> {
        let (rule, part) = self.part_at(index);
        if !evaluation.holds(part.condition) {
            return Err(Miss::NoSelection);
        }
        if rule.excluded.is_some_and(|excluded| evaluation.holds(excluded)) {
            return Err(Miss::FirstPass);
        }
        Ok(())
    }

    /// Adds the matches of `parts`, whose conditions `observation` fits as a request of `client`.
    fn match_parts(
        &self,
        parts: &[PartIndex],
        observation: &Observation,
        client: Option<IpAddr>,
        hashes: &mut Hashes,
        matches: &mut Vec<Match>,
    ) {
        if !parts.is_empty() && hashes.client != client {
            hashes.begin(client, self);
        }
        matches.extend(parts.iter().filter_map(|index| self.match_of(*index, observation, hashes).ok()));
    }

    /// Returns the match of a request with a part whose conditions it fits, or what it lacks to be counted.
    fn match_of(&self, index: PartIndex, observation: &Observation, hashes: &mut Hashes) -> Result<Match, Miss> {
        let (rule, part) = self.part_at(index);
        let client = hashes.client;
        let source = client.map(SourceIp::of);
        let base = hashes.group(part.grouping, observation, self) ^ rule.hash;
        let is_by_address = self.groupings[part.grouping].contains(&CountedValue::Address);
        let hash = if is_by_address { base ^ self.hash_of_source(source.ok_or(Miss::NoAddress)?) } else { base };
        let other_sender = source.filter(|_| rule.source_ip != SourceIpMode::Trusted);
        let noted = source.filter(|_| rule.lists_sources);
        let (source, text) = match rule.value {
            None => (noted, None),
            Some(CountedValue::Address) => (Some(source.ok_or(Miss::NoAddress)?), None),
            Some(CountedValue::Field(field)) => {
                (noted, Some(hashes.text(field, observation, self).ok_or(Miss::NoValue)?))
            }
        };
        Ok(Match { hash, base, referenced: part.referenced, source, text, other_sender, index, client })
    }

    /// Returns a rule as far as `pass` looks for it.
    fn prepared(&mut self, rule: &Rule, pass: Pass) -> MatchedRule {
        let value = match &rule.counting {
            Counting::Values { field } => Some(self.counted_value(field)),
            Counting::Events | Counting::Sequence { .. } => None,
        };
        let mut parts = Vec::new();
        if rule.referenced_rules().is_empty() && pass == Pass::First {
            parts.push(self.part(&rule.selections, &rule.group_by, ReferencedRuleSet::default()));
        }
        for (position, referenced) in rule.referenced_rules().iter().enumerate() {
            if referenced.pass() == pass {
                let set = ReferencedRuleSet::default().with(position);
                parts.push(self.part(&referenced.selections, &referenced.group_by, set));
            }
        }
        let is_first = |referenced: &&ReferencedRule| referenced.pass() == Pass::First;
        let first = rule.referenced_rules().iter().filter(is_first).flat_map(|referenced| &referenced.selections);
        MatchedRule {
            key: rule.key,
            hash: group::hash_of_rule(rule.key, &self.hasher),
            source_ip: rule.source_ip,
            needs_address: rule.group_by.contains(&SOURCE_IP) || rule.counts_sources(),
            lists_sources: rule.lists_sources(),
            cut_by: rule.cut_by(),
            value,
            excluded: (pass == Pass::FollowUp && !parts.is_empty()).then(|| self.conditions.any_of(first)),
            parts,
        }
    }

    fn part(&mut self, selections: &[Expression], group_by: &[Field], referenced: ReferencedRuleSet) -> MatchedPart {
        let condition = self.conditions.any_of(selections);
        let group_by: Vec<CountedValue> = group_by.iter().map(|field| self.counted_value(field)).collect();
        let known = self.groupings.iter().position(|known| *known == group_by);
        let grouping = known.unwrap_or_else(|| {
            self.groupings.push(group_by);
            self.groupings.len() - 1
        });
        MatchedPart { condition, grouping, referenced }
    }

    fn counted_value(&mut self, field: &Field) -> CountedValue {
        if *field == SOURCE_IP {
            return CountedValue::Address;
        }
        CountedValue::Field(self.conditions.index_of_field(field))
    }
}

impl Hashes {
    /// Forgets all hashes, for a request of `client`.
    fn begin(&mut self, client: Option<IpAddr>, matcher: &Matcher) {
        self.client = client;
        self.groups.clear();
        self.groups.resize(matcher.groupings.len(), None);
        self.texts.clear();
        self.texts.resize(matcher.conditions.fields(), None);
    }

    /// Returns the hash of the request's group without the address.
    fn group(&mut self, grouping: usize, observation: &Observation, matcher: &Matcher) -> u64 {
        let (client, buffer) = (self.client, &mut self.buffer);
        *self.groups[grouping].get_or_insert_with(|| {
            group::hash_of(matcher.parts_of(grouping, observation, client), &matcher.hasher, buffer)
        })
    }

    /// Returns the hash of the field's text, or `None` where the request lacks it.
    fn text(&mut self, field: usize, observation: &Observation, matcher: &Matcher) -> Option<TextHash> {
        let client = self.client;
        *self.texts[field].get_or_insert_with(|| {
            let value = matcher.conditions.read(field, observation, client);
            text_of(&value).map(|text| TextHash::of(&text, &matcher.key))
        })
    }
}

/// Joins the matches of a rule, which begin at `from`, by group: each group gets all referenced rules that put the
/// request there, and each source once.
fn join(matches: &mut Vec<Match>, from: usize) {
    if matches.len() < from + 2 {
        return;
    }
    let mut own = matches.split_off(from);
    // The same order for each sender.
    own.sort_by_key(|found| (found.base, found.hash, found.source, found.text));
    for group in own.chunk_by_mut(|one, next| one.hash == next.hash) {
        let set = ReferencedRuleSet(group.iter().fold(0, |set, found| set | found.referenced.0));
        group.iter_mut().for_each(|found| found.referenced = set);
    }
    own.dedup_by_key(|found| (found.hash, found.source, found.text));
    matches.append(&mut own);
}
