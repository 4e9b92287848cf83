//! Writes a window and a prefilter as a query in KQL.
//!
//! <https://learn.microsoft.com/kusto/query/>
//!
//! A query returns at least the rows that its prefilter accepts; whatever cannot be expressed safely is left out. Events are
//! never matched here, and no text of an event ever gets into a query: its literals come from config and rules.

mod kql;
mod column_mapping;

use jiff::Timestamp;
use stakeout_core::address;
use stakeout_core::field::Field;
use stakeout_core::known_clusters::ClusterLogs;
use stakeout_core::prefilter::{Literal, Prefilter};
use stakeout_core::time::{Second, Window};

use self::column_mapping::{CODE, ColumnMapping};
use self::kql::{Comparisons, Condition, literal};
use crate::config::{AuditTable, AzureMonitorConfig, Plan};
use crate::page_position::Share;

/// Longest query that is sent. The service documents no limit of its own short of Kusto's two million characters, but it
/// refuses conditions that it finds too complex, and one this long is a list that narrows little.
/// <https://learn.microsoft.com/kusto/concepts/query-limits>
const QUERY_CHARS_MAX: usize = 16_384;

/// The columns of [`AuditTable::AksAudit`] and [`AuditTable::AksAuditAdmin`] that hold anything of an audit event but its bodies.
/// <https://learn.microsoft.com/azure/azure-monitor/reference/tables/aksaudit>
const AUDIT_COLUMNS: &str = "TimeGenerated, Level, AuditId, Stage, RequestUri, Verb, User, SourceIps, UserAgent, ObjectRef, ResponseStatus, RequestReceivedTime, StageReceivedTime, Annotations, _ResourceId";
/// The columns of [`AuditTable::AzureDiagnostics`] that hold an audit event.
const DIAGNOSTICS_COLUMNS: &str = "TimeGenerated, Category, log_s, _ResourceId";

/// The columns of the fields that clients may make as long as they like, and the names of those that say whether a field was
/// cut.
const CUT_FIELDS: [(&str, &str); 2] = [("UserAgent", "IsUserAgentCut"), ("RequestUri", "IsRequestUriCut")];
const CUT_COLUMNS: &str = "IsUserAgentCut, IsRequestUriCut";
/// Length to which these fields are cut, in characters. The usual ones are shorter.
const CUT_CHARS: usize = 256;
/// The categories of AKS that hold audit events. Both contain the requests that change something.
pub(crate) const CATEGORIES: [&str; 2] = ["kube-audit", "kube-audit-admin"];

/// Categories of AKS that hold what its control plane does beside auditing.
const OTHER_CATEGORIES: [&str; 4] =
    ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "cloud-controller-manager"];
/// The table that holds them where the audit log has a table of its own.
const CONTROL_PLANE: &str = "AKSControlPlane";

/// The last second that a `datetime` of the service and jiff's calendar both hold.
const LAST_SECOND: i64 = 253_402_207_199;

/// How much of a prefilter a query expresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    /// Everything that can be expressed.
    Whole,
    /// Comparisons that leave out much of a log: a denial or a name is rare, a verb or a resource is not.
    Rare,
}

/// Returns the query for the rows of a window that the prefilter accepts, or that cannot be judged because they were
/// cut.
///
/// On the plan Basic the text names no time: [`timespan`] goes beside it. A prefilter that fits nothing is
/// ignored: if it is wrong, no event is lost.
#[must_use]
pub fn query(window: Window, prefilter: &Prefilter, config: &AzureMonitorConfig) -> String {
    share(window, prefilter, Share::All, config)
}

/// Returns the query for a share of the rows that [`query`] asks for.
#[must_use]
pub fn share(window: Window, prefilter: &Prefilter, share: Share, config: &AzureMonitorConfig) -> String {
    let columns = match config.table {
        AuditTable::AksAudit | AuditTable::AksAuditAdmin => AUDIT_COLUMNS,
        AuditTable::AzureDiagnostics => DIAGNOSTICS_COLUMNS,
    };
    match share {
        Share::All => ending(window, prefilter, &[format!("project {columns}")], config),
        Share::Cut => ending(window, prefilter, &[cut_fields(), format!("project {columns}, {CUT_COLUMNS}")], config),
        Share::Part { index, of } => {
            let part = format!("where hash(log_s, {of}) == {index}");
            ending(window, prefilter, &[part, format!("project {columns}")], config)
        }
    }
}

