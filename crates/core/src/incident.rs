//! An incident: an actor, and all that it did. A pure function of the findings, as findings are of the minutes: in which
//! order they came, and in which commits, cannot matter.
//!
//! | # | rule | where |
//! |---|---|---|
//! | 1 | A finding's actor follows from its rule and group: a user other than anonymous is an account of its cluster; else a source address is an address; else it is a crowd of its cluster. A finding of a crowd that lists one or two sources only is the lowest address's. | [`Actor::of`] |
//! | 2 | One actor's findings are one incident while their episodes are at most the quiet time apart, and begin at most [`SPAN_DAYS_MAX`] days after its first. A crowd's findings are one incident if they begin on one UTC day. | `partition` |
//! | 3 | An address's incident has at most one parent, at most the quiet time away: an account with a finding of at most [`NARROW_SOURCES_MAX`] sources that lists the address; else a crowd that lists it and asked a cluster that it asked, if no finding of the address has a higher level than those of the crowd. Of several, the earliest, then the lowest key. Parents have no parents. Children do not lengthen a parent. Their rules raise the level of an account, and not that of a crowd. | `claims` |
//! | 4 | A child is not reported by itself. Each source belongs to one incident at a time: to its own address's incident or the parent of that; else to an account that lists few sources, a crowd, an account that lists many, in this order. Other incidents near it are related. | `claims` |
//! | 5 | An incident's key is a hash of its actor and its first second, as first reported: the findings keep it. Of joined incidents the earliest lives. | [`IncidentKey`] |
//!
//! The tests have a case for each.

mod claims;
mod partition;
mod risk;
mod step;
mod nearby;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use siphasher::sip128::SipHasher24;

use crate::address::SourceIp;
use crate::finding::{Finding, FindingKey};
use crate::group::GroupValue;
pub use crate::incident_key::IncidentKey;
use crate::rule::{Level, RuleHead};
use crate::time::Second;
use claims::Claims;
use partition::Run;

pub use nearby::NearbyFindings;
pub use risk::RiskLevels;
pub use step::{STEPS_MAX, Step};

/// Most sources of a finding whose account owns the incidents of these sources: more of them are an exit of many people.
pub const NARROW_SOURCES_MAX: usize = 16;
/// How many days after its first finding a finding of an account or an address may begin and be a part of the same incident.
/// Somebody who never stops is an incident each week, and a commit reads no more than a week of him.
pub const SPAN_DAYS_MAX: i64 = 7;
/// Fewest sources of a crowd.
const CROWD_SOURCES_MIN: usize = 3;
/// Most related incidents that an incident names.
const RELATED_MAX: usize = 20;
/// The user of a request without credentials.
const ANONYMOUS: &str = "system:anonymous";

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Actor {
    /// A user or service account.
    Account {
        /// The cluster that knows it; `None` where the rule counts all clusters as one.
        cluster: Option<String>,
        /// `user.username`.
        name: String,
    },
    /// An address without an account.
    Address(SourceIp),
    /// Many addresses together.
    Crowd {
        /// The cluster that they asked; `None` where the rule counts all clusters as one.
        cluster: Option<String>,
    },
}

/// How incidents are joined and rated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncidentOptions {
    /// How far apart, in seconds, findings of one actor may be.
    pub quiet_seconds: i64,
    /// Which risk raises the level.
    pub risk: RiskLevels,
}

