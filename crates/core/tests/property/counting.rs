//! Distinct values and sequences of one window, against a counter by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use stakeout_core::finding::Finding;
use stakeout_core::fold::{self, Limits};
use stakeout_core::hash::HashKey;
use stakeout_core::rule::Rules;
use stakeout_core::time::{Second, Window};

use super::{BEGIN, Record, close_with, load, records, source};
use crate::by_hand::{ReferencedRule, Request, episodes_by_hand, sequence_by_hand};

const RULES: &str = "
title: Refused
name: refused
logsource: {product: kubernetes, service: audit}
detection: {selection: {responseStatus.code: 403}, condition: selection}
---
title: Listed
name: listed
logsource: {product: kubernetes, service: audit}
detection: {selection: {verb: list}, condition: selection}
---
title: Refused Repeatedly
name: refused-repeatedly
correlation: {type: event_count, rules: [refused], group-by: [source_ip], timespan: 2m, condition: {gte: 3}}
---
title: Many Paths
name: many-paths
correlation:
  {type: value_count, rules: [refused], group-by: [source_ip], timespan: 3m, condition: {field: requestURI, gte: 3}}
stakeout: {dedup_period: 6m}
---
title: Many Sources
name: many-sources
correlation: {type: value_count, rules: [refused], timespan: 50s, condition: {field: source_ip, gte: 3}}
stakeout: {dedup_period: 70s}
---
title: Many Requests By Path
name: by-path
correlation: {type: event_count, rules: [listed], group-by: [requestURI], timespan: 10m, condition: {gte: 2}}
---
title: Refused Then Listed
name: refused-then-listed
correlation:
  {type: temporal_ordered, rules: [refused-repeatedly, listed, refused], group-by: [source_ip], timespan: 5m}
stakeout: {dedup_period: 5m}
---
title: Refused And Listed
name: refused-and-listed
correlation: {type: temporal, rules: [refused-repeatedly, listed], group-by: [source_ip], timespan: 2m}
stakeout: {dedup_period: 3m}
";

fn rules() -> Arc<Rules> {
    static LOADED: LazyLock<Arc<Rules>> = LazyLock::new(|| load(RULES));
    LOADED.clone()
}

/// A rule's name, a group, the first second, the last second and the requests of an episode, and its distinct values.
type Counted = (String, String, i64, i64, u64, usize);

fn is_refused(record: &Record) -> bool {
    record.code == 403
}

fn is_list(record: &Record) -> bool {
    record.verb == "list"
}

type Requests = [Request<Record>];

/// A second implementation of a rule.
struct ByHand {
    name: &'static str,
    fits: fn(&Record) -> bool,
    group: fn(&Record) -> String,
    timespan: i64,
    quiet: i64,
    is_enough: fn(&Requests, &Requests) -> bool,
    distinct: fn(&Requests) -> usize,
}

fn distinct<T: Ord>(requests: &Requests, of: fn(&Record) -> T) -> usize {
    requests.iter().map(|request| of(&request.what)).collect::<BTreeSet<T>>().len()
}

fn address(record: &Record) -> String {
    std::net::Ipv4Addr::from(record.address).to_string()
}

const REPEATED: ReferencedRule<Record> = ReferencedRule { fits: is_refused, least: 3, within: 120 };
const REFUSED: ReferencedRule<Record> = ReferencedRule { fits: is_refused, least: 1, within: 0 };
const LISTED: ReferencedRule<Record> = ReferencedRule { fits: is_list, least: 1, within: 0 };

const BY_HAND: &[ByHand] = &[
    ByHand {
        name: "many-paths",
        fits: is_refused,
        group: address,
        timespan: 180,
        quiet: 360,
        is_enough: |_, span| distinct(span, |record| record.path) >= 3,
        distinct: |requests| distinct(requests, |record| record.path),
    },
    ByHand {
        name: "many-sources",
        fits: is_refused,
        group: |_| String::new(),
        timespan: 50,
        quiet: 70,
        is_enough: |_, span| distinct(span, |record| record.address) >= 3,
        distinct: |requests| distinct(requests, |record| record.address),
    },
    ByHand {
        name: "by-path",
        fits: is_list,
        group: |record| format!("/api/{}", record.path),
        timespan: 600,
        quiet: 3600,
        is_enough: |_, span| span.len() >= 2,
        distinct: |requests| distinct(requests, |record| record.address),
    },
    ByHand {
        name: "refused-then-listed",
        fits: |record| is_refused(record) || is_list(record),
        group: address,
        timespan: 300,
        quiet: 300,
        is_enough: |all, span| sequence_by_hand(all, span, &[REPEATED, LISTED, REFUSED], true),
        distinct: |_| 0,
    },
    ByHand {
        name: "refused-and-listed",
        fits: |record| is_refused(record) || is_list(record),
        group: address,
        timespan: 120,
        quiet: 180,
        is_enough: |all, span| sequence_by_hand(all, span, &[REPEATED, LISTED], false),
        distinct: |_| 0,
    },
];