/// Returns the query for the first `rows_max` of the rows that [`query`] asks for.
#[must_use]
pub fn first_rows(window: Window, prefilter: &Prefilter, rows_max: u32, config: &AzureMonitorConfig) -> String {
    let columns = match config.table {
        AuditTable::AksAudit | AuditTable::AksAuditAdmin => AUDIT_COLUMNS,
        AuditTable::AzureDiagnostics => DIAGNOSTICS_COLUMNS,
    };
    let first = ["sort by TimeGenerated asc".to_owned(), format!("take {rows_max}"), format!("project {columns}")];
    ending(window, prefilter, &first, config)
}

/// Returns the stage that cuts the fields that clients may make as long as they like, and says of each whether it was
/// longer.
fn cut_fields() -> String {
    let is_longer = CUT_FIELDS.iter().map(|(column, is_cut)| format!("{is_cut} = strlen({column}) > {CUT_CHARS}"));
    let cut = CUT_FIELDS.iter().map(|(column, _)| format!("{column} = substring({column}, 0, {CUT_CHARS})"));
    format!("extend {}", is_longer.chain(cut).collect::<Vec<_>>().join(", "))
}

/// Returns the query for what the prefilter accepts, with the stages `last` at its end.
fn ending(window: Window, prefilter: &Prefilter, last: &[String], config: &AzureMonitorConfig) -> String {
    let prefilter = prefilter.clone().simplified();
    [Detail::Whole, Detail::Rare]
        .into_iter()
        .map(|detail| {
            let mut stages = scope(window, config);
            stages.extend(filter(&prefilter, config.table, detail));
            stages.extend(last.iter().cloned());
            piped(config.table, &stages)
        })
        .find(|query| query.len() <= QUERY_CHARS_MAX)
        .unwrap_or_else(|| {
            let mut stages = scope(window, config);
            stages.extend(last.iter().cloned());
            piped(config.table, &stages)
        })
}

/// Returns the query for one row of the cluster in the window.
#[must_use]
pub fn any_row(window: Window, config: &AzureMonitorConfig) -> String {
    first_of(window, config, None)
}

/// Returns the query for one request in the window that only reads, as a scan does.
#[must_use]
pub fn any_read(window: Window, config: &AzureMonitorConfig) -> String {
    let reads = match config.table {
        AuditTable::AksAudit | AuditTable::AksAuditAdmin => r#"where Verb in~ ("get", "list", "watch")"#,
        AuditTable::AzureDiagnostics => r#"where Category =~ "kube-audit""#,
    };
    first_of(window, config, Some(reads))
}

/// Returns the query that counts the rows of a window and names the newest.
#[must_use]
pub fn newest(window: Window, config: &AzureMonitorConfig) -> String {
    let mut stages = scope(window, config);
    stages.push("summarize Rows = count(), Newest = max(TimeGenerated)".to_owned());
    piped(config.table, &stages)
}

/// Returns the query for the time of the newest row in the window of each cluster that wrote such logs.
#[must_use]
pub fn newest_of_each(window: Window, logs: ClusterLogs, config: &AzureMonitorConfig) -> String {
    let table = match (config.table, logs) {
        (AuditTable::AksAudit | AuditTable::AksAuditAdmin, ClusterLogs::Others) => CONTROL_PLANE,
        (table, _) => table.as_str(),
    };
    let mut stages = scope_of(window, logs, config);
    stages.push("summarize Newest = max(TimeGenerated) by _ResourceId".to_owned());
    stages.iter().fold(table.to_owned(), |query, stage| format!("{query}\n| {stage}"))
}

/// Returns the span of time that goes beside a query on the plan Basic. Whether its ends belong to it is undocumented, so it
/// is a second longer than the window on either side.
/// <https://learn.microsoft.com/azure/azure-monitor/logs/basic-logs-query>, "Time range"
#[must_use]
pub fn timespan(window: Window) -> String {
    format!("{}/{}", moment(window.earliest().plus(-1)), moment(window.latest().plus(1)))
}

fn first_of(window: Window, config: &AzureMonitorConfig, condition: Option<&str>) -> String {
    let mut stages = scope(window, config);
    stages.extend(condition.map(str::to_owned));
    stages.push("take 1".to_owned());
    stages.push("project TimeGenerated".to_owned());
    piped(config.table, &stages)
}