/// An actor and all that it did. Texts are raw; each destination escapes them in its own way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// The key, which is the uid.
    pub key: IncidentKey,
    /// When it began, as first reported.
    pub opening: Second,
    /// Its own findings, the earliest first.
    pub own: Vec<FindingKey>,
    /// Who did it.
    pub actor: Actor,
    /// The account, the address, or how many addresses the findings of the crowd list. Raw text.
    pub actor_name: String,
    /// The first request of its own findings.
    pub first: Second,
    /// The last request of its own findings.
    pub last: Second,
    /// When its quiet time begins.
    pub quiet_since: Second,
    /// From then on it is over, if everything before has been read.
    pub quiet_from: Second,
    /// Whether a finding of its own is open.
    pub is_open: bool,
    /// The highest level of its findings, raised by its risk.
    pub level: Level,
    /// The greatest risk within a day.
    pub risk_score: u32,
    /// Requests of the rule that counted most. Several rules may count one request, so a sum would be too large.
    pub count: u64,
    /// Its findings with their rules, those of its children included, ascending by key.
    pub findings: Vec<(FindingKey, Arc<RuleHead>)>,
    /// The sources that it owns, those of its children included, ascending.
    pub sources: Vec<SourceIp>,
    /// Whether some finding had more sources than findings keep.
    pub sources_are_more: bool,
    /// The clusters that were asked.
    pub clusters: BTreeSet<String>,
    /// The MITRE ATT&CK tactics of its rules.
    pub tactics: BTreeSet<String>,
    /// The names of its rules.
    pub rules: BTreeSet<String>,
    /// What it did, the most important first, then by time; at most [`STEPS_MAX`].
    pub steps: Vec<Step>,
    /// The sentence that says what it did.
    pub title: String,
    /// The incident that it is a part of. It is not reported by itself then.
    pub parent: Option<IncidentKey>,
    /// Incidents near it that share a source, and of which neither is a part of the other; at most twenty.
    pub related: BTreeSet<IncidentKey>,
}

impl Default for IncidentOptions {
    fn default() -> IncidentOptions {
        IncidentOptions { quiet_seconds: 24 * 3_600, risk: RiskLevels::default() }
    }
}

impl Actor {
    /// Returns the actor of a finding.
    #[must_use]
    pub fn of(finding: &Finding) -> Actor {
        let text = |wanted: &str| {
            finding.group_fields().find_map(|(field, value)| match value {
                GroupValue::Text(text) if field == wanted => Some(text.clone()),
                _ => None,
            })
        };
        let user = text("user.username").or_else(|| text("effective_user"));
        if let Some(name) = user.filter(|name| name != ANONYMOUS) {
            return Actor::Account { cluster: text("cluster"), name };
        }
        let few = (!finding.sources.is_cut() && finding.sources.len() < CROWD_SOURCES_MIN).then_some(&finding.sources);
        match finding.source_ip().or_else(|| few?.iter().next()) {
            Some(source) => Actor::Address(source),
            None => Actor::Crowd { cluster: text("cluster") },
        }
    }

    /// Returns the key of its incident that was first reported to begin at `opening`.
    #[must_use]
    pub fn incident_key(&self, opening: Second) -> IncidentKey {
        let encoded = serde_json::to_vec(&(self, opening)).expect("names, addresses and a number are valid JSON");
        IncidentKey(SipHasher24::new().hash(&encoded).as_u128())
    }

    /// Returns the key of the incident that `finding` is a part of, if a commit has decided that.
    #[must_use]
    pub fn incident_of(finding: &Finding) -> Option<IncidentKey> {
        Some(Actor::of(finding).incident_key(finding.incident?.opening))
    }

    /// Returns OCSF's and the config's word for its kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Actor::Account { .. } => "account",
            Actor::Address(_) => "address",
            Actor::Crowd { .. } => "crowd",
        }
    }

    /// Returns the sources that `finding` lists among few, if this is the account that it is about: the account owns their
    /// incidents.
    pub fn few_listed(&self, finding: &Finding) -> impl Iterator<Item = SourceIp> {
        let is_account = matches!(self, Actor::Account { .. });
        nearby::narrow_sources(finding).filter(move |_| is_account)
    }

    /// Returns the cluster that knows the account, or that the crowd asked.
    #[must_use]
    pub fn cluster(&self) -> Option<&str> {
        match self {
            Actor::Account { cluster, .. } | Actor::Crowd { cluster } => cluster.as_deref(),
            Actor::Address(_) => None,
        }
    }
}

impl Incident {
    /// Returns whether it is over: everything before `read_until` has been read, and nothing can join it any more.
    #[must_use]
    pub fn is_over_at(&self, read_until: Second) -> bool {
        self.quiet_from < read_until
    }

