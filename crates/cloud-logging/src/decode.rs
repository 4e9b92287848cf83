//! Makes an audit event of a `LogEntry`, as `entries.list` and `gcloud logging read --format=json` spell it.
//!
//! <https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry>,
//! <https://cloud.google.com/logging/docs/reference/audit/auditlog/rest/Shared.Types/AuditLog>
//!
//! GKE leaves out these parts of the API server's own event, so no rule can use them:
//!
//! - `requestURI` is put together from `resourceName`: no query, no `//`, no trailing slash, no odd spelling of the path.
//!   Rules that mean "lists pods" are better off with `objectRef`.
//! - `user.groups` is missing except for anonymous requests; `level` and both timestamps are missing.
//! - `sourceIPs` is the one address that Google saw. It may be `gce-internal-ip` or `private`, which is not an address but
//!   stays as evidence.
//! - A success has code 200, whichever of the 2xx it was; without an answer in the entry, each code is what the gRPC
//!   code stands for.
//!
//! A Binary Authorization denial has status 7 and an answer with code 403. Its event says 403 as well, because this is
//! what the client received and what the API server of any other cloud logs when admission refuses a request that RBAC
//! allowed; so one rule counts the same everywhere. It differs from an RBAC denial by the annotation
//! `authorization.k8s.io/decision`, which is `allow`: rules that mean RBAC ask for `forbid`.

use jiff::Timestamp;
use stakeout_core::decode::{DecodeError, Decoded, Enveloped};
use stakeout_core::event::AuditEvent;
use stakeout_core::text::bounded;

use crate::json_object::JsonObject;
use crate::method::{self, ApiCall};
use crate::status;

/// The service whose entries are the audit log of the Kubernetes API; GKE's own API is `container.googleapis.com`.
const SERVICE: &str = "k8s.io";
/// The member with the `AuditLog`, and its name in a table of BigQuery.
/// <https://cloud.google.com/logging/docs/export/bigquery#audit-logs>
const PAYLOADS: [&str; 2] = ["protoPayload", "protopayload_auditlog"];
/// The user name of requests without credentials, where the API server allows them.
pub(crate) const ANONYMOUS: &str = "system:anonymous";
/// The group of all anonymous users; entries do not name it.
pub(crate) const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The annotation with the authorizer's decision.
pub(crate) const DECISION: &str = "authorization.k8s.io/decision";
/// The annotation that marks events without their bodies.
const TRUNCATED: &str = "audit.k8s.io/truncated";
/// Longest part of a record that goes into an error.
const SHOWN_CHARS_MAX: usize = 64;

/// Returns the event in an entry, with the entry's time, id and cluster.
///
/// Every part but the first of an entry that Cloud Logging split has the stage `RequestReceived`: another entry represents
/// the request. A long request has two entries, of which the first comes when it begins; both have the same record id (see
/// [`long_request`]). The event never has a `requestReceivedTimestamp`, so that its identity is the record's id: `insertId`
/// alone is the `auditID`, which clients choose.
///
/// # Errors
///
/// `NotJson` where the text is no object or has no time; `NotAnEvent` where it is not an audit entry;
/// `OtherService` where it is one of another service.
pub fn entry(json: &str) -> Result<Enveloped, DecodeError> {
    let entry = JsonObject::parse(json.strip_prefix('\u{feff}').unwrap_or(json))
        .map_err(|error| DecodeError::NotJson(error.to_string()))?;
    let payload = audit_log_of(&entry)?;
    let time = entry.text("timestamp").or_else(|| entry.text("receiveTimestamp"));
    let time = time.ok_or_else(|| DecodeError::NotJson("no timestamp in the entry".to_owned()))?;
    // BigQuery ends its times with a space and the zone.
    let at: Timestamp = time
        .replace(" UTC", "Z")
        .parse()
        .map_err(|_| DecodeError::NotJson("the timestamp of the entry is not a time".to_owned()))?;
    // Without an id, the position of the record in its file is one.
    let log_name = entry.text("logName").unwrap_or_default();
    let record_id = entry.text("insertId").map_or_else(String::new, |insert_id| match long_request(&entry) {
        Some(request) => format!("{log_name}/{request}"),
        None => record_id(&log_name, at, &insert_id),
    });
    let labels = entry.object("labels");
    let is_truncated = entry.has("split") || labels.text(TRUNCATED).is_some_and(|value| value == "true");
    Ok(Enveloped {
        decoded: Decoded { event: event_of(&entry, &payload, &labels), is_truncated },
        time_ms: at.as_millisecond(),
        record_id,
        cluster: entry.object("resource").object("labels").text("cluster_name"),
        cluster_id: cluster_id(&entry),
    })
}

