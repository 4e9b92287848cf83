//! What is an event and what is not. The forms of tools are tested through the binary.

use serde_json::json;

use super::*;

const EVENT: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"a","stage":"ResponseComplete","requestURI":"/api","verb":"list","user":{"username":"eve","groups":["g"]},"sourceIPs":["8.8.8.8"],"responseStatus":{"code":403},"stageTimestamp":"2026-11-22T01:00:00.500Z"}"#;
const AT: i64 = 1_795_309_200_500;

const FINDER: Finder<'static> = Finder { envelopes: &[], unpack: |_, _| None, needles: &[] };

fn find(text: &str) -> Vec<Result<FoundEvent, Unusable>> {
    FINDER.find(text, &Outer::default())
}

/// Returns the only event in a text.
fn event(text: &str) -> FoundEvent {
    match <[_; 1]>::try_from(find(text)) {
        Ok([Ok(event)]) => event,
        found => panic!("{text}: {found:?}"),
    }
}

/// Returns what the only record in a text is, which is no event.
fn what(text: &str) -> String {
    match <[_; 1]>::try_from(find(text)) {
        Ok([Err(unusable)]) => unusable.to_string(),
        found => panic!("{text}: {found:?}"),
    }
}

#[test]
fn the_nearest_wrapper_gives_time_and_id() {
    let found = event(EVENT);
    assert_eq!((found.time_ms, found.record_id, found.provider), (Some(AT), None, Provider::File));
    let inner = json!({"@timestamp": "2026-11-22T01:00:01Z", "log": EVENT});
    let outer = json!({"time": 1_795_309_299, "_id": "7", "data": [inner]});
    let found = event(&outer.to_string());
    assert_eq!((found.time_ms, found.record_id.as_deref()), (Some(1_795_309_201_000), Some("/7")));
    let stream = json!({"logStreamName": "s", "timestamp": 1_795_309_202_000_i64, "message": EVENT, "eventId": "9"});
    let found = event(&stream.to_string());
    assert_eq!((found.time_ms, found.record_id.as_deref()), (Some(1_795_309_202_000), Some("s/9")));
    assert_eq!(found.provider, Provider::Cloudwatch);
    assert_eq!(event(&format!("2026-11-22T01:00:03Z stdout F {EVENT}")).time_ms, Some(1_795_309_203_000));
}

#[test]
fn an_event_in_a_quoted_text_is_found() {
    let quoted = json!(EVENT).to_string();
    for text in [quoted.clone(), format!("level=info msg={quoted} caller=audit.go:1")] {
        assert_eq!(event(&text).decoded, event(EVENT).decoded, "{text}");
    }
    assert_eq!(event(&format!("ts=2026-11-22T01:00:03Z msg={quoted}")).time_ms, Some(AT));
    assert!(what(&format!("msg={}", &quoted[..quoted.len() / 2])).starts_with("not audit JSON"));
}

/// An event whose user and code are not found would match no rule, and nobody would hear of it.
#[test]
fn members_are_known_by_other_keys() {
    let expected = event(EVENT).decoded;
    let event_of = |keys: [&str; 9]| {
        let [audit_id, uri, username, groups, sources, code, time, kind, verb] = keys;
        let version = "audit.k8s.io/v1";
        json!({kind: "Event", "apiVersion": version, audit_id: "a", "stage": "ResponseComplete", uri: "/api", verb: "list",
            username: "eve", groups: ["g"], sources: ["8.8.8.8"], code: 403, time: "2026-11-22T01:00:00.500Z"})
        .to_string()
    };
    for separator in ["_", "__", "/", ":", "-"] {
        let [username, groups, code] = [("user", "username"), ("user", "groups"), ("responseStatus", "code")]
            .map(|(a, b)| format!("{a}{separator}{b}"));
        let keys = ["auditID", "requestURI", &username, &groups, "sourceIPs", &code, "stageTimestamp", "kind", "verb"];
        assert_eq!(event(&event_of(keys)).decoded, expected, "{separator}");
    }
    let object = |[user, status, uri, sources, time, id]: [&str; 6]| {
        json!({"kind": "Event", id: "a", "stage": "ResponseComplete", uri: "/api", "verb": "list", user: {"username": "eve",
            "groups": ["g"]}, sources: ["8.8.8.8"], status: {"code": 403}, time: "2026-11-22T01:00:00.500Z"})
        .to_string()
    };
    let lower = ["user", "responsestatus", "requesturi", "sourceips", "stagetimestamp", "auditid"];
    let snake = ["user", "response_status", "request_uri", "source_ips", "stage_timestamp", "audit_id"];
    for keys in [lower, snake] {
        assert_eq!(event(&object(keys)).decoded, expected, "{keys:?}");
    }
}

