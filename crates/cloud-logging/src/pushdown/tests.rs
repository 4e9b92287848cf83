//! Filters word by word. That they accept what their prefilters accept is tested in `tests/wire/superset.rs`, where the
//! strict fake reads them.

use stakeout_core::field::Field;
use stakeout_core::prefilter::Literal;

use super::*;

const CODE: Field = Field::Named("responseStatus.code");
const USERNAME: Field = Field::Named("user.username");
const VERB: Field = Field::Named("verb");

fn number(field: Field, number: i64) -> Prefilter {
    Prefilter::Is { field, literal: Literal::Number(number) }
}

fn text(field: Field, text: &str) -> Prefilter {
    Prefilter::Is { field, literal: Literal::Text { text: text.to_owned(), cased: true } }
}

fn uncased(field: Field, text: &str) -> Prefilter {
    Prefilter::Is { field, literal: Literal::Text { text: text.to_owned(), cased: false } }
}

fn expression(prefilter: &Prefilter) -> Option<String> {
    pushed(prefilter, FILTER_CHARS_MAX)
}

fn condition(field: &'static str, of: &str) -> String {
    expression(&text(Field::Named(field), of)).expect("can be condition")
}

fn config() -> CloudLoggingConfig {
    CloudLoggingConfig { location: Some("europe-west1".to_owned()), ..CloudLoggingConfig::new("acme-prod", "prod") }
}

fn window() -> Window {
    Window::new(Second(1_795_308_600), Second(1_795_312_200)).expect("not empty")
}

#[test]
fn a_filter_names_cluster_logs_and_window() {
    let scope = "resource.type=\"k8s_cluster\" \
        AND resource.labels.project_id=\"acme-prod\" \
        AND resource.labels.cluster_name=\"prod\" \
        AND resource.labels.location=\"europe-west1\" \
        AND (logName=\"projects/acme-prod/logs/cloudaudit.googleapis.com%2Factivity\" \
        OR logName=\"projects/acme-prod/logs/cloudaudit.googleapis.com%2Fdata_access\") \
        AND protoPayload.serviceName=\"k8s.io\" \
        AND timestamp>=\"2026-11-22T00:50:00Z\" \
        AND timestamp<\"2026-11-22T01:50:00Z\"";
    assert_eq!(filter(window(), &Prefilter::Any, &config()), scope);
    let pushed = "(protoPayload.status.code=7 OR protoPayload.response.code=403)";
    assert_eq!(filter(window(), &number(CODE, 403), &config()), format!("{scope} AND ({pushed})"));
}

#[test]
fn all_clusters_are_one_filter_and_those_that_are_known_can_be_left_out() {
    let resources = ["projects/a", "projects/b"].map(str::to_owned).to_vec();
    let config = CloudLoggingConfig::new("", "").with_resources(resources);
    let scope = "resource.type=\"k8s_cluster\" \
        AND (log_id(\"cloudaudit.googleapis.com/activity\") OR log_id(\"cloudaudit.googleapis.com/data_access\")) \
        AND protoPayload.serviceName=\"k8s.io\" \
        AND timestamp>=\"2026-11-22T00:50:00Z\" \
        AND timestamp<\"2026-11-22T01:50:00Z\"";
    assert_eq!(filter(window(), &Prefilter::Any, &config), scope);
    let without = |ids: &[String]| scope_without(window(), &AuditLog::ALL, ids.iter(), &config);
    assert_eq!(without(&[]).as_deref(), Some(scope));
    let id = |n: usize| format!("projects/a/locations/l/clusters/c{n}");
    let left_out = |n| {
        format!(
            "(resource.labels.project_id=\"a\" AND resource.labels.location=\"l\" AND resource.labels.cluster_name=\"c{n}\")"
        )
    };
    let expected = format!("{scope} AND NOT ({} OR {})", left_out(0), left_out(1));
    assert_eq!(without(&[id(0), id(1)]), Some(expected));
    assert_eq!(without(&(0..400).map(id).collect::<Vec<_>>()), None, "it would be too long");
}

