//! The promise of pushdown: an entry whose event a prefilter accepts is accepted by the filter that is made of it, and
//! this as the strict fake reads filters, as this crate decodes entries, and as core reads events.

use std::cell::Cell;
use std::net::IpAddr;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use stakeout_cloud_logging::{CloudLoggingConfig, decode, pushdown};
use stakeout_core::address::SourceIp;
use stakeout_core::decode::Enveloped;
use stakeout_core::field::{Field, FieldValue};
use stakeout_core::observation::Observation;
use stakeout_core::prefilter::{Literal, Prefilter};
use stakeout_core::source::Provider;
use stakeout_core::time::{Second, Window};
use stakeout_fakes::LoggingFilter;

const CASES: u32 = 4_096;

/// Every field that events have, some of which no filter can say.
const FIELDS: &[&str] = &[
    "user.username",
    "impersonatedUser.username",
    "user.groups",
    "verb",
    "responseStatus.code",
    "responseStatus.reason",
    "responseStatus.message",
    "userAgent",
    "requestURI",
    "sourceIPs",
    "auditID",
    "stage",
    "objectRef.resource",
    "objectRef.subresource",
    "objectRef.namespace",
    "objectRef.name",
    "objectRef.apiGroup",
    "objectRef.apiVersion",
    "source_ip_public",
];

const ANNOTATIONS: &[&str] = &["authorization.k8s.io/decision", "audit.k8s.io/truncated", "x.io/\" OR (\\"];

/// The values of each field of an entry, ordinary and odd.
const METHODS: &[&str] = &[
    "io.k8s.core.v1.pods.list",
    "io.k8s.core.v1.pods.exec.create",
    "io.k8s.core.v1.pods.",
    "io.k8s.core.v1.namespaces.get",
    "io.k8s.core.v1.secrets.watch",
    "io.k8s.authorization.rbac.v1.clusterroles.LIST",
    "io.k8s.get",
    "io.k8s.options",
    "com.example.stable.crontabs.status.patch",
    "a.b",
];
const PATHS: &[&str] = &[
    "core/v1/pods",
    "core/v1/namespaces/kube-system/pods/web-1/exec",
    "core/v1/namespaces/kube-system",
    "core/v1/namespaces/a.b/secrets",
    "rbac.authorization.k8s.io/v1/clusterroles/cluster-admin",
    "example.com/stable/namespaces/n/crontabs/c/status",
    "healthz",
    "/readyz",
    "api/v1",
    "apis/apps/v1",
    "/",
];
const TEXTS: &[&str] = &[
    "system:anonymous",
    "system:serviceaccount:default:x",
    "Forbidden",
    "forbid",
    "allow",
    "true",
    "curl/8.5.0",
    "kube-probe/1.30",
    "\u{212a}ube-probe/1.30",
    "203.0.113.7",
    "2001:db8:7::1",
    "2001:DB8:0:0:1::2",
    "gce-internal-ip",
    "NULL_VALUE",
    "403",
    "*",
    "\" OR \"\"=\"",
    "\\",
    "\\\"",
    ") OR (timestamp>\"1970\"",
    "a -- b",
    " a ",
    "jürgen",
    "JÜRGEN",
    "\u{202e}\n",
];

