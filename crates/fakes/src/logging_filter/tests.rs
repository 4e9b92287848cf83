//! Filters as Stakeout sends them, what they fit, and what is refused and as what.

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
        "protoPayload": {
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
            "serviceName": "k8s.io", "methodName": "io.k8s.core.v1.pods.list", "status": {"code": 7, "message": "Forbidden"},
            "authenticationInfo": {"principalEmail": "system:anonymous"}, "metadata": {},
            "authorizationInfo": [{"permission": "io.k8s.core.v1.pods.list"}, {"permission": "io.k8s.core.v1.pods.watch"}],
            "requestMetadata": {"callerIp": "203.0.113.7", "callerSuppliedUserAgent": "a \"b\" c\\d*é/8.5.0"},
            "request": {"dryRun": true, "nothing": null, "none": []},
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
            r#"resource.type="K8S_Cluster""#,
            r#"resource.labels.location="us-central1-a""#,
            r#"labels."authorization.k8s.io/decision"="forbid""#,
            r#"protoPayload.@type="type.googleapis.com/google.cloud.audit.AuditLog""#,
            "protoPayload.status.code=7",
            r#"protoPayload.status.code="7""#,
            "labels.n = 7",
            r#"protoPayload.methodName=~"v1\\.(pods|secrets)\\.list$""#,
            r#"protoPayload.methodName=~"(?i)PODS""#,
            r#"protoPayload.authorizationInfo.permission="io.k8s.core.v1.pods.watch""#,
            r#"timestamp >= "2026-11-22T01:01:20.476998Z""#,
            r#"timestamp<"2026-11-22T02:01:20.476999+01:00""#,
            r#"receiveTimestamp>="2026-11-22T01:01:26.080+0000""#,
            r#"labels."authorization.k8s.io/reason":*"#,
            "protoPayload.status.code:*",
            r#"spanId="""#,
            r#"ip_in_net(protoPayload.requestMetadata.callerIp, "203.0.113.0/24")"#,
            r#"ip_in_net(protoPayload.requestMetadata.callerIp, "203.0.113.7")"#,
            r#"log_id("cloudaudit.googleapis.com/data_access")"#,
        ],
        Some(true),
    );
}

#[test]
fn comparisons_that_do_not_hold() {
    assert_all(
        &[
            r#"resource.type="k8s""#,
            "protoPayload.status.code=16",
            "labels.Authorization:*",
            "labels.n=8",
            r#"labels.none="x""#,
            "protoPayload.none.at.all=1",
            "protoPayload.status.code.deeper=7",
            "protoPayload.request.none=1",
            "protoPayload.request.none:*",
            r#"protoPayload.request.nothing="x""#,
            "spanId:*",
            r#"protoPayload.methodName=~"PODS""#,
            r#"timestamp < "2026-11-22T01:01:20.476998Z""#,
            r#"ip_in_net(protoPayload.requestMetadata.callerIp, "203.0.113.8/29")"#,
            r#"ip_in_net(protoPayload.requestMetadata.callerIp, "::/0")"#,
            r#"log_id("cloudaudit.googleapis.com/activity")"#,
            r#"log_id("cloudaudit.googleapis.com%2Fdata_access")"#,
        ],
        Some(false),
    );
}

#[test]
fn undocumented_comparisons_fit_neither_way() {
    assert_all(
        &[
            r#"protoPayload.methodName = "io.*""#,
            r#"protoPayload.requestMetadata.callerSuppliedUserAgent="A \"b\" c\\d*É/8.5.0""#,
            "protoPayload.status = 7",
            r#"protoPayload.status.code = "seven""#,
            r#"protoPayload.status.code =~ "7""#,
            r#"protoPayload.request.dryRun="true""#,
            "protoPayload.metadata:*",
            "protoPayload.request.nothing:*",
            r#"ip_in_net(protoPayload.methodName, "10.0.0.0/8")"#,
        ],
        None,
    );
    assert_all(&["protoPayload.status = 7 OR resource.type:*"], Some(true));
    assert_all(&["protoPayload.status = 7 AND spanId:*"], Some(false));
}

