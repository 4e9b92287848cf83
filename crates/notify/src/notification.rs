//! One notification: a message before it has a form, and the entries that it settles.
//!
//! A message borrows its findings, so that batching ten thousand of them copies none.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use stakeout_core::delivery::{Activity, Settlement, Subject};
use stakeout_core::finding::Finding;
use stakeout_core::incident::{Incident, IncidentKey};
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
    /// An incident in its current state.
    Incident(IncidentReport<'a>),
    /// A notice about Stakeout itself.
    Notice(&'a Notice),
    /// Many incidents, findings and notices at once.
    Digest(Digest<'a>),
    /// Pending findings and incidents that are no longer stored, in ascending order: only their uids are known.
    Forgotten(Vec<Subject>),
    /// A test of the destination with this name.
    Test {
        /// The destination's name from the config.
        destination: &'a str,
    },
}

/// What happened to an incident.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IncidentReport<'a> {
    /// The incident in its current state; another one if the reported one was joined with it.
    pub incident: &'a Incident,
    /// The incident that is reported.
    pub uid: IncidentKey,
    /// What happened to it.
    pub activity: Activity,
    /// Whether it rose above the levels that the destination hears of, so that this is the last message about it there.
    pub is_last: bool,
    /// Whether it is silenced: only its end is reported then, to those who heard of it before.
    pub is_silenced: bool,
}

/// Many incidents, findings and notices in one message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Digest<'a> {
    /// The incidents, the most important first.
    pub incidents: Vec<IncidentReport<'a>>,
    /// The incidents that grew during a day, the most important first.
    pub grown: Vec<IncidentReport<'a>>,
    /// The findings, most severe first, then those with most requests.
    pub findings: Vec<(&'a Finding, Activity)>,
    /// The notices, in the order of their deliveries.
    pub notices: Vec<&'a Notice>,
    /// Pending findings and incidents that are no longer stored.
    pub forgotten: Vec<Subject>,
}

impl IncidentReport<'_> {
    /// Returns the incident that it is a part of now, if it is a part of another one.
    #[must_use]
    pub fn merged_into(&self) -> Option<IncidentKey> {
        if self.incident.key == self.uid { self.incident.parent } else { Some(self.incident.key) }
    }

    /// Orders incidents by what people should see first: level, whether somebody was let in, risk, requests.
    pub(crate) fn importance(&self) -> impl Ord + use<> {
        let Incident { level, risk_score, count, .. } = self.incident;
        (*level, self.incident.is_let_in(), *risk_score, *count, Reverse(self.uid))
    }
}

/// Returns the uid of a finding or an incident.
#[must_use]
pub(crate) fn uid_of(subject: Subject) -> String {
    match subject {
        Subject::Finding(key) => key.to_string(),
        Subject::Incident(key) => key.to_string(),
    }
}

/// Returns how many findings and incidents there are: `1 finding and 2 incidents`.
#[must_use]
pub(crate) fn counted_subjects(subjects: &[Subject]) -> String {
    let findings = subjects.iter().filter(|subject| matches!(subject, Subject::Finding(_))).count();
    let incidents = subjects.len() - findings;
    match (findings, incidents) {
        (_, 0) => counted(findings, "finding"),
        (0, _) => counted(incidents, "incident"),
        _ => format!("{} and {}", counted(findings, "finding"), counted(incidents, "incident")),
    }
}

impl<'a> Digest<'a> {
    /// Returns the digest with its findings and incidents in order.
    #[must_use]
    pub fn in_order(mut self) -> Digest<'a> {
        self.incidents.sort_by_key(|report| Reverse(report.importance()));
        self.grown.sort_by_key(|report| Reverse(report.importance()));
        self.findings.sort_by(|(a, _), (b, _)| {
            (b.rule.level, b.episode.count).cmp(&(a.rule.level, a.episode.count)).then(a.key.cmp(&b.key))
        });
        self
    }

    /// Returns whether it has nothing but what grew during a day.
    #[must_use]
    pub fn is_of_the_day(&self) -> bool {
        let Digest { incidents, grown, findings, notices, forgotten } = self;
        !grown.is_empty() && incidents.is_empty() && findings.is_empty() && notices.is_empty() && forgotten.is_empty()
    }

    /// Returns the highest level of its incidents and findings, or `informational` if it has none.
    #[must_use]
    pub fn level(&self) -> Level {
        let incidents = self.incidents.iter().chain(&self.grown).map(|report| report.incident.level);
        let findings = self.findings.iter().map(|(finding, _)| finding.rule.level);
        incidents.chain(findings).max().unwrap_or(Level::Informational)
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
        let counts = [
            (self.incidents.len(), "incident", ""),
            (self.grown.len(), "incident", " that grew"),
            (self.findings.len(), "finding", ""),
            (self.notices.len(), "monitoring notice", ""),
        ];
        let named = counts.iter().filter(|(number, ..)| *number > 0);
        let mut parts: Vec<String> = named.map(|(number, noun, what)| counted(*number, noun) + what).collect();
        if !self.forgotten.is_empty() {
            parts.push(format!("{} no longer stored", counted_subjects(&self.forgotten)));
        }
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use stakeout_core::finding::FindingKey;

    use super::*;

    #[test]
    fn a_headline_leaves_out_what_is_empty() {
        let finding = Subject::Finding(FindingKey(1));
        let digest = Digest { forgotten: vec![finding], ..Digest::default() };
        assert_eq!(digest.headline(), "1 finding no longer stored");
        let digest = Digest { forgotten: vec![finding, Subject::Incident(IncidentKey(1))], ..Digest::default() };
        assert_eq!(digest.headline(), "1 finding and 1 incident no longer stored");
        assert_eq!(digest.level(), Level::Informational);
    }
}
