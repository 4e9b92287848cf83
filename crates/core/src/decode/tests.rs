//! Complete, truncated, unusual and hostile lines, and the event that each yields.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::event::{CutFields, ObjectRef};

const WHOLE: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"a-1","stage":"ResponseComplete","requestURI":"/api/v1/pods","verb":"list","user":{"username":"system:anonymous","groups":["system:unauthenticated"],"extra":{"x":["y"]}},"sourceIPs":["8.8.8.8"],"userAgent":"curl/8.5.0","objectRef":{"resource":"pods","apiVersion":"v1"},"responseStatus":{"metadata":{},"status":"Failure","message":"no","reason":"Forbidden","code":403},"requestObject":{"deep":[[[{"code":200}]]]},"requestReceivedTimestamp":"2026-11-21T10:00:00.000000Z","stageTimestamp":"2026-11-21T10:00:00.001000Z","annotations":{"authorization.k8s.io/decision":"forbid"}}"#;

fn event(json: &str) -> AuditEvent {
    decode(json.as_bytes()).expect("an event").event
}

fn code_of(json: &str) -> Option<i64> {
    event(&format!(r#"{{"verb":"get","responseStatus":{{"code":{json}}}}}"#)).response_code
}

#[test]
fn logins_at_openshift_are_no_requests_of_the_api() {
    let of = |uri: &str, code: u16, annotations: &str| {
        let code = format!(r#""code":{code}"#);
        let json = WHOLE.replace("/api/v1/pods", uri).replace(r#""code":403"#, &code);
        decode(json.replace(r#"{"authorization.k8s.io/decision":"forbid"}"#, annotations).as_bytes())
    };
    let (allowed, denied) =
        (r#"{"authorization.k8s.io/decision":"allow"}"#, r#"{"authorization.k8s.io/decision":"forbid"}"#);
    let of_login = r#"{"authentication.openshift.io/decision":"deny"}"#;
    let login = Err(DecodeError::OtherService(OAUTH_SERVER.to_owned()));
    assert_eq!(of("/oauth/authorize?client_id=console", 401, of_login), login);
    for uri in ["/oauth/token", "/login", "/login/ldap?then=%2F", "/logout", "/oauth2callback/github?code=1"] {
        assert_eq!(of(uri, 302, allowed), login, "{uri}");
        // An API server denies these paths, or finds nothing there.
        assert!(of(uri, 403, denied).is_ok(), "{uri}");
        assert!(of(uri, 404, allowed).is_ok(), "{uri}");
        assert!(of(uri, 401, "{}").is_ok(), "{uri}");
    }
    for uri in ["/loginx", "/oauth", "/api/v1/namespaces/x/pods/login/proxy/oauth/authorize"] {
        assert!(of(uri, 200, allowed).is_ok(), "{uri}");
    }
}

/// Who reads one event after another writes it over the last one. Nothing of that is left.
#[test]
fn an_event_is_written_over_any_other() {
    let user = r#""impersonatedUser":{"username":"zo\u00eb"},"user":{"username":"jane","groups":["a","b","c"]}"#;
    let object =
        r#""objectRef":{"resource":"pods","subresource":"log","namespace":"prod","name":"web","apiGroup":"x"}"#;
    let rest = r#""sourceIPs":["10.0.0.1","8.8.8.8"],"userAgent":"\u0041","annotations":{"a":"1","b":"\u0032"}"#;
    let other = format!(r#"{{"auditID":"b-2",{user},{object},{rest}}}"#);
    let lines = [WHOLE, &other, r#"{"verb":"get"}"#];
    for (before, after) in lines.iter().flat_map(|before| lines.map(|after| (before, after))) {
        let cut_fields = CutFields { request_uri: true, user_agent: true };
        let mut written = AuditEvent { principal_redacted: true, cut_fields, ..event(before) };
        borrowed_event(after.as_bytes()).expect("an event").write_to(&mut written);
        assert_eq!(written, event(after), "{after} over {before}");
    }
}

#[test]
fn a_whole_event_is_read() {
    let decoded = decode(WHOLE.as_bytes()).expect("an event");
    assert!(!decoded.is_truncated);
    let expected = AuditEvent {
        level: Some("Metadata".into()),
        audit_id: Some("a-1".into()),
        stage: Some("ResponseComplete".into()),
        request_uri: Some("/api/v1/pods".into()),
        verb: Some("list".into()),
        username: Some("system:anonymous".into()),
        groups: vec!["system:unauthenticated".into()],
        source_ips: vec!["8.8.8.8".into()],
        user_agent: Some("curl/8.5.0".into()),
        object_ref: Some(ObjectRef {
            resource: Some("pods".into()),
            api_version: Some("v1".into()),
            ..ObjectRef::default()
        }),
        response_code: Some(403),
        response_reason: Some("Forbidden".into()),
        response_message: Some("no".into()),
        request_received_timestamp: Some("2026-11-21T10:00:00.000000Z".into()),
        stage_timestamp: Some("2026-11-21T10:00:00.001000Z".into()),
        annotations: vec![("authorization.k8s.io/decision".into(), "forbid".into())],
        ..AuditEvent::default()
    };
    assert_eq!(decoded.event, expected);
    assert_eq!(decoded.event.stage_time_ms(), Some(1_795_255_200_001));
}

/// A line that is cut after the verb yields the members before the cut, and never a wrong code.
#[test]
fn a_truncated_line_yields_the_members_before_the_cut() {
    let code_ends = WHOLE.find(":403").expect("there") + 4;
    for cut in 0..WHOLE.len() {
        for ending in ["", "[Truncated...]"] {
            let line = format!("{}{ending}", &WHOLE[..cut]);
            match decode(line.as_bytes()) {
                Ok(decoded) => {
                    assert!(decoded.is_truncated, "cut at {cut}");
                    assert!(matches!(decoded.event.response_code, None | Some(403)), "cut at {cut}");
                    let is_read = decoded.event.response_code == Some(403);
                    assert_eq!(is_read, cut > code_ends, "cut at {cut}{ending}");
                }
                Err(error) => assert!(cut < 200, "cut at {cut}: {error}"),
            }
        }
    }
}

#[test]
fn the_first_members_are_enough_for_a_truncated_event() {
    let cut = format!(
        r#"{{"kind":"Event","auditID":"a-1","stage":"ResponseComplete","requestURI":"/{}"#,
        "A".repeat(300_000)
    );
    let decoded = decode(cut.as_bytes()).expect("an event");
    assert!(decoded.is_truncated);
    assert_eq!((decoded.event.audit_id.as_deref(), decoded.event.request_uri), (Some("a-1"), None));
}

#[test]
fn a_code_is_a_whole_number_or_a_text_of_digits() {
    assert_eq!(code_of("403"), Some(403));
    assert_eq!(code_of("403.0"), Some(403));
    assert_eq!(code_of("\"403\""), Some(403));
    assert_eq!(code_of("403.5"), None);
    assert_eq!(code_of("4.03e2"), None);
    assert_eq!(code_of("\"403 \""), None);
    assert_eq!(code_of("\"0403\""), None);
    assert_eq!(code_of("\"0\""), Some(0));
    assert_eq!(code_of("null"), None);
    assert_eq!(code_of("{\"code\":403}"), None);
    assert_eq!(code_of("99999999999999999999"), None);
}

#[test]
fn the_last_value_of_a_duplicate_key_counts() {
    assert_eq!(event(r#"{"verb":"get","verb":"list"}"#).verb.as_deref(), Some("list"));
}

#[test]
fn values_of_another_type_count_as_missing() {
    let read = event(
        r#"{"verb":"get","user":null,"sourceIPs":"8.8.8.8","userAgent":7,"objectRef":[1],"annotations":{"a":1,"b":"c"},"groups":{}}"#,
    );
    assert_eq!(read.username, None);
    assert_eq!(read.source_ips, ["8.8.8.8"]);
    assert_eq!(read.user_agent, None);
    assert_eq!(read.annotations, [("b".to_owned(), "c".to_owned())]);
}

#[test]
fn other_text_is_an_error_that_says_why() {
    assert_eq!(decode(b"hello"), Err(DecodeError::NotJson("it begins with \"hello\"".into())));
    assert_eq!(decode(br#"{"kind":"Status","verb":"get"}"#), Err(DecodeError::NotAnEvent("Status".into())));
    assert!(decode(b"{\"a\":").is_err());
    assert!(decode(b"").is_err());
}

#[test]
fn a_line_over_the_limit_is_read_from_its_first_part_and_its_tail() {
    let body = "A".repeat(2 * LINE_BYTES_MAX);
    let line = WHOLE.replace(
        r#"{"deep":[[[{"code":200}]]]}"#,
        &format!(r#"{{"x":"{body}","stageTimestamp":"2001-01-01T00:00:00Z"}}"#),
    );
    let decoded = decode(line.as_bytes()).expect("an event");
    assert!(decoded.is_truncated);
    assert_eq!(decoded.event.response_code, Some(403));
    assert_eq!(decoded.event.stage_timestamp.as_deref(), Some("2026-11-21T10:00:00.001000Z"));
    assert_eq!(decoded.event.request_received_timestamp.as_deref(), Some("2026-11-21T10:00:00.000000Z"));
}

#[test]
fn a_body_may_nest_to_any_depth() {
    let nested = "[".repeat(100_000) + &"]".repeat(100_000);
    let line = WHOLE.replace(r#"{"deep":[[[{"code":200}]]]}"#, &nested);
    assert!(!decode(line.as_bytes()).expect("an event").is_truncated);
    let agent = WHOLE.replace("\"curl/8.5.0\"", &nested);
    assert!(!decode(agent.as_bytes()).expect("an event").is_truncated, "where a text is expected");
}

#[test]
fn only_a_text_that_is_read_must_be_unicode() {
    let read = |line: &[u8]| decode(line).expect("an event");
    let skipped = read(b"{\"verb\":\"get\",\"requestObject\":[\"\xff\"],\"stage\":\"Panic\"}");
    assert_eq!((skipped.event.stage.as_deref(), skipped.is_truncated), (Some("Panic"), false));
    let damaged = read(b"{\"verb\":\"get\",\"userAgent\":\"\xff\",\"stage\":\"Panic\"}");
    assert_eq!((damaged.event.stage, damaged.is_truncated), (None, true));
}

#[test]
fn a_number_beyond_f64_in_place_of_a_text_damages_the_line() {
    let damaged = decode(br#"{"verb":"get","userAgent":1e999,"stage":"Panic"}"#).expect("an event");
    assert_eq!((damaged.event.verb.as_deref(), damaged.event.stage, damaged.is_truncated), (Some("get"), None, true));
    let skipped = decode(br#"{"verb":"get","requestObject":1e999,"stage":"Panic"}"#).expect("an event");
    assert!(!skipped.is_truncated);
}

/// Returns a value of any type, as JSON text.
fn value() -> impl Strategy<Value = String> {
    const SCALARS: &[&str] = &[
        "null",
        "true",
        "0",
        "-0.5e3",
        "99999999999999999999",
        "\"\"",
        "\"a\"",
        "\"\\u0061\\n\"",
        "\"\u{1f600}\"",
        "[]",
        "{}",
    ];
    let scalar = proptest::sample::select(SCALARS).prop_map(str::to_owned);
    scalar.prop_recursive(4, 16, 4, |inner| {
        let members = proptest::collection::vec(("[a-z]{1,3}|username|groups|code", inner.clone()), 0..4);
        let object = members.prop_map(|members| {
            let members: Vec<String> = members.iter().map(|(key, value)| format!("\"{key}\" : {value}")).collect();
            format!("{{{}}}", members.join(" ,\n"))
        });
        let list = proptest::collection::vec(inner, 0..4).prop_map(|values| format!("[ {} ]", values.join(", ")));
        prop_oneof![object, list]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_member_of_any_type_leaves_the_next_one_readable(
        key in proptest::sample::select(&[
            "userAgent", "user", "impersonatedUser", "sourceIPs", "objectRef", "responseStatus", "requestObject",
            "annotations", "us\\u0065rAgent",
        ][..]),
        value in value(),
    ) {
        let line = format!(r#"{{"auditID":"a","{key}":{value},"stage":"Panic"}}"#);
        let decoded = decode(line.as_bytes()).expect("an event");
        prop_assert!(!decoded.is_truncated);
        prop_assert_eq!(decoded.event.stage.as_deref(), Some("Panic"));
        let whole: Value = serde_json::from_str(&line).expect("JSON");
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        prop_assert_eq!(decoded.event.user_agent, text(&whole["userAgent"]));
        prop_assert_eq!(decoded.event.username, text(&whole["user"]["username"]));
        let groups = match &whole["user"]["groups"] {
            Value::String(group) => vec![group.clone()],
            Value::Array(groups) => groups.iter().filter_map(text).collect(),
            _ => Vec::new(),
        };
        prop_assert_eq!(decoded.event.groups, groups);
    }
}
