//! A finding as an OCSF object. Core has bounded every text in it; the texts are raw, since JSON escapes them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use stakeout_core::address::{self, SourceIp};
use stakeout_core::context::{FindingContext, TopValues};
use stakeout_core::delivery::Activity;
use stakeout_core::evidence::Sample;
use stakeout_core::finding::{Finding, FindingStatus};
use stakeout_core::incident::Actor;

use super::{Class, SOURCES_MAX};
use crate::{attack, text};

/// Most user agents in a finding.
const AGENTS_MAX: usize = 10;

/// Returns the object for a finding in its current state; `now` is the time of the message.
#[must_use]
pub fn finding(finding: &Finding, activity: Activity, delivery_id: Option<&str>, now: Timestamp) -> Value {
    let changed_at = match activity {
        Activity::Create => finding.created_at,
        Activity::Update | Activity::Close => finding.updated_at,
    };
    let mut object = super::common_attributes(
        Class::Finding,
        activity,
        finding.rule.level,
        changed_at.as_millisecond(),
        delivery_id,
        now,
    );
    object["message"] = json!(text::finding_line(finding));
    object["finding_info"] = info(finding);
    object["count"] = json!(finding.episode.count);
    object["start_time"] = json!(finding.episode.first.millis());
    object["end_time"] = json!(finding.episode.last.millis());
    object["risk_score"] = json!(finding.rule.risk_score);
    object["resources"] = finding.clusters.iter().map(|cluster| super::cluster_resource(cluster)).collect();
    let evidences = evidences(finding);
    if !evidences.is_empty() {
        object["evidences"] = Value::Array(evidences);
    }
    if !finding.rule.runbook.is_empty() {
        object["remediation"] = json!({"desc": finding.rule.runbook});
    }
    object["unmapped"] = Value::Object(unmapped(finding));
    object
}

fn info(finding: &Finding) -> Value {
    let rule = &finding.rule;
    let mut info = json!({
        "uid": finding.key.to_string(),
        "title": rule.title,
        "desc": rule.description,
        "analytic": {"name": rule.name, "uid": rule.id, "type_id": 1, "type": "Rule"},
        "attacks": rule.techniques.iter().map(|technique| attack_of(technique)).collect::<Vec<_>>(),
        "data_sources": finding.providers.iter().map(|provider| provider.as_str()).collect::<Vec<_>>(),
        "types": ["Kubernetes audit"],
        "first_seen_time": finding.episode.first.millis(),
        "last_seen_time": finding.episode.last.millis(),
        "created_time": finding.created_at.as_millisecond(),
        "modified_time": finding.updated_at.as_millisecond(),
    });
    if !finding.related.is_empty() {
        let related = finding.related.iter().map(|uid| json!({"uid": uid.to_string(), "type": "Finding"}));
        info["related_events"] = related.collect();
    }
    info
}

/// Returns the ATT&CK object of a technique or a sub-technique.
pub(super) fn attack_of(technique: &str) -> Value {
    let described = |uid: &str| {
        let mut described = json!({"uid": uid});
        if let Some(name) = attack::name(uid) {
            described["name"] = json!(name);
        }
        if let Some(url) = attack::url(uid) {
            described["src_url"] = json!(url);
        }
        described
    };
    let (parent, _) = technique.split_once('.').unwrap_or((technique, ""));
    let mut entry = json!({"version": attack::VERSION, "technique": described(parent)});
    if parent != technique {
        entry["sub_technique"] = described(technique);
    }
    entry
}

/// Returns what else the source did around the finding, or why that is unknown.
fn finding_context(context: &FindingContext) -> Value {
    let around = match context {
        FindingContext::Read(around) => around,
        FindingContext::Unread { reason } => return json!({"unread": reason}),
    };
    let by_code: Map<String, Value> =
        around.codes.iter().map(|(code, requests)| (code.to_string(), json!(requests))).collect();
    json!({
        "cluster": around.cluster,
        "start_time": around.window.earliest().millis(),
        "end_time": around.window.latest().millis(),
        "count": around.requests,
        "are_more": around.is_cut,
        "count_by_code": by_code,
        "let_in": ranking(&around.allowed),
        "refused": ranking(&around.refused),
        "namespaces": ranking(&around.namespaces),
        "usernames": ranking(&around.users),
        "agents": ranking(&around.agents),
        "proxies": ranking(&around.proxies),
    })
}

fn ranking(ranking: &TopValues) -> Value {
    ranking.top.iter().map(|(value, requests)| json!({"value": value, "count": requests})).collect()
}

/// Returns the samples of a finding with one source; otherwise its sources, lowest address first, each with a sample if
/// there is one.
fn evidences(finding: &Finding) -> Vec<Value> {
    let samples = finding.evidence.samples();
    let bare = |source: SourceIp| json!({"src_endpoint": {"ip": source.network_address()}});
    let Some(source) = finding.source_ip() else {
        let of_source = |source| samples.iter().find(|sample| sample.source_ip == Some(source));
        let evidence = |source| of_source(source).map_or_else(|| bare(source), |sample| evidence(source, sample));
        return finding.sources.iter().map(evidence).collect();
    };
    if samples.is_empty() {
        return vec![bare(source)];
    }
    samples.iter().map(|sample| evidence(source, sample)).collect()
}

