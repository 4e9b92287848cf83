//! What becomes of documents that name each other: filters, correlations with legs and aliases.

use super::*;
use crate::address::TrustedProxies;
use crate::decode::decode;
use crate::observation::Observation;
use crate::prefilter::{Literal, Prefilter};
use crate::source::{LogId, Provider, Source};
use crate::time::Second;

const DENIED: &str = "
title: Denied
name: denied
id: 5F0F1C2E-6A5D-4F8E-9D0A-3F5A4F3C1B03
logsource: {product: kubernetes, service: audit}
detection: {selection: {responseStatus.code: [401, 403]}, condition: selection}
";
const LET_IN: &str = "
title: Let In
name: let-in
logsource: {product: kubernetes, service: audit}
detection: {selection: {responseStatus.code|gte: 200, responseStatus.code|lt: 300}, condition: selection}
stakeout: {follow_up: true}
";
const MANY_DENIED: &str = "
title: Many Denied
name: many-denied
correlation: {type: event_count, rules: [denied], group-by: [cluster], timespan: 10m, condition: {gte: 10}}
";
const DENIED_THEN_LET_IN: &str = "
title: Denied Then Let In
name: denied-then-let-in
correlation:
  type: temporal_ordered
  rules: [many-denied, let-in]
  group-by: [source_ip, cluster, who]
  aliases:
    who: {many-denied: user.username, let-in: impersonatedUser.username}
  timespan: 1h
";

fn filter(rules: &str, condition: &str, more: &str) -> String {
    format!(
        "
title: Our Scanner
logsource: {{product: kubernetes, service: audit}}
filter: {{rules: {rules}, selection: {{user.username: scanner}}, condition: {condition}}}
stakeout: {{reason: ours, owner: secops{more}}}
"
    )
}

fn loaded(documents: &[&str]) -> Rules {
    let text = documents.join("---");
    load(&[RuleFile { origin: Origin::Own, name: "rules.yml".to_owned(), text }])
        .unwrap_or_else(|errors| panic!("{errors:#?}"))
}

fn request(username: &str, code: i64, at: Second) -> Observation {
    let source =
        Source { name: "a".to_owned(), provider: Provider::File, cluster: "a".into(), log: LogId("file/a".to_owned()) };
    let line = format!(
        r#"{{"verb":"get","user":{{"username":"{username}"}},"sourceIPs":["8.8.8.8"],"responseStatus":{{"code":{code}}}}}"#
    );
    let event = decode(line.as_bytes()).expect("an event").event;
    Observation::of_event(&source, &TrustedProxies::default(), event, at, || "1".to_owned()).expect("a request")
}

fn fits(rules: &Rules, rule: &str, username: &str, at: i64) -> bool {
    !rules.named(rule).expect("the rule is active").groups_of(&request(username, 403, Second(at))).is_empty()
}

#[test]
fn a_filter_narrows_what_it_names_wherever_it_is_counted() {
    let by_id = filter("[5f0f1c2e-6a5d-4f8e-9d0a-3f5a4f3c1b03]", "not selection", "");
    for filter in [filter("any", "not selection", ""), filter("denied", "not selection", ""), by_id] {
        let rules = loaded(&[DENIED, MANY_DENIED, &filter]);
        assert!(fits(&rules, "many-denied", "alice", 0) && !fits(&rules, "many-denied", "scanner", 0));
        assert_eq!(rules.filters[0].rules, ["denied"]);
        assert_eq!(rules.prefilter(), loaded(&[DENIED, MANY_DENIED]).prefilter());
    }
}

#[test]
fn a_filter_of_a_correlation_leaves_its_rules_alone_elsewhere() {
    let other = MANY_DENIED.replace("many-denied", "many-more").replace("Many", "More");
    let rules = loaded(&[DENIED, MANY_DENIED, &other, &filter("[many-denied]", "not selection", "")]);
    assert!(!fits(&rules, "many-denied", "scanner", 0) && fits(&rules, "many-more", "scanner", 0));
}

#[test]
fn a_filter_expires_by_the_time_of_the_request() {
    let filter = filter("any", "not selection", ", expires: 1970-01-02");
    let rules = loaded(&[DENIED, &filter]);
    assert!(!fits(&rules, "denied", "scanner", 86_399) && fits(&rules, "denied", "scanner", 86_400));
    assert_eq!(rules.expired(Second(86_399)), []);
    assert_eq!(rules.expired(Second(86_400)).len(), 1);
}

