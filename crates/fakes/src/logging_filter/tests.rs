//! Filters as the documentation has them, what they fit, and what is refused and as what.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// An entry as GKE writes them, and payloads in the shapes that the documentation's examples have.
fn entry() -> Value {
    json!({
        "insertId": "b58e60c1", "severity": "WARNING", "traceSampled": true,
        "logName": "projects/prod-123456/logs/cloudaudit.googleapis.com%2Fdata_access",
        "timestamp": "2026-11-22T01:01:20.476998Z", "receiveTimestamp": "2026-11-22T01:01:26.08Z",
        "resource": {"type": "k8s_cluster", "labels": {"cluster_name": "gke-prod", "location": "us-central1-a"}},
        "labels": {"authorization.k8s.io/decision": "forbid", "authorization.k8s.io/reason": "", "n": "7"},
        "operation": {"id": "b58e60c1", "producer": "k8s.io", "first": true},
        "httpRequest": {"status": 403, "responseSize": "1024"},
        "protoPayload": {
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
            "serviceName": "k8s.io", "methodName": "io.k8s.core.v1.pods.list", "status": {"code": 7, "message": "Forbidden"},
            "authenticationInfo": {"principalEmail": "system:anonymous"}, "metadata": {},
            "authorizationInfo": [
                {"permission": "io.k8s.core.v1.pods.list", "granted": false},
                {"permission": "io.k8s.core.v1.pods.watch"},
            ],
            "requestMetadata": {"callerIp": "203.0.113.7", "callerSuppliedUserAgent": "a \"b\" c\\d\n*é/8.5.0"},
            "request": {"dryRun": true, "nothing": null, "numbers": [1, 2, 2], "same": [3, 3], "none": [], "ratio": 0.5},
        },
    })
}

fn parse(filter: &str) -> LoggingFilter {
    LoggingFilter::parse(filter).unwrap_or_else(|error| panic!("{filter}: {error}"))
}

fn assert_all(filters: &[&str], expected: Truth) {
    for filter in filters {
        let truth = parse(filter).0.holds(&entry());
        assert_eq!(truth, expected, "{filter}");
        let negated = parse(&format!("NOT ({filter})")).0.holds(&entry());
        assert_eq!(negated, expected.map(|holds| !holds), "the negation of {filter}");
    }
}

#[test]
fn comparisons_that_hold() {
    assert_all(
        &[
            r#"resource.type = "k8s_cluster""#,
            "resource.type=K8S_Cluster",
            r#"resource.labels.location="us-central1-a""#,
            "resource.labels.location=us-central1-a",
            r#"labels."authorization.k8s.io/decision"="forbid""#,
            r#"protoPayload.@type="type.googleapis.com/google.cloud.audit.AuditLog""#,
            r#"protoPayload."@type":"auditlog""#,
            "protoPayload.status.code=7",
            r#"protoPayload.status.code="7""#,
            "protoPayload.status.code != 16",
            "protoPayload.status.code > 6.5 protoPayload.status.code >= 7e0",
            "protoPayload.status.code<8 AND protoPayload.status.code<=7",
            "protoPayload.status.code > -1",
            "protoPayload.request.ratio = 5e-1",
            "labels.n = 7",
            "httpRequest.status >= 400",
            "httpRequest.responseSize > 1000",
            "httpRequest.responseSize = 1024",
            "operation.first = TRUE",
            "traceSampled != false",
            "protoPayload.request.dryRun=True",
            "protoPayload.request.nothing = NULL_VALUE",
            "protoPayload.request.dryRun != NULL_VALUE",
            r#"protoPayload.methodName:"PODS.""#,
            r#"protoPayload.requestMetadata.callerSuppliedUserAgent:"a \"b\" c\\d\n""#,
            r#"protoPayload.requestMetadata.callerSuppliedUserAgent:"\u00e9/8""#,
            r#"logName:"cloudaudit.googleapis.com""#,
            r#"protoPayload.methodName=~"v1\\.(pods|secrets)\.list$""#.replace(r"\.l", r"\\.l").as_str(),
            r#"protoPayload.methodName=~"(?i)PODS""#,
            r#"protoPayload.methodName!~"^pods""#,
        ],
        Some(true),
    );
}

#[test]
fn comparisons_that_do_not_hold() {
    assert_all(
        &[
            "resource.type=k8s",
            r#"resource.type:"k8s clusters""#,
            "protoPayload.status.code=16",
            "protoPayload.status.code>7",
            "labels.Authorization:*",
            "labels.n=8",
            r#"protoPayload.methodName=~"PODS""#,
            "protoPayload.request.dryRun = NULL_VALUE",
            "operation.first=false",
            "httpRequest.status != 403",
            "httpRequest.responseSize < 1000",
        ],
        Some(false),
    );
}

