//! Context queries: which requests they keep, how many, and what they return.

use super::*;
use crate::address::TrustedProxies;
use crate::event::{AuditEvent, ObjectRef};
use crate::source::{LogId, Provider, Source};

const SOURCE: &str = "198.51.100.7";

fn query(earliest: i64, latest: i64) -> ContextQuery {
    let address: IpAddr = SOURCE.parse().expect("an address");
    ContextQuery {
        finding: FindingKey(1),
        source: SourceIp::of(address),
        addresses: vec![address],
        window: Window::new(Second(earliest), Second(latest)).expect("not empty"),
    }
}

/// Returns a request `at` that went over `chain`, behind the trusted proxy 10.0.0.50.
fn request(at: i64, chain: &[&str], verb: &str, resource: &str, code: i64) -> Observation {
    let source = Source {
        name: "prod".to_owned(),
        provider: Provider::File,
        cluster: "prod".into(),
        log: LogId("file/prod".to_owned()),
    };
    let trusted = TrustedProxies::new(vec!["10.0.0.50/32".parse().expect("a network")]);
    let object_ref = (!resource.is_empty()).then(|| ObjectRef {
        resource: Some(resource.to_owned()),
        namespace: Some("shop".to_owned()),
        ..ObjectRef::default()
    });
    let event = AuditEvent {
        verb: Some(verb.to_owned()),
        request_uri: Some("/version?timeout=32s".to_owned()),
        source_ips: chain.iter().map(|entry| (*entry).to_owned()).collect(),
        object_ref,
        user_agent: Some("curl/8.5.0".to_owned()),
        response_code: Some(code),
        ..AuditEvent::default()
    };
    Observation::of_event(&source, &trusted, event, Second(at), || format!("{at}-{verb}-{resource}"))
        .expect("a request")
}

fn top(values: &[(&str, u64)]) -> TopValues {
    TopValues { top: values.iter().map(|(value, n)| ((*value).to_owned(), *n)).collect(), others: 0 }
}

#[test]
fn allowed_and_refused_operations_are_listed_apart() {
    let mut reader = ContextReader::new(query(100, 200));
    for request in [
        request(100, &[SOURCE], "list", "secrets", 403),
        request(101, &[SOURCE], "list", "secrets", 403),
        request(102, &["10.0.0.9", SOURCE, "10.0.0.50"], "get", "", 200),
        request(199, &[SOURCE], "watch", "pods", 101),
    ] {
        reader.observe(&request);
        reader.observe(&request);
    }
    // Outside of the span, from another client, and from another client that claims to be the source.
    reader.observe(&request(99, &[SOURCE], "create", "pods", 201));
    reader.observe(&request(200, &[SOURCE], "create", "pods", 201));
    reader.observe(&request(150, &["8.8.8.8"], "create", "pods", 201));
    reader.observe(&request(151, &[SOURCE, "8.8.8.8"], "create", "pods", 201));
    let mut codes = ResponseCodes::default();
    for (code, n) in [(403, 2), (200, 1), (101, 1)] {
        codes.add(ResponseCode::of(Some(code)), n);
    }
    assert_eq!(
        reader.finish("prod"),
        SourceActivity {
            cluster: "prod".to_owned(),
            window: query(100, 200).window,
            requests: 4,
            is_cut: false,
            codes,
            allowed: top(&[("get /version", 1), ("watch pods", 1)]),
            refused: top(&[("list secrets", 2)]),
            namespaces: top(&[("shop", 3)]),
            users: TopValues::default(),
            agents: top(&[("curl/8.5.0", 4)]),
            proxies: top(&[("10.0.0.50", 1)]),
        }
    );
}

#[test]
fn a_cut_answer_ends_with_the_last_request_kept() {
    let mut reader = ContextReader::new(query(0, 10_000));
    for at in 0..i64::from(REQUESTS_MAX) + 5 {
        let resource = format!("r{}", at % 15);
        reader.observe(&request(at, &[SOURCE], "get", &resource, 404));
    }
    let activity = reader.finish("prod");
    let latest = activity.window.latest();
    assert_eq!((activity.requests, activity.is_cut, latest), (200, true, Second(i64::from(REQUESTS_MAX))));
    assert_eq!((activity.refused.top.len(), activity.refused.others), (VALUES_MAX, 5));
    assert_eq!(activity.refused.top[0], ("get r0".to_owned(), 14));
}

#[test]
fn hostile_texts_are_bounded() {
    let mut reader = ContextReader::new(query(0, 10));
    let long = "x".repeat(100_000);
    reader.observe(&request(1, &[SOURCE], &long, &long, 403));
    let activity = reader.finish("prod");
    assert_eq!(activity.refused.top[0].0.chars().count(), VALUE_CHARS_MAX);
}
