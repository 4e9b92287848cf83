//! Prefilters of every shape that a rule could ask for, with literals that somebody chose to break a query.

use std::net::IpAddr;

use proptest::prelude::*;
use stakeout_core::address::SourceIp;
use stakeout_core::field::Field;
use stakeout_core::prefilter::{Literal, Prefilter};

/// The fields that records hold, and two that no query can name.
pub(crate) const FIELDS: [&str; 20] = [
    "responseStatus.code",
    "user.username",
    "verb",
    "requestURI",
    "userAgent",
    "objectRef.resource",
    "user.groups",
    "sourceIPs",
    "responseStatus.reason",
    "objectRef.namespace",
    "objectRef.name",
    "objectRef.subresource",
    "objectRef.apiGroup",
    "responseStatus.message",
    "level",
    "stage",
    "auditID",
    "impersonatedUser.username",
    "source_ip",
    "unauthenticated",
];

/// Keys of annotations: one that AKS writes, and some invalid ones.
pub(crate) const ANNOTATIONS: [&str; 4] =
    ["authorization.k8s.io/decision", "plain", "a\"] or true or tostring(x[\"b", "ä.b"];

/// Texts that have a meaning in queries, in JSON or in log viewers.
pub(crate) const HOSTILE: &[&str] = &[
    "system:anonymous",
    "list",
    "kubectl",
    "\u{212a}ube",
    "İstanbul",
    "403",
    "0403",
    "4.03e2",
    "true",
    "null",
    "*",
    "\"",
    "\\",
    "\\\"",
    "\" or true or Verb == \"",
    "\"\n| take 1 //",
    "'; drop table AKSAudit",
    "@\"x\" h\"y\" ```",
    "{0}",
    "}",
    "{}",
    "[\"a\"]",
    " list ",
    "/api/v1/pods?limit=500&continue=%2A",
    "jürgen",
    "Straße",
    "\u{202e}\u{0}\n",
    "😀",
    "<script>&amp;",
    "203.0.113.7",
];

fn literal() -> impl Strategy<Value = Literal> {
    let text = prop_oneof![
        4 => prop::sample::select(HOSTILE).prop_map(str::to_owned),
        2 => prop::collection::vec(prop::sample::select(HOSTILE), 2..4).prop_map(|parts| parts.concat()),
        1 => "[ -~]{1,12}",
        1 => "\\PC{1,8}",
        1 => "/[a-z0-9/]{150,400}",
    ];
    prop_oneof![
        1 => prop_oneof![Just(403), Just(401), Just(0), Just(-1), any::<i64>()].prop_map(Literal::Number),
        3 => (text, prop::bool::weighted(0.7)).prop_map(|(text, cased)| Literal::Text { text, cased }),
    ]
}

fn field() -> impl Strategy<Value = Field> {
    // The first eight, which rules name most, come four times as often.
    prop_oneof![
        8 => (0..8_usize).prop_map(|index| Field::Named(FIELDS[index])),
        3 => (8..FIELDS.len()).prop_map(|index| Field::Named(FIELDS[index])),
        1 => prop::sample::select(&ANNOTATIONS[..]).prop_map(|key| Field::Annotation(key.to_owned())),
    ]
}

/// Sources as follow-ups ask for them, of IPv6 with many zeros.
fn source() -> impl Strategy<Value = Prefilter> {
    let group = || prop_oneof![Just(0_u16), 1..3_u16, any::<u16>()];
    let v6 = prop::array::uniform8(group()).prop_map(IpAddr::from);
    let address = prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), v6];
    address.prop_map(|address| Prefilter::from_source(SourceIp::of(address)))
}

/// Returns prefilters of any shape.
pub(crate) fn prefilter() -> impl Strategy<Value = Prefilter> {
    let leaf = (field(), literal()).prop_map(|(field, literal)| Prefilter::Is { field, literal });
    let sources = prop::collection::vec(source(), 1..6).prop_map(Prefilter::Or);
    let leaf = prop_oneof![20 => leaf, 3 => sources, 1 => Just(Prefilter::Any)];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..5).prop_map(Prefilter::Or),
            prop::collection::vec(inner, 1..5).prop_map(Prefilter::And),
        ]
    })
}