#[test]
fn an_entry_whose_event_fits_a_prefilter_fits_its_filter() {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(CASES) });
    let cases = entry().prop_flat_map(|entry| {
        let observation = observation(&entry);
        (Just(entry), prefilter(known(&observation)))
    });
    let (accepted, narrowed) = (Cell::new(0), Cell::new(0));
    let config = CloudLoggingConfig::new("acme", "prod");
    let window = Window::new(Second(1_795_305_600), Second(1_795_312_800)).expect("not empty");
    let whole = pushdown::filter(window, &Prefilter::Any, &config);
    let outcome = runner.run(&cases, |(entry, prefilter)| {
        let fits = accepts(&prefilter, &observation(&entry));
        accepted.set(accepted.get() + u32::from(fits));
        let text = pushdown::filter(window, &prefilter, &config);
        narrowed.set(narrowed.get() + u32::from(fits && text != whole));
        prop_assert!(text.chars().count() <= 20_000 && text.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        let filter = LoggingFilter::parse(&text).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        prop_assert!(!fits || filter.fits(&entry), "{text} refuses {entry}");
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    // A generator whose events never fit would prove nothing.
    assert!(accepted.get() > CASES / 3, "only {} events fitted", accepted.get());
    assert!(narrowed.get() > CASES / 10, "only {} of them met more than the scope", narrowed.get());
}

/// Returns an entry of which each part may be missing.
fn entry() -> impl Strategy<Value = Value> {
    let one_of = |texts: &'static [&'static str]| prop::option::weighted(0.8, prop::sample::select(texts));
    let principals = (one_of(TEXTS), one_of(TEXTS), one_of(TEXTS));
    let answer =
        (prop::option::of(0_i64..18), prop::option::of(prop::sample::select(vec![200_i64, 403, 401, 404, 422])));
    let status = (any::<bool>(), one_of(TEXTS), one_of(TEXTS), one_of(TEXTS));
    let caller = (one_of(TEXTS), one_of(TEXTS), one_of(TEXTS));
    let labels = (one_of(TEXTS), one_of(TEXTS), prop::option::of(any::<bool>()));
    let rest = (one_of(METHODS), one_of(PATHS), one_of(TEXTS));
    (principals, answer, status, caller, labels, rest).prop_map(|(who, answer, status, caller, labels, rest)| {
        let (is_status, reason, message, status_message) = status;
        present(json!({
            "insertId": "1",
            "logName": "projects/acme/logs/cloudaudit.googleapis.com%2Fdata_access",
            "timestamp": "2026-11-22T01:01:20.476998Z",
            "labels": {ANNOTATIONS[0]: labels.0, ANNOTATIONS[1]: labels.1, ANNOTATIONS[2]: labels.1},
            "operation": {"id": rest.2, "first": true, "last": true},
            "resource": {"type": "k8s_cluster", "labels": {"cluster_name": "prod", "project_id": "acme"}},
            "protoPayload": {
                "serviceName": "k8s.io",
                "methodName": rest.0,
                "resourceName": rest.1,
                "authenticationInfo": {"principalEmail": who.0, "principalSubject": who.1, "authoritySelector": who.2},
                "authorizationInfo": [{"granted": labels.2}],
                "requestMetadata": {"callerIp": caller.0, "callerIP": caller.1, "callerSuppliedUserAgent": caller.2},
                "status": {"code": answer.0, "message": status_message},
                "response": {"kind": if is_status { "Status" } else { "Scale" }, "code": answer.1, "reason": reason, "message": message},
            },
        }))
    })
}

/// Returns a document without the members that are null: JSON of the API leaves out what is not there.
fn present(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key, present(value)))
            .collect(),
        Value::Array(elements) => elements.into_iter().map(present).collect(),
        value => value,
    }
}

fn observation(entry: &Value) -> Observation {
    let Enveloped { decoded, .. } = decode::entry(&entry.to_string()).expect("an audit entry");
    Observation {
        record_id: Some("1".to_owned()),
        event: decoded.event,
        provider: Provider::CloudLogging,
        cluster: "prod".into(),
        client: None,
        is_client_proxy: false,
        n: 1,
        first: Second(0),
        last: Second(0),
    }
}