#[test]
fn config_values_stay_inside_their_quotes() {
    let config = CloudLoggingConfig::new("p\" OR \"", "c\\");
    let filter = filter(Window::ALL, &Prefilter::Any, &config);
    assert!(filter.contains(r#"resource.labels.project_id="p\" OR \"" AND resource.labels.cluster_name="c\\" AND"#));
    assert!(filter.ends_with("timestamp>=\"1970-01-01T00:00:00Z\" AND timestamp<\"9999-12-30T22:00:00Z\""));
}

#[test]
fn each_field_is_compared_with_its_source_fields() {
    let principals = |name: &str| {
        ["principalEmail", "principalSubject", "authoritySelector"]
            .map(|field| format!("protoPayload.authenticationInfo.{field}=\"{name}\""))
            .join(" OR ")
    };
    assert_eq!(condition("user.username", "system:anonymous"), format!("({})", principals("system:anonymous")));
    assert_eq!(condition("user.groups", "system:unauthenticated"), condition("user.username", "system:anonymous"));
    assert_eq!(
        condition("responseStatus.code", "401"),
        "(protoPayload.status.code=16 OR protoPayload.response.code=401)"
    );
    assert_eq!(condition("responseStatus.code", "422"), "protoPayload.response.code=422");
    assert_eq!(condition("verb", "list"), "protoPayload.methodName=~\"[.]list$\"");
    assert_eq!(condition("objectRef.resource", "pods"), "protoPayload.methodName=~\"[.]pods[.]\"");
    assert_eq!(
        condition("objectRef.subresource", "exec"),
        "(protoPayload.methodName=~\"[.]exec[.]\" OR protoPayload.resourceName=~\"[/]exec([/]|$)\")"
    );
    assert_eq!(condition("objectRef.namespace", "a.b"), "protoPayload.resourceName=~\"/namespaces/a[.]b(/|$)\"");
    assert_eq!(condition("objectRef.name", "web-1"), "protoPayload.resourceName=~\"[/]web-1([/]|$)\"");
    assert_eq!(
        condition("requestURI", "/api/v1/pods"),
        "(protoPayload.resourceName=\"/api/v1/pods\" OR protoPayload.resourceName=\"api/v1/pods\" OR protoPayload.resourceName=\"core/v1/pods\")"
    );
    assert_eq!(
        condition("requestURI", "/apis/apps/v1"),
        "(protoPayload.resourceName=\"/apis/apps/v1\" OR protoPayload.resourceName=\"apis/apps/v1\" OR protoPayload.resourceName=\"apps/v1\")"
    );
    assert_eq!(
        condition("requestURI", "/version"),
        "(protoPayload.resourceName=\"/version\" OR protoPayload.resourceName=\"version\")"
    );
    assert_eq!(
        condition("impersonatedUser.username", "admin"),
        "protoPayload.authenticationInfo.authoritySelector=\"admin\""
    );
    assert_eq!(
        condition("responseStatus.code", "200"),
        "(protoPayload.status.code=0 OR NOT protoPayload.status.code:* OR protoPayload.response.code=200)"
    );
    assert_eq!(
        condition("userAgent", "a\"\\b OR"),
        r#"protoPayload.requestMetadata.callerSuppliedUserAgent="a\"\\b OR""#
    );
    assert_eq!(
        condition("sourceIPs", "::1"),
        "(protoPayload.requestMetadata.callerIp=\"::1\" OR protoPayload.requestMetadata.callerIP=\"::1\")"
    );
    let network = Literal::Network("2001:db8:7::/64".parse().expect("a network"));
    assert_eq!(
        expression(&Prefilter::Is { field: Field::Named("sourceIPs"), literal: network }).as_deref(),
        Some(
            "(ip_in_net(protoPayload.requestMetadata.callerIp, \"2001:db8:7::/64\") OR ip_in_net(protoPayload.requestMetadata.callerIP, \"2001:db8:7::/64\"))"
        )
    );
    let decision = text(Field::Annotation(crate::decode::DECISION.to_owned()), "forbid");
    assert_eq!(
        expression(&decision).as_deref(),
        Some("(labels.\"authorization.k8s.io/decision\"=\"forbid\" OR NOT labels.\"authorization.k8s.io/decision\":*)")
    );
    assert_eq!(expression(&uncased(VERB, "List")).as_deref(), Some("protoPayload.methodName=~\"(?i)[.]List$\""));
}

#[test]
fn what_cannot_be_expressed_is_left_out() {
    let unsayable = [
        text(Field::Named("user.groups"), "system:authenticated"),
        text(Field::Named("objectRef.apiGroup"), "apps"),
        text(Field::Named("stage"), "ResponseComplete"),
        text(Field::Named("unauthenticated"), "true"),
        text(Field::Named("cluster"), "prod"),
        text(Field::Annotation("plain".to_owned()), "x"),
        text(Field::Annotation("a/\u{fc}".to_owned()), "x"),
        text(VERB, "l.*"),
        text(VERB, "(a|b)"),
        text(USERNAME, "sys*"),
        text(USERNAME, "jürgen"),
        text(USERNAME, "a\nb"),
        text(USERNAME, ""),
        uncased(USERNAME, "kube-probe"),
        text(Field::Named("requestURI"), "/"),
        text(Field::Named("requestURI"), "/apis/"),
        text(Field::Named("requestURI"), "version"),
        text(CODE, "ALLOW"),
        number(CODE, 7),
        number(CODE, i64::MIN),
        Prefilter::Any,
    ];
    for part in unsayable {
        assert_eq!(expression(&part), None, "{part:?}");
        let beside_another = Prefilter::Or(vec![number(CODE, 403), Prefilter::And(vec![part.clone()])]);
        assert_eq!(expression(&beside_another), None, "{part:?}");
        let with_another = Prefilter::And(vec![part, text(VERB, "list")]);
        assert_eq!(expression(&with_another), expression(&text(VERB, "list")));
    }
}

#[test]
fn a_prefilter_that_fits_nothing_is_ignored() {
    let nothing = Prefilter::Or(vec![]);
    assert_eq!(expression(&nothing), None);
    assert_eq!(expression(&Prefilter::And(vec![nothing.clone()])), None);
    assert_eq!(expression(&Prefilter::Or(vec![nothing, text(VERB, "list")])), expression(&text(VERB, "list")));
}

#[test]
fn alternatives_and_conjuncts_are_in_parentheses() {
    let both = Prefilter::And(vec![number(CODE, 422), text(VERB, "list")]);
    let mixed = Prefilter::Or(vec![both, text(VERB, "get")]);
    assert_eq!(
        expression(&mixed).as_deref(),
        Some(
            "((protoPayload.response.code=422 AND protoPayload.methodName=~\"[.]list$\") OR protoPayload.methodName=~\"[.]get$\")"
        )
    );
    let narrower = Prefilter::And(vec![number(CODE, 403), text(VERB, "list")]);
    assert_eq!(expression(&Prefilter::Or(vec![narrower, number(CODE, 403)])), expression(&number(CODE, 403)));
}

#[test]
fn a_filter_that_is_too_long_becomes_weaker_and_keeps_what_is_rare() {
    let user = |n: usize| text(USERNAME, &format!("system:serviceaccount:{n:080}"));
    let listed = |n: usize| Prefilter::And(vec![user(n), text(VERB, "list")]);
    let long = |n: usize| {
        Prefilter::And(vec![user(n), text(VERB, "list"), text(Field::Named("userAgent"), &format!("{n:05000}"))])
    };
    let alternatives = |of: &dyn Fn(usize) -> Prefilter, n: usize| Prefilter::Or((0..n).map(of).collect());

    let agents_fit = Prefilter::Or((0..5).map(|n| if n < 2 { listed(n) } else { long(n) }).collect());
    assert_eq!(expression(&alternatives(&long, 5)), expression(&agents_fit));
    assert_eq!(expression(&alternatives(&long, 40)), expression(&alternatives(&listed, 40)));
    assert_eq!(expression(&alternatives(&user, 100)), None);
    let filter = filter(window(), &alternatives(&long, 40), &config());
    assert!(filter.len() <= FILTER_CHARS_MAX && filter.len() > FILTER_CHARS_MAX / 2, "{}", filter.len());
}
