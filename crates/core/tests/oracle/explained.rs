//! Explanations against matching, over random rules of every kind and random events.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};
use stakeout_core::address::{SourceIp, TrustedProxies};
use stakeout_core::decode::decode;
use stakeout_core::group::CountKey;
use stakeout_core::hash::HashKey;
use stakeout_core::observation::Observation;
use stakeout_core::rule::{self, Match, Matcher, Origin, Pass, Rule, RuleFile, Rules, Step, Trace};
use stakeout_core::source::{LogId, Provider, Source};
use stakeout_core::time::Second;

use crate::grammar::{self, Dice};

const FILTER: &str = "
title: Known
logsource: {product: kubernetes, service: audit}
filter: {rules: any, selection: {user.username: alice}, condition: not selection}
stakeout: {reason: ours, owner: secops, expires: 1970-01-02}
";

/// Returns two random detections, mostly with a correlation that counts them, and sometimes a filter.
fn rules(dice: &mut Dice) -> Rules {
    let reading = *dice.pick(&["trusted", "trusted", "first", "each"]);
    let own = format!("stakeout: {{source_ip: {reading}}}\n");
    let mut detection = |name: &str, own: &str| {
        grammar::rule(dice).replacen("title: Random", &format!("title: The {name}\nname: {name}"), 1) + own
    };
    let kind = detection("kind", "").len() % 5;
    let follow_up = if kind == 4 { "stakeout: {follow_up: true}\n" } else { "" };
    let mut documents = vec![detection("one", &own), detection("two", follow_up)];
    let group_by = *dice.pick(&["source_ip", "source_ip, user.username", "objectRef.namespace", "cluster"]);
    let group_by = if kind == 4 { "source_ip, cluster" } else { group_by };
    let correlation = |kind: &str, more: &str| {
        format!(
            "title: Joined\nname: joined\ncorrelation: {{type: {kind}, rules: [one, two], group-by: [{group_by}], timespan: 5m{more}}}\n{own}"
        )
    };
    let field = *dice.pick(&["source_ip", "objectRef.name", "user.username"]);
    documents.extend(match kind {
        0 => None,
        1 => Some(correlation("event_count", ", condition: {gte: 2}")),
        2 => Some(correlation("value_count", &format!(", condition: {{gte: 2, field: {field}}}"))),
        3 => Some(correlation("temporal", "")),
        _ => Some(correlation("temporal_ordered", "")),
    });
    if dice.is(50) {
        documents.push(FILTER.to_owned());
    }
    let text = documents.join("---\n");
    rule::load(&[RuleFile { origin: Origin::Own, name: "rules.yml".to_owned(), text: text.clone() }])
        .unwrap_or_else(|faults| panic!("{text}\n{faults:#?}"))
}

/// Returns a random event, sometimes of a stage that is not a request, or without an address.
fn event(dice: &mut Dice) -> Json {
    let mut event = grammar::event(dice);
    event["stage"] = json!(dice.pick(&["ResponseComplete", "ResponseComplete", "RequestReceived", "ResponseStarted"]));
    if dice.is(10) {
        event["sourceIPs"] = json!([]);
    }
    event
}

/// Checks that what is said of a condition follows from what is said of its parts.
fn check(trace: &Trace) {
    let follows = match &trace.step {
        Step::All { parts } => parts.iter().all(|part| part.holds),
        Step::Any { parts } => parts.iter().any(|part| part.holds),
        Step::Not { part } => !part.holds,
        Step::Since { at, came } => came >= at,
        Step::Field { patterns, all: true, .. } => patterns.iter().all(|one| one.fits),
        Step::Field { patterns, all: false, .. } => patterns.iter().any(|one| one.fits),
    };
    assert_eq!(trace.holds, follows, "{trace:#?}");
    match &trace.step {
        Step::All { parts } | Step::Any { parts } => parts.iter().for_each(check),
        Step::Not { part } => check(part),
        Step::Since { .. } | Step::Field { .. } => {}
    }
}

/// A matcher, and its answers by what it reads of requests: the address of the sender does not change them.
struct Asked {
    matcher: Matcher,
    answers: BTreeMap<Vec<u8>, String>,
}