#[test]
fn a_prefix_hides_nothing_of_what_a_record_is() {
    let rancher = r#"{"auditID":"a","requestURI":"/v3/x","user":{"name":"u"},"method":"GET","responseCode":200}"#;
    assert_eq!(what(rancher), "a record of Rancher's API audit log");
    assert_eq!(what(&format!("node-1 {rancher}")), "a record of Rancher's API audit log");
    assert!(what(&format!("node-1 {}", &rancher[..20])).starts_with("not audit JSON"));
    assert_eq!(what("I1122 01:01:20.123456       1 a.go:1] done {\"a\":1}"), "a klog line");
}

/// What is not searched to its end is reported.
#[test]
fn a_text_that_is_too_expensive_ends_with_a_damaged_record() {
    let cheap = format!("{}{EVENT}", "[x] {y} ".repeat(1_000));
    assert_eq!(find(&cheap).len(), 1);
    assert!(find(&cheap)[0].is_ok());
    let nested = format!("{}{EVENT}", "[".repeat(10_000));
    let found = find(&nested);
    assert!(matches!(&found[..], [Err(Unusable::Damaged(_))]), "{found:?}");
}

#[test]
fn flattened_events_are_put_together() {
    let expected = event(EVENT).decoded;
    let flat = json!({
        "kind": "Event", "auditID": "a", "stage": "ResponseComplete", "requestURI": "/api", "verb": "list",
        "user.username": "eve", "user.groups.0": "g", "sourceIPs[0]": "8.8.8.8", "responseStatus.code": "403",
        "stageTimestamp": "2026-11-22T01:00:00.500Z",
    });
    assert_eq!(event(&flat.to_string()).decoded, expected);
    let texts = EVENT
        .replace(r#"{"username":"eve","groups":["g"]}"#, r#""{\"username\":\"eve\",\"groups\":[\"g\"]}""#)
        .replace(r#"["8.8.8.8"]"#, r#""[\"8.8.8.8\"]""#)
        .replace(r#"{"code":403}"#, r#""{\"code\": 403}""#);
    assert_eq!(event(&texts).decoded, expected);
    let prefixed = json!({
        "audit.auditID": "a", "audit.verb": "list", "audit.stage": "Panic",
        "audit.annotations.authorization.k8s.io/decision": "forbid",
    });
    let annotations = event(&prefixed.to_string()).decoded.event.annotations;
    assert_eq!(annotations, [("authorization.k8s.io/decision".to_owned(), "forbid".to_owned())]);
}

#[test]
fn several_events_in_a_line_are_all_found() {
    assert_eq!(find(&format!("{EVENT}{EVENT} , {EVENT}")).len(), 3);
    let cut = &EVENT[..150];
    let found = find(&format!("{cut}{EVENT}"));
    let truncated: Vec<bool> =
        found.iter().map(|found| found.as_ref().expect("an event").decoded.is_truncated).collect();
    assert_eq!(truncated, [true, false]);
    assert_eq!(find(&format!("[{EVENT},{EVENT},{cut}")).len(), 3, "a list that is cut off");
}

/// A client may write an event into a body. It is not found, whole or in a damaged event, unless the damage ends exactly
/// there.
#[test]
fn a_body_is_not_searched() {
    let body = EVENT.replace("\"auditID\":\"a\"", "\"auditID\":\"forged\"");
    let outer =
        EVENT.replace("\"responseStatus\"", &format!("\"requestObject\":{{\"x\":[{body}]}},\"responseStatus\""));
    for text in [outer.clone(), json!({"log": outer}).to_string(), outer[..outer.len() - 20].to_owned()] {
        assert_eq!(event(&text).decoded.event.audit_id.as_deref(), Some("a"), "{text}");
    }
}

#[test]
fn other_records_are_named() {
    for (text, expected) in [
        ("I1122 01:01:20.123456       1 httplog.go:132] x", "a klog line"),
        (r#"{"kind":"Event","apiVersion":"v1","reason":"x"}"#, "a Kubernetes object of kind Event of v1"),
        (
            r#"{"auditID":"a","action":"list","serviceName":"iam","sourceIPs":["8.8.8.8"]}"#,
            "a record of Google Distributed Cloud's platform audit log",
        ),
        (
            r#"{"auditID":"a","requestURI":"/v3","stage":"RequestReceived","verb":"GET","sourceIPs":["::1"],"user":{"name":"u"}}"#,
            "a record of Rancher's API audit log",
        ),
        (
            r#"{"auditID":"a","requestURI":"/v3","method":"GET","user":{"name":"u"}}"#,
            "a record of Rancher's API audit log",
        ),
        (r#"{"ts":1,"msg":"HTTP","verb":"GET"}"#, "a JSON object with the members ts, msg, verb"),
        ("time=\"x\" level=info msg=y", "a logfmt line"),
        ("---", "YAML, as gcloud prints it"),
        (&EVENT[200..], "not audit JSON: it is cut off or damaged"),
        ("plain", "a line of text"),
    ] {
        assert_eq!(what(text), expected, "{text}");
    }
    assert_eq!(
        find(r#"{"events":[{"message":"a","timestamp":1},{"message":"b","timestamp":2}],"x":[{"a":1}]}"#).len(),
        2
    );
    for empty in
        ["", " \n", "[]", r#"{"events":[]}"#, r#"[{"results":[]}]"#, r#"{"tables":[{"columns":[],"rows":[]}]}"#]
    {
        assert_eq!(find(empty), [], "{empty}");
    }
}

#[test]
fn depth_is_bounded_and_costs_little() {
    let nest = |levels: usize| (0..levels).fold(EVENT.to_owned(), |inner, _| format!("{{\"x\":{inner}}}"));
    assert_eq!(event(&nest(DEPTH_MAX)).time_ms, Some(AT));
    assert_eq!(what(&nest(DEPTH_MAX + 1)), "a JSON object with the members x");
    let text = (0..5).fold(EVENT.to_owned(), |inner, _| json!({"log": inner}).to_string());
    assert_eq!(event(&text).time_ms, Some(AT), "texts in each other");
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"events\":", "}]")] {
        let deep = format!("{}1{}", open.repeat(50_000), close.repeat(50_000));
        assert!(find(&deep).iter().all(Result::is_err), "{open}");
        assert!(find(&open.repeat(50_000)).iter().all(Result::is_err), "{open}");
    }
}

/// Data that unpacks to more data, again and again, costs no more than its limit.
#[test]
fn unpacked_data_is_bounded() {
    fn endless(_: &str, bytes_max: usize) -> Option<Vec<u8>> {
        let line = format!("{}\n", json!({"data": "A".repeat(DATA_BYTES_MIN)}));
        Some([line.repeat(10), " ".repeat(1 << 20)].concat().into_bytes()).filter(|bytes| bytes.len() <= bytes_max)
    }
    let finder = Finder { envelopes: &[], unpack: endless, needles: &[] };
    assert!(finder.find(&"A".repeat(DATA_BYTES_MIN), &Outer::default()).iter().all(Result::is_err));
}
