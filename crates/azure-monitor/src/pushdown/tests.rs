//! The exact text of queries. That they lose no row is tested in `tests/wire/superset.rs`.

use super::*;
use crate::config::Credential;
use stakeout_core::address::SourceIp;

const RESOURCE: &str =
    "/subscriptions/1/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/aks-prod";

fn config(table: AuditTable) -> AzureMonitorConfig {
    AzureMonitorConfig::new("w", table, "aks-prod", Credential::Anonymous)
}

fn window() -> Window {
    Window::new(Second(1_795_308_600), Second(1_795_312_200)).expect("not empty")
}

fn number(number: i64) -> Prefilter {
    Prefilter::Is { field: CODE, literal: Literal::Number(number) }
}

fn text(field: &'static str, text: &str) -> Prefilter {
    Prefilter::Is { field: Field::Named(field), literal: Literal::Text { text: text.to_owned(), cased: true } }
}

fn uncased(field: &'static str, text: &str) -> Prefilter {
    Prefilter::Is { field: Field::Named(field), literal: Literal::Text { text: text.to_owned(), cased: false } }
}

fn annotation(key: &str, text: &str) -> Prefilter {
    let literal = Literal::Text { text: text.to_owned(), cased: true };
    Prefilter::Is { field: Field::Annotation(key.to_owned()), literal }
}

/// The stages of a query behind those of its scope and before the columns.
fn filter_of(table: AuditTable, prefilter: &Prefilter) -> Vec<String> {
    let query = query(window(), prefilter, &config(table));
    let scope = scope(window(), &config(table)).len();
    let stages: Vec<String> = query.split("\n| ").skip(1 + scope).map(str::to_owned).collect();
    stages[..stages.len() - 1].to_vec()
}

#[test]
fn refused_and_anonymous_requests_make_this_query() {
    let wanted = Prefilter::Or(vec![number(403), text("user.username", "system:anonymous")]);
    let lines = |query: String| query.lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        lines(query(window(), &wanted, &config(AuditTable::AksAudit))),
        [
            "AKSAudit",
            "| where TimeGenerated >= datetime(2026-11-22T00:50:00Z) and TimeGenerated < datetime(2026-11-22T01:50:00Z)",
            "| where _ResourceId endswith \"/managedclusters/aks-prod\"",
            "| where ResponseStatus has \"403\" or User has \"system:anonymous\"",
            "| extend UserJson = parse_json(tostring(User)), ResponseStatusJson = parse_json(tostring(ResponseStatus))",
            "| where tostring(ResponseStatusJson.code) has \"403\" or (isnotempty(tostring(ResponseStatus)) and gettype(ResponseStatusJson) != \"dictionary\") or tostring(UserJson.username) == \"system:anonymous\" or (isnotempty(tostring(User)) and gettype(UserJson) != \"dictionary\")",
            "| project TimeGenerated, Level, AuditId, Stage, RequestUri, Verb, User, SourceIps, UserAgent, ObjectRef, ResponseStatus, RequestReceivedTime, StageReceivedTime, Annotations, _ResourceId",
        ]
    );
    let first = lines(first_rows(window(), &wanted, 200, &config(AuditTable::AksAudit)));
    assert_eq!(first[6..8], ["| sort by TimeGenerated asc", "| take 200"]);
    let by_id =
        AzureMonitorConfig { cluster: RESOURCE.to_owned(), plan: Plan::Basic, ..config(AuditTable::AzureDiagnostics) };
    assert_eq!(
        lines(query(window(), &wanted, &by_id)),
        [
            "AzureDiagnostics".to_owned(),
            "| where Category in~ (\"kube-audit\", \"kube-audit-admin\")".to_owned(),
            format!("| where _ResourceId =~ \"{RESOURCE}\""),
            "| where log_s has \"403\" or log_s has \"system:anonymous\"".to_owned(),
            "| extend Event = parse_json(log_s)".to_owned(),
            "| where gettype(Event) != \"dictionary\" or tostring(Event.responseStatus.code) has \"403\" or tostring(Event.user.username) == \"system:anonymous\"".to_owned(),
            "| project TimeGenerated, Category, log_s, _ResourceId".to_owned(),
        ]
    );
}

