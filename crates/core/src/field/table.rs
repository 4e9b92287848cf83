//! The table of fields: one row per field. A new field is a new row; rules, filters and explanations read this table.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use super::{FieldKind, FieldValue, Premise};
use crate::address;
use crate::event::{AuditEvent, ObjectRef};
use crate::observation::Observation;
use crate::text::{bounded, counted, visible};

/// Longest text of an event in a reason, in characters.
const TEXT_CHARS_MAX: usize = 200;

/// Where a field comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    /// The API server's record holds it.
    Audited,
    /// We derive it. Where it is true or has a text, a request has one of these values, if any are listed.
    Derived(&'static [Premise]),
}

/// A field.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) kind: FieldKind,
    pub(super) origin: Origin,
    pub(super) value: for<'a> fn(&'a Observation, Option<IpAddr>) -> FieldValue<'a>,
    /// Why the value is what it is, for people.
    pub(super) reason: Option<fn(&Observation, Option<IpAddr>) -> String>,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The premises of `unauthenticated`: see [`AuditEvent::is_unauthenticated`].
const UNAUTHENTICATED: &[Premise] = &[
    Premise::Text("user.username", "system:anonymous"),
    Premise::Text("user.groups", "system:unauthenticated"),
    UNAUTHORIZED,
];
const UNAUTHORIZED: Premise = Premise::Number("responseStatus.code", 401);

/// Every field: first the audited ones as audit.k8s.io/v1 spells them, then the derived ones.
pub(super) static TABLE: &[Row] = &[
    audited("level", FieldKind::Text, |request, _| text(request.event.level.as_deref())),
    audited("auditID", FieldKind::Text, |request, _| text(request.event.audit_id.as_deref())),
    audited("stage", FieldKind::Text, |request, _| text(request.event.stage.as_deref())),
    audited("requestURI", FieldKind::Text, |request, _| text(request.event.request_uri.as_deref())),
    audited("verb", FieldKind::Text, |request, _| text(request.event.verb.as_deref())),
    audited("user.username", FieldKind::Text, |request, _| text(request.event.username.as_deref())),
    audited("user.groups", FieldKind::Texts, |request, _| texts(&request.event.groups)),
    audited("impersonatedUser.username", FieldKind::Text, |request, _| {
        text(request.event.impersonated_username.as_deref())
    }),
    audited("sourceIPs", FieldKind::Addresses, |request, _| texts(&request.event.source_ips)),
    audited("userAgent", FieldKind::Text, |request, _| text(request.event.user_agent.as_deref())),
    audited("objectRef.resource", FieldKind::Text, |request, _| object(request, |object| &object.resource)),
    audited("objectRef.subresource", FieldKind::Text, |request, _| object(request, |object| &object.subresource)),
    audited("objectRef.namespace", FieldKind::Text, |request, _| object(request, |object| &object.namespace)),
    audited("objectRef.name", FieldKind::Text, |request, _| object(request, |object| &object.name)),
    audited("objectRef.apiGroup", FieldKind::Text, |request, _| object(request, |object| &object.api_group)),
    audited("objectRef.apiVersion", FieldKind::Text, |request, _| object(request, |object| &object.api_version)),
    audited("responseStatus.code", FieldKind::Number, |request, _| {
        request.event.response_code.map_or(FieldValue::Missing, FieldValue::Number)
    }),
    audited("responseStatus.reason", FieldKind::Text, |request, _| text(request.event.response_reason.as_deref())),
    audited("responseStatus.message", FieldKind::Text, |request, _| text(request.event.response_message.as_deref())),
    Row {
        name: "source_ip",
        kind: FieldKind::Address,
        origin: Origin::Derived(&[]),
        value: |_, client| client.map_or(FieldValue::Missing, |client| FieldValue::Owned(client.to_string())),
        reason: None,
    },
    Row {
        name: "source_ip_public",
        kind: FieldKind::Bool,
        origin: Origin::Derived(&[]),
        value: |_, client| FieldValue::Bool(client.is_some_and(address::is_public)),
        reason: Some(|_, client| match client.map(|client| (client, address::special_range(client))) {
            None => "the event names no address".to_owned(),
            Some((client, Some(range))) => format!("{client} is {range}"),
            Some((client, None)) => format!("{client} is in no special range"),
        }),
    },
    Row {
        name: "source_ip_48",
        kind: FieldKind::Text,
        origin: Origin::Derived(&[]),
        value: |_, client| match client {
            Some(IpAddr::V6(address)) => FieldValue::Owned(format!("{}/48", site_of(address))),
            _ => FieldValue::Missing,
        },
        reason: None,
    },
    Row {
        name: "effective_user",
        kind: FieldKind::Text,
        origin: Origin::Derived(&[]),
        value: |request, _| text(request.event.effective_username()),
        reason: Some(|request, _| {
            let has = if request.event.impersonated_username.is_some() { "has" } else { "has no" };
            format!("the event {has} impersonatedUser")
        }),
    },
    Row {
        name: "cluster",
        kind: FieldKind::Text,
        origin: Origin::Derived(&[]),
        value: |request, _| FieldValue::Text(&request.cluster),
        reason: None,
    },
    Row {
        name: "provider",
        kind: FieldKind::Text,
        origin: Origin::Derived(&[]),
        value: |request, _| FieldValue::Text(request.provider.as_str()),
        reason: None,
    },
    Row {
        name: "unauthenticated",
        kind: FieldKind::Bool,
        origin: Origin::Derived(UNAUTHENTICATED),
        value: |request, _| FieldValue::Bool(request.event.is_unauthenticated()),
        reason: Some(|request, _| why_unauthenticated(&request.event).to_owned()),
    },
    Row {
        name: "auth_failure",
        kind: FieldKind::Text,
        origin: Origin::Derived(&[UNAUTHORIZED]),
        value: |request, _| text(request.event.auth_failure()),
        reason: None,
    },
    Row {
        name: "health_probe",
        kind: FieldKind::Bool,
        origin: Origin::Derived(&[]),
        value: |request, _| FieldValue::Bool(request.event.is_health_probe()),
        reason: Some(|request, _| format!("requestURI is {}", shown(request.event.request_uri.as_deref()))),
    },
    Row {
        name: "forwarded_for",
        kind: FieldKind::Bool,
        origin: Origin::Derived(&[]),
        value: |request, _| FieldValue::Bool(request.is_forwarded()),
        reason: Some(|request, _| format!("sourceIPs has {}", counted(request.event.source_ips.len(), "entry"))),
    },
    Row {
        name: "principal_redacted",
        kind: FieldKind::Bool,
        origin: Origin::Derived(&[]),
        value: |request, _| FieldValue::Bool(request.event.principal_redacted),
        reason: Some(|request, _| {
            let has = if request.event.principal_redacted { "has" } else { "has not" };
            format!("the provider {has} removed the user name")
        }),
    },
    Row {
        name: "path",
        kind: FieldKind::Text,
        origin: Origin::Derived(&[]),
        value: |request, _| match request.event.path() {
            Some(Cow::Borrowed(path)) => FieldValue::Text(path),
            Some(Cow::Owned(path)) => FieldValue::Owned(path),
            None => FieldValue::Missing,
        },
        reason: None,
    },
    Row {
        name: "foreign_namespace",
        kind: FieldKind::Bool,
        origin: Origin::Derived(&[]),
        value: |request, _| FieldValue::Bool(request.event.is_in_foreign_namespace()),
        reason: Some(|request, _| {
            let event = &request.event;
            let namespace = event.object_ref.as_ref().and_then(|object| object.namespace.as_deref());
            format!("the user is {} and the namespace is {}", shown(event.username.as_deref()), shown(namespace))
        }),
    },
    Row {
        name: "forwarded_for_forged",
        kind: FieldKind::Bool,
        origin: Origin::Derived(&[]),
        value: |request, _| FieldValue::Bool(request.is_forged()),
        reason: Some(|request, _| {
            let other = if request.is_forged() { "another" } else { "no other" };
            format!("sourceIPs has {other} entry before the source")
        }),
    },
    Row {
        name: "source_ip_is_proxy",
        kind: FieldKind::Bool,
        origin: Origin::Derived(&[]),
        value: |request, _| FieldValue::Bool(request.is_client_proxy),
        reason: Some(|request, _| match request.client {
            None => "the event names no address".to_owned(),
            Some(client) => {
                let is = if request.is_client_proxy { "is" } else { "is not" };
                format!("{client} {is} a trusted proxy")
            }
        }),
    },
];

