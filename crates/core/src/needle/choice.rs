//! Chooses the values of a filter that become needles. If several values must all be present, the rarest is chosen.

use std::collections::BTreeMap;

use super::candidate::FEW_MAX;
use super::{Needle, NeedleKind, Spelling};
use crate::address;
use crate::field::Field;
use crate::prefilter::{Literal, Prefilter};

/// Largest number of needles. A month of scans comes from thousands of addresses; more needles save little.
const NEEDLES_MAX: usize = 20_000;
/// Shortest needle that is a text, in bytes; shorter ones are in most records.
const TEXT_BYTES_MIN: usize = 3;
/// Cost of the search for one more needle, in thousandths of the cost of reading every record.
const SEARCH_COST: usize = 20;
/// Number of further needles that cost one thousandth. Beyond a few, all are searched at once.
const MANY: usize = 16;
/// The only key that is a needle, where keys are spelled as the API server spells them: few records have it, and the users and
/// groups that somebody impersonates are those of every other record.
const IMPERSONATED: &str = "impersonatedUser";
/// Resources that the components of a cluster request all the time. All others are rare.
const COMMON_RESOURCES: [&str; 12] = [
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

/// Returns needles such that every record that `prefilter` matches contains one.
pub(super) fn needles(prefilter: &Prefilter, spelling: Spelling) -> Option<Vec<Needle>> {
    let chosen = choose(prefilter, spelling, Chosen::new())?;
    (chosen.len() <= NEEDLES_MAX).then(|| chosen.into_keys().collect())
}

/// Needles, and for each a rough estimate of how many of a thousand records contain it.
type Chosen = BTreeMap<Needle, usize>;

/// Returns `chosen` with the needles that `prefilter` adds to it.
fn choose(prefilter: &Prefilter, spelling: Spelling, mut chosen: Chosen) -> Option<Chosen> {
    match prefilter {
        Prefilter::Any => None,
        Prefilter::And(parts) => {
            parts.iter().filter_map(|part| choose(part, spelling, chosen.clone())).min_by_key(cost)
        }
        Prefilter::Or(parts) => {
            // Alternatives without a choice come first: their needles may serve the others as well.
            let (single, several): (Vec<_>, Vec<_>) =
                parts.iter().partition(|part| matches!(part, Prefilter::Is { .. }));
            single.into_iter().chain(several).try_fold(chosen, |chosen, part| choose(part, spelling, chosen))
        }
        Prefilter::Is { field: Field::Named(name), .. }
            if spelling == Spelling::Native && name.starts_with(IMPERSONATED) =>
        {
            chosen.insert(Needle { kind: NeedleKind::Part, text: IMPERSONATED.to_owned() }, 1);
            Some(chosen)
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

/// Returns a needle that every record contains in which `field` has this value; `None` if there is no such needle.
fn needle(field: &Field, literal: &Literal) -> Option<Needle> {
    match literal {
        Literal::Number(number) => Some(Needle { kind: NeedleKind::Number, text: number.to_string() }),
        Literal::Text { text, .. } if *field == Field::Named("responseStatus.code") => {
            let number: i64 = text.parse().ok()?;
            Some(Needle { kind: NeedleKind::Number, text: number.to_string() })
        }
        Literal::Text { text, cased: true } => {
            let part = longest_plain_part(text);
            // An IPv6 address may contain an IPv4 address.
            let is_whole = part == text && *field != Field::Named("sourceIPs");
            let kind = if is_whole { NeedleKind::Text } else { NeedleKind::Part };
            (part.len() >= TEXT_BYTES_MIN).then(|| Needle { kind, text: part.to_owned() })
        }
        Literal::Text { text, cased: false } => {
            let part = longest_plain_part(text);
            let is_long = text.is_ascii() && part.len() >= TEXT_BYTES_MIN;
            is_long.then(|| Needle { kind: NeedleKind::CaseInsensitive, text: part.to_ascii_lowercase() })
        }
        Literal::Network(network) => {
            let part = address::text_prefix(network);
            (part.len() >= TEXT_BYTES_MIN).then_some(Needle { kind: NeedleKind::Part, text: part })
        }
    }
}

/// Returns the longest part of `text` that JSON writes without escapes, apart from unnecessary ones: see `is_escape`. A slash
/// ends a part because some writers escape it as `\/`.
fn longest_plain_part(text: &str) -> &str {
    let is_plain = |c: char| matches!(c, '-' | '.' | '0'..=':' | '@'..='[' | ']'..='~');
    // Of two parts of equal length the last is chosen: paths begin alike.
    text.split(|c| !is_plain(c)).max_by_key(|part| part.len()).unwrap_or("")
}

/// Returns a rough estimate of how many of a thousand records contain the value anywhere. Only the choice of needles depends
/// on it.
fn records_in_thousand(field: &Field, literal: &Literal) -> usize {
    let text = match literal {
        Literal::Number(number) => number.to_string(),
        Literal::Text { text, .. } => text.to_lowercase(),
        Literal::Network(_) => String::new(),
    };
    match (field, text.as_str()) {
        (Field::Named("level" | "stage" | "objectRef.apiVersion"), _) => 900,
        (Field::Named("user.groups"), "system:authenticated") => 900,
        (Field::Named("responseStatus.code"), "200") => 800,
        (Field::Named("verb"), "get" | "list" | "watch" | "update" | "create" | "patch") => 400,
        (Field::Named("objectRef.resource"), resource) if !COMMON_RESOURCES.contains(&resource) => 20,
        (Field::Named("verb" | "objectRef.resource" | "objectRef.namespace" | "objectRef.apiGroup"), _) => 200,
        (Field::Named("user.groups" | "responseStatus.reason" | "objectRef.subresource"), _) => 50,
        (Field::Annotation(_), "allow") => 900,
        // A source that a filter names sent a few records among millions.
        (Field::Named("sourceIPs"), _) => 0,
        _ => 10,
    }
}
