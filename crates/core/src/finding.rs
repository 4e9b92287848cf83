//! A finding: an episode that was reported.
//!
//! Its key and uid come from the rule, the group and the first second as first reported, and never change;
//! `episode.first` may move earlier when late events arrive.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use siphasher::sip128::SipHasher24;

use crate::address::SourceIp;
use crate::context::FindingContext;
use crate::distinct::Distinct;
use crate::episode::{Episode, PrunedSpan};
use crate::evidence::Evidence;
use crate::group::{GroupKey, GroupValue};
use crate::hash::TextHash;
use crate::incident_key::IncidentPart;
use crate::response_code::ResponseCodes;
use crate::rule::RuleHead;
use crate::source::Provider;
use crate::time::Second;

/// The 128-bit hash of (rule name, group, opening): the key of a finding in the ledger and, in hexadecimal, its uid.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FindingKey(pub u128);

impl FindingKey {
    /// Returns the key of the finding of `rule` and `group` that was first reported to begin at `opening`.
    #[must_use]
    pub fn new(rule: &str, group: &GroupKey, opening: Second) -> FindingKey {
        let encoded =
            serde_json::to_vec(&(rule, group, opening)).expect("names, values and a number are always valid JSON");
        FindingKey(SipHasher24::new().hash(&encoded).as_u128())
    }
}

/// Writes the uid: 32 hexadecimal digits.
impl fmt::Display for FindingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for FindingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether a finding is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FindingStatus {
    /// More requests may still join it.
    Open,
    /// Every healthy log has been read past its quiet time.
    Quiet,
    /// Late events joined its episode with that of an earlier finding, which replaces it.
    MergedInto(FindingKey),
}

/// The distinct values that a rule counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DistinctValues {
    /// The field, by its name in rules.
    pub field: String,
    /// Hashes of its values; empty for `source_ip`, because the finding lists the sources themselves.
    pub texts: Distinct<TextHash>,
}

/// Other findings of the same source, of any rule, that are at most a day apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelatedActivity {
    /// The names of their rules.
    pub rules: BTreeSet<String>,
    /// The clusters that were asked.
    pub clusters: BTreeSet<String>,
}

impl RelatedActivity {
    /// Most rules, and most clusters, that are kept: the first by name.
    const NAMES_MAX: usize = 20;

    /// Adds another finding of the source.
    pub(crate) fn add(&mut self, other: &Finding) {
        self.rules.insert(other.rule.name.clone());
        self.clusters.extend(other.clusters.iter().cloned());
        for names in [&mut self.rules, &mut self.clusters] {
            while names.len() > RelatedActivity::NAMES_MAX {
                names.pop_last();
            }
        }
    }
}

/// An episode that was reported, with everything that a destination shows of it.
///
/// All findings of a rule share its metadata, which is stored once: a stored finding holds a
/// [`HeadKey`](crate::rule::HeadKey) instead of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding<R = Arc<RuleHead>> {
    /// The key, which is the uid.
    pub key: FindingKey,
    /// The metadata of the rule when the finding last changed.
    pub rule: R,
    /// The group that the rule counted by, in the order of `rule.group_by`.
    pub group: GroupKey,
    /// First and last request, and how many.
    pub episode: Episode,
    /// Its requests by response code.
    pub codes: ResponseCodes,
    /// The part of the episode whose minutes are no longer stored.
    pub pruned: Option<PrunedSpan>,
    /// The requests of that part by response code.
    pub pruned_codes: ResponseCodes,
    /// Seconds without a match after which it is over.
    pub quiet_seconds: i64,
    /// Whether it goes on.
    pub status: FindingStatus,
    /// The clusters that were asked.
    pub clusters: BTreeSet<String>,
    /// The services that kept the records.
    pub providers: BTreeSet<Provider>,
    /// The senders of its requests, where the group is not an address or the rule counts addresses.
    pub sources: Distinct<SourceIp>,
    /// The counted distinct values, where the rule counts any.
    pub values: Option<DistinctValues>,
    /// Findings of its referenced rules, of the same group and at most a timespan away.
    pub related: BTreeSet<FindingKey>,
    /// Other findings of its source within a day.
    pub related_activity: RelatedActivity,
    /// The incident that it is a part of; `None` before a commit has decided that, and in a replay.
    pub incident: Option<IncidentPart>,
    /// What else its source asked for at the time; `None` where no context query ran.
    pub context: Option<FindingContext>,
    /// Samples of its requests.
    pub evidence: Evidence,
    /// Whether a reread found some of its requests.
    pub late: bool,
    /// When it was first reported.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl<R> Finding<R> {
    /// Returns since when its incident is quiet, as far as the finding knows: what is closed is looked at in this order.
    #[must_use]
    pub fn quiet_since(&self) -> Second {
        self.incident.map_or(self.episode.last, |part| part.quiet_since.max(self.episode.last))
    }

    /// Returns the finding with `rule` as its rule.
    #[must_use]
    pub fn with_rule<S>(self, rule: S) -> Finding<S> {
        Finding {
            key: self.key,
            rule,
            group: self.group,
            episode: self.episode,
            codes: self.codes,
            pruned: self.pruned,
            pruned_codes: self.pruned_codes,
            quiet_seconds: self.quiet_seconds,
            status: self.status,
            clusters: self.clusters,
            providers: self.providers,
            sources: self.sources,
            values: self.values,
            related: self.related,
            related_activity: self.related_activity,
            incident: self.incident,
            context: self.context,
            evidence: self.evidence,
            late: self.late,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

impl Finding {
    /// Returns the source that it counts for, where the rule groups by one.
    #[must_use]
    pub fn source_ip(&self) -> Option<SourceIp> {
        self.group.source_ip()
    }

    /// Returns the field whose distinct values were counted, how many came, and whether there were more than are kept.
    #[must_use]
    pub fn distinct_values(&self) -> Option<(&str, usize, bool)> {
        let values = self.values.as_ref()?;
        let (number, is_cut) = match values.field.as_str() {
            "source_ip" => (self.sources.len(), self.sources.is_cut()),
            _ => (values.texts.len(), values.texts.is_cut()),
        };
        Some((&values.field, number, is_cut))
    }

    /// Returns the group-by fields with their values, in the rule's order.
    pub fn group_fields(&self) -> impl Iterator<Item = (&str, &GroupValue)> {
        self.rule.group_by.iter().map(String::as_str).zip(&self.group.0)
    }

    /// Returns whether nothing before `read_until` can belong to it any more.
    #[must_use]
    pub fn is_quiet_at(&self, read_until: Second) -> bool {
        self.episode.last.plus(self.quiet_seconds) < read_until
    }

    /// Returns whether it goes on.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.status == FindingStatus::Open
    }
}