/// Returns comparisons that an event meets.
fn known(observation: &Observation) -> Vec<(Field, Literal)> {
    let cased = |text: &str| Literal::Text { text: text.to_owned(), cased: true };
    let annotations = ANNOTATIONS.iter().map(|key| Field::Annotation((*key).to_owned()));
    let fields = FIELDS.iter().map(|name| Field::Named(name)).chain(annotations);
    fields
        .filter_map(|field| {
            let literal = match field.value_of(observation, None) {
                FieldValue::Missing => return None,
                FieldValue::Text(text) => cased(text),
                FieldValue::Owned(text) => cased(&text),
                FieldValue::Texts(texts) => cased(texts.first()?),
                FieldValue::Number(number) => Literal::Number(number),
                FieldValue::Bool(fact) => cased(&fact.to_string()),
            };
            Some((field, literal))
        })
        .collect()
}

/// Returns prefilters that are made of what an event meets, spelled in every way that still does, and of other things.
fn prefilter(known: Vec<(Field, Literal)>) -> impl Strategy<Value = Prefilter> {
    let met = (prop::sample::select(known), any::<bool>(), any::<bool>()).prop_map(
        |((field, literal), is_loose, is_upper)| {
            let literal = match literal {
                Literal::Text { text, .. } if is_loose && field.is_address() && text.parse::<IpAddr>().is_ok() => {
                    Literal::Network(SourceIp::of(text.parse().expect("an address")).network())
                }
                Literal::Text { text, .. } if is_loose && is_upper => {
                    Literal::Text { text: text.to_uppercase(), cased: false }
                }
                Literal::Text { text, .. } if is_loose => Literal::Text { text: text.to_lowercase(), cased: false },
                Literal::Text { text, .. } => Literal::Text { text, cased: true },
                Literal::Number(number) if is_loose => Literal::Text { text: number.to_string(), cased: is_upper },
                number => number,
            };
            Prefilter::Is { field, literal }
        },
    );
    let field = prop_oneof![
        9 => prop::sample::select(FIELDS).prop_map(Field::Named),
        1 => prop::sample::select(ANNOTATIONS).prop_map(|key| Field::Annotation(key.to_owned())),
    ];
    let text = prop_oneof![
        prop::sample::select(TEXTS).prop_map(str::to_owned),
        prop::sample::select(METHODS).prop_map(str::to_owned),
        prop::sample::select(PATHS).prop_map(|path| format!("/{path}")),
        "[ -~]{0,12}",
        "\\PC{0,8}",
        "[a-z]{2000,6000}",
    ];
    let literal = prop_oneof![
        1 => prop_oneof![Just(403), Just(401), Just(200), any::<i64>()].prop_map(Literal::Number),
        3 => (text, any::<bool>()).prop_map(|(text, cased)| Literal::Text { text, cased }),
    ];
    let other = (field, literal).prop_map(|(field, literal)| Prefilter::Is { field, literal });
    let leaf = prop_oneof![6 => met, 2 => other, 1 => Just(Prefilter::Any)];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..5).prop_map(Prefilter::Or),
            prop::collection::vec(inner, 1..5).prop_map(Prefilter::And),
        ]
    })
}

/// Returns how core judges a prefilter, field by field.
fn accepts(prefilter: &Prefilter, observation: &Observation) -> bool {
    match prefilter {
        Prefilter::Any => true,
        Prefilter::Or(parts) => parts.iter().any(|part| accepts(part, observation)),
        Prefilter::And(parts) => parts.iter().all(|part| accepts(part, observation)),
        Prefilter::Is { field, literal } => match field.value_of(observation, None) {
            FieldValue::Missing => false,
            FieldValue::Text(text) => equals(literal, text),
            FieldValue::Owned(text) => equals(literal, &text),
            FieldValue::Texts(texts) => texts.iter().any(|text| equals(literal, text)),
            FieldValue::Number(number) => equals(literal, &number.to_string()),
            FieldValue::Bool(fact) => equals(literal, &fact.to_string()),
        },
    }
}

fn equals(literal: &Literal, held: &str) -> bool {
    match literal {
        Literal::Number(number) => held == number.to_string(),
        Literal::Text { text, cased: true } => held == text,
        Literal::Text { text, cased: false } => held.to_lowercase() == text.to_lowercase(),
        Literal::Network(_) => literal.is(held),
    }
}