/// Returns the groups that a request counts for, as a fold finds them: all rules share what they ask, and the matchers
/// have seen other requests.
fn at_once(matchers: &mut [Asked], observation: &Observation) -> BTreeSet<CountKey> {
    let mut keys = BTreeSet::new();
    for Asked { matcher, answers } in matchers {
        let mut matches = Vec::new();
        let is_unattributed = matcher.match_all(observation, &mut matches);
        let (mut read, mut answer) = (Vec::new(), format!("{is_unattributed}"));
        matcher.write_read(observation, &mut read);
        for found in &matches {
            let key = matcher.key_of(found, observation);
            let Match { base, referenced, source, text, other_sender, .. } = found;
            let of_sender =
                matcher.base_of(found, observation).of(other_sender.or(observation.client.map(SourceIp::of)));
            assert_eq!(of_sender, key);
            answer += &format!(" {base} {referenced:?} {} {text:?} {other_sender:?}", source.is_some());
            keys.insert(key);
        }
        assert_eq!(answers.entry(read).or_insert_with(|| answer.clone()), &answer, "{observation:?}");
        let hashes: BTreeSet<u64> = matches.iter().map(|found| found.hash).collect();
        let groups: BTreeSet<CountKey> = matches.iter().map(|found| matcher.key_of(found, observation)).collect();
        assert_eq!(hashes.len(), groups.len(), "{groups:?}");
    }
    keys
}

fn one_by_one(rules: &Rules, observation: &Observation) -> BTreeSet<CountKey> {
    let keys_of = |rule: &Rule| {
        let key = rule.key;
        rule.groups_of(observation).into_iter().map(move |group| CountKey { rule: key, group })
    };
    rules.rules.iter().flat_map(keys_of).collect()
}

#[test]
fn what_is_explained_is_what_matches() {
    let pairs = crate::number_of("STAKEOUT_TEST_PAIRS", 10_000);
    let seed = crate::number_of("STAKEOUT_TEST_SEED", 20_261_124);
    let source =
        Source { name: "a".to_owned(), provider: Provider::File, cluster: "a".into(), log: LogId("file/a".to_owned()) };
    let trusted = TrustedProxies::new(vec!["10.0.0.0/16".parse().expect("a network")]);
    let (mut tried, mut matched, mut filtered) = (0, 0_u64, 0_u64);
    while tried < pairs {
        let rule_seed = seed.wrapping_add(tried);
        let mut dice = Dice::new(rule_seed);
        let rules = rules(&mut dice);
        let matcher =
            |pass| Asked { matcher: Matcher::new(&rules.rules, pass, HashKey([7; 16])), answers: BTreeMap::new() };
        let mut matchers = [matcher(Pass::First), matcher(Pass::FollowUp)];
        for _ in 0..20 {
            let json = event(&mut dice);
            let decoded = decode(json.to_string().as_bytes()).unwrap_or_else(|fault| panic!("{json}: {fault}"));
            let at = Second(if dice.is(50) { 0 } else { 100_000 });
            let of_stage = Observation::of_stage(&source, &trusted, decoded.event.clone(), at, || "1".to_owned());
            let counted = Observation::of_event(&source, &trusted, decoded.event, at, || "1".to_owned());
            if let Some(counted) = &counted {
                assert_eq!(at_once(&mut matchers, counted), one_by_one(&rules, counted), "seed {rule_seed}:\n{json:#}");
            }
            for rule in &rules.rules {
                let explanation = rules.explain(rule, &of_stage, &trusted);
                let matches = counted.as_ref().is_some_and(|counted| !rule.groups_of(counted).is_empty());
                assert_eq!(explanation.is_match, matches, "seed {rule_seed}:\n{json:#}\n{explanation:#?}");
                let traces =
                    explanation.clients.iter().flat_map(|client| &client.rules).flat_map(|rule| &rule.selections);
                traces.for_each(check);
                matched += u64::from(matches);
                filtered += u64::from(format!("{explanation:?}").contains("filters: [\"Known\"]"));
                tried += 1;
            }
        }
    }
    eprintln!("seed {seed}: {tried} pairs, {matched} matches, {filtered} left out by a filter");
    assert!(matched * 20 > tried && matched * 20 < tried * 19 && filtered > 0, "{matched} of {tried}, {filtered}");
}
