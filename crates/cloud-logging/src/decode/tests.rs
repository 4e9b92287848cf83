//! Entries of every kind, and the recordings: each entry against the API server's own event of the same request.

use std::collections::HashMap;
use std::io::Read;

use proptest::prelude::*;
use serde_json::{Value, json};
use stakeout_core::event::ObjectRef;

use super::*;

const SCENARIOS: [&str; 4] = ["anonymous-scan", "auth-failures", "kube-hunter", "limited"];

/// Returns a denied list of pods, with `change` laid over it: objects are merged, `null` takes away.
fn denied(change: Value) -> Value {
    let mut entry = json!({
        "insertId": "id-1",
        "logName": "projects/acme/logs/cloudaudit.googleapis.com%2Fdata_access",
        "timestamp": "2026-11-22T01:01:20.476998Z",
        "labels": {"authorization.k8s.io/decision": "forbid", "authorization.k8s.io/reason": ""},
        "operation": {"id": "op-1", "first": true, "last": true, "producer": "k8s.io"},
        "resource": {"type": "k8s_cluster", "labels": {"cluster_name": "prod", "location": "europe-west1", "project_id": "acme"}},
        "protoPayload": {
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
            "serviceName": "k8s.io",
            "methodName": "io.k8s.core.v1.pods.list",
            "resourceName": "core/v1/pods",
            "authenticationInfo": {"principalEmail": "system:anonymous"},
            "authorizationInfo": [{"permission": "io.k8s.core.v1.pods.list", "resource": "core/v1/pods"}],
            "requestMetadata": {"callerIp": "203.0.113.7", "callerSuppliedUserAgent": "curl/8.5.0"},
            "status": {"code": 7, "message": "Forbidden"},
        },
    });
    lay(&mut entry, change);
    entry
}

fn lay(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                match value {
                    Value::Null => drop(under.remove(&key)),
                    value => lay(under.entry(key).or_insert(Value::Null), value),
                }
            }
        }
        (under, over) => *under = over,
    }
}

fn event(change: Value) -> AuditEvent {
    entry(&denied(change).to_string()).expect("an audit entry").decoded.event
}

/// Returns an event's code and username, its groups, and which facts about the caller hold.
fn caller(change: Value) -> String {
    let event = event(change);
    let facts = [
        ("no login", event.is_unauthenticated()),
        ("failed login", event.auth_failure().is_some()),
        ("redacted", event.principal_redacted),
    ];
    let facts: Vec<&str> = facts.iter().filter(|(_, holds)| *holds).map(|(fact, _)| *fact).collect();
    let username = event.username.as_deref().unwrap_or("-");
    format!("{} {username} {:?} {}", event.response_code.unwrap_or_default(), event.groups, facts.join(", "))
}

#[test]
fn an_entry_is_an_event_with_an_envelope() {
    let event = AuditEvent {
        audit_id: Some("op-1".to_owned()),
        stage: Some("ResponseComplete".to_owned()),
        request_uri: Some("/api/v1/pods".to_owned()),
        verb: Some("list".to_owned()),
        username: Some("system:anonymous".to_owned()),
        groups: vec!["system:unauthenticated".to_owned()],
        source_ips: vec!["203.0.113.7".to_owned()],
        user_agent: Some("curl/8.5.0".to_owned()),
        object_ref: Some(ObjectRef {
            resource: Some("pods".to_owned()),
            api_version: Some("v1".to_owned()),
            ..ObjectRef::default()
        }),
        response_code: Some(403),
        response_message: Some("Forbidden".to_owned()),
        annotations: vec![("authorization.k8s.io/decision".to_owned(), "forbid".to_owned())],
        ..AuditEvent::default()
    };
    let enveloped = Enveloped {
        decoded: Decoded { event, is_truncated: false },
        time_ms: 1_795_309_280_476,
        record_id: "projects/acme/logs/cloudaudit.googleapis.com%2Fdata_access/2026-11-22T01:01:20.476998Z/id-1"
            .to_owned(),
        cluster: Some("prod".to_owned()),
        cluster_id: Some("projects/acme/locations/europe-west1/clusters/prod".to_owned()),
    };
    assert_eq!(entry(&denied(json!({})).to_string()), Ok(enveloped));
}