fn evidence(source: SourceIp, sample: &Sample) -> Value {
    let mut endpoint = json!({"ip": source.network_address()});
    let hops: Vec<_> = sample.source_ips.iter().filter_map(|entry| address::parse(entry)).collect();
    if sample.source_ips.len() > 1 && !hops.is_empty() {
        endpoint["intermediate_ips"] = json!(hops);
    }
    let mut api = json!({"operation": sample.verb});
    if !sample.audit_id.is_empty() {
        api["request"] = json!({"uid": sample.audit_id});
    }
    if let Some(code) = sample.code {
        api["response"] = json!({"code": code});
    }
    let mut evidence = json!({
        "src_endpoint": endpoint,
        "api": api,
        "data": {"time": sample.at.millis(), "user_agent": sample.user_agent, "cluster": sample.cluster},
    });
    if let Some(username) = &sample.username {
        evidence["actor"] = json!({"user": {"name": username}});
    }
    if !sample.request_uri.is_empty() {
        let (path, query) = sample.request_uri.split_once('?').unwrap_or((&sample.request_uri, ""));
        evidence["url"] = json!({"path": path});
        if !query.is_empty() {
            evidence["url"]["query_string"] = json!(query);
        }
    }
    evidence
}

/// Keeps only the first sources of an object for SNS or a webhook.
pub(super) fn limit_sources(object: &mut Value) {
    if let Some(evidences) = object.get_mut("evidences").and_then(Value::as_array_mut) {
        evidences.truncate(SOURCES_MAX);
    }
}

/// Returns everything without an OCSF attribute: the group, and the distinct values of the samples.
fn unmapped(finding: &Finding) -> Map<String, Value> {
    let samples = &finding.evidence;
    let group: Map<String, Value> =
        finding.group_fields().map(|(field, value)| (field.to_owned(), json!(value.to_string()))).collect();
    let chains: BTreeSet<&[String]> =
        samples.distinct(|sample| (sample.source_ips.len() > 1).then_some(sample.source_ips.as_slice()));
    let agents: Vec<&str> =
        samples.distinct(|sample| sample.user_agent.as_deref()).into_iter().take(AGENTS_MAX).collect();
    let mut unmapped = Map::new();
    let mut put = |name: &str, value: Value| unmapped.insert(name.to_owned(), value);
    if let Some(source) = finding.source_ip() {
        let network = text::network_of(&source);
        put("source_ip", json!(source.to_string()));
        put("source_ip_public", json!(network == "public"));
        put("source_ip_network", json!(network));
    }
    put("group", Value::Object(group));
    if finding.source_ip().is_none() {
        let networks = finding.sources.iter().filter(|source| matches!(source, SourceIp::V6Net(_)));
        put("sources_total", json!(finding.sources.len()));
        put("sources_are_more", json!(finding.sources.is_cut()));
        put("source_networks", networks.take(SOURCES_MAX).map(|network| json!(network.to_string())).collect());
    }
    if let Some((field, number, is_cut)) = finding.distinct_values() {
        put("distinct_values", json!({"field": field, "number": number, "are_more": is_cut}));
    }
    put("uris", json!(samples.distinct(|sample| Some(sample.request_uri.as_str()).filter(|uri| !uri.is_empty()))));
    put("agents", json!(agents));
    put("verbs", json!(samples.distinct(|sample| Some(sample.verb.as_str()).filter(|verb| !verb.is_empty()))));
    put("usernames", json!(samples.distinct(|sample| sample.username.as_deref())));
    let by_code: Map<String, Value> =
        finding.codes.iter().map(|(code, requests)| (code.to_string(), json!(requests))).collect();
    put("codes", by_code.keys().map(|code| json!(code)).collect());
    put("count_by_code", Value::Object(by_code));
    put("namespaces", json!(samples.distinct(|sample| sample.namespace.as_deref())));
    put("resources", json!(samples.distinct(|sample| sample.resource.as_deref())));
    put("forwarded_for", json!(chains));
    put("samples_are_more", json!(samples.is_cut()));
    put(
        "samples",
        samples
            .samples()
            .iter()
            .map(|sample| json!({"audit_id": sample.audit_id, "time": sample.at.millis()}))
            .collect(),
    );
    if let Some(incident) = Actor::incident_of(finding) {
        put("incident_uid", json!(incident.to_string()));
    }
    if !finding.related_activity.rules.is_empty() {
        let related = &finding.related_activity;
        put("related_activity", json!({"rules": related.rules, "clusters": related.clusters}));
    }
    if let Some(context) = &finding.context {
        put("context", finding_context(context));
    }
    put("falsepositives", json!(finding.rule.falsepositives));
    put("risk_score", json!(finding.rule.risk_score));
    put("quiet_seconds", json!(finding.quiet_seconds));
    put("late", json!(finding.late));
    if let FindingStatus::MergedInto(uid) = finding.status {
        put("merged_into", json!(uid.to_string()));
    }
    unmapped
}