#[test]
fn all_clusters_are_one_query_and_who_wrote_is_another() {
    let all = |table| AzureMonitorConfig { cluster: String::new(), ..config(table) };
    let time =
        "| where TimeGenerated >= datetime(2026-11-22T00:50:00Z) and TimeGenerated < datetime(2026-11-22T01:50:00Z)";
    let whose = "| where _ResourceId contains \"/managedclusters/\"";
    let lines = |query: String| query.lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(query(window(), &Prefilter::Any, &all(AuditTable::AksAudit)))[..3], ["AKSAudit", time, whose]);
    let each = "| summarize Newest = max(TimeGenerated) by _ResourceId";
    let census = |table, logs| lines(newest_of_each(window(), logs, &all(table)));
    assert_eq!(census(AuditTable::AksAudit, ClusterLogs::Audit), ["AKSAudit", time, whose, each]);
    assert_eq!(census(AuditTable::AksAudit, ClusterLogs::Others), ["AKSControlPlane", time, whose, each]);
    let others = census(AuditTable::AzureDiagnostics, ClusterLogs::Others);
    assert!(others[2].starts_with("| where Category in~ (\"kube-apiserver\", "), "{others:?}");
    assert_eq!((others[0].as_str(), &others[3..]), ("AzureDiagnostics", &[whose.to_owned(), each.to_owned()][..]));
}

#[test]
fn a_value_is_compared_in_its_column() {
    let cut = |column: &str| format!("(isnotempty(tostring({column})) and gettype({column}Json) != \"dictionary\")");
    let read = |column: &str| format!("extend {column}Json = parse_json(tostring({column}))");
    let where_ = |condition: &str| format!("where {condition}");
    let cases = [
        (text("verb", "list"), vec![where_("Verb == \"list\"")]),
        (
            number(403),
            vec![
                where_("ResponseStatus has \"403\""),
                read("ResponseStatus"),
                where_(&format!("tostring(ResponseStatusJson.code) has \"403\" or {}", cut("ResponseStatus"))),
            ],
        ),
        (
            annotation("a.b/c-d_e", "forbid"),
            vec![
                where_("Annotations has \"forbid\""),
                read("Annotations"),
                where_(&format!("tostring(AnnotationsJson[\"a.b/c-d_e\"]) == \"forbid\" or {}", cut("Annotations"))),
            ],
        ),
        (text("user.groups", "system:masters"), vec![where_("User has \"system:masters\"")]),
        (
            uncased("userAgent", "Kubectl"),
            vec![where_("UserAgent =~ \"Kubectl\" or UserAgent contains_cs \"\\u212a\"")],
        ),
        (
            uncased("objectRef.namespace", "kube-system"),
            vec![
                where_("ObjectRef has \"system\""),
                read("ObjectRef"),
                where_(&format!(
                    "tostring(ObjectRefJson.namespace) =~ \"kube-system\" or tostring(ObjectRefJson.namespace) contains_cs \"\\u212a\" or {}",
                    cut("ObjectRef")
                )),
            ],
        ),
        (
            Prefilter::And(vec![text("verb", "list"), text("objectRef.resource", "pods")]),
            vec![
                where_("Verb == \"list\" and ObjectRef has \"pods\""),
                read("ObjectRef"),
                where_(&format!(
                    "Verb == \"list\" and (tostring(ObjectRefJson.resource) == \"pods\" or {})",
                    cut("ObjectRef")
                )),
            ],
        ),
    ];
    for (prefilter, expected) in cases {
        assert_eq!(filter_of(AuditTable::AksAudit, &prefilter), expected);
        assert_eq!(filter_of(AuditTable::AksAuditAdmin, &prefilter), expected);
    }
    let both = Prefilter::And(vec![
        text("verb", "list"),
        Prefilter::Or(vec![number(403), text("userAgent", "system:masters")]),
    ]);
    assert_eq!(
        filter_of(AuditTable::AzureDiagnostics, &both),
        [
            "where log_s has \"list\" and (log_s has \"403\" or log_s has \"system:masters\")",
            "extend Event = parse_json(log_s)",
            "where gettype(Event) != \"dictionary\" or (tostring(Event.verb) == \"list\" and (tostring(Event.responseStatus.code) has \"403\" or tostring(Event.userAgent) == \"system:masters\"))",
        ]
    );
}

