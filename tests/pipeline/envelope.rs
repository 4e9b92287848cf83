//! Audit events in the envelopes of Cloud Logging and Log Analytics, as those services keep them.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::audit::Line;
use super::world::Cloud;

/// The project and the cluster of the entries.
pub(crate) const PROJECT: &str = "acme-dev";
pub(crate) const GKE_CLUSTER: &str = "gke-dev";
/// The workspace and the cluster of the rows.
pub(crate) const WORKSPACE: &str = "0f3a5a1e-0000-4000-8000-aabbccddeeff";
pub(crate) const AKS_CLUSTER: &str = "aks-dev";

/// Returns the table that holds the log; nothing for clouds without tables.
pub(crate) fn table(cloud: Cloud) -> &'static str {
    match cloud {
        Cloud::Eks | Cloud::Gke => "",
        Cloud::Aks | Cloud::AksBasic => "AKSAudit",
        Cloud::AksDiagnostics => "AzureDiagnostics",
    }
}

fn event(line: &Line) -> Value {
    serde_json::from_str(&line.text).expect("the API server writes JSON")
}

fn time(line: &Line) -> String {
    format!("{:.3}", Timestamp::from_millisecond(line.ms).expect("a time"))
}

/// Writes an event as a log entry. Requests of the whole API are data access, whether they were let in or not.
pub(crate) fn entry(line: &Line) -> Value {
    let event = event(line);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (verb, object) = (text(&event["verb"]), &event["objectRef"]);
    let (method, resource) = if object.is_null() {
        let path = text(&event["requestURI"]);
        let path = path.split('?').next().unwrap_or_default().trim_start_matches('/');
        (format!("io.k8s.{verb}"), path.to_owned())
    } else {
        let (group, version) = (text(&object["apiGroup"]), text(&object["apiVersion"]));
        let group = if group.is_empty() { "core".to_owned() } else { group };
        let kind = text(&object["resource"]);
        let parts = [("", "namespace"), ("", "resource"), ("", "name"), ("", "subresource")];
        let mut resource = format!("{group}/{version}");
        for (_, key) in parts {
            match (key, object[key].as_str()) {
                ("namespace", Some(namespace)) => resource += &format!("/namespaces/{namespace}"),
                (_, Some(part)) => resource += &format!("/{part}"),
                (_, None) => {}
            }
        }
        let dotted = group.strip_suffix(".k8s.io").unwrap_or(&group);
        let reversed: Vec<&str> = dotted.split('.').rev().collect();
        let subresource = object["subresource"].as_str().map(|sub| format!(".{sub}")).unwrap_or_default();
        (format!("io.k8s.{}.{version}.{kind}{subresource}.{verb}", reversed.join(".")), resource)
    };
    let code = event["responseStatus"]["code"].as_i64().unwrap_or(200);
    let status = match code {
        401 => json!({"code": 16, "message": "Unauthorized"}),
        403 => json!({"code": 7, "message": "Forbidden"}),
        404 => json!({"code": 5, "message": "Not found"}),
        _ => json!({}),
    };
    let authentication = match event["user"]["username"].as_str() {
        Some(name) => json!({"principalEmail": name}),
        None => json!({}),
    };
    let mut metadata = Map::new();
    if let Some(peer) = event["sourceIPs"].as_array().and_then(|chain| chain.last()) {
        metadata.insert("callerIp".to_owned(), peer.clone());
    }
    if let Some(agent) = event["userAgent"].as_str() {
        metadata.insert("callerSuppliedUserAgent".to_owned(), json!(agent));
    }
    let id = text(&event["auditID"]);
    json!({
        "insertId": id,
        "logName": format!("projects/{PROJECT}/logs/cloudaudit.googleapis.com%2Fdata_access"),
        "operation": {"id": id, "producer": "k8s.io", "first": true, "last": true},
        "protoPayload": {
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
            "serviceName": "k8s.io",
            "methodName": method,
            "resourceName": resource,
            "authenticationInfo": authentication,
            "requestMetadata": metadata,
            "status": status,
        },
        "resource": {
            "type": "k8s_cluster",
            "labels": {"project_id": PROJECT, "location": "europe-west1", "cluster_name": GKE_CLUSTER},
        },
        "timestamp": time(line),
        "receiveTimestamp": time(line),
    })
}

/// Writes an event as a row of the cloud's table.
pub(crate) fn row(cloud: Cloud, line: &Line) -> Value {
    let cluster = format!(
        "/subscriptions/11112222-3333-4444-5555-666677778888/resourcegroups/rg/providers/microsoft.containerservice/managedclusters/{AKS_CLUSTER}"
    );
    if cloud == Cloud::AksDiagnostics {
        return json!({
            "TimeGenerated": time(line),
            "Category": "kube-audit",
            "ResourceId": cluster.to_uppercase(),
            "log_s": format!("{}\n", line.text),
            "_ResourceId": cluster.to_uppercase(),
            "Type": "AzureDiagnostics",
        });
    }
    let event = event(line);
    // Some cells come as text, others as what they are.
    let as_text = |key: &str| match &event[key] {
        Value::Null => Value::Null,
        value => json!(value.to_string()),
    };
    json!({
        "TimeGenerated": time(line),
        "Level": event["level"],
        "AuditId": event["auditID"],
        "Stage": event["stage"],
        "RequestUri": event["requestURI"],
        "Verb": event["verb"],
        "User": as_text("user"),
        "SourceIps": event["sourceIPs"],
        "UserAgent": event["userAgent"],
        "ObjectRef": event["objectRef"],
        "ResponseStatus": as_text("responseStatus"),
        "RequestReceivedTime": event["requestReceivedTimestamp"],
        "StageReceivedTime": event["stageTimestamp"],
        "Annotations": event["annotations"],
        "Type": "AKSAudit",
        "_ResourceId": cluster,
    })
}
