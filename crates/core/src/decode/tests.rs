//! Whole, cut, odd and hostile lines, and what is read of each.

use super::*;
use crate::event::ObjectRef;

const WHOLE: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"a-1","stage":"ResponseComplete","requestURI":"/api/v1/pods","verb":"list","user":{"username":"system:anonymous","groups":["system:unauthenticated"],"extra":{"x":["y"]}},"sourceIPs":["8.8.8.8"],"userAgent":"curl/8.5.0","objectRef":{"resource":"pods","apiVersion":"v1"},"responseStatus":{"metadata":{},"status":"Failure","message":"no","reason":"Forbidden","code":403},"requestObject":{"deep":[[[{"code":200}]]]},"requestReceivedTimestamp":"2026-11-21T10:00:00.000000Z","stageTimestamp":"2026-11-21T10:00:00.001000Z","annotations":{"authorization.k8s.io/decision":"forbid"}}"#;

fn event(json: &str) -> AuditEvent {
    decode(json.as_bytes()).expect("an event").event
}

fn code_of(json: &str) -> Option<i64> {
    event(&format!(r#"{{"verb":"get","responseStatus":{{"code":{json}}}}}"#)).response_code
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

/// Cut anywhere behind the verb, a line gives what stood before the cut, and never a wrong code.
#[test]
fn a_line_cut_anywhere_gives_what_stood_before_the_cut() {
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
                Err(fault) => assert!(cut < 200, "cut at {cut}: {fault}"),
            }
        }
    }
}

#[test]
fn a_record_of_which_only_the_beginning_is_left_is_cut_and_not_nonsense() {
    let cut = format!(
        r#"{{"kind":"Event","auditID":"a-1","stage":"ResponseComplete","requestURI":"/{}"#,
        "A".repeat(300_000)
    );
    let decoded = decode(cut.as_bytes()).expect("an event");
    assert!(decoded.is_truncated);
    assert_eq!((decoded.event.audit_id.as_deref(), decoded.event.request_uri), (Some("a-1"), None));
}

#[test]
fn a_code_has_one_reading() {
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
fn of_a_key_that_stands_twice_the_last_counts() {
    assert_eq!(event(r#"{"verb":"get","verb":"list"}"#).verb.as_deref(), Some("list"));
}

#[test]
fn values_of_another_type_are_missing() {
    let read = event(
        r#"{"verb":"get","user":null,"sourceIPs":"8.8.8.8","userAgent":7,"objectRef":[1],"annotations":{"a":1,"b":"c"},"groups":{}}"#,
    );
    assert_eq!(read.username, None);
    assert_eq!(read.source_ips, ["8.8.8.8"]);
    assert_eq!(read.user_agent, None);
    assert_eq!(read.annotations, [("b".to_owned(), "c".to_owned())]);
}

#[test]
fn what_is_no_audit_event_says_so() {
    assert_eq!(decode(b"hello"), Err(DecodeError::NotJson("it begins with \"hello\"".into())));
    assert_eq!(decode(br#"{"kind":"Status","verb":"get"}"#), Err(DecodeError::NotAnEvent("Status".into())));
    assert!(decode(b"{\"a\":").is_err());
    assert!(decode(b"").is_err());
}

#[test]
fn a_line_over_the_limit_is_read_by_its_beginning_and_end() {
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
fn a_body_may_nest_as_deep_as_it_likes() {
    let nested = "[".repeat(100_000) + &"]".repeat(100_000);
    let line = WHOLE.replace(r#"{"deep":[[[{"code":200}]]]}"#, &nested);
    assert!(!decode(line.as_bytes()).expect("an event").is_truncated);
}