#[test]
fn what_no_row_of_a_table_holds_is_not_asked_for() {
    let impersonated = text("impersonatedUser.username", "admin");
    let either = Prefilter::Or(vec![number(403), Prefilter::And(vec![impersonated.clone(), text("verb", "list")])]);
    assert_eq!(filter_of(AuditTable::AksAudit, &either), filter_of(AuditTable::AksAudit, &number(403)));
    assert_eq!(filter_of(AuditTable::AksAudit, &impersonated), [""; 0]);
    assert!(filter_of(AuditTable::AzureDiagnostics, &either)[0].contains("log_s has \"admin\""));
}

#[test]
fn a_share_of_the_rows_is_asked_for_at_the_end() {
    let of = |table, of: Share| share(window(), &number(403), of, &config(table));
    let last = |query: String| query.lines().rev().take(2).map(str::to_owned).collect::<Vec<_>>();
    let cut = last(of(AuditTable::AksAudit, Share::Cut));
    assert_eq!(
        cut[1],
        "| extend IsUserAgentCut = strlen(UserAgent) > 256, IsRequestUriCut = strlen(RequestUri) > 256, UserAgent = substring(UserAgent, 0, 256), RequestUri = substring(RequestUri, 0, 256)"
    );
    assert!(cut[0].starts_with("| project ") && cut[0].ends_with("_ResourceId, IsUserAgentCut, IsRequestUriCut"));
    let part = last(of(AuditTable::AzureDiagnostics, Share::Part { index: 3, of: 16 }));
    assert_eq!(part[1], "| where hash(log_s, 16) == 3");
    assert_eq!(of(AuditTable::AksAudit, Share::All), query(window(), &number(403), &config(AuditTable::AksAudit)));
}