/// Returns the id of the cluster that an entry is of, as GKE writes it; `None` where a label is missing or cannot be.
/// <https://cloud.google.com/kubernetes-engine/docs/reference/rest/v1/projects.locations.clusters/get>
pub(crate) fn cluster_id(entry: &JsonObject<'_>) -> Option<String> {
    let labels = entry.object("resource").object("labels");
    let label = |name: &str| {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | ':');
        labels.text(name).filter(|value| (1..=100).contains(&value.len()) && value.chars().all(fits))
    };
    let (project, location, cluster) = (label("project_id")?, label("location")?, label("cluster_name")?);
    Some(format!("projects/{project}/locations/{location}/clusters/{cluster}"))
}

/// Returns an entry's identity. Two entries with the same identity are copies of one.
/// <https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry>, `insertId`
pub(crate) fn record_id(log_name: &str, at: Timestamp, insert_id: &str) -> String {
    format!("{log_name}/{at}/{insert_id}")
}

/// Returns what both entries of a long request, such as a watch or a shell, have in common: one is the first of their
/// operation, the other the last. `None` for any other entry. A client chooses the operation's id, so there is more to it.
pub(crate) fn long_request(entry: &JsonObject<'_>) -> Option<String> {
    let operation = entry.object("operation");
    let [is_first, is_last] = ["first", "last"].map(|key| operation.boolean(key) == Some(true));
    if is_first == is_last {
        return None;
    }
    let payload = entry.object(PAYLOADS.into_iter().find(|key| entry.has(key))?);
    let text = |key| payload.text(key).unwrap_or_default();
    Some(format!("{}/{}/{}", operation.text("id")?, text("methodName"), text("resourceName")))
}

/// Returns an entry's `AuditLog`, if it is one of the Kubernetes API.
fn audit_log_of<'a>(entry: &JsonObject<'a>) -> Result<JsonObject<'a>, DecodeError> {
    let Some(key) = PAYLOADS.into_iter().find(|key| entry.has(key)) else {
        let payload = ["jsonPayload", "textPayload"].into_iter().find(|payload| entry.has(payload));
        let kind = entry.text("kind").unwrap_or_else(|| payload.unwrap_or("unknown").to_owned());
        return Err(DecodeError::NotAnEvent(bounded(&kind, SHOWN_CHARS_MAX)));
    };
    let payload = entry.object(key);
    match payload.text("serviceName") {
        Some(service) if service == SERVICE => Ok(payload),
        Some(service) => Err(DecodeError::OtherService(bounded(&service, SHOWN_CHARS_MAX))),
        None => Err(DecodeError::OtherService("no serviceName".to_owned())),
    }
}

fn event_of(entry: &JsonObject<'_>, payload: &JsonObject<'_>, labels: &JsonObject<'_>) -> AuditEvent {
    let operation = entry.object("operation");
    let caller = payload.object("requestMetadata");
    let answer = Answer::of(payload);
    let Principals { username, impersonated_username } = Principals::of(&payload.object("authenticationInfo"));
    let is_anonymous = username.as_deref() == Some(ANONYMOUS);
    let method = payload.text("methodName").unwrap_or_default();
    let ApiCall { verb, object_ref, request_uri } =
        method::call(&method, &payload.text("resourceName").unwrap_or_default());
    AuditEvent {
        audit_id: operation.text("id"),
        stage: stage_of(entry, &operation).map(str::to_owned),
        request_uri,
        verb,
        groups: is_anonymous.then(|| UNAUTHENTICATED.to_owned()).into_iter().collect(),
        // Google removes the name from a denied read, so that forbidden reads do not reveal names.
        // <https://cloud.google.com/logging/docs/audit#user-id>
        principal_redacted: username.is_none() && answer.code == Some(403),
        username,
        impersonated_username,
        source_ips: caller.text("callerIp").or_else(|| caller.text("callerIP")).into_iter().collect(),
        user_agent: caller.text("callerSuppliedUserAgent"),
        object_ref,
        annotations: annotations(labels, payload, answer.code),
        response_code: answer.code,
        response_reason: answer.reason,
        response_message: answer.message,
        ..AuditEvent::default()
    }
}