    /// Returns whether its steps say that somebody was let in.
    #[must_use]
    pub fn is_let_in(&self) -> bool {
        self.steps.first().is_some_and(|step| step.is_let_in)
    }
}

/// Returns the incidents that `findings` make, in the order of their first seconds, then of their keys. Each finding is in
/// one of them, or in none if it was merged into another. Incidents with a parent are among them.
#[must_use]
pub fn incidents<'f>(findings: impl IntoIterator<Item = &'f Finding>, options: &IncidentOptions) -> Vec<Incident> {
    incidents_with(findings, options, |_| true)
}

/// Returns those of the incidents that `findings` make which have a wanted finding of their own: that of a crowd stands among
/// thousands of its addresses.
#[must_use]
pub fn incidents_with<'f>(
    findings: impl IntoIterator<Item = &'f Finding>,
    options: &IncidentOptions,
    is_wanted: impl Fn(FindingKey) -> bool,
) -> Vec<Incident> {
    let runs = partition::runs(findings, options.quiet_seconds);
    let claims = Claims::of(&runs, options.quiet_seconds);
    let mut children: BTreeMap<usize, Vec<&Run<'_>>> = BTreeMap::new();
    for (index, parent) in claims.parents.iter().enumerate() {
        if let Some(parent) = parent {
            children.entry(*parent).or_default().push(&runs[index]);
        }
    }
    let key = |index: usize| runs[index].key;
    let wanted = runs.iter().enumerate().filter(|(_, run)| run.findings.iter().any(|finding| is_wanted(finding.key)));
    let made = wanted.map(|(index, run)| {
        let children = children.get(&index).map_or(&[][..], Vec::as_slice);
        let related = claims.related(index).map(key).collect();
        incident(run, children, &claims.owned[index], claims.parents[index].map(key), related, options)
    });
    let mut made: Vec<Incident> = made.collect();
    made.sort_by_key(|incident| (incident.first, incident.key));
    made
}

fn incident(
    run: &Run<'_>,
    children: &[&Run<'_>],
    owned: &BTreeSet<SourceIp>,
    parent: Option<IncidentKey>,
    related: BTreeSet<IncidentKey>,
    options: &IncidentOptions,
) -> Incident {
    let of_children = || children.iter().flat_map(|child| &child.findings).copied();
    let all: Vec<&Finding> = run.findings.iter().copied().chain(of_children()).collect();
    // What the addresses of a crowd do by themselves is not what the crowd does.
    let is_crowd = matches!(run.actor, Actor::Crowd { .. });
    let done = if is_crowd { &run.findings } else { &all };
    let risk = risk::of(done, &options.risk);
    let steps = step::steps(done);
    let sources_are_more = run.findings.iter().any(|finding| finding.sources.is_cut());
    let actor_name = step::actor_name(&run.actor, &run.findings);
    let mut listed: Vec<(FindingKey, Arc<RuleHead>)> =
        all.iter().map(|finding| (finding.key, finding.rule.clone())).collect();
    listed.sort_unstable_by_key(|(key, _)| *key);
    Incident {
        key: run.key,
        opening: run.opening,
        first: run.first,
        last: run.last,
        own: run.findings.iter().map(|finding| finding.key).collect(),
        is_open: run.findings.iter().any(|finding| finding.is_open()),
        quiet_since: run.quiet_since(options.quiet_seconds),
        quiet_from: run.quiet_from(options.quiet_seconds),
        level: done.iter().map(|finding| finding.rule.level).fold(risk.level, Level::max),
        risk_score: risk.score,
        count: steps.iter().map(|step| step.count).max().unwrap_or(0),
        findings: listed,
        sources: owned.iter().copied().collect(),
        sources_are_more,
        clusters: done.iter().flat_map(|finding| finding.clusters.iter().cloned()).collect(),
        tactics: done.iter().flat_map(|finding| finding.rule.tactics.iter().cloned()).collect(),
        rules: done.iter().map(|finding| finding.rule.name.clone()).collect(),
        title: step::title(&actor_name, &steps),
        steps: step::timeline(steps),
        actor_name,
        actor: run.actor.clone(),
        parent,
        related,
    }
}
