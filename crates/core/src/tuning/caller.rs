//! The callers behind the requests of a rule: the sources that sent most, and whether each looks like one program.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::address::SourceIp;
use crate::evidence::Sample;
use crate::group::{GroupKey, GroupValue};
use crate::rule::Rule;
use crate::tally::Rows;
use crate::text::visible;
use crate::time::Minute;

/// Callers that are shown.
const CALLERS_MAX: usize = 10;
/// Most distinct agents, users or namespaces of a caller that are kept; one more says that there are more.
const VALUES_MAX: usize = 10;

/// One source, or one group of a rule that does not count by source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Caller {
    /// The source, where the rule counts by one.
    #[serde(skip)]
    pub source_ip: Option<SourceIp>,
    /// Its name in output: the source, or the values of the group.
    #[serde(rename = "caller")]
    pub shown: String,
    /// Its requests.
    pub requests: u64,
    /// Findings at the rule's own threshold.
    pub findings: u64,
    /// Samples behind the values below. The other requests were counted and not kept.
    pub samples: u64,
    /// `userAgent`s in the samples; `None` where the client sent none. Clients choose them.
    #[serde(serialize_with = "as_visible")]
    pub agents: BTreeSet<Option<String>>,
    /// `user.username`s in the samples; `None` where the client was not logged in.
    #[serde(serialize_with = "as_visible")]
    pub users: BTreeSet<Option<String>>,
    /// `objectRef.namespace`s in the samples; `None` where a request had none.
    #[serde(serialize_with = "as_visible")]
    pub namespaces: BTreeSet<Option<String>>,
}

impl Caller {
    /// Returns whether the samples have one user agent and one user.
    #[must_use]
    pub fn is_one(&self) -> bool {
        self.agents.len() == 1 && self.users.len() == 1
    }

    /// Returns whether the samples have no logged-in user.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.users.iter().all(|user| user.as_deref().is_none_or(|user| user == "system:anonymous"))
    }

    fn add(&mut self, sample: &Sample) {
        self.samples += 1;
        let values = [
            (&mut self.agents, &sample.user_agent),
            (&mut self.users, &sample.username),
            (&mut self.namespaces, &sample.namespace),
        ];
        for (values, value) in values {
            if values.len() <= VALUES_MAX {
                values.insert(value.clone());
            }
        }
    }
}

/// Serializes values in their visible form.
fn as_visible<S: serde::Serializer>(values: &BTreeSet<Option<String>>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(values.iter().map(|value| value.as_deref().map(visible)))
}

/// Returns the callers with most requests, and how many more there are. `findings_by_group` has the number of findings.
pub(super) fn callers(
    rule: &Rule,
    minutes: &[(Minute, Rows)],
    findings_by_group: &BTreeMap<&GroupKey, u64>,
) -> (Vec<Caller>, u64) {
    let mut requests: BTreeMap<CallerKey<'_>, u64> = BTreeMap::new();
    for (key, tally) in rows_of(rule, minutes) {
        *requests.entry(CallerKey::of(key)).or_default() += tally.total();
    }
    let mut order: Vec<(CallerKey<'_>, u64)> = requests.into_iter().collect();
    order.sort_by_key(|(identity, requests)| (std::cmp::Reverse(*requests), *identity));
    let left_out = order.len().saturating_sub(CALLERS_MAX) as u64;
    order.truncate(CALLERS_MAX);
    let mut callers: BTreeMap<CallerKey<'_>, Caller> =
        order.iter().map(|(identity, requests)| (*identity, identity.caller(rule, *requests))).collect();
    for (key, tally) in rows_of(rule, minutes) {
        if let Some(caller) = callers.get_mut(&CallerKey::of(key)) {
            tally.evidence.samples().iter().for_each(|sample| caller.add(sample));
        }
    }
    for (group, findings) in findings_by_group {
        if let Some(caller) = callers.get_mut(&CallerKey::of(group)) {
            caller.findings += findings;
        }
    }
    (order.iter().filter_map(|(identity, _)| callers.remove(identity)).collect(), left_out)
}

fn rows_of<'a>(
    rule: &Rule,
    minutes: &'a [(Minute, Rows)],
) -> impl Iterator<Item = (&'a GroupKey, &'a crate::tally::Tally)> {
    let key = rule.key;
    let rows = minutes.iter().flat_map(|(_, rows)| rows);
    rows.filter(move |(row, _)| row.rule == key).map(|(row, tally)| (&row.group, tally))
}

/// Identifies the caller of a row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum CallerKey<'a> {
    Source(SourceIp),
    Group(&'a GroupKey),
}

impl<'a> CallerKey<'a> {
    fn of(group: &'a GroupKey) -> CallerKey<'a> {
        let source = group.0.iter().find_map(|value| match value {
            GroupValue::Address(source) => Some(*source),
            GroupValue::Text(_) | GroupValue::Missing => None,
        });
        source.map_or(CallerKey::Group(group), CallerKey::Source)
    }

    fn caller(&self, rule: &Rule, requests: u64) -> Caller {
        let (source_ip, shown) = match self {
            CallerKey::Source(source) => (Some(*source), source.to_string()),
            CallerKey::Group(group) if group.0.is_empty() => (None, "all requests".to_owned()),
            CallerKey::Group(group) => {
                let fields = rule.head.group_by.iter().zip(&group.0);
                let fields: Vec<String> = fields.map(|(field, value)| format!("{field}={value}")).collect();
                (None, visible(&fields.join(" ")))
            }
        };
        Caller {
            source_ip,
            shown,
            requests,
            findings: 0,
            samples: 0,
            agents: BTreeSet::new(),
            users: BTreeSet::new(),
            namespaces: BTreeSet::new(),
        }
    }
}
