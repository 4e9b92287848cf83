//! The limits of findings, of one commit and of all that are stored: a flood from everywhere becomes some large findings and
//! a sum, not a finding for each address.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Limits;
use crate::address::SourceIp;
use crate::episode::Episode;
use crate::group::{CountKey, RuleKey};
use crate::notice::{NoticeKind, TOP_MAX};
use crate::room::Room;
use crate::rule::Rule;

/// An episode without a finding yet.
#[derive(Clone, Copy)]
pub(super) struct Opening<'a> {
    pub(super) rule: &'a Rule,
    pub(super) key: &'a CountKey,
    pub(super) episode: Episode,
}

/// Splits `openings` into those that are opened and those that are left out.
///
/// Where there are more than one commit may open, each rule has an equal share: a rule that needs less leaves the rest to
/// the others, and within a rule the largest go first. Where `stored` findings leave too little room, the most severe go
/// first, then the largest.
pub(super) fn choose<'a>(
    openings: Vec<Opening<'a>>,
    limits: &Limits,
    stored: usize,
) -> (Vec<Opening<'a>>, Vec<Opening<'a>>) {
    let mut is_opened = shares(&openings, limits.findings_max);
    let mut room = Room { max: limits.findings_stored_max, used: stored };
    let mut by_level: Vec<usize> = (0..openings.len()).filter(|index| is_opened[*index]).collect();
    by_level.sort_by_key(|index| {
        let opening = &openings[*index];
        (Reverse((opening.rule.head.level, opening.episode.count)), *index)
    });
    for index in by_level {
        is_opened[index] = room.take(openings[index].rule.head.level);
    }
    let (opened, left_out): (Vec<_>, Vec<_>) =
        openings.into_iter().zip(is_opened).partition(|(_, is_opened)| *is_opened);
    let openings = |some: Vec<(Opening<'a>, bool)>| some.into_iter().map(|(opening, _)| opening).collect();
    (openings(opened), openings(left_out))
}

/// Returns which of the openings are within the equal shares of their rules.
fn shares(openings: &[Opening<'_>], openings_max: usize) -> Vec<bool> {
    if openings.len() <= openings_max {
        return vec![true; openings.len()];
    }
    let mut by_rule: BTreeMap<RuleKey, Vec<usize>> = BTreeMap::new();
    for (index, opening) in openings.iter().enumerate() {
        by_rule.entry(opening.rule.key).or_default().push(index);
    }
    let mut rules: Vec<Vec<usize>> = by_rule.into_values().collect();
    rules.sort_by_key(Vec::len);
    let mut is_opened = vec![false; openings.len()];
    let (mut left, mut rules_left) = (openings_max, rules.len());
    for mut indices in rules {
        let share = indices.len().min(left / rules_left);
        indices.sort_by_key(|index| (Reverse(openings[*index].episode.count), *index));
        indices.iter().take(share).for_each(|index| is_opened[*index] = true);
        (left, rules_left) = (left - share, rules_left - 1);
    }
    is_opened
}

/// Returns the notice of episodes that have no finding, or `None` where there are none.
pub(super) fn notice(left_out: &[Opening<'_>]) -> Option<NoticeKind> {
    let mut left_out: Vec<&Opening<'_>> = left_out.iter().collect();
    left_out.sort_by_key(|opening| Reverse(opening.episode.count));
    left_out.first()?;
    // Several rules leave out the same source: the notice names it once, with the most requests.
    let mut sources: BTreeMap<SourceIp, u64> = BTreeMap::new();
    let mut rules: BTreeMap<&str, u64> = BTreeMap::new();
    for opening in &left_out {
        if let Some(source) = opening.key.group.source_ip() {
            sources.entry(source).or_insert(opening.episode.count);
        }
        *rules.entry(&opening.rule.head.name).or_default() += 1;
    }
    Some(NoticeKind::TooManyFindings {
        findings: left_out.len() as u64,
        requests: left_out.iter().map(|opening| opening.episode.count).sum(),
        rules: largest(rules),
        top: largest(sources),
    })
}

/// Returns the largest by their number.
fn largest<T: ToString + Ord>(numbers: BTreeMap<T, u64>) -> Vec<(String, u64)> {
    let mut largest: Vec<(T, u64)> = numbers.into_iter().collect();
    largest.sort_by(|(left, left_number), (right, right_number)| right_number.cmp(left_number).then(left.cmp(right)));
    largest.into_iter().take(TOP_MAX).map(|(what, number)| (what.to_string(), number)).collect()
}