fn subject_beside_selector() -> Value {
    json!({"principalEmail": "", "principalSubject": "principal://pool/me", "authoritySelector": "z"})
}

#[test]
fn the_user_is_read_from_the_remaining_identity_fields() {
    let user = |authentication: Value| caller(json!({"protoPayload": {"authenticationInfo": authentication}}));
    assert_eq!(user(json!({})), r#"403 system:anonymous ["system:unauthenticated"] no login"#);
    assert_eq!(user(json!({"principalEmail": "a@x.org"})), "403 a@x.org [] ");
    assert_eq!(user(subject_beside_selector()), "403 principal://pool/me [] ");
    assert_eq!(user(json!({"principalEmail": 7, "authoritySelector": "z"})), "403 z [] ");

    let impersonated = |authentication: Value| {
        event(json!({"protoPayload": {"authenticationInfo": authentication}})).impersonated_username
    };
    assert_eq!(impersonated(subject_beside_selector()).as_deref(), Some("z"));
    assert_eq!(impersonated(json!({"principalEmail": null, "authoritySelector": "z"})), None);

    assert_eq!(user(json!({"principalEmail": null})), "403 - [] redacted");
    let refused = json!({"protoPayload": {"authenticationInfo": null, "status": {"code": 16}}});
    assert_eq!(caller(refused), "401 - [] no login, failed login");
    let missing = json!({"protoPayload": {"authenticationInfo": {"principalEmail": null}, "status": {"code": 5}}});
    assert_eq!(caller(missing), "404 - [] ");
}

#[test]
fn a_code_is_the_api_servers_own_where_the_entry_holds_it() {
    let code = |payload: Value| event(json!({"protoPayload": payload})).response_code;
    assert_eq!(code(json!({"status": null})), Some(200));
    assert_eq!(code(json!({"status": {"code": null}})), Some(200));
    assert_eq!(code(json!({"status": "odd"})), Some(200));
    assert_eq!(code(json!({"status": {"code": "7"}})), Some(403));
    assert_eq!(code(json!({"status": {"code": 99}})), None);
    assert_eq!(code(json!({"status": {"code": [7]}})), None);
    assert_eq!(code(json!({"status": {"code": 3}, "response": {"kind": "Status", "code": 422}})), Some(422));
    assert_eq!(code(json!({"response": {"@type": "core.k8s.io/v1.Status", "code": "403"}})), Some(403));
    assert_eq!(code(json!({"response": {"kind": "Status", "status": "Success"}, "status": {}})), Some(403));
    assert_eq!(code(json!({"response": {"kind": "Scale", "code": 201}})), Some(403));
}

#[test]
fn a_binary_authorization_denial_is_a_403_that_rbac_allowed() {
    let message = "image policy webhook backend denied one or more images";
    let event = event(json!({
        "labels": {"authorization.k8s.io/decision": "allow"},
        "protoPayload": {
            "authenticationInfo": {"principalEmail": "dev@acme.example"},
            "response": {"@type": "core.k8s.io/v1.Status", "kind": "Status", "code": 403, "reason": "Forbidden", "message": message},
        },
    }));
    assert_eq!((event.response_code, event.principal_redacted), (Some(403), false));
    assert_eq!(event.annotations, [(DECISION.to_owned(), "allow".to_owned())]);
    assert_eq!(
        (event.response_reason.as_deref(), event.response_message.as_deref()),
        (Some("Forbidden"), Some(message))
    );
}

#[test]
fn a_decision_without_a_label_comes_from_the_grants() {
    let decision = |checked: Value, code: i64| {
        let change = json!({"labels": null, "protoPayload": {"authorizationInfo": checked, "status": {"code": code}}});
        event(change).annotations.pop().map(|(key, value)| (key == DECISION).then_some(value).expect("a decision"))
    };
    let [allow, forbid] = ["allow", "forbid"].map(|decision| Some(decision.to_owned()));
    assert_eq!(decision(json!([{"granted": true}]), 0), allow);
    assert_eq!(decision(json!([{"granted": true}]), 7), allow);
    assert_eq!(decision(json!([{"granted": true}, {"granted": false}]), 0), forbid);
    assert_eq!(decision(json!([{}]), 7), forbid);
    for (checked, code) in
        [(json!([{}]), 16), (json!([{}]), 0), (json!([]), 7), (json!("odd"), 7), (json!([{"granted": "yes"}]), 5)]
    {
        assert_eq!(decision(checked, code), None);
    }
    let shown = event(json!({"protoPayload": {"authorizationInfo": [{"granted": true}]}}));
    assert_eq!(shown.annotations, [(DECISION.to_owned(), "forbid".to_owned())]);
}

#[test]
fn annotations_are_the_labels_with_a_prefix() {
    let labels =
        json!({"z.k8s.io/b": "2", "a.k8s.io/b": "1", "plain": "x", "audit.k8s.io/truncated": "true", "n.io/n": 7});
    let enveloped = entry(&denied(json!({"labels": labels})).to_string()).expect("an audit entry");
    assert!(enveloped.decoded.is_truncated);
    let keys: Vec<&str> = enveloped.decoded.event.annotations.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["a.k8s.io/b", "audit.k8s.io/truncated", "authorization.k8s.io/decision", "z.k8s.io/b"]);
}