#[test]
fn precedence_is_not_then_or_then_and() {
    // 7 is so, 8 and 9 are not.
    let (yes, no) = ("protoPayload.status.code=7", "protoPayload.status.code=8");
    for (filter, fits) in [
        (format!("{no} AND {no} OR {yes}"), false),
        (format!("{yes} OR {yes} AND {no}"), false),
        (format!("({yes}) OR ({yes} AND {no})"), true),
        (format!("{no} {no} OR {yes}"), false),
        (format!("{no} OR {yes} {yes}"), true),
        (format!("{yes} {no} OR {yes} AND {yes}"), true),
        (format!("NOT {no} OR {no}"), true),
        (format!("NOT ({yes} OR {no})"), false),
        (format!("-{no} {yes}"), true),
        (format!("-({yes})"), false),
        (format!("\n {yes} -- a comment OR {no}\n -- and one more\n AND NOT {no} --"), true),
        ("-- nothing but a comment".to_owned(), true),
        (String::new(), true),
        (" \n ".to_owned(), true),
    ] {
        assert_eq!(parse(&filter).fits(&entry()), fits, "{filter}");
    }
}

#[test]
fn each_value_in_parentheses_is_a_comparison() {
    let code = |values: &str| parse(&format!("protoPayload.status.code = {values}")).fits(&entry());
    for (values, fits) in [
        ("(7 OR 16)", true),
        ("(16 OR \"7\")", true),
        ("(7 AND 16)", false),
        ("(7 7)", true),
        ("(16 OR (8 OR 7))", true),
        ("(NOT 16)", true),
        ("(-\"7\" OR 16)", false),
        ("(-7 OR 8)", false),
    ] {
        assert_eq!(code(values), fits, "{values}");
    }
    assert_all(
        &[
            r#"protoPayload.methodName:("pods" AND "list")"#,
            r#"protoPayload.methodName : ("pods" -"secrets")"#,
            "protoPayload.status.code != (7 OR 8)",
        ],
        Some(true),
    );
    assert_all(&["protoPayload.status.code != (7 AND 8)"], Some(false));
}

