//! How many findings one commit may open: a flood from everywhere is a number of large findings and a sum, not one for each
//! of its addresses.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Limits;
use super::row_limit::TOP;
use crate::address::SourceIp;
use crate::episode::Episode;
use crate::group::{CountKey, RuleKey};
use crate::notice::NoticeKind;
use crate::rule::Rule;

/// An episode that would be a new finding.
#[derive(Clone, Copy)]
pub(super) struct Opening<'a> {
    pub(super) rule: &'a Rule,
    pub(super) key: &'a CountKey,
    pub(super) episode: Episode,
}

impl Limits {
    /// Returns how many findings may be opened where so many are stored.
    pub(super) fn findings_room(&self, stored: usize) -> usize {
        self.findings_stored_max.saturating_sub(stored).max(self.findings_always).min(self.findings_max)
    }
}

/// Returns those that are opened, in their order, and what is to be told of the others. Where there are too many, rules
/// share the room: one that needs less than its part leaves the rest to the others, and within a rule the largest go first.
pub(super) fn share(openings: Vec<Opening<'_>>, room: usize) -> (Vec<Opening<'_>>, Option<NoticeKind>) {
    if openings.len() <= room {
        return (openings, None);
    }
    let mut by_rule: BTreeMap<RuleKey, Vec<usize>> = BTreeMap::new();
    for (place, opening) in openings.iter().enumerate() {
        by_rule.entry(opening.rule.key).or_default().push(place);
    }
    let mut rules: Vec<Vec<usize>> = by_rule.into_values().collect();
    rules.sort_by_key(Vec::len);
    let mut is_opened = vec![false; openings.len()];
    let (mut room, mut rules_left) = (room, rules.len());
    for mut places in rules {
        let part = places.len().min(room / rules_left);
        places.sort_by_key(|place| (Reverse(openings[*place].episode.count), *place));
        places.iter().take(part).for_each(|place| is_opened[*place] = true);
        (room, rules_left) = (room - part, rules_left - 1);
    }
    let mut left_out: Vec<&Opening<'_>> =
        openings.iter().zip(&is_opened).filter(|(_, is_opened)| !**is_opened).map(|(opening, _)| opening).collect();
    left_out.sort_by_key(|opening| Reverse(opening.episode.count));
    // Several rules leave out the same source: it is told once, with the most requests.
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
        top: top.into_iter().take(TOP).map(|(source, requests)| (source.to_string(), requests)).collect(),
    };
    let opened = openings.iter().zip(is_opened).filter(|(_, is_opened)| *is_opened).map(|(opening, _)| *opening);
    (opened.collect(), Some(notice))
}
