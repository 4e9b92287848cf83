//! Answers into rows, and a row into an audit event.
//!
//! A row is a JSON object by the names of its columns, whether a query answered with it, `az monitor log-analytics query`
//! printed it, or a diagnostic setting exported it to a storage account or an event hub. Core decodes the audit event
//! itself: the cells of a row are put together as the API server would have written them.

mod answer;
mod cell;

use std::borrow::Cow;
use std::hash::Hasher;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use siphasher::sip128::{Hasher128, SipHasher24};
use stakeout_core::decode::{DecodeError, Decoded, Enveloped};
use stakeout_core::event::CutFields;
use stakeout_core::record::{CutRequests, Page, RawRecord};
use stakeout_core::text::bounded;
use stakeout_core::time::Window;

pub use self::answer::{QueryAnswer, rows};
use self::cell::{Cell, as_json, text};
use crate::page_position::Share;
use crate::pushdown::CATEGORIES;

/// The key of the rows' hashes. It is fixed, so that a row has the same id in every run.
const ROW_KEY: [u8; 16] = *b"stakeout/az/row1";

/// The columns of a row that are read. In an export the first letters are small, and the event is in `properties`.
/// <https://learn.microsoft.com/azure/azure-monitor/platform/resource-logs-schema>
#[derive(Deserialize, Default)]
#[serde(default)]
struct LogRow<'a> {
    #[serde(rename = "TimeGenerated", borrow)]
    time_generated: Option<&'a RawValue>,
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    #[serde(rename = "_ResourceId", borrow)]
    resource: Option<&'a RawValue>,
    #[serde(rename = "ResourceId", alias = "resourceId", borrow)]
    shown_resource: Option<&'a RawValue>,
    #[serde(rename = "Category", alias = "category", borrow)]
    category: Option<&'a RawValue>,
    #[serde(borrow)]
    log_s: Option<&'a RawValue>,
    #[serde(borrow)]
    properties: Option<&'a RawValue>,
    #[serde(rename = "AuditId", borrow)]
    audit_id: Option<&'a RawValue>,
    #[serde(rename = "Level", borrow)]
    level: Option<&'a RawValue>,
    #[serde(rename = "Stage", borrow)]
    stage: Option<&'a RawValue>,
    #[serde(rename = "RequestUri", borrow)]
    request_uri: Option<&'a RawValue>,
    #[serde(rename = "Verb", borrow)]
    verb: Option<&'a RawValue>,
    #[serde(rename = "User", borrow)]
    user: Option<&'a RawValue>,
    #[serde(rename = "SourceIps", borrow)]
    source_ips: Option<&'a RawValue>,
    #[serde(rename = "UserAgent", borrow)]
    user_agent: Option<&'a RawValue>,
    #[serde(rename = "ObjectRef", borrow)]
    object_ref: Option<&'a RawValue>,
    #[serde(rename = "ResponseStatus", borrow)]
    response_status: Option<&'a RawValue>,
    #[serde(rename = "RequestReceivedTime", borrow)]
    request_received_time: Option<&'a RawValue>,
    #[serde(rename = "StageReceivedTime", borrow)]
    stage_received_time: Option<&'a RawValue>,
    #[serde(rename = "Annotations", borrow)]
    annotations: Option<&'a RawValue>,
    /// Columns of our own queries.
    #[serde(rename = "IsUserAgentCut", borrow)]
    is_user_agent_cut: Option<&'a RawValue>,
    #[serde(rename = "IsRequestUriCut", borrow)]
    is_request_uri_cut: Option<&'a RawValue>,
}

/// What a diagnostic setting puts around a line of the API server's.
#[derive(Deserialize, Default)]
#[serde(default)]
struct ExportProperties<'a> {
    #[serde(borrow)]
    log: Option<&'a RawValue>,
}

/// Returns the event of a row, given as a JSON object by the names of its columns.
///
/// The record id is a hash of the whole row: no column of the tables is an id of its own. A row without a time has its
/// event's.
///
/// # Errors
///
/// `OtherService` where the row's category is not an audit log's; else as [`stakeout_core::decode::decode`].
pub fn row(json: &str) -> Result<Enveloped, DecodeError> {
    let row: LogRow<'_> = serde_json::from_str(json).map_err(|error| DecodeError::NotJson(error.to_string()))?;
    if let Some(category) = text(row.category)
        && !CATEGORIES.iter().any(|known| category.eq_ignore_ascii_case(known))
    {
        return Err(DecodeError::OtherService(format!("category {}", bounded(&category, 64))));
    }
    let decoded = match (row.log_s, row.properties) {
        (Some(log), _) => line(log),
        (None, Some(properties)) => exported(properties),
        (None, None) => assembled(&row).map(|decoded| with_cut_fields(decoded, &row)),
    }?;
    let time_ms = time_of(&row)
        .or_else(|| decoded.event.stage_time_ms())
        .ok_or_else(|| DecodeError::NotJson("no TimeGenerated in it".to_owned()))?;
    let (cluster, cluster_id) = (cluster_of(&row), resource_of(&row).as_deref().and_then(cluster_id));
    Ok(Enveloped { decoded, time_ms, record_id: record_id(json), cluster, cluster_id })
}

/// Returns the fields that the query has cut.
fn cut_fields(row: &LogRow<'_>) -> CutFields {
    let is_cut = |cell: Option<&RawValue>| cell.is_some_and(|cell| matches!(cell.get(), "true" | "1"));
    CutFields { user_agent: is_cut(row.is_user_agent_cut), request_uri: is_cut(row.is_request_uri_cut) }
}