#[test]
fn a_request_is_counted_by_one_of_its_entries() {
    let stage = |change: Value| {
        let enveloped = entry(&denied(change).to_string()).expect("an audit entry");
        let event = enveloped.decoded.event;
        (event.is_request(), event.stage, enveloped.decoded.is_truncated)
    };
    let [received, complete] = ["RequestReceived", "ResponseComplete"].map(|stage| Some(stage.to_owned()));
    assert_eq!(stage(json!({"operation": {"last": null}})), (true, None, false));
    assert_eq!(stage(json!({"operation": {"last": false}})), (true, None, false));
    assert_eq!(stage(json!({"operation": {"first": null}})), (true, complete.clone(), false));
    assert_eq!(stage(json!({"operation": {"first": null, "last": null}})), (true, None, false));
    assert_eq!(stage(json!({"operation": null})), (true, None, false));
    assert_eq!(stage(json!({"split": {"uid": "u", "totalSplits": 2}})), (true, complete, true));
    assert_eq!(stage(json!({"split": {"uid": "u", "index": 1, "totalSplits": 2}})), (false, received, true));
}

#[test]
fn both_entries_of_a_long_request_have_one_identity() {
    let id = |change: Value| entry(&denied(change).to_string()).expect("an audit entry").record_id;
    let first = id(json!({"operation": {"last": null}, "insertId": "one", "timestamp": "2026-11-22T01:00:00Z"}));
    let last = id(json!({"operation": {"first": null}, "insertId": "two", "timestamp": "2026-11-22T01:30:00Z"}));
    assert_eq!(first, last);
    assert!(first.ends_with("/op-1/io.k8s.core.v1.pods.list/core/v1/pods"), "{first}");
    let other = id(json!({"operation": {"last": null}, "protoPayload": {"resourceName": "core/v1/secrets"}}));
    assert_ne!(first, other);
    assert_ne!(id(json!({"insertId": "one"})), id(json!({"insertId": "two"})));
}

#[test]
fn an_address_is_kept_as_it_was_written() {
    let sources = |metadata: Value| event(json!({"protoPayload": {"requestMetadata": metadata}})).source_ips;
    assert_eq!(sources(json!({"callerIp": "::1"})), ["::1"]);
    assert_eq!(sources(json!({"callerIp": "gce-internal-ip"})), ["gce-internal-ip"]);
    assert_eq!(sources(json!({"callerIp": null, "callerIP": "198.51.100.9"})), ["198.51.100.9"]);
    assert_eq!(sources(json!({"callerIp": null})), [""; 0]);
}