#[test]
fn times_are_compared_as_times() {
    assert_all(
        &[
            r#"timestamp >= "2026-11-22T01:01:20.476998Z""#,
            r#"timestamp = "2026-11-22T02:01:20.476998000+01:00""#,
            r#"timestamp > "2026-11-22T01:01:20.476997999Z""#,
            r#"timestamp <= "2026-11-22T01:01:20.476998+0000""#,
            r#"timestamp >= "2026-11-22""#,
            "timestamp < 2026-11-23",
            r#"receiveTimestamp > "2026-11-22T01:01:26Z""#,
            "timestamp:*",
        ],
        Some(true),
    );
    assert_all(
        &[r#"timestamp < "2026-11-22T01:01:20.476998Z""#, r#"timestamp > "2026-11-22T00:31:00-00:31""#],
        Some(false),
    );
    for unread in ["yesterday", "2026-11-22T01:01:20", "2026-13-01", "2026-11-22 01:01:20Z", "2026-11-22T01:01:20[UTC]"]
    {
        assert!(LoggingFilter::parse(&format!("timestamp > \"{unread}\"")).is_err(), "{unread}");
    }
}

#[test]
fn severities_have_an_order() {
    assert_all(
        &[
            "severity=warning",
            "severity>=WARNING",
            "severity<error",
            "severity > 300",
            "severity:WARNING",
            "severity:*",
        ],
        Some(true),
    );
    assert_all(&["severity>WARNING", "severity=ERROR", "severity!=(WARNING AND ERROR)"], Some(false));
    let without = json!({});
    assert!(parse("severity=DEFAULT severity<DEBUG NOT severity:*").fits(&without));
    assert!(LoggingFilter::parse("severity=LOUD").is_err());
}

#[test]
fn a_missing_value_fits_no_comparison_and_a_missing_field_has_its_default() {
    assert_all(
        &[
            "labels.none=x",
            "labels.none!=x",
            "labels.none:*",
            "protoPayload.none.at.all=1",
            "protoPayload.none!=1",
            "protoPayload.none>0",
            r#"protoPayload.none!~"x""#,
            "protoPayload.status.code.deeper=7",
            "protoPayload.request.none=1",
            "protoPayload.request.none:*",
            "jsonPayload.message:x",
            "spanId:*",
            "operation.last:*",
            "operation.last=true",
            "trace:x",
        ],
        Some(false),
    );
    assert_all(
        &[
            "operation.last=false",
            "operation.last!=true",
            r#"spanId="""#,
            "spanId!=x",
            "httpRequest.cacheFillBytes=0",
            "operation.first:*",
            r#"labels."authorization.k8s.io/reason":*"#,
            "protoPayload.status:*",
            "NOT labels.none=x",
        ],
        Some(true),
    );
}

#[test]
fn any_item_of_an_array_may_fit() {
    assert_all(
        &[
            r#"protoPayload.authorizationInfo.permission="io.k8s.core.v1.pods.watch""#,
            "protoPayload.authorizationInfo.granted=false",
            "protoPayload.request.numbers=2",
            "protoPayload.request.numbers<2",
            "protoPayload.request.numbers!=3",
        ],
        Some(true),
    );
    assert_all(&["protoPayload.request.same!=3", "protoPayload.request.numbers=3"], Some(false));
}

#[test]
fn a_bare_text_may_be_in_any_field() {
    assert_all(&["forbidden", r#""SYSTEM:anon""#, "403", r#""gke-prod" AND list"#, r#"labels:"forbid""#], Some(true));
    assert_all(&[r#"protoPayload:"gke-prod""#, r#""nowhere at all""#, "labels:forbidden"], Some(false));
}

#[test]
fn functions_are_evaluated() {
    assert_all(
        &[
            r#"log_id("cloudaudit.googleapis.com/data_access")"#,
            r#"ip_in_net(protoPayload.requestMetadata.callerIp, "203.0.113.0/24")"#,
            r#"ip_in_net(protoPayload.requestMetadata.callerIp, "0.0.0.0/0")"#,
            r#"ip_in_net(protoPayload.requestMetadata.callerIp, "203.0.113.7")"#,
            "sample(insertId, 1)",
        ],
        Some(true),
    );
    assert_all(
        &[
            r#"log_id("cloudaudit.googleapis.com/activity")"#,
            r#"ip_in_net(protoPayload.requestMetadata.callerIp, "203.0.113.8/29") ip_in_net(protoPayload.requestMetadata.callerIp, "::/0")"#,
            "sample(insertId, 0)",
        ],
        Some(false),
    );
    let half = parse("sample(insertId, 0.5)");
    let chosen = (0..1_000).filter(|n| half.fits(&json!({"insertId": n.to_string()}))).count();
    assert!((400..600).contains(&chosen), "{chosen}");
}

#[test]
fn undocumented_comparisons_fit_neither_way() {
    assert_all(
        &[
            "protoPayload.methodName > io",
            "protoPayload.methodName > 5",
            r#"protoPayload.methodName = "io.*""#,
            r#"protoPayload.methodName : "*.list""#,
            r#"protoPayload.requestMetadata.callerSuppliedUserAgent:"É/8""#,
            "protoPayload.status = 7",
            "protoPayload.status.code = seven",
            "protoPayload.status.code != seven",
            "protoPayload.request.numbers != 1",
            r#"protoPayload.status.code =~ "7""#,
            "protoPayload.metadata:*",
            "protoPayload.request.nothing:*",
            "httpRequest:status",
            "protoPayload.status:code",
            "protoPayload.request.ratio:5",
            r#"ip_in_net(protoPayload.methodName, "10.0.0.0/8")"#,
            "sample(trace, 0.5)",
        ],
        None,
    );
    assert_all(&["protoPayload.status = 7 OR severity:*"], Some(true));
    assert_all(&["protoPayload.status = 7 AND severity=INFO"], Some(false));
}

#[test]
fn malformed_filters_are_refused() {
    for filter in [
        "(",
        ")",
        "()",
        "a = ",
        "resource.type=",
        "resource.type==x",
        "resource.type = = x",
        "resource.type=\"x",
        "resource.type=\"\\x41\"",
        "resource.type=\"\\u12\"",
        "resource.type=\"\\ud800\"",
        "resource.type=\"x\"severity=INFO",
        "\"resource.type\"=\"x\"",
        "(severity=INFO",
        "severity=INFO)",
        "severity=INFO AND",
        "AND severity=INFO",
        "severity=INFO OR OR severity=INFO",
        "NOT",
        "NOT NOT severity=INFO",
        "NOT -severity=INFO",
        "- severity=INFO",
        "--severity=INFO\n(",
        "severity=(INFO OR)",
        "severity=(INFO",
        "severity=()",
        "severity=AND",
        "insertId = abc:def",
        "logName=projects/p/logs/l",
        "resource.type=k8s*",
        "resource.type=*",
        "resource.type:(*)",
        "labels.k8s-pod/app=x",
        "labels.\"a\"",
        "labels[0]=x",
        "protoPayload.a[0]=1",
        "resource.type=~x",
        "resource.type=~\"(\"",
        "resource.type=~\"\\d\"",
        "httpRequest.status=many",
        "httpRequest.status=~\"4..\"",
        "operation.first=1",
        "operation.first>true",
        "operation=x",
        "labels=x",
        "labels.n=NULL_VALUE",
        "protoPayload.a:NULL_VALUE",
        "timestamp=~\"2026\"",
        "sample(insertId)",
        "sample(insertId, 2)",
        "ip_in_net(insertId, \"10.0.0.0/33\")",
        "ip_in_net(insertId, \"net\")",
        "log_id()",
        "log_id(\"a\"",
        "a, b",
        "a;b",
    ] {
        let parsed = LoggingFilter::parse(filter);
        let is_refused = matches!(parsed, Err(FilterError::Malformed { .. } | FilterError::Undefined { .. }));
        assert!(is_refused, "{filter}: {parsed:?}");
    }
    assert!(LoggingFilter::parse(&format!("{}a{}", "(".repeat(64), ")".repeat(64))).is_ok());
    assert!(LoggingFilter::parse(&format!("{}a{}", "(".repeat(9_000), ")".repeat(9_000))).is_err());
    assert!(LoggingFilter::parse(&format!("insertId=({}a", "(".repeat(9_000))).is_err());
    assert!(LoggingFilter::parse(&"é".repeat(FILTER_CHARS_MAX + 1)).is_err());
    assert!(LoggingFilter::parse(&format!("\"{}\"", "é".repeat(FILTER_CHARS_MAX - 2))).is_ok());
}

#[test]
fn undefined_fields_are_an_error_of_their_own() {
    for field in
        ["thud", "operation.thud", "textPayload.thud", "Severity", "log_name", "resource.labels.a.b", "metadata"]
    {
        let parsed = LoggingFilter::parse(&format!("{field}=x"));
        assert_eq!(parsed.err(), Some(FilterError::Undefined { field: field.to_owned() }));
    }
}

#[test]
fn unsupported_filters_are_an_error_of_their_own() {
    for filter in [
        "insertId > a",
        "labels.n < 8",
        "timestamp:2026",
        "httpRequest.latency > 1s",
        "SEARCH(\"x\")",
        "source(projects)",
        "regexp_extract(labels.n, \"x\")",
        "log_id(\"cloudaudit.googleapis.com%2Factivity\")",
    ] {
        let parsed = LoggingFilter::parse(filter);
        assert!(matches!(parsed, Err(FilterError::Unsupported(_))), "{filter}: {parsed:?}");
    }
}

/// A text in quotes, as a filter spells it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(filter in ".{0,80}") {
        if let Ok(filter) = LoggingFilter::parse(&filter) {
            let _ = filter.fits(&entry());
        }
    }

    #[test]
    fn no_run_of_tokens_makes_it_panic_and_none_fits_both_ways(
        tokens in prop::collection::vec(prop::sample::select(vec![
            "(", ")", "protoPayload.status.code", "labels.\"a/b\"", "severity", "timestamp", "insertId", "=", "!=", "<", ">=",
            ":", "=~", "!~", "*", "AND", "OR", "NOT", "-", "7", "-1", "1e3", "\"x*\"", "\"\\\"\"", "word", "NULL_VALUE",
            "sample(", "log_id(", ",", "--", "\n", "\"2026-11-22T00:00:00Z\"",
        ]), 0..16),
        between in prop::sample::select(vec!["", " "]),
    ) {
        let filter = tokens.join(between);
        if let Ok(parsed) = LoggingFilter::parse(&filter) {
            let negated = LoggingFilter::parse(&format!("NOT ({filter}\n)"));
            let negated_fits = negated.is_ok_and(|negated| negated.fits(&entry()));
            prop_assert!(!(parsed.fits(&entry()) && negated_fits), "{}", filter);
        }
    }

    #[test]
    fn a_text_is_found_by_itself_and_by_its_parts(before in ".{0,20}", text in ".{1,20}", after in ".{0,20}") {
        let whole = format!("{before}{text}{after}");
        let entry = json!({"jsonPayload": {"message": whole}});
        let equal = format!("jsonPayload.message={}", quoted(&whole));
        let has = format!("jsonPayload.message:{}", quoted(&text));
        prop_assert!(parse(&equal).fits(&entry), "{}", equal);
        prop_assert!(parse(&has).fits(&entry), "{}", has);
        prop_assert!(parse(&quoted(&text)).fits(&entry));
    }
}
