//! One notification: a message before it has a form, and the entries that it settles.
//!
//! A message borrows its findings, so that batching ten thousand of them copies none.

use std::collections::BTreeMap;

use stakeout_core::delivery::{Activity, Settlement};
use stakeout_core::finding::{Finding, FindingKey};
use stakeout_core::notice::Notice;
use stakeout_core::rule::Level;
use stakeout_core::text::counted;

/// Findings that a digest names one by one.
pub const DIGEST_TOP_MAX: usize = 10;

/// A message, and what to settle once the destination has accepted it.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification<'a> {
    /// What to send.
    pub message: Message<'a>,
    /// What to settle then.
    pub settles: Settlement,
}

/// A message to a destination.
#[derive(Clone, Debug, PartialEq)]
pub struct Message<'a> {
    /// Its delivery id: printable ASCII, at most 128 characters, the same whenever the message is sent again.
    pub id: String,
    /// Its contents.
    pub body: MessageBody<'a>,
}

/// The contents of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum MessageBody<'a> {
    /// A finding in its current state.
    Finding {
        /// The finding.
        finding: &'a Finding,
        /// What happened to it.
        activity: Activity,
    },
    /// A notice about Stakeout itself.
    Notice(&'a Notice),
    /// Many findings and notices at once.
    Digest(Digest<'a>),
    /// Pending findings that are no longer stored, in ascending order: only their uids are known.
    Forgotten(Vec<FindingKey>),
    /// A test of the destination with this name.
    Test {
        /// The destination's name from the config.
        destination: &'a str,
    },
}

/// Many findings and notices in one message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Digest<'a> {
    /// The findings, most severe first, then those with most requests.
    pub findings: Vec<(&'a Finding, Activity)>,
    /// The notices, in the order of their deliveries.
    pub notices: Vec<&'a Notice>,
    /// Pending findings that are no longer stored.
    pub forgotten: Vec<FindingKey>,
}

impl<'a> Digest<'a> {
    /// Returns a digest with its findings in order.
    #[must_use]
    pub fn new(
        mut findings: Vec<(&'a Finding, Activity)>,
        notices: Vec<&'a Notice>,
        forgotten: Vec<FindingKey>,
    ) -> Digest<'a> {
        findings.sort_by(|(a, _), (b, _)| {
            (b.rule.level, b.episode.count).cmp(&(a.rule.level, a.episode.count)).then(a.key.cmp(&b.key))
        });
        Digest { findings, notices, forgotten }
    }

    /// Returns the highest level of its findings, or `informational` if it has none.
    #[must_use]
    pub fn level(&self) -> Level {
        self.findings.first().map_or(Level::Informational, |(finding, _)| finding.rule.level)
    }

    /// Returns how many findings there are of each level, most severe first.
    #[must_use]
    pub fn by_level(&self) -> Vec<(Level, usize)> {
        let mut counts: BTreeMap<Level, usize> = BTreeMap::new();
        for (finding, _) in &self.findings {
            *counts.entry(finding.rule.level).or_default() += 1;
        }
        counts.into_iter().rev().collect()
    }

    /// Returns how many findings there are of each rule, most first.
    #[must_use]
    pub fn by_rule(&self) -> Vec<(&'a str, usize)> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (finding, _) in &self.findings {
            *counts.entry(finding.rule.name.as_str()).or_default() += 1;
        }
        let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
    }

    /// Returns its contents in one line.
    #[must_use]
    pub fn headline(&self) -> String {
        let mut parts = vec![counted(self.findings.len(), "finding")];
        if !self.notices.is_empty() {
            parts.push(counted(self.notices.len(), "monitoring notice"));
        }
        if !self.forgotten.is_empty() {
            parts.push(format!("{} no longer stored", counted(self.forgotten.len(), "finding")));
        }
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_headline_leaves_out_what_is_empty() {
        assert_eq!(Digest::default().headline(), "0 findings");
        let digest = Digest::new(Vec::new(), Vec::new(), vec![FindingKey(1)]);
        assert_eq!(digest.headline(), "0 findings, 1 finding no longer stored");
        assert_eq!(digest.level(), Level::Informational);
    }
}
