//! Writes window, cluster and prefilter as a filter in the Logging query language.
//!
//! <https://cloud.google.com/logging/docs/view/logging-query-language>
//!
//! A filter accepts at least what its prefilter accepts of the events that `decode` makes; whatever cannot be
//! expressed safely is left out. Entries are never matched here, and no text of an entry ever gets into a filter: its literals
//! come from the config and from rules. `condition` maps a rule's field to the fields of an entry.
//!
//! `OR` binds closer than `AND` in this language, unlike in most: so alternatives are put in parentheses.

mod condition;

use jiff::Timestamp;
use stakeout_core::prefilter::Prefilter;
use stakeout_core::time::{Second, Window};

use crate::config::CloudLoggingConfig;
use condition::quoted;

/// Longest `filter` that a request takes.
/// <https://cloud.google.com/logging/docs/reference/v2/rest/v2/entries/list>
const FILTER_CHARS_MAX: usize = 20_000;

/// One of the two logs that GKE writes the audit log into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuditLog {
    /// Writes; it is always on.
    Activity,
    /// Reads, which is where most of a scan is; off unless somebody turned it on.
    DataAccess,
}

impl AuditLog {
    /// Both of them.
    pub(crate) const ALL: [AuditLog; 2] = [AuditLog::Activity, AuditLog::DataAccess];

    fn id(self) -> &'static str {
        match self {
            AuditLog::Activity => "cloudaudit.googleapis.com/activity",
            AuditLog::DataAccess => "cloudaudit.googleapis.com/data_access",
        }
    }

    fn name(self, project: &str) -> String {
        format!("projects/{project}/logs/{}", self.id().replace('/', "%2F"))
    }
}

/// Returns the filter that finds, in a window, every entry of the cluster's audit log that the prefilter could accept.
///
/// A prefilter that fits nothing is ignored: if it is wrong, no entry is lost.
#[must_use]
pub fn filter(window: Window, prefilter: &Prefilter, config: &CloudLoggingConfig) -> String {
    let scope = scope(window, &AuditLog::ALL, config);
    let chars_left = FILTER_CHARS_MAX.saturating_sub(scope.chars().count() + " AND ()".len());
    match pushed(prefilter, chars_left) {
        Some(pushed) => format!("{scope} AND ({pushed})"),
        None => scope,
    }
}

/// Returns the filter that finds, in a window, every entry that some of the cluster's audit logs hold.
pub(crate) fn scope(window: Window, logs: &[AuditLog], config: &CloudLoggingConfig) -> String {
    let is_all = config.is_of_all_clusters();
    // A filter that named the logs of a hundred projects would be too long.
    let log = |log: &AuditLog| match is_all {
        true => format!("log_id({})", quoted(log.id())),
        false => format!("logName={}", quoted(&log.name(&config.project))),
    };
    let logs: Vec<String> = logs.iter().map(log).collect();
    let mut conjuncts = vec!["resource.type=\"k8s_cluster\"".to_owned()];
    if !is_all {
        conjuncts.extend([label("project_id", &config.project), label("cluster_name", &config.cluster)]);
    }
    conjuncts.extend(config.location.as_deref().map(|location| label("location", location)));
    conjuncts.extend([
        format!("({})", logs.join(" OR ")),
        "protoPayload.serviceName=\"k8s.io\"".to_owned(),
        format!("timestamp>=\"{}\"", nameable(window.earliest())),
        format!("timestamp<\"{}\"", nameable(window.latest())),
    ]);
    conjuncts.join(" AND ")
}

/// Returns the filter of [`scope`] without the entries of these clusters, or `None` where that is too long.
pub(crate) fn scope_without<'a>(
    window: Window,
    logs: &[AuditLog],
    clusters: impl Iterator<Item = &'a String>,
    config: &CloudLoggingConfig,
) -> Option<String> {
    let clusters: Vec<String> = clusters.filter_map(|id| of_cluster(id)).collect();
    let scope = scope(window, logs, config);
    let filter = if clusters.is_empty() { scope } else { format!("{scope} AND NOT ({})", clusters.join(" OR ")) };
    (filter.len() <= FILTER_CHARS_MAX).then_some(filter)
}

/// Returns the expression for the entries of a cluster, by its id.
fn of_cluster(id: &str) -> Option<String> {
    let ["projects", project, "locations", location, "clusters", cluster] = id.split('/').collect::<Vec<_>>()[..]
    else {
        return None;
    };
    let parts = [("project_id", project), ("location", location), ("cluster_name", cluster)];
    Some(format!("({})", parts.map(|(name, value)| label(name, value)).join(" AND ")))
}

fn label(name: &str, value: &str) -> String {
    format!("resource.labels.{name}={}", quoted(value))
}

/// Returns a second within the years that a timestamp can name.
fn nameable(second: Second) -> Second {
    Second(second.0.clamp(0, Timestamp::MAX.as_second()))
}

/// Returns the expression for a prefilter, of at most `chars_max` characters, or `None` where nothing can be pushed down.
fn pushed(prefilter: &Prefilter, chars_max: usize) -> Option<String> {
    let mut relaxed = pushable(prefilter.clone().simplified());
    loop {
        let expression = printed(&relaxed)?;
        if expression.len() <= chars_max {
            return Some(expression);
        }
        relaxed = pushable(relaxed.with_one_conjunct_less(&length));
    }
}

/// Returns whether anything of a prefilter can be pushed down.
pub(crate) fn narrows(prefilter: &Prefilter) -> bool {
    pushable(prefilter.clone().simplified()) != Prefilter::Any
}

/// Returns the part of a prefilter that a filter can express.
fn pushable(prefilter: Prefilter) -> Prefilter {
    prefilter.relaxed(&|field, literal| condition::alternatives(field, literal).is_some())
}

/// Returns a prefilter as an expression, or `None` for `Any`, which needs none.
fn printed(prefilter: &Prefilter) -> Option<String> {
    let (operator, operands) = match prefilter {
        Prefilter::Any => return None,
        Prefilter::Is { field, literal } => (" OR ", condition::alternatives(field, literal)?),
        Prefilter::And(parts) => (" AND ", parts.iter().map(printed).collect::<Option<Vec<_>>>()?),
        Prefilter::Or(parts) => (" OR ", parts.iter().map(printed).collect::<Option<Vec<_>>>()?),
    };
    match operands.as_slice() {
        [] => None,
        [only] => Some(only.clone()),
        several => Some(format!("({})", several.join(operator))),
    }
}

/// Returns how long a prefilter's expression is.
fn length(prefilter: &Prefilter) -> usize {
    printed(prefilter).map_or(0, |text| text.len())
}

#[cfg(test)]
mod tests;
