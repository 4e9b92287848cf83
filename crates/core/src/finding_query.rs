//! Which findings somebody asks for.

use ipnet::IpNet;

use crate::finding::{Finding, FindingKey};
use crate::rule::Level;
use crate::time::Second;

/// What findings must fit. The default asks for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FindingQuery {
    /// The beginning of the uid, in hexadecimal digits.
    pub uid: Option<String>,
    /// A request at or after this second.
    pub since: Option<Second>,
    /// The lowest level.
    pub level_min: Option<Level>,
    /// The name of the rule.
    pub rule: Option<String>,
    /// A network with a source: the one that the rule groups by, or one of those that the finding lists.
    pub source: Option<IpNet>,
    /// Only those that go on.
    pub is_open: bool,
}

impl FindingQuery {
    /// Returns whether a finding can fit of which only this is known. One that is over is not open.
    #[must_use]
    pub fn may_match(&self, key: FindingKey, last: Second, level: Level) -> bool {
        self.uid.as_ref().is_none_or(|uid| key.to_string().starts_with(&uid.to_ascii_lowercase()))
            && self.since.is_none_or(|since| since <= last)
            && self.level_min.is_none_or(|level_min| level_min <= level)
    }

    /// Returns whether the finding fits.
    #[must_use]
    pub fn matches(&self, finding: &Finding) -> bool {
        self.may_match(finding.key, finding.episode.last, finding.rule.level)
            && self.rule.as_ref().is_none_or(|rule| *rule == finding.rule.name)
            && self.source.is_none_or(|network| {
                finding.source_ip().into_iter().chain(finding.sources.iter()).any(|source| source.overlaps(&network))
            })
            && (!self.is_open || finding.is_open())
    }
}