/// Returns the stage that corresponds to an entry's position in its operation. Most operations are one entry, first and last.
/// The first of two counts as well: a shell may stay open for days.
fn stage_of(entry: &JsonObject<'_>, operation: &JsonObject<'_>) -> Option<&'static str> {
    // An entry that is too long comes in parts, which agree in all but the bodies: the first represents the request.
    // <https://cloud.google.com/logging/docs/audit/split-logs>
    let is_later_part = entry.object("split").number("index").is_some_and(|index| index > 0);
    match operation.boolean("last") {
        _ if is_later_part => Some("RequestReceived"),
        Some(true) => Some("ResponseComplete"),
        _ => None,
    }
}

/// Who sent a request, and as whom.
struct Principals {
    username: Option<String>,
    impersonated_username: Option<String>,
}

impl Principals {
    /// Reads them. An `authoritySelector` beside a principal is the user that the principal impersonates; alone, it is the
    /// only name.
    /// <https://cloud.google.com/logging/docs/reference/audit/auditlog/rest/Shared.Types/AuditLog#AuthenticationInfo>
    fn of(authentication: &JsonObject<'_>) -> Principals {
        let principal = ["principalEmail", "principalSubject"].into_iter().find_map(|key| authentication.text(key));
        let selected = authentication.text("authoritySelector");
        match principal {
            Some(_) => Principals { username: principal, impersonated_username: selected },
            None => Principals { username: selected, impersonated_username: None },
        }
    }
}

/// What the client received.
struct Answer {
    code: Option<i64>,
    reason: Option<String>,
    message: Option<String>,
}

impl Answer {
    /// Reads the API server's own `Status` where the entry holds it, else the gRPC status, in which a success is
    /// nothing or an empty object.
    fn of(payload: &JsonObject<'_>) -> Answer {
        let status = payload.object("status");
        let response = payload.object("response");
        let is_status = response.text("kind").is_some_and(|kind| kind == "Status")
            || response.text("@type").is_some_and(|name| name.ends_with(".Status"));
        let response = if is_status { response } else { JsonObject::default() };
        let grpc = if status.has("code") { status.number("code") } else { Some(0) };
        Answer {
            code: response.number("code").or_else(|| grpc.and_then(status::http_of)),
            reason: response.text("reason"),
            message: response.text("message").or_else(|| status.text("message")),
        }
    }
}

/// Returns the API server's annotations, which GKE makes labels of; every annotation has a prefix and a slash. Where the
/// decision is not among them, `authorizationInfo` may contain it: a denial there is `granted: false`, or, since JSON leaves
/// `false` out, no `granted` beside a 403. A request without authorization, such as a 401, has no decision.
fn annotations(labels: &JsonObject<'_>, payload: &JsonObject<'_>, code: Option<i64>) -> Vec<(String, String)> {
    let mut annotations = labels.texts();
    annotations.retain(|(key, _)| key.contains('/'));
    if !labels.names(DECISION) {
        let granted: Vec<Option<bool>> =
            payload.objects("authorizationInfo").iter().map(|checked| checked.boolean("granted")).collect();
        let is_denied = |granted: &Option<bool>| *granted == Some(false) || (granted.is_none() && code == Some(403));
        let decision = match granted.as_slice() {
            [] => None,
            checked if checked.iter().any(is_denied) => Some("forbid"),
            checked if checked.iter().all(|granted| *granted == Some(true)) => Some("allow"),
            _ => None,
        };
        annotations.extend(decision.map(|decision| (DECISION.to_owned(), decision.to_owned())));
    }
    annotations
}

#[cfg(test)]
mod tests;
