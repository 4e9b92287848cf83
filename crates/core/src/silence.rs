//! Silences: known behaviour that a person does not want to hear of for a while. What is silenced is found, stored and counted as
//! ever; it is not sent.
//!
//! | # | rule |
//! |---|---|
//! | 1 | A silence fits a finding if everything that it names fits. What is not known of the finding does not fit. |
//! | 2 | `source` fits if the network holds all sources of the finding, and the finding knows all of them. |
//! | 3 | `cluster` fits if the finding asked this cluster and no other. |
//! | 4 | `user` fits if the rule counts by user, and this is the user. |
//! | 5 | An incident is silenced if each of its findings is. So nobody hides behind a silence: one finding that no silence fits, of another rule, cluster or source, makes the whole incident heard. |
//! | 6 | A silence that is over fits nothing. |

use std::collections::BTreeMap;
use std::fmt;

use ipnet::IpNet;

use crate::address::SourceIp;
use crate::finding::Finding;
use crate::group::GroupValue;
use crate::text::counted;
use crate::time::Second;

/// Most silences: each finding is compared with each of them.
pub const SILENCES_MAX: usize = 1_000;
/// Most days that a silence may last: whoever forgets one hears of it again.
pub const DAYS_MAX: i64 = 90;
/// Most silences that a silenced incident names.
const NAMED_MAX: usize = 4;

/// A silence. It names at least one of source, cluster, rule and user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// The id, unique in its file.
    pub id: String,
    /// The network of all sources.
    pub source: Option<IpNet>,
    /// The cluster.
    pub cluster: Option<String>,
    /// The name of the rule.
    pub rule: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// Why.
    pub reason: String,
    /// Who is responsible for it.
    pub owner: String,
    /// When it ends.
    pub until: Second,
}

/// Why a finding or an incident is silenced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silenced {
    /// Until when, if nothing else happens.
    pub until: Second,
    /// By which silences, in the order of their ids; at most four.
    pub by: Vec<Silence>,
    /// How many others.
    pub others: usize,
}

/// The silences in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Silences(Vec<Silence>);

impl Silence {
    /// Returns whether it is over.
    #[must_use]
    pub fn is_over(&self, now: Second) -> bool {
        self.until <= now
    }

    /// Returns whether it fits the finding, at any time.
    #[must_use]
    pub fn fits(&self, finding: &Finding) -> bool {
        let Silence { source, cluster, rule, user, .. } = self;
        let fits_rule = rule.as_ref().is_none_or(|rule| *rule == finding.rule.name);
        let fits_cluster =
            cluster.as_ref().is_none_or(|cluster| finding.clusters.len() == 1 && finding.clusters.contains(cluster));
        fits_rule
            && fits_cluster
            && source.as_ref().is_none_or(|network| holds_all_sources(network, finding))
            && user.as_ref().is_none_or(|user| user_of(finding) == Some(user))
    }
}

impl Silences {
    /// Returns these silences.
    #[must_use]
    pub fn new(silences: Vec<Silence>) -> Silences {
        Silences(silences)
    }

    /// Returns all of them, those that are over included.
    pub fn iter(&self) -> impl Iterator<Item = &Silence> {
        self.0.iter()
    }

    /// Returns whether something may be silenced.
    #[must_use]
    pub fn is_any_active(&self, now: Second) -> bool {
        self.0.iter().any(|silence| !silence.is_over(now))
    }

    /// Returns why the findings of an incident, or a single one, are silenced at `now`; `None` if one of them is not, or if there
    /// are none.
    #[must_use]
    pub fn silence<'f>(&self, findings: impl IntoIterator<Item = &'f Finding>, now: Second) -> Option<Silenced> {
        let active: Vec<&Silence> = self.0.iter().filter(|silence| !silence.is_over(now)).collect();
        let mut by: BTreeMap<&str, &Silence> = BTreeMap::new();
        let mut until: Option<Second> = None;
        for finding in findings {
            let last = active.iter().filter(|silence| silence.fits(finding)).max_by_key(|silence| silence.until)?;
            until = Some(until.map_or(last.until, |until| until.min(last.until)));
            by.insert(&last.id, last);
        }
        let others = by.len().saturating_sub(NAMED_MAX);
        let by = by.into_values().take(NAMED_MAX).cloned().collect();
        Some(Silenced { until: until?, by, others })
    }
}

/// Writes who silenced it until when and why, as raw text.
impl fmt::Display for Silenced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "silenced until {} by ", self.until)?;
        for (index, silence) in self.by.iter().enumerate() {
            let comma = if index > 0 { "; " } else { "" };
            write!(f, "{comma}{} ({}): {}", silence.owner, silence.id, silence.reason)?;
        }
        if self.others > 0 {
            write!(f, "; and by {}", counted(self.others, "other silence"))?;
        }
        Ok(())
    }
}

fn holds_all_sources(network: &IpNet, finding: &Finding) -> bool {
    let holds = |source: SourceIp| network.contains(&source.network());
    match finding.source_ip() {
        Some(source) => holds(source) && finding.sources.iter().all(holds),
        None => !finding.sources.is_cut() && !finding.sources.is_empty() && finding.sources.iter().all(holds),
    }
}

/// Returns the user that the finding counts for, where its rule counts by one.
fn user_of(finding: &Finding) -> Option<&String> {
    finding.group_fields().find_map(|(field, value)| match value {
        GroupValue::Text(text) if matches!(field, "user.username" | "effective_user") => Some(text),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
