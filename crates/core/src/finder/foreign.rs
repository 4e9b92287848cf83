//! What a record is that holds no audit event, in words for people.

use std::borrow::Cow;
use std::fmt;

use super::object::Object;
use super::recognition::is_of_rancher;
use crate::decode::OAUTH_SERVER;
use crate::text::{bounded, visible};

/// Longest part of a record that is shown, in characters.
const SHOWN_CHARS_MAX: usize = 80;
/// Names of members that are shown of an object of unknown kind.
const NAMES_MAX: usize = 5;

/// A record of something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// What it is, with an article.
    pub what: Cow<'static, str>,
    /// What to do, where that is known.
    pub advice: Option<&'static str>,
    /// Its beginning.
    pub shown: String,
}

impl Foreign {
    /// Returns what `text` is, from its beginning.
    #[must_use]
    pub fn of(text: &str) -> Foreign {
        let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\0' || c == '\u{feff}');
        let (what, advice) = match Object::parse(text) {
            Some(object) => of_object(&object),
            None => of_text(text),
        };
        Foreign { what, advice, shown: shown(text) }
    }

    /// Returns a record that its envelope assigns to another service.
    pub(super) fn of_service(service: &str, json: &str) -> Foreign {
        let advice = (service == OAUTH_SERVER)
            .then_some("use the API server's log: oc adm node-logs --role=master --path=kube-apiserver/audit.log");
        Foreign { what: format!("a record of another service ({service})").into(), advice, shown: shown(json) }
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

fn shown(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    visible(&bounded(line, SHOWN_CHARS_MAX))
}

fn of_object(object: &Object<'_>) -> (Cow<'static, str>, Option<&'static str>) {
    if is_of_rancher(object) {
        let advice = "this is the audit log of Rancher's own API: use the audit log of the cluster's API server";
        return ("a record of Rancher's API audit log".into(), Some(advice));
    }
    if object.has("auditID") && object.has("action") && object.has("serviceName") {
        let advice = "this is the platform's own audit log: use the audit log of the Kubernetes API";
        return ("a record of Google Distributed Cloud's platform audit log".into(), Some(advice));
    }
    if let Some(kind) = object.text("kind") {
        let version = object.text("apiVersion").map(|version| format!(" of {version}")).unwrap_or_default();
        let what = visible(&bounded(&format!("a Kubernetes object of kind {kind}{version}"), SHOWN_CHARS_MAX));
        return (what.into(), None);
    }
    if object.has("auditID") {
        return ("a record with an auditID that is not a Kubernetes audit event".into(), None);
    }
    if object.has("textPayload") || object.has("jsonPayload") {
        let advice = "filter for protoPayload.serviceName=\"k8s.io\"";
        return ("an entry of Cloud Logging without protoPayload".into(), Some(advice));
    }
    let names: Vec<&str> = object.members().map(|(key, _)| key).take(NAMES_MAX).collect();
    if names.is_empty() {
        return ("an empty JSON object".into(), None);
    }
    let names = visible(&bounded(&names.join(", "), SHOWN_CHARS_MAX));
    (format!("a JSON object with the members {names}").into(), None)
}

fn of_text(text: &str) -> (Cow<'static, str>, Option<&'static str>) {
    let is_yaml = ["\ninsertId: ", "\nlogName: ", "\nprotoPayload:"];
    if (text.starts_with("---") || text.starts_with("insertId: ") || text.starts_with("protoPayload:"))
        && (is_yaml.iter().any(|key| text.contains(key)) || !text.contains('\n'))
    {
        return ("YAML, as gcloud prints it".into(), Some("add --format=json to the gcloud command"));
    }
    if is_klog(text.as_bytes()) {
        return ("a klog line".into(), None);
    }
    if text.contains("AUDIT: id=") {
        return ("the API server's legacy audit format".into(), Some("set --audit-log-format=json"));
    }
    if text.starts_with("time=") && text.contains(" level=") {
        return ("a logfmt line".into(), None);
    }
    if text.starts_with('[') {
        return ("a JSON list".into(), None);
    }
    if text.starts_with('{') {
        return ("damaged JSON".into(), None);
    }
    if text.chars().take(SHOWN_CHARS_MAX).filter(|c| *c == '\u{fffd}' || c.is_control()).count() > 8 {
        return ("binary data".into(), None);
    }
    ("a line of text".into(), None)
}

/// Returns whether the text begins as klog writes: a letter for the severity, month, day and time.
fn is_klog(text: &[u8]) -> bool {
    matches!(text, [b'I' | b'W' | b'E' | b'F', date @ ..]
        if date.len() > 5 && date[..4].iter().all(u8::is_ascii_digit) && date[4] == b' ')
}