#[test]
fn addresses_are_searched_for_in_the_index() {
    let source = |source: &str| Prefilter::from_source(SourceIp::of(source.parse().expect("an address")));
    let let_in = |sources: &[&str]| {
        Prefilter::And(vec![Prefilter::Or(sources.iter().map(|one| source(one)).collect()), number(200)])
    };
    let sources = ["203.0.113.7", "2001:db8:7::1", "198.51.100.8"];
    assert_eq!(
        filter_of(AuditTable::AksAudit, &let_in(&sources))[0],
        "where (SourceIps has \"2001:db8:7\" or has_any_ipv4(tostring(SourceIps), dynamic([\"203.0.113.7\", \"198.51.100.8\"]))) and ResponseStatus has \"200\""
    );
    assert_eq!(
        filter_of(AuditTable::AzureDiagnostics, &let_in(&sources)),
        [
            "where (log_s has \"2001:db8:7\" or has_any_ipv4(log_s, dynamic([\"203.0.113.7\", \"198.51.100.8\"]))) and log_s has \"200\"",
            "extend Event = parse_json(log_s)",
            "where gettype(Event) != \"dictionary\" or ((tostring(Event.sourceIPs) has \"2001:db8:7\" or has_any_ipv4(tostring(Event.sourceIPs), dynamic([\"203.0.113.7\", \"198.51.100.8\"]))) and tostring(Event.responseStatus.code) has \"200\")",
        ]
    );
    let many: Vec<String> = (0..200).map(|n| format!("203.0.113.{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let [searched, ..] = filter_of(AuditTable::AksAudit, &let_in(&many))
        .try_into()
        .unwrap_or_else(|stages: Vec<String>| [stages[0].clone()]);
    assert_eq!(searched.matches("has_any_ipv4(").count(), 2, "{searched}");
}

/// What an index cannot find would be searched in every row.
#[test]
fn json_is_read_only_of_rows_that_the_index_found() {
    let rules = stakeout_core::rule::load(&stakeout_core::shipped::rule_files()).expect("the shipped rules");
    for table in AuditTable::ALL {
        let stages = filter_of(table, &rules.prefilter());
        let read = stages.iter().position(|stage| stage.contains("parse_json")).expect("JSON is read");
        assert!(read > 0 && stages[..read].iter().all(|stage| stage.contains(" has ")), "{stages:?}");
        assert!(stages.iter().all(|stage| !stage.contains("contains")), "{stages:?}");
    }
}

#[test]
fn every_shipped_rule_narrows_the_query() {
    let rules = stakeout_core::rule::load(&stakeout_core::shipped::rule_files()).expect("the shipped rules");
    for table in AuditTable::ALL {
        assert!(!filter_of(table, &rules.prefilter()).is_empty(), "{table:?}");
    }
}

#[test]
fn literals_are_ascii_and_cannot_end_early() {
    let hostile = "a\"\\b\n\u{7f}ü\u{202e}`'";
    assert_eq!(literal(hostile), r#""a\"\\b\u000a\u007f\u00fc\u202e`'""#);
    assert_eq!(
        filter_of(AuditTable::AksAudit, &text("verb", hostile)),
        [format!("where Verb == {}", literal(hostile))]
    );
}

#[test]
fn what_cannot_be_expressed_is_left_out() {
    let unpushable = [
        uncased("verb", "jürgen"),
        text("verb", "a\0b"),
        text("verb", "😀"),
        text("verb", ""),
        text("source_ip", "203.0.113.7"),
        text("unauthenticated", "true"),
        text("responseStatus.code", "ALLOW"),
        text("user.groups", "ä-ö"),
        number(7),
        number(-40),
        number(403_403),
        annotation("a\"] or true", "x"),
        annotation("", "x"),
        annotation("a.b/c", "x"),
        text("objectRef.name", "a\nb"),
        Prefilter::Any,
        Prefilter::Or(vec![]),
    ];
    for table in AuditTable::ALL {
        for part in &unpushable {
            assert!(filter_of(table, part).is_empty(), "{part:?}");
            let beside_another = Prefilter::Or(vec![number(403), part.clone()]);
            assert_eq!(filter_of(table, &beside_another).is_empty(), *part != Prefilter::Or(vec![]), "{part:?}");
            // What fits nothing makes nothing of all around it, and is never believed.
            let with_another = Prefilter::And(vec![part.clone(), text("verb", "list")]);
            let expected = if *part == Prefilter::Or(vec![]) { part.clone() } else { text("verb", "list") };
            assert_eq!(filter_of(table, &with_another), filter_of(table, &expected));
        }
    }
}

#[test]
fn a_query_that_is_too_long_becomes_weaker_and_keeps_what_is_rare() {
    let listed = |n: usize| {
        Prefilter::And(vec![text("requestURI", &format!("/{n:0200}")), text("user.username", &format!("user-{n}"))])
    };
    let user = |n: usize| text("user.username", &format!("user-{n}"));
    let of = |part: &dyn Fn(usize) -> Prefilter, n: usize| Prefilter::Or((0..n).map(part).collect());
    for table in AuditTable::ALL {
        assert_ne!(filter_of(table, &of(&listed, 20)), filter_of(table, &of(&user, 20)));
        assert_eq!(filter_of(table, &of(&listed, 100)), filter_of(table, &of(&user, 100)));
        assert!(filter_of(table, &of(&user, 1_000)).is_empty());
    }
}

#[test]
fn time_stays_within_the_range_of_the_service() {
    assert_eq!(timespan(window()), "2026-11-22T00:49:59Z/2026-11-22T01:50:01Z");
    assert_eq!(timespan(Window::ALL), "1970-01-01T00:00:00Z/9999-12-30T21:59:59Z");
}