fn piped(table: AuditTable, stages: &[String]) -> String {
    stages.iter().fold(table.as_str().to_owned(), |query, stage| format!("{query}\n| {stage}"))
}

/// Returns the stages that narrow a table to a window, the audit log and a cluster.
///
/// The case of a resource id is not to be relied on: the older table spells it in capitals.
fn scope(window: Window, config: &AzureMonitorConfig) -> Vec<String> {
    scope_of(window, ClusterLogs::Audit, config)
}

fn scope_of(window: Window, logs: ClusterLogs, config: &AzureMonitorConfig) -> Vec<String> {
    let mut stages = Vec::new();
    if config.plan == Plan::Analytics {
        let (earliest, latest) = (moment(window.earliest()), moment(window.latest()));
        stages.push(format!("where TimeGenerated >= datetime({earliest}) and TimeGenerated < datetime({latest})"));
    }
    if config.table == AuditTable::AzureDiagnostics {
        let categories = match logs {
            ClusterLogs::Audit => &CATEGORIES[..],
            ClusterLogs::Others => &OTHER_CATEGORIES,
        };
        let categories: Vec<String> = categories.iter().map(|category| literal(category)).collect();
        stages.push(format!("where Category in~ ({})", categories.join(", ")));
    }
    if config.cluster.starts_with('/') {
        stages.push(format!("where _ResourceId =~ {}", literal(&config.cluster)));
    } else if !config.is_of_all_clusters() {
        let ending = format!("/managedclusters/{}", config.cluster);
        stages.push(format!("where _ResourceId endswith {}", literal(&ending)));
    } else {
        stages.push("where _ResourceId contains \"/managedclusters/\"".to_owned());
    }
    stages
}

/// Returns the stages that leave out what the prefilter does not accept; none where it cannot be expressed.
fn filter(prefilter: &Prefilter, table: AuditTable, detail: Detail) -> Vec<String> {
    match table {
        AuditTable::AksAudit | AuditTable::AksAuditAdmin => audit_filter(prefilter, detail),
        AuditTable::AzureDiagnostics => diagnostics_filter(prefilter, detail),
    }
}

/// Of the resource-specific tables, most columns can be compared as they are; some hold JSON, which is read only where the
/// index of the column's terms has found something.
fn audit_filter(prefilter: &Prefilter, detail: Detail) -> Vec<String> {
    let prefilter = &without_impersonation(prefilter.clone()).simplified();
    let mapping = |field: &Field, value: &Literal| {
        detail.covers(field, value).then(|| ColumnMapping::in_audit_table(field)).flatten()
    };
    let searched = Comparisons {
        leaf: &|field, value| {
            let mapping = mapping(field, value)?;
            if mapping.is_plain() { comparisons(field, value, &mapping) } else { terms(field, value, mapping.column) }
        },
        addresses: "tostring(SourceIps)",
    };
    let compared = Comparisons {
        leaf: &|field, value| {
            let mapping = mapping(field, value)?;
            let mut ways = comparisons(field, value, &mapping)?;
            ways.extend(mapping.json_column.map(|column| column.is_cut()));
            Some(ways)
        },
        ..searched
    };
    let Some(condition) = kql::condition(prefilter, &compared).map(Condition::alone) else {
        return Vec::new();
    };
    let read: Vec<String> = column_mapping::JSON_COLUMNS
        .iter()
        .filter(|column| condition.contains(column.json))
        .map(|column| column.read())
        .collect();
    let compared = format!("where {condition}");
    match kql::condition(prefilter, &searched).map(Condition::alone) {
        Some(searched) if !read.is_empty() => {
            vec![format!("where {searched}"), format!("extend {}", read.join(", ")), compared]
        }
        _ => vec![compared],
    }
}

/// Returns a prefilter without the alternatives that need the impersonated user. The resource-specific tables have no column
/// for it, so none of their events has one.
fn without_impersonation(prefilter: Prefilter) -> Prefilter {
    let all = |parts: Vec<Prefilter>| parts.into_iter().map(without_impersonation).collect();
    match prefilter {
        Prefilter::Is { field: Field::Named("impersonatedUser.username"), .. } => Prefilter::Or(Vec::new()),
        Prefilter::And(parts) => Prefilter::And(all(parts)),
        Prefilter::Or(parts) => Prefilter::Or(all(parts)),
        other => other,
    }
}

