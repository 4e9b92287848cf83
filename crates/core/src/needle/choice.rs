//! Which values of a filter become needles: where several must all be there, those that the fewest records hold.

use std::collections::BTreeMap;

use super::candidate::FEW_MAX;
use super::{Kind, Needle};
use crate::field::Field;
use crate::prefilter::{Literal, Prefilter};

/// Most needles: a month of scans comes from thousands of addresses. With more of them little is gained.
const NEEDLES_MAX: usize = 20_000;
/// Shortest needle that is a text, in bytes; shorter ones stand anywhere.
const TEXT_BYTES_MIN: usize = 3;
/// What it costs to look for one more needle, as a share in a thousand of reading every record.
const SEARCH_COST: usize = 20;
/// How many more cost a thousandth where there are more than a few, which are searched all at once.
const MANY: usize = 16;
/// What the parts of a cluster ask for all the time; everything else is rare.
const BUSY_RESOURCES: [&str; 12] = [
    "configmaps",
    "deployments",
    "endpoints",
    "endpointslices",
    "events",
    "leases",
    "namespaces",
    "nodes",
    "pods",
    "replicasets",
    "secrets",
    "services",
];

/// Returns needles of which every record holds one whose event fits `prefilter`.
pub(super) fn needles(prefilter: &Prefilter) -> Option<Vec<Needle>> {
    let chosen = choose(prefilter, Chosen::new())?;
    (chosen.len() <= NEEDLES_MAX).then(|| chosen.into_keys().collect())
}

/// Needles, and how many of a thousand records hold each, roughly.
type Chosen = BTreeMap<Needle, usize>;

/// Returns what is `chosen` already with what `prefilter` adds to it.
fn choose(prefilter: &Prefilter, mut chosen: Chosen) -> Option<Chosen> {
    match prefilter {
        Prefilter::Any => None,
        Prefilter::And(parts) => parts.iter().filter_map(|part| choose(part, chosen.clone())).min_by_key(cost),
        Prefilter::Or(parts) => {
            // What leaves no choice comes first: its needles may serve the others as well.
            let (single, several): (Vec<_>, Vec<_>) =
                parts.iter().partition(|part| matches!(part, Prefilter::Is { .. }));
            single.into_iter().chain(several).try_fold(chosen, |chosen, part| choose(part, chosen))
        }
        Prefilter::Is { field, literal } => {
            let needle = needle(field, literal)?;
            chosen.insert(needle, records_in_thousand(field, literal));
            Some(chosen)
        }
    }
}

fn cost(chosen: &Chosen) -> usize {
    let few = chosen.len().min(FEW_MAX);
    chosen.values().sum::<usize>() + few * SEARCH_COST + (chosen.len() - few) / MANY
}

/// Returns the needle that stands wherever `field` has this value, or `None` where there is none.
fn needle(field: &Field, literal: &Literal) -> Option<Needle> {
    match literal {
        Literal::Number(number) => Some(Needle { kind: Kind::Number, text: number.to_string() }),
        Literal::Text { text, .. } if *field == Field::Named("responseStatus.code") => {
            let number: i64 = text.parse().ok()?;
            Some(Needle { kind: Kind::Number, text: number.to_string() })
        }
        Literal::Text { text, cased: true } => {
            let part = longest_plain_part(text);
            // An IPv4 address may stand in an IPv6 one.
            let is_whole = part == text && *field != Field::Named("sourceIPs");
            let kind = if is_whole { Kind::Text } else { Kind::Part };
            (part.len() >= TEXT_BYTES_MIN).then(|| Needle { kind, text: part.to_owned() })
        }
        Literal::Text { text, cased: false } => {
            let part = longest_plain_part(text);
            let is_long = text.is_ascii() && part.len() >= TEXT_BYTES_MIN;
            is_long.then(|| Needle { kind: Kind::Blind, text: part.to_ascii_lowercase() })
        }
    }
}

/// Returns the longest part of `text` that JSON spells as it is, unless it escapes what it need not: see `is_escape`.
/// A slash is left out because `\/` is an old custom.
fn longest_plain_part(text: &str) -> &str {
    let is_plain = |c: char| matches!(c, '-' | '.' | '0'..=':' | '@'..='[' | ']'..='~');
    // Of two that are equally long the last: what comes first in a path is the same everywhere.
    text.split(|c| !is_plain(c)).max_by_key(|part| part.len()).unwrap_or("")
}

/// Returns roughly how many of a thousand records hold the value, wherever it stands in them. It decides what is searched
/// for, and nothing else.
fn records_in_thousand(field: &Field, literal: &Literal) -> usize {
    let text = match literal {
        Literal::Number(number) => number.to_string(),
        Literal::Text { text, .. } => text.to_lowercase(),
    };
    match (field, text.as_str()) {
        (Field::Named("level" | "stage" | "objectRef.apiVersion"), _) => 900,
        (Field::Named("user.groups"), "system:authenticated") => 900,
        (Field::Named("responseStatus.code"), "200") => 800,
        (Field::Named("verb"), "get" | "list" | "watch" | "update" | "create" | "patch") => 400,
        (Field::Named("objectRef.resource"), resource) if !BUSY_RESOURCES.contains(&resource) => 20,
        (Field::Named("verb" | "objectRef.resource" | "objectRef.namespace" | "objectRef.apiGroup"), _) => 200,
        (Field::Named("user.groups" | "responseStatus.reason" | "objectRef.subresource"), _) => 50,
        (Field::Annotation(_), "allow") => 900,
        // Who is asked for by address sent a few of millions.
        (Field::Named("sourceIPs"), _) => 0,
        _ => 10,
    }
}