#[test]
fn an_error_names_the_kind_of_record() {
    let shown = |change: Value| entry(&denied(change).to_string()).expect_err("no audit entry").to_string();
    let other = "not of the Kubernetes API: container.googleapis.com";
    assert_eq!(shown(json!({"protoPayload": {"serviceName": "container.googleapis.com"}})), other);
    assert_eq!(shown(json!({"protoPayload": {"serviceName": null}})), "not of the Kubernetes API: no serviceName");
    assert_eq!(shown(json!({"protoPayload": null, "textPayload": "x"})), "not an audit event: kind is textPayload");
    assert_eq!(shown(json!({"protoPayload": null, "kind": "Event"})), "not an audit event: kind is Event");
    assert_eq!(shown(json!({"timestamp": null})), "not audit JSON: no timestamp in the entry");
    for missing in ["logName", "insertId"] {
        assert!(entry(&denied(json!({missing: null})).to_string()).is_ok(), "{missing}");
    }
    assert_eq!(shown(json!({"timestamp": "yesterday"})), "not audit JSON: the timestamp of the entry is not a time");
    for text in ["", "[]", "\"x\"", "{\"insertId\":", "null", "{}{}"] {
        assert!(matches!(entry(text), Err(DecodeError::NotJson(_))), "{text}");
    }
}

#[test]
fn one_record_has_one_id_however_its_time_is_spelled() {
    let id = |at: &str| entry(&denied(json!({"timestamp": at})).to_string()).expect("an audit entry").record_id;
    assert_eq!(id("2026-11-22T01:01:20.5Z"), id("2026-11-22T01:01:20.500000000Z"));
    assert_ne!(id("2026-11-22T01:01:20.5Z"), id("2026-11-22T01:01:20.500000001Z"));
}