/// Of the shared table, the index of the text's terms is searched first, and only what is left is read as JSON. A text that
/// was cut is none, so it passes; core reads the part that is left.
fn diagnostics_filter(prefilter: &Prefilter, detail: Detail) -> Vec<String> {
    let mapping =
        |field: &Field, value: &Literal| detail.covers(field, value).then(|| ColumnMapping::in_event(field)).flatten();
    let searched =
        Comparisons { leaf: &|field, value| terms(field, value, mapping(field, value)?.column), addresses: "log_s" };
    let compared = Comparisons {
        leaf: &|field, value| comparisons(field, value, &mapping(field, value)?),
        addresses: "tostring(Event.sourceIPs)",
    };
    let Some(searched) = kql::condition(prefilter, &searched).map(Condition::alone) else {
        return Vec::new();
    };
    let compared = kql::condition(prefilter, &compared).map(|condition| {
        let read = "extend Event = parse_json(log_s)".to_owned();
        [read, format!("where gettype(Event) != \"dictionary\" or {}", condition.nested_in_or())]
    });
    [format!("where {searched}")].into_iter().chain(compared.into_iter().flatten()).collect()
}

impl Detail {
    fn covers(self, field: &Field, value: &Literal) -> bool {
        self == Detail::Whole || Prefilter::is_rare(field, value)
    }
}

/// Returns the ways in which a column may hold a value, or `None` where that cannot be expressed. A value that is not the
/// whole of a column must be one that the index can search for, so that no JSON is read of rows that it does not find.
fn comparisons(field: &Field, value: &Literal, mapping: &ColumnMapping) -> Option<Vec<String>> {
    if *field == CODE || mapping.is_list {
        return terms(field, value, &mapping.text);
    }
    if !mapping.is_plain() {
        terms(field, value, mapping.column)?;
    }
    match value {
        Literal::Number(number) => Some(vec![kql::equals(&mapping.text, &number.to_string())]),
        Literal::Text { text, cased: true } if is_pushable(text) => Some(vec![kql::equals(&mapping.text, text)]),
        Literal::Text { text, cased: false } if is_pushable(text) && text.is_ascii() => {
            Some(kql::equals_uncased(&mapping.text, text))
        }
        Literal::Text { .. } | Literal::Network(_) => None,
    }
}

/// Returns the searches for a value in a text that holds its field, which can use the index: in all spellings of JSON, at
/// least one of them holds where the field has this value. `None` where there are none that would narrow anything.
///
/// A code is written as a number, as text, or with a fraction of zero. All hold its digits as a term.
fn terms(field: &Field, value: &Literal, text: &str) -> Option<Vec<String>> {
    let digits = match value {
        Literal::Number(number) => Some(number.to_string()),
        Literal::Text { text, .. } if *field == CODE => Some(text.parse::<i64>().ok()?.to_string()),
        Literal::Text { .. } | Literal::Network(_) => None,
    };
    match (digits, value) {
        // Codes have three digits. Larger numbers may be written in other ways, and smaller ones occur everywhere.
        (Some(digits), _) => (digits.len() == 3 && !digits.starts_with('-')).then(|| vec![kql::has(text, &digits)]),
        (None, Literal::Text { text: value, cased }) => kql::terms(text, value, *cased),
        (None, Literal::Network(network)) if *field == Field::Named("sourceIPs") => {
            let prefix = address::text_prefix(network);
            kql::terms(text, prefix.trim_end_matches([':', '.']), true)
        }
        (None, Literal::Number(_) | Literal::Network(_)) => None,
    }
}

/// Returns whether a text means the same to the service as to a rule. An absent value equals the empty text there; a
/// character beyond the basic plane needs two escapes, which not every reader joins again; and the handling of NUL
/// is undocumented.
fn is_pushable(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c != '\0' && u32::from(c) <= 0xffff)
}

/// Returns a second as the service reads a time.
fn moment(second: Second) -> String {
    let second = second.0.clamp(0, LAST_SECOND);
    Timestamp::from_second(second).map_or_else(|_| second.to_string(), |at| at.to_string())
}

#[cfg(test)]
mod tests;