fn with_cut_fields(mut decoded: Decoded, row: &LogRow<'_>) -> Decoded {
    decoded.event.cut_fields = cut_fields(row);
    decoded.is_truncated |= decoded.event.cut_fields != CutFields::default();
    decoded
}

/// Returns the page that holds those of an answer's rows that lie in the window.
///
/// On the plan Basic the span that was asked for is wider than the window; and rows outside of the window are dropped,
/// whatever the service sends.
pub(crate) fn page_of(window: Window, rows: Vec<String>, share: Share) -> Page {
    let mut page = Page::default();
    for body in rows {
        let row = serde_json::from_str::<LogRow<'_>>(&body).ok();
        let fields = row.as_ref().map(cut_fields).unwrap_or_default();
        if share == Share::Cut && fields != CutFields::default() {
            page.cut.add(CutRequests { requests: 1, fields });
        }
        match row.and_then(|row| time_of(&row)) {
            None => page.unusable = page.unusable.saturating_add(1),
            Some(time_ms) if (window.earliest().millis()..window.latest().millis()).contains(&time_ms) => {
                page.bytes += body.len() as u64;
                page.records.push(RawRecord { record_id: record_id(&body), time_ms, body });
            }
            Some(_) => {}
        }
    }
    page
}

/// Reads a line of the API server's: a text, which AKS ends with a line feed and Azure may cut, or an object.
fn line(log: &RawValue) -> Result<Decoded, DecodeError> {
    let line = text(Some(log)).unwrap_or_else(|| Cow::Borrowed(log.get()));
    stakeout_core::decode::decode(line.as_bytes())
}

/// Reads the envelope of an export, which may be an object or an object's text.
fn exported(properties: &RawValue) -> Result<Decoded, DecodeError> {
    let properties = text(Some(properties)).unwrap_or_else(|| Cow::Borrowed(properties.get()));
    let properties: ExportProperties<'_> =
        serde_json::from_str(&properties).map_err(|error| DecodeError::NotJson(format!("properties: {error}")))?;
    line(properties.log.ok_or_else(|| DecodeError::NotJson("no log in properties".to_owned()))?)
}

/// Puts the cells of a resource-specific table together as the event that they were taken from, and reads that.
///
/// A cell that was cut goes to the end, where it cuts the event. Only one cell can: the most
/// informative. The addresses come last, since a cut list lacks the sender's own.
fn assembled(row: &LogRow<'_>) -> Result<Decoded, DecodeError> {
    let columns = [
        ("level", row.level),
        ("auditID", row.audit_id),
        ("stage", row.stage),
        ("requestURI", row.request_uri),
        ("verb", row.verb),
        ("userAgent", row.user_agent),
        ("requestReceivedTimestamp", row.request_received_time),
        ("stageTimestamp", row.stage_received_time),
    ];
    let cells = [
        ("responseStatus", row.response_status),
        ("user", row.user),
        ("objectRef", row.object_ref),
        ("annotations", row.annotations),
        ("sourceIPs", row.source_ips),
    ];
    let mut json = String::from("{\"kind\":\"Event\"");
    let mut cut = None;
    for (key, column) in columns {
        if let Some(value) = column {
            member(&mut json, key, &as_json(value));
        }
    }
    for (key, column) in cells {
        match Cell::of(column) {
            Cell::Empty => {}
            Cell::Whole(value) => member(&mut json, key, &value),
            Cell::Cut(value) => {
                cut.get_or_insert((key, value));
            }
        }
    }
    match &cut {
        Some((key, value)) => member(&mut json, key, value),
        None => json.push('}'),
    }
    stakeout_core::decode::decode(json.as_bytes())
}

fn member(json: &mut String, key: &str, value: &str) {
    json.push_str(",\"");
    json.push_str(key);
    json.push_str("\":");
    json.push_str(value);
}

fn time_of(row: &LogRow<'_>) -> Option<i64> {
    let time = text(row.time_generated.or(row.time))?;
    // Some printers leave the zone out; the service knows no other than UTC.
    let at = time.parse::<Timestamp>().or_else(|_| format!("{time}Z").parse()).ok()?;
    Some(at.as_millisecond())
}

/// Returns the cluster that a row belongs to: the end of its resource id, which the shared table spells in capitals.
/// Names of clusters do not differ by case alone.
fn cluster_of(row: &LogRow<'_>) -> Option<String> {
    let resource = resource_of(row)?;
    let name = resource.trim_end_matches('/').rsplit('/').next().unwrap_or("");
    (!name.is_empty()).then(|| name.to_ascii_lowercase())
}

fn resource_of<'a>(row: &LogRow<'a>) -> Option<Cow<'a, str>> {
    text(row.resource.or(row.shown_resource))
}

/// Returns the id of a cluster, in small letters because no two differ by case alone; `None` for another resource.
/// <https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules>
pub(crate) fn cluster_id(resource: &str) -> Option<String> {
    let id = resource.to_ascii_lowercase();
    let parts: Vec<&str> = id.split('/').collect();
    let is_word = |word: &str| {
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '(' | ')');
        !word.is_empty() && word.len() <= 90 && word.chars().all(fits)
    };
    let is_cluster = matches!(
        parts[..],
        ["", "subscriptions", subscription, "resourcegroups", group, "providers", "microsoft.containerservice", "managedclusters", name]
            if is_word(subscription) && is_word(group) && is_word(name)
    );
    is_cluster.then_some(id)
}

fn record_id(row: &str) -> String {
    let mut hasher = SipHasher24::new_with_key(&ROW_KEY);
    hasher.write(row.as_bytes());
    format!("{:032x}", hasher.finish128().as_u128())
}

#[cfg(test)]
mod tests;