fn unpacked(path: &str) -> String {
    let path = format!("{}/../../tests/data/{path}", env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    let file = std::fs::File::open(&path).expect("a recording");
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("text");
    text
}

fn recorded_entries(scenario: &str) -> Vec<String> {
    let answer: Value = serde_json::from_str(&unpacked(&format!("cloud/{scenario}.gke.json.gz"))).expect("JSON");
    answer["entries"].as_array().expect("a list").iter().map(Value::to_string).collect()
}

/// Returns the API server's own events by id and by when the request came, as far as they are requests.
fn own_events(scenario: &str) -> HashMap<(String, i64), AuditEvent> {
    unpacked(&format!("audit/{scenario}.audit.log.gz"))
        .lines()
        .map(|line| stakeout_core::decode::decode(line.as_bytes()).expect("an audit event").event)
        .filter(AuditEvent::is_request)
        .map(|event| ((event.audit_id.clone().expect("an id"), event.received_time_ms().expect("a time")), event))
        .collect()
}

/// Returns what GKE passes on of an event: each line is a class of loss that the module's head names.
fn passed_on(event: AuditEvent) -> AuditEvent {
    let is_anonymous = event.username.as_deref() == Some("system:anonymous");
    // The path that the object is at, whatever way it was spelled; and without an object, the path alone.
    let request_uri = match &event.object_ref {
        Some(object) => path_of(object),
        None => event.request_uri.as_deref().and_then(|uri| uri.split('?').next()).map(str::to_owned),
    };
    let answer = match event.response_code {
        // Every success is a success.
        Some(200..300) | None => (Some(200), None, None),
        // Only writes are logged with their answer, and with it the reason and the message.
        code @ Some(403) if is_write(&event) => (code, event.response_reason, event.response_message),
        code @ Some(403) => (code, None, Some("Forbidden".to_owned())),
        code => (code, None, event.response_message),
    };
    let mut annotations = event.annotations;
    annotations.sort();
    AuditEvent {
        // Nothing says how much was logged, nor when the request came and ended.
        level: None,
        request_received_timestamp: None,
        stage_timestamp: None,
        // A failed authentication ends at `ResponseStarted` for the API server.
        stage: Some("ResponseComplete".to_owned()),
        // GKE leaves groups out; anonymous users are in the group of all anonymous users.
        groups: is_anonymous.then(|| "system:unauthenticated".to_owned()).into_iter().collect(),
        // One address.
        source_ips: event.source_ips.last().cloned().into_iter().collect(),
        request_uri,
        response_code: answer.0,
        response_reason: answer.1,
        response_message: answer.2,
        annotations,
        ..event
    }
}

fn is_write(event: &AuditEvent) -> bool {
    event
        .verb
        .as_deref()
        .is_some_and(|verb| matches!(verb, "create" | "update" | "patch" | "delete" | "deletecollection"))
}

fn path_of(object: &ObjectRef) -> Option<String> {
    let version = object.api_version.as_deref()?;
    let mut path = match &object.api_group {
        None => format!("/api/{version}"),
        Some(group) => format!("/apis/{group}/{version}"),
    };
    if let Some(namespace) = &object.namespace {
        path = format!("{path}/namespaces/{namespace}");
    }
    for part in [&object.resource, &object.name, &object.subresource].into_iter().flatten() {
        path = format!("{path}/{part}");
    }
    Some(path)
}

#[test]
fn recorded_entries_match_the_api_servers_own_events() {
    let mut compared = 0;
    for scenario in SCENARIOS {
        let own = own_events(scenario);
        for json in recorded_entries(scenario) {
            let Enveloped { decoded, time_ms, cluster, .. } = entry(&json).expect("an audit entry");
            let id = decoded.event.audit_id.clone().expect("an id");
            let event = own.get(&(id, time_ms)).expect("the API server logged it as well").clone();
            assert_eq!(decoded, Decoded { event: passed_on(event), is_truncated: false }, "{json}");
            assert_eq!(cluster.as_deref(), Some("gke-prod"));
            compared += 1;
        }
    }
    assert_eq!(compared, 917 + 560 + 24 + 45);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "k8s.io",
            "Status",
            "..",
            "io.k8s.",
            "io.k8s.core.v1.",
            "/",
            "//",
            "core/v1/namespaces/"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-z@]{1,5}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Returns the pointers to all values in a document, the document's own first.
fn pointers(value: &Value, at: &str) -> Vec<String> {
    let below: Vec<String> = match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(key, value)| pointers(value, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"))))
            .collect(),
        Value::Array(elements) => {
            elements.iter().enumerate().flat_map(|(index, value)| pointers(value, &format!("{at}/{index}"))).collect()
        }
        _ => Vec::new(),
    };
    std::iter::once(at.to_owned()).chain(below).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_024) })]

    /// Odd values and cut texts always yield a result, and an event has only the identity of its record.
    #[test]
    fn no_entry_stops_the_reader(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any_json()), 0..4),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut document = denied(json!({"protoPayload": {"response": {"kind": "Status", "code": 403}}, "split": {"index": 0}}));
        for (index, value) in changes {
            let pointers = pointers(&document, "");
            *document.pointer_mut(&pointers[index.index(pointers.len())]).expect("it is there") = value;
        }
        let mut text = document.to_string();
        if let Some(cut) = cut {
            let mut at = cut.index(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            text.truncate(at);
        }
        if let Ok(enveloped) = entry(&text) {
            prop_assert_eq!(enveloped.decoded.event.request_received_timestamp, None);
        }
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}") {
        let _answer = entry(&text);
    }
}

#[test]
fn depth_and_length_of_skipped_members_do_not_matter() {
    let deep = format!("{}1{}", "{\"a\":[".repeat(50_000), "]}".repeat(50_000));
    let text = denied(json!({})).to_string().replacen('{', &format!("{{\"x\":{deep},"), 1);
    let long = denied(json!({"protoPayload": {"requestMetadata": {"callerSuppliedUserAgent": "x".repeat(1 << 21)}}}));
    assert_eq!(entry(&text).map(|enveloped| enveloped.decoded.event.response_code), Ok(Some(403)));
    let agent = entry(&long.to_string()).expect("an audit entry").decoded.event.user_agent;
    assert_eq!(agent.map(|agent| agent.len()), Some(1 << 21));
}