/// Returns the row of a field that the API server's record holds.
const fn audited(
    name: &'static str,
    kind: FieldKind,
    value: for<'a> fn(&'a Observation, Option<IpAddr>) -> FieldValue<'a>,
) -> Row {
    Row { name, kind, origin: Origin::Audited, value, reason: None }
}

fn text(value: Option<&str>) -> FieldValue<'_> {
    value.map_or(FieldValue::Missing, FieldValue::Text)
}

fn texts(values: &[String]) -> FieldValue<'_> {
    if values.is_empty() { FieldValue::Missing } else { FieldValue::Texts(values) }
}

fn object(request: &Observation, of: fn(&ObjectRef) -> &Option<String>) -> FieldValue<'_> {
    text(request.event.object_ref.as_ref().and_then(|object| of(object).as_deref()))
}

/// Returns the first 48 bits of an address, the others zero.
fn site_of(address: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(address.to_bits() >> 80 << 80)
}

fn why_unauthenticated(event: &AuditEvent) -> &'static str {
    if event.username.as_deref() == Some("system:anonymous") {
        "the user is system:anonymous"
    } else if event.auth_failure().is_some() {
        "the code is 401"
    } else if event.is_unauthenticated() {
        "a group is system:unauthenticated"
    } else {
        "neither user, groups nor code say so"
    }
}

/// Returns a text that the sender of the request wrote, as people may be shown it.
fn shown(text: Option<&str>) -> String {
    text.map_or_else(|| "missing".to_owned(), |text| visible(&bounded(text, TEXT_CHARS_MAX)))
}
