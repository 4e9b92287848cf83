//! The limit of findings that one commit opens: a flood from everywhere becomes some large findings and a sum, not a
//! finding for each address.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Limits;
use super::row_limit::TOP_SOURCES;
use crate::address::SourceIp;
use crate::episode::Episode;
use crate::group::{CountKey, RuleKey};
use crate::notice::NoticeKind;
use crate::rule::Rule;

/// An episode without a finding yet.
#[derive(Clone, Copy)]
pub(super) struct Opening<'a> {
    pub(super) rule: &'a Rule,
    pub(super) key: &'a CountKey,
    pub(super) episode: Episode,
}

impl Limits {
    /// Returns how many findings a commit may open where `stored` are stored.
    pub(super) fn openings_max(&self, stored: usize) -> usize {
        self.findings_stored_max.saturating_sub(stored).max(self.findings_always).min(self.findings_max)
    }
}

/// Returns the first `openings_max` in their order, and a notice of the others. Where there are too many, each rule has
/// an equal share: a rule that needs less leaves the rest to the others, and within a rule the largest go first.
pub(super) fn choose(openings: Vec<Opening<'_>>, openings_max: usize) -> (Vec<Opening<'_>>, Option<NoticeKind>) {
    if openings.len() <= openings_max {
        return (openings, None);
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
    let mut left_out: Vec<&Opening<'_>> =
        openings.iter().zip(&is_opened).filter(|(_, is_opened)| !**is_opened).map(|(opening, _)| opening).collect();
    left_out.sort_by_key(|opening| Reverse(opening.episode.count));
    // Several rules leave out the same source: the notice names it once, with the most requests.
    let mut sources: BTreeMap<SourceIp, u64> = BTreeMap::new();
    for opening in &left_out {
        if let Some(source) = opening.key.group.source_ip() {
            sources.entry(source).or_insert(opening.episode.count);
        }
    }
    let mut top: Vec<(SourceIp, u64)> = sources.into_iter().collect();
    top.sort_by_key(|(source, requests)| (Reverse(*requests), *source));
    let notice = NoticeKind::TooManyFindings {
        findings: left_out.len() as u64,
        requests: left_out.iter().map(|opening| opening.episode.count).sum(),
        top: top.into_iter().take(TOP_SOURCES).map(|(source, requests)| (source.to_string(), requests)).collect(),
    };
    let opened = openings.iter().zip(is_opened).filter(|(_, is_opened)| *is_opened).map(|(opening, _)| *opening);
    (opened.collect(), Some(notice))
}
