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

    fn name(self, project: &str) -> String {
        let id = match self {
            AuditLog::Activity => "activity",
            AuditLog::DataAccess => "data_access",
        };
        format!("projects/{project}/logs/cloudaudit.googleapis.com%2F{id}")
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
    let label = |name: &str, value: &str| format!("resource.labels.{name}={}", quoted(value));
    let logs: Vec<String> = logs.iter().map(|log| format!("logName={}", quoted(&log.name(&config.project)))).collect();
    let mut conjuncts = vec![
        "resource.type=\"k8s_cluster\"".to_owned(),
        label("project_id", &config.project),
        label("cluster_name", &config.cluster),
    ];
    conjuncts.extend(config.location.as_deref().map(|location| label("location", location)));
    conjuncts.extend([
        format!("({})", logs.join(" OR ")),
        "protoPayload.serviceName=\"k8s.io\"".to_owned(),
        format!("timestamp>=\"{}\"", nameable(window.earliest())),
        format!("timestamp<\"{}\"", nameable(window.latest())),
    ]);
    conjuncts.join(" AND ")
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
