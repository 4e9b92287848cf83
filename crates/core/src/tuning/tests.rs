//! Thresholds against the fold's own findings, and suggested filters against the rules that they narrow.

use std::sync::Arc;

use super::*;
use crate::address::TrustedProxies;
use crate::event::AuditEvent;
use crate::fold::{self, Closed, Limits};
use crate::hash::HashKey;
use crate::observation::Observation;
use crate::rule::{self, Origin, RuleFile, Rules};
use crate::source::{LogId, Provider, Source};
use crate::time::{Second, Window};

const BEGIN: i64 = 1_795_222_200;
const RULES: &str = "
title: Refused
name: refused
logsource: {product: kubernetes, service: audit}
detection: {selection: {responseStatus.code: 403}, condition: selection}
---
title: Refused Often
name: refused-often
correlation: {type: event_count, rules: [refused], group-by: [source_ip], timespan: 5m, condition: {gte: 3}}
---
title: Refused In Many Namespaces
name: refused-widely
correlation:
  type: value_count
  rules: [refused]
  group-by: [source_ip]
  timespan: 5m
  condition: {gte: 2, field: objectRef.namespace}
";

fn rules(more: &str) -> Rules {
    let file = RuleFile { origin: Origin::Own, name: "rules.yml".to_owned(), text: format!("{RULES}{more}") };
    rule::load(&[file]).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

fn source() -> Source {
    Source {
        name: "prod".to_owned(),
        provider: Provider::File,
        cluster: "prod".into(),
        log: LogId("file/prod".to_owned()),
    }
}

fn request(n: u32, address: &str, username: &str, agent: &str) -> Observation {
    let event = AuditEvent {
        verb: Some("list".to_owned()),
        username: (!username.is_empty()).then(|| username.to_owned()),
        user_agent: (!agent.is_empty()).then(|| agent.to_owned()),
        source_ips: vec![address.to_owned()],
        response_code: Some(403),
        object_ref: Some(crate::event::ObjectRef {
            namespace: Some(format!("team-{}", n % 3)),
            ..crate::event::ObjectRef::default()
        }),
        ..AuditEvent::default()
    };
    let at = Second(BEGIN + i64::from(n) * 20);
    Observation::of_event(&source(), &TrustedProxies::default(), event, at, || format!("{address}-{n}"))
        .expect("a request")
}

fn close(rules: &Rules, requests: &[Observation]) -> Closed {
    let window = Window::new(Second(BEGIN), Second(BEGIN + 36_000)).expect("not empty");
    let mut fold = fold::open(Arc::new(rules.clone()), window, false, HashKey([7; 16]), Limits::default());
    requests.iter().for_each(|request| fold.observe(request));
    fold.close_alone(&source(), window.latest(), jiff::Timestamp::UNIX_EPOCH)
}

fn requests() -> Vec<Observation> {
    let many = (0..40).map(|n| request(n, "10.0.0.9", "o'neil*\\", "kubectl/v1.30"));
    let few = (0..4).map(|n| request(n * 30, "10.0.0.10", "bob", "curl/8"));
    let anonymous = (0..9).map(|n| request(n, "8.8.8.8", "system:anonymous", ""));
    many.chain(few).chain(anonymous).collect()
}

#[test]
fn the_current_threshold_raises_the_findings_of_the_fold() {
    let rules = rules("");
    let closed = close(&rules, &requests());
    for rule in &rules.rules {
        let tuning = tune(rule, &closed.commit.logs[0].minutes);
        let found = closed.commit.findings.iter().filter(|finding| finding.rule.name == rule.head.name);
        let counts: Vec<u64> = found.map(|finding| finding.episode.count).collect();
        let current = tuning.outcomes.iter().find(|outcome| outcome.is_current).expect("its own");
        assert_eq!((current.findings, current.requests), (counts.len() as u64, counts.iter().sum()));
        assert_eq!((tuning.requests, tuning.groups), (53, 3), "{}", rule.head.name);
    }
}

#[test]
fn a_higher_threshold_never_raises_more_and_the_last_raises_nothing() {
    let rules = rules("");
    let closed = close(&rules, &requests());
    let often = tune(rules.named("refused-often").expect("loaded"), &closed.commit.logs[0].minutes);
    let table: Vec<(u64, u64, u64, u64)> = often
        .outcomes
        .iter()
        .map(|outcome| (outcome.threshold, outcome.findings, outcome.groups, outcome.requests))
        .collect();
    assert_eq!(table, [(1, 3, 3, 53), (2, 2, 2, 49), (3, 2, 2, 49), (5, 2, 2, 49), (10, 1, 1, 40), (20, 0, 0, 0)]);
    let callers: Vec<(&str, u64, bool)> =
        often.callers.iter().map(|caller| (caller.shown.as_str(), caller.requests, caller.is_one())).collect();
    assert_eq!(callers, [("10.0.0.9", 40, true), ("8.8.8.8", 9, true), ("10.0.0.10", 4, true)]);
}

#[test]
fn a_suggested_filter_loads_and_excludes_only_its_caller() {
    let before = rules("");
    let closed = close(&before, &requests());
    let rule = before.named("refused-often").expect("loaded");
    let tuning = tune(rule, &closed.commit.logs[0].minutes);
    let exclusions: Vec<Result<Exclusion, NoExclusion>> =
        tuning.callers.iter().map(|caller| Exclusion::of(rule, caller, Second(BEGIN))).collect();
    let has_caution = |exclusion: &Exclusion| exclusion.to_string().contains("# CAUTION");
    assert!(exclusions[1].as_ref().is_ok_and(has_caution), "anonymous, and from the internet");
    assert_eq!(exclusions[2], Err(NoExclusion::Quiet));
    let exclusion = exclusions[0].as_ref().expect("one user from a private address");
    assert!(!has_caution(exclusion));
    let after = rules(&exclusion.to_string());
    assert_eq!(after.warnings, []);
    assert_eq!(after.filters[0].expires, Some(Second(1_802_995_200)));
    let matches = |rules: &Rules, request: &Observation| {
        !rules.named("refused-often").expect("loaded").groups_of(request).is_empty()
    };
    let without_monitor = rules(&exclusions[1].as_ref().expect("suggested").to_string());
    for request in requests() {
        let is_monitor = request.event.source_ips == ["8.8.8.8"];
        assert_eq!(matches(&without_monitor, &request), !is_monitor);
        let is_out = request.event.username.as_deref() == Some("o'neil*\\");
        assert!(matches(&before, &request));
        assert_eq!(matches(&after, &request), !is_out);
    }
    assert!(matches(&after, &request(0, "10.0.0.9", "o'neilX\\", "kubectl/v1.30")), "a wildcard was meant as a letter");
}

#[test]
fn several_callers_and_unsafe_texts_get_no_filter() {
    let rules = rules("");
    let rule = rules.named("refused-often").expect("loaded");
    let why = |requests: &[Observation]| {
        let tuning = tune(rule, &close(&rules, requests).commit.logs[0].minutes);
        Exclusion::of(rule, &tuning.callers[0], Second(BEGIN)).expect_err("none")
    };
    let mixed: Vec<Observation> =
        (0..9).map(|n| request(n, "10.0.0.9", if n % 2 == 0 { "bob" } else { "eve" }, "curl/8")).collect();
    assert_eq!(why(&mixed), NoExclusion::Several);
    let hidden: Vec<Observation> = (0..9).map(|n| request(n, "10.0.0.9", "bob\u{202e}", "curl/8")).collect();
    assert_eq!(why(&hidden), NoExclusion::Unclean);
}