fn expected(records: &[Record]) -> Vec<Counted> {
    let mut counted = Vec::new();
    for rule in BY_HAND {
        let mut groups: BTreeMap<String, Vec<Request<Record>>> = BTreeMap::new();
        for record in records.iter().filter(|record| (rule.fits)(record)) {
            let request = Request { at: record.at, what: record.clone() };
            groups.entry((rule.group)(record)).or_default().push(request);
        }
        for (group, mut requests) in groups {
            requests.sort_by_key(|request| request.at);
            for (first, last, count) in episodes_by_hand(&requests, rule.timespan, rule.quiet, rule.is_enough) {
                let begin = requests.partition_point(|request| request.at < first);
                let end = requests.partition_point(|request| request.at <= last);
                let values = (rule.distinct)(&requests[begin..end]);
                counted.push((rule.name.to_owned(), group.clone(), first, last, count, values));
            }
        }
    }
    counted.sort();
    counted
}

fn counted(findings: &[Finding]) -> Vec<Counted> {
    let mut counted: Vec<Counted> = findings
        .iter()
        .map(|finding| {
            let group: Vec<String> = finding.group.0.iter().map(ToString::to_string).collect();
            let episode = finding.episode;
            assert_eq!(finding.codes.total(), episode.count, "every request was answered somehow");
            let values = finding.distinct_values().map_or(finding.sources.len(), |(_, number, _)| number);
            let name = finding.rule.name.clone();
            (name, group.join(" "), episode.first.0, episode.last.0, episode.count, values)
        })
        .collect();
    counted.sort();
    counted
}

/// Records close together and far apart, from few clients, so that edges occur often.
fn uneven() -> impl Strategy<Value = Vec<Record>> {
    let gap = prop_oneof![4 => 0_i64..4, 2 => 40_i64..80, 2 => 115_i64..125, 1 => 170_i64..190, 1 => 290_i64..370];
    proptest::collection::vec((gap, 0_u8..3, 0_u8..4), 1..40).prop_flat_map(|steps| {
        records(steps.len(), 1).prop_map(move |mut drawn| {
            let mut at = BEGIN;
            for (record, (gap, host, path)) in drawn.iter_mut().zip(&steps) {
                at += gap;
                record.at = at;
                record.address = [198, 51, 100, *host];
                record.path = *path;
            }
            drawn.retain(|record| record.at < BEGIN + 3600);
            drawn
        })
    })
}

proptest! {
    #![proptest_config(crate::cases(600))]

    #[test]
    fn values_and_sequences_equal_a_count_by_hand(records in uneven().prop_shuffle()) {
        let closed = close_with(&rules(), &records, stakeout_core::fold::Limits::default());
        let mut findings = closed.commit.findings;
        findings.retain(|finding| BY_HAND.iter().any(|rule| rule.name == finding.rule.name));
        prop_assert_eq!(counted(&findings), expected(&records));
    }
}

/// Timelines that miss what is hard prove nothing.
#[test]
fn every_rule_is_met() {
    let mut met: BTreeMap<String, usize> = BTreeMap::new();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..200 {
        let records = uneven().new_tree(&mut runner).expect("records").current();
        for (name, ..) in expected(&records) {
            *met.entry(name).or_default() += 1;
        }
    }
    for rule in BY_HAND {
        assert!(met.get(rule.name).is_some_and(|times| *times > 20), "{}: {met:?}", rule.name);
    }
}

#[test]
fn a_sender_that_asks_for_ever_new_paths_leaves_room_for_the_values_of_others() {
    let window = Window::new(Second(BEGIN), Second(BEGIN + 3600)).expect("an hour");
    let limits = Limits { values_max: 10_000, ..Limits::default() };
    let mut fold = fold::open(rules(), window, false, HashKey([7; 16]), limits);
    for request in 0..6_003 {
        let host = if request < 6_000 { 1 } else { 2 };
        let record = Record { request, address: [198, 51, 100, host], code: 403, verb: "get", path: 0, at: BEGIN };
        let mut observation = record.observation();
        observation.event.request_uri = Some(format!("/api/{request}"));
        fold.observe(&observation);
    }
    let closed = fold.close_alone(&source(), window.latest(), jiff::Timestamp::UNIX_EPOCH);
    let findings = closed.commit.findings.iter().filter(|finding| finding.rule.name == "many-paths");
    let found: BTreeSet<_> =
        findings.filter_map(|finding| finding.group.source_ip()).map(|source| source.to_string()).collect();
    assert_eq!(found, BTreeSet::from(["198.51.100.1".to_owned(), "198.51.100.2".to_owned()]));
}