#[test]
fn precedence_is_not_then_or_then_and() {
    // 7 is so, 8 is not.
    let (yes, no) = ("protoPayload.status.code=7", "protoPayload.status.code=8");
    for (filter, fits) in [
        (format!("{no} AND {no} OR {yes}"), false),
        (format!("{yes} OR {yes} AND {no}"), false),
        (format!("({yes}) OR ({yes} AND {no})"), true),
        (format!("{no} OR {yes} AND {yes}"), true),
        (format!("NOT {no} OR {no}"), true),
        (format!("NOT ({yes} OR {no})"), false),
        (format!("\n {yes}\n AND NOT {no} "), true),
        (String::new(), true),
        (" \n ".to_owned(), true),
    ] {
        assert_eq!(parse(&filter).fits(&entry()), fits, "{filter}");
    }
}

#[test]
fn malformed_filters_are_refused() {
    for filter in [
        "(",
        ")",
        "()",
        "resource.type=",
        "resource.type==\"x\"",
        "resource.type=\"x",
        "resource.type=\"\\x41\"",
        "(insertId=1",
        "insertId=1)",
        "insertId=1 AND",
        "AND insertId=1",
        "insertId=1 OR OR insertId=1",
        "NOT",
        "insertId = abc:def",
        "resource.type=k8s*",
        "labels.k8s-pod/app=x",
        "labels[0]=x",
        "resource.type=~x",
        "resource.type=~\"(\"",
        "resource.type=~\"\\d\"",
        "operation=\"x\"",
        "labels=\"x\"",
        "timestamp>=\"yesterday\"",
        "timestamp>=\"2026-11-22T01:01:20\"",
        "timestamp>=\"2026-11-22 01:01:20Z\"",
        "ip_in_net(insertId, \"10.0.0.0/33\")",
        "ip_in_net(insertId, \"net\")",
        "ip_in_net(insertId)",
        "a, b",
    ] {
        let parsed = LoggingFilter::parse(filter);
        let is_refused = matches!(parsed, Err(FilterError::Malformed { .. } | FilterError::Undefined { .. }));
        assert!(is_refused, "{filter}: {parsed:?}");
    }
    let nested = |depth: usize| format!("{}insertId:*{}", "(".repeat(depth), ")".repeat(depth));
    assert!(LoggingFilter::parse(&nested(64)).is_ok());
    assert!(LoggingFilter::parse(&nested(9_000)).is_err());
    assert!(LoggingFilter::parse(&" ".repeat(FILTER_CHARS_MAX + 1)).is_err());
    assert!(LoggingFilter::parse(&" ".repeat(FILTER_CHARS_MAX)).is_ok());
}

#[test]
fn undefined_fields_are_an_error_of_their_own() {
    for field in
        ["thud", "operation.thud", "textPayload.thud", "Severity", "log_name", "resource.labels.a.b", "metadata"]
    {
        let parsed = LoggingFilter::parse(&format!("{field}=\"x\""));
        assert_eq!(parsed.err(), Some(FilterError::Undefined { field: field.to_owned() }));
    }
}

/// What the cloud takes and Stakeout never sends.
#[test]
fn unsupported_filters_are_an_error_of_their_own() {
    for filter in [
        "insertId != \"a\"",
        "insertId > \"a\"",
        "insertId !~ \"a\"",
        "insertId:\"a\"",
        "insertId=word",
        "insertId=(\"a\" OR \"b\")",
        "insertId=\"a\" insertId=\"b\"",
        "insertId=\"\\u0041\"",
        "-insertId=\"a\"",
        "severity=\"ERROR\"",
        "operation.first=\"true\"",
        "timestamp=\"2026-11-22T01:01:20Z\"",
        "timestamp>=2026-11-22",
        "protoPayload.status.code>=7",
        "forbidden",
        "\"forbidden\"",
        "SEARCH(\"x\")",
        "sample(insertId, 0.5)",
    ] {
        let parsed = LoggingFilter::parse(filter);
        assert!(matches!(parsed, Err(FilterError::Unsupported(_))), "{filter}: {parsed:?}");
    }
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
            "(", ")", "protoPayload.status.code", "labels.\"a/b\"", "timestamp", "insertId", "=", "!=", "<", ">=", ":*", "=~",
            "AND", "OR", "NOT", "7", "\"x*\"", "\"\\\"\"", "ip_in_net(", ",", "\n", "\"2026-11-22T00:00:00Z\"",
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
    fn a_text_equals_itself(text in ".{0,20}") {
        let entry = json!({"jsonPayload": {"message": text}});
        let filter = format!("jsonPayload.message=\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        prop_assert!(parse(&filter).fits(&entry), "{}", filter);
    }
}
