//! Requests that are made for a test, as lines of an audit log.

use serde_json::{Value, json};

use super::{Finding, replay};

pub(super) const CURL: &str = "curl/8.5.0";
pub(super) const KUBECTL: &str = "kubectl/v1.33.1 (linux/amd64) kubernetes/8adc0f0";
pub(super) const KUBELET: &str = "kubelet/v1.33.1 (linux/amd64) kubernetes/8adc0f0";
pub(super) const SCANNER: &str = "AWS Security Scanner";

/// A request; `at` is its second.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) at: u32,
    pub(super) code: u16,
    pub(super) user: String,
    pub(super) verb: &'static str,
    pub(super) uri: String,
    pub(super) agent: Option<String>,
    pub(super) source_ips: Vec<String>,
    /// `impersonatedUser.username`.
    pub(super) impersonated: Option<String>,
}

impl Request {
    /// Returns a list or get, as the path says, of the anonymous user.
    pub(super) fn new(at: u32, source: &str, code: u16, uri: &str) -> Request {
        let object = object_of(uri);
        let verb = if object.is_null() || object["name"].is_string() { "get" } else { "list" };
        Request {
            at,
            code,
            user: "system:anonymous".to_owned(),
            verb,
            uri: uri.to_owned(),
            agent: Some(CURL.to_owned()),
            source_ips: vec![source.to_owned()],
            impersonated: None,
        }
    }

    pub(super) fn by(self, user: &str) -> Request {
        Request { user: user.to_owned(), ..self }
    }

    pub(super) fn in_the_name_of(self, user: &str) -> Request {
        Request { impersonated: Some(user.to_owned()), ..self }
    }

    pub(super) fn with(self, agent: &str) -> Request {
        Request { agent: Some(agent.to_owned()), ..self }
    }

    pub(super) fn verb(self, verb: &'static str) -> Request {
        Request { verb, ..self }
    }

    fn line(&self, number: usize) -> String {
        // A failed login is audited at the first stage only, and without a user.
        let (stage, user) = match (self.code, self.user.as_str()) {
            (401, _) => ("ResponseStarted", json!({})),
            (_, "system:anonymous") => {
                ("ResponseComplete", json!({"username": self.user, "groups": ["system:unauthenticated"]}))
            }
            _ => ("ResponseComplete", json!({"username": self.user, "groups": ["system:authenticated"]})),
        };
        let (days, hours) = (self.at / 86_400, self.at / 3600 % 24);
        let (days, hours) = (days + (hours + 9) / 24, (hours + 9) % 24);
        let time = format!("2026-11-{:02}T{hours:02}:{:02}:{:02}", 23 + days, self.at / 60 % 60, self.at % 60);
        let mut event = json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": format!("made-{number}"),
            "stage": stage, "requestURI": self.uri, "verb": self.verb, "user": user, "sourceIPs": self.source_ips,
            "responseStatus": {"code": self.code}, "requestReceivedTimestamp": format!("{time}.{:06}Z", number % 1_000_000),
            "stageTimestamp": format!("{time}.999999Z"),
        });
        let object = object_of(&self.uri);
        if !object.is_null() {
            event["objectRef"] = object;
        }
        if let Some(user) = &self.impersonated {
            event["impersonatedUser"] = json!({"username": user});
        }
        if let Some(agent) = &self.agent {
            event["userAgent"] = json!(agent);
        }
        event.to_string()
    }
}

/// Returns `objectRef` as the API server reads it from a path in its usual spelling.
fn object_of(uri: &str) -> Value {
    let path = uri.split('?').next().unwrap_or("");
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let (group, rest) = match parts.as_slice() {
        ["api", _, rest @ ..] if !rest.is_empty() => ("", rest),
        ["apis", group, _, rest @ ..] if !rest.is_empty() => (*group, rest),
        _ => return Value::Null,
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
        rest => (None, rest),
    };
    let mut object = json!({"resource": rest[0], "apiVersion": "v1"});
    for (key, value) in
        [("namespace", namespace), ("name", rest.get(1).copied()), ("subresource", rest.get(2).copied())]
    {
        if let Some(value) = value {
            object[key] = json!(value);
        }
    }
    if !group.is_empty() {
        object["apiGroup"] = json!(group);
    }
    object
}

/// Returns the findings of a log that holds these requests.
pub(super) fn findings(requests: &[Request]) -> Vec<Finding> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("made.audit.log");
    let lines: Vec<String> = requests.iter().enumerate().map(|(number, request)| request.line(number)).collect();
    std::fs::write(&path, lines.join("\n")).expect("written");
    replay(&path)
}
