//! An incident as an OCSF object of class Incident Finding (2005). Core has bounded every text in it; the texts are raw,
//! since JSON escapes them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use stakeout_core::delivery::Activity;
use stakeout_core::incident::{Incident, Step};
use stakeout_core::text::visible;

use super::finding::attack_of;
use super::{Class, SOURCES_MAX};

/// Most findings, and most sources, that an incident lists, but for messages: the lowest.
const LISTED_MAX: usize = 4_096;

/// Returns the object for an incident in its current state; `now` is the time of the message.
#[must_use]
pub fn incident(incident: &Incident, activity: Activity, delivery_id: Option<&str>, now: Timestamp) -> Value {
    let now_ms = now.as_millisecond();
    let mut object = super::common_attributes(Class::Incident, activity, incident.level, now_ms, delivery_id, now);
    object["message"] = json!(visible(&incident.title));
    // OCSF requires somebody whose task it is, and Stakeout assigns nobody.
    object["assignee_group"] = json!({"name": "Unassigned"});
    object["count"] = json!(incident.count);
    object["start_time"] = json!(incident.first.millis());
    object["end_time"] = json!(incident.last.millis());
    object["is_suspected_breach"] = json!(incident.is_let_in());
    let techniques: BTreeSet<&String> = incident.findings.iter().flat_map(|(_, rule)| &rule.techniques).collect();
    object["attacks"] = techniques.into_iter().map(|technique| attack_of(technique)).collect();
    object["finding_info_list"] = incident
        .findings
        .iter()
        .take(LISTED_MAX)
        .map(|(key, rule)| {
            json!({
                "uid": key.to_string(),
                "title": rule.title,
                "analytic": {"name": rule.name, "uid": rule.id, "type_id": 1, "type": "Rule"},
            })
        })
        .collect();
    object["unmapped"] = json!({"incident": details(incident)});
    object
}

/// Keeps only the first sources and findings of an object for a message.
pub(super) fn limit_lists(object: &mut Value) {
    for pointer in ["/unmapped/incident/sources", "/finding_info_list"] {
        if let Some(list) = object.pointer_mut(pointer).and_then(Value::as_array_mut) {
            list.truncate(SOURCES_MAX);
        }
    }
}

fn details(incident: &Incident) -> Value {
    let mut actor = json!({"kind": incident.actor.kind(), "name": incident.actor_name});
    if let Some(cluster) = incident.actor.cluster() {
        actor["cluster"] = json!(cluster);
    }
    let mut details = json!({
        "uid": incident.key.to_string(),
        "actor": actor,
        "sources": incident.sources.iter().take(LISTED_MAX).map(ToString::to_string).collect::<Vec<_>>(),
        "sources_total": incident.sources.len(),
        "sources_are_more": incident.sources_are_more,
        "findings_total": incident.findings.len(),
        "clusters": incident.clusters,
        "risk_score": incident.risk_score,
        "tactics": incident.tactics,
        "rules": incident.rules,
        "steps": incident.steps.iter().map(step).collect::<Vec<_>>(),
        "related": incident.related.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    if let Some(parent) = incident.parent {
        details["merged_into"] = json!(parent.to_string());
    }
    details
}

fn step(step: &Step) -> Value {
    let by_code: Map<String, Value> =
        step.codes.iter().map(|(code, requests)| (code.to_string(), json!(requests))).collect();
    json!({
        "phrase": step.phrase,
        "rule": step.rule,
        "level": step.level.as_str(),
        "let_in": step.is_let_in,
        "start_time": step.first.millis(),
        "end_time": step.last.millis(),
        "count": step.count,
        "count_by_code": by_code,
        "findings": step.findings,
    })
}
