//! What people are shown of a rule.

use std::fmt;
use std::hash::Hasher;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::story::Story;

/// How much a finding matters, in Sigma's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Context for other findings.
    Informational = 1,
    /// Worth a look.
    Low = 2,
    /// Worth a look today.
    Medium = 3,
    /// Worth a look now.
    High = 4,
    /// Somebody is in.
    Critical = 5,
}

impl Level {
    /// Every level, lowest first.
    pub const ALL: [Level; 5] = [Level::Informational, Level::Low, Level::Medium, Level::High, Level::Critical];

    /// Returns Sigma's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Informational => "informational",
            Level::Low => "low",
            Level::Medium => "medium",
            Level::High => "high",
            Level::Critical => "critical",
        }
    }

    /// Returns OCSF's `severity_id`, 1 to 5.
    #[must_use]
    pub fn severity_id(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Level {
    type Err = ();

    fn from_str(text: &str) -> Result<Level, ()> {
        Level::ALL.into_iter().find(|level| level.as_str() == text).ok_or(())
    }
}

/// What a finding keeps of its rule, so that it can be shown after the rule is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleHead {
    /// `name`: shown everywhere, unique among the active rules.
    pub name: String,
    /// `id`: the Sigma UUID.
    pub id: String,
    /// `title`.
    pub title: String,
    /// `description`.
    pub description: String,
    /// `level`.
    pub level: Level,
    /// MITRE ATT&CK techniques from `tags`, such as `T1613`.
    pub techniques: Vec<String>,
    /// MITRE ATT&CK tactics from `tags`, such as `discovery`.
    pub tactics: Vec<String>,
    /// `falsepositives`.
    pub falsepositives: Vec<String>,
    /// `stakeout.runbook`: what to do about a finding; empty where the rule does not say.
    pub runbook: String,
    /// `stakeout.risk_score`, as Splunk counts risk; 0 where the rule has none.
    pub risk_score: u32,
    /// `stakeout.story`: what the actor did, in the words of an incident; empty where the rule does not say.
    pub story: Story,
    /// The `group-by` fields, in the rule's order.
    pub group_by: Vec<String>,
    /// What it needs for a finding, such as `10 requests in 30m per source_ip`.
    pub needed: String,
}

/// The key of a [`RuleHead`] that many findings share: a hash of its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HeadKey(pub u64);

impl RuleHead {
    /// Returns its key.
    #[must_use]
    pub fn key(&self) -> HeadKey {
        let spelled = serde_json::to_vec(self).expect("texts and numbers always spell as JSON");
        let mut hasher = SipHasher13::new();
        hasher.write(&spelled);
        HeadKey(hasher.finish())
    }
}