#[test]
fn a_filter_without_not_keeps_what_it_selects_and_is_warned_of() {
    let rules = loaded(&[DENIED, &filter("any", "selection", "")]);
    assert!(fits(&rules, "denied", "scanner", 0) && !fits(&rules, "denied", "alice", 0));
    assert_eq!(rules.warnings.len(), 1);
}

#[test]
fn a_sequence_has_legs_with_bursts_and_fields_of_their_own() {
    let nodes = yaml::parse("rules.yml", &[DENIED, LET_IN, MANY_DENIED, DENIED_THEN_LET_IN].join("---")).expect("YAML");
    let documents: Vec<Document> = nodes
        .iter()
        .map(|node| document(&At::top("rules.yml", node), Origin::Own, &mut Vec::new()).expect("a document"))
        .collect();
    let join = Join::of(&documents, &[]);
    let (Body::Detection(denied), Body::Detection(let_in)) = (&documents[0].body, &documents[1].body) else {
        panic!("detections");
    };
    let counted = join.counted(&documents[3], correlation_of(&documents[3]).expect("a correlation")).expect("counted");
    let fields = |second: &'static str| ["source_ip", "cluster", second].map(Field::Named).to_vec();
    let rules = vec![
        ReferencedRule {
            name: "many-denied".to_owned(),
            selections: vec![denied.clone()],
            group_by: fields("user.username"),
            count_condition: Some(CountCondition { count: 10, timespan_seconds: 600 }),
            follow_up: false,
        },
        ReferencedRule {
            name: "let-in".to_owned(),
            selections: vec![let_in.clone()],
            group_by: fields("impersonatedUser.username"),
            count_condition: None,
            follow_up: true,
        },
    ];
    assert_eq!(counted.counting, Counting::Sequence { rules, is_ordered: true });
    assert_eq!(counted.selections, [denied.clone(), let_in.clone()]);
    assert!(join.is_only_counted(&documents[2]));
}

#[test]
fn a_correlation_without_groups_counts_all_requests_together() {
    let rules = loaded(&[DENIED, &MANY_DENIED.replace("group-by: [cluster], ", "")]);
    let groups = rules.rules[0].groups_of(&request("alice", 403, Second(0)));
    assert_eq!(groups, [crate::group::GroupKey(Vec::new())]);
}

#[test]
fn derived_facts_are_said_with_audited_fields() {
    let prefilter = |line: &str| {
        let rule = DENIED.replace("responseStatus.code: [401, 403]", line);
        loaded(&[&rule]).prefilter()
    };
    let is = |name: &'static str, literal: Literal| Prefilter::Is { field: Field::Named(name), literal };
    let text = |text: &str| Literal::Text { text: text.to_owned(), cased: true };
    let unauthorized = is("responseStatus.code", Literal::Number(401));
    let nobody = Prefilter::Or(vec![
        is("user.username", text("system:anonymous")),
        is("user.groups", text("system:unauthenticated")),
        unauthorized.clone(),
    ]);
    assert_eq!(prefilter("unauthenticated: true"), nobody);
    assert_eq!(prefilter("auth_failure|exists: true"), unauthorized);
    assert_eq!(prefilter("auth_failure: [bearer, unknown]"), unauthorized);
    for line in ["unauthenticated: false", "auth_failure: null", "auth_failure|exists: false", "health_probe: true"] {
        assert_eq!(prefilter(line), Prefilter::Any, "{line}");
    }
    assert!(prefilter("capabilities: '*'").is_nothing());
}

#[test]
fn new_groups_are_of_a_cluster_and_not_of_an_address() {
    let rule = |groups: &str, days: &str| {
        let grouped = MANY_DENIED.replace("[cluster]", groups);
        let text = [DENIED, &format!("{grouped}stakeout: {{new_for: {days}}}\n")].join("---");
        load(&[RuleFile { origin: Origin::Own, name: "rules.yml".to_owned(), text }])
    };
    let rules = rule("[cluster, user.username]", "14d").expect("it loads");
    assert_eq!(rules.rules[0].threshold.new_for_days, Some(14));
    assert!(rules.rules[0].needed().ends_with("per cluster, user.username, none in the 14 days before"));
    for groups in ["[user.username]", "[source_ip, cluster]"] {
        assert!(rule(groups, "14d").expect_err("refused")[0].problem.contains("no address"), "{groups}");
    }
    for days in ["0d", "31d", "36h", "P1D", "14"] {
        assert_eq!(rule("[cluster]", days).expect_err("refused")[0].problem, "not a number of days", "{days}");
    }
    assert!(rule("[cluster]", "24h").is_ok());
}
