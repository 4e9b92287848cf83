//! One message: what a destination is told at once, before it has a form.
//!
//! It borrows what it tells of, so that a plan over ten thousand findings copies none of them.

use std::collections::BTreeMap;

use stakeout_core::delivery::Activity;
use stakeout_core::finding::{Finding, FindingKey};
use stakeout_core::notice::Notice;
use stakeout_core::rule::Level;

/// Findings that a digest names one by one.
pub const DIGEST_TOP_MAX: usize = 10;

/// Something to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Message<'a> {
    /// Its delivery id: printable ASCII, at most 128 characters, the same whenever the message is sent again.
    pub id: String,
    /// What it tells.
    pub body: Body<'a>,
}

/// What a message tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Body<'a> {
    /// A finding, as it stands now.
    Finding {
        /// The finding.
        finding: &'a Finding,
        /// What happened to it.
        activity: Activity,
    },
    /// Something about the watch itself.
    Notice(&'a Notice),
    /// More than can be told one by one.
    Digest(Digest<'a>),
    /// Findings that were owed but are not stored any more, in ascending order: only their uids can be told.
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
    /// The notices, in the order in which they are owed.
    pub notices: Vec<&'a Notice>,
    /// Findings that were owed but are not stored any more.
    pub forgotten: Vec<FindingKey>,
}

impl<'a> Digest<'a> {
    /// Returns the digest of these, with its findings in their order.
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

    /// Returns the highest level among its findings, or that of context where it has none.
    #[must_use]
    pub fn level(&self) -> Level {
        self.findings.first().map_or(Level::Informational, |(finding, _)| finding.rule.level)
    }

    /// Returns how many findings there are of each level, most severe first.
    #[must_use]
    pub fn by_level(&self) -> Vec<(Level, usize)> {
        let mut numbers: BTreeMap<Level, usize> = BTreeMap::new();
        for (finding, _) in &self.findings {
            *numbers.entry(finding.rule.level).or_default() += 1;
        }
        numbers.into_iter().rev().collect()
    }

    /// Returns how many findings there are of each rule, most first.
    #[must_use]
    pub fn by_rule(&self) -> Vec<(&'a str, usize)> {
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
        for (finding, _) in &self.findings {
            *numbers.entry(finding.rule.name.as_str()).or_default() += 1;
        }
        let mut numbers: Vec<(&str, usize)> = numbers.into_iter().collect();
        numbers.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
        numbers
    }

    /// Returns one sentence on what it holds.
    #[must_use]
    pub fn headline(&self) -> String {
        let mut parts = vec![counted(self.findings.len(), "finding")];
        if !self.notices.is_empty() {
            parts.push(format!("{} about the watch itself", counted(self.notices.len(), "notice")));
        }
        if !self.forgotten.is_empty() {
            parts.push(format!("{} no longer stored", counted(self.forgotten.len(), "finding")));
        }
        parts.join(", ")
    }
}

/// Returns `1 finding` or `2 findings`.
pub(crate) fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_headline_names_only_what_there_is() {
        assert_eq!(Digest::default().headline(), "0 findings");
        let digest = Digest::new(Vec::new(), Vec::new(), vec![FindingKey(1)]);
        assert_eq!(digest.headline(), "0 findings, 1 finding no longer stored");
        assert_eq!(digest.level(), Level::Informational);
    }
}
