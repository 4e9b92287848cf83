//! Test cases in rule files, under `stakeout: tests:`.

use serde_json::{Map, Value as Json};

use super::{Origin, Rules};
use crate::address::TrustedProxies;
use crate::decode::{DecodeError, Enveloped, decode};
use crate::diagnostic::Diagnostic;
use crate::event::AuditEvent;
use crate::observation::Observation;
use crate::source::{LogId, Provider, Source};
use crate::time::Second;
use crate::yaml::{At, Node, Value};

/// Keys that only an envelope of a cloud has: an entry of Cloud Logging, a row of Log Analytics or its export, an event
/// of CloudWatch Logs.
const ENVELOPE_KEYS: &[&str] = &["protoPayload", "log_s", "properties", "TimeGenerated", "message"];

/// The keys of an audit event (`audit.k8s.io/v1`), and of the objects in it that rules read.
/// <https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/#audit-k8s-io-v1-Event>
const EVENT_KEYS: &[&str] = &[
    "annotations",
    "apiVersion",
    "auditID",
    "authenticationMetadata",
    "impersonatedUser",
    "kind",
    "level",
    "metadata",
    "objectRef",
    "requestObject",
    "requestReceivedTimestamp",
    "requestURI",
    "responseObject",
    "responseStatus",
    "sourceIPs",
    "stage",
    "stageTimestamp",
    "user",
    "userAgent",
    "verb",
];
const USER_KEYS: &[&str] = &["extra", "groups", "uid", "username"];
const OBJECT_KEYS: &[(&str, &[&str])] = &[
    ("impersonatedUser", USER_KEYS),
    (
        "objectRef",
        &["apiGroup", "apiVersion", "name", "namespace", "resource", "resourceVersion", "subresource", "uid"],
    ),
    ("responseStatus", &["apiVersion", "code", "details", "kind", "message", "metadata", "reason", "status"]),
    ("user", USER_KEYS),
];

/// One case: an event, and whether the rule matches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The rule.
    pub rule: String,
    /// What the case shows.
    pub name: String,
    /// Who wrote the rule.
    pub origin: Origin,
    /// The file.
    pub file: String,
    /// The line.
    pub line: usize,
    /// The event.
    pub event: CaseEvent,
    /// Whether the rule must match it.
    pub expected: bool,
}

/// The event of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaseEvent {
    /// As the API server writes it.
    Audit(Box<AuditEvent>),
    /// As a cloud stores it: a JSON object for the cloud's crate.
    Enveloped(String),
}

/// The result of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseResult {
    /// The case.
    pub case: Case,
    /// Whether the rule matched, or why its event cannot be read.
    pub actual: Result<bool, DecodeError>,
}

/// Reads an event as a cloud keeps it, and says which service that is.
pub type ReadEnvelope<'a> = &'a dyn Fn(&str) -> Result<(Provider, Enveloped), DecodeError>;

impl CaseResult {
    /// Returns whether the rule did what the case expects.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.actual == Ok(self.case.expected)
    }

    /// Returns the error of a case that did not pass.
    #[must_use]
    pub fn failure(&self) -> Option<Diagnostic> {
        if self.is_passed() {
            return None;
        }
        let Case { rule, name, file, line, expected, .. } = &self.case;
        let words = |matched: bool| if matched { "match" } else { "no match" };
        let actual = match &self.actual {
            Ok(matched) => format!("got {}", words(*matched)),
            Err(error) => format!("its event cannot be read: {error}"),
        };
        Some(Diagnostic {
            file: file.clone(),
            line: *line,
            key: String::new(),
            problem: format!("the case `{name}` of the rule `{rule}` failed: expected {}, {actual}", words(*expected)),
            fix: "correct the rule or the case; `stakeout explain` shows each condition".to_owned(),
        })
    }
}

impl Case {
    pub(super) fn read(at: &At<'_>, rule: &str, origin: Origin) -> Result<Case, Diagnostic> {
        let map = at.map(&["name", "event", "match"])?;
        let name = map.need("name", "write what the case shows")?.text()?.to_owned();
        let event_at = map.need("event", "write the relevant fields of the audit event")?;
        let is_enveloped = event_at.any_map()?.entries().any(|(key, _)| ENVELOPE_KEYS.contains(&key));
        let spelled = json(event_at.node).to_string();
        let event = if is_enveloped {
            CaseEvent::Enveloped(spelled)
        } else {
            check_keys(&event_at)?;
            let decoded = decode(spelled.as_bytes()).map_err(|error| {
                event_at
                    .error(error.to_string(), "write an event with at least a verb, and with no other kind than Event")
            })?;
            CaseEvent::Audit(Box::new(decoded.event))
        };
        Ok(Case {
            rule: rule.to_owned(),
            name,
            origin,
            file: at.file().to_owned(),
            line: at.line(),
            event,
            expected: map.need("match", "write `match: true` or `match: false`")?.boolean()?,
        })
    }
}

impl Rules {
    /// Returns the cases that say something about these rules. A filter of the user may exclude the event of a built-in
    /// rule's case, so with rules of the user, only their cases do.
    fn relevant_cases(&self) -> impl Iterator<Item = &Case> {
        self.cases.iter().filter(|case| !self.has_own || case.origin == Origin::Own)
    }

    /// Runs every relevant case whose event is written as the API server writes it: a rule matches where the event is a
    /// request, fits its selections, and has a group to count for.
    #[must_use]
    pub fn test(&self) -> Vec<CaseResult> {
        let native = self.relevant_cases().filter(|case| matches!(case.event, CaseEvent::Audit(_)));
        native.map(|case| self.run(case, &|_| Err(DecodeError::OtherService("unread".to_owned())))).collect()
    }

    /// Runs every case, but those of built-in rules only where no rule or filter is the user's: their filters may exclude
    /// its event. `read` reads those events that are written as a cloud keeps them.
    #[must_use]
    pub fn test_with(&self, read: ReadEnvelope<'_>) -> Vec<CaseResult> {
        self.relevant_cases().map(|case| self.run(case, read)).collect()
    }

    fn run(&self, case: &Case, read: ReadEnvelope<'_>) -> CaseResult {
        let actual = match &case.event {
            CaseEvent::Audit(event) => {
                let event = AuditEvent::clone(event);
                Ok(self.matches(&case.rule, Provider::File, None, event, Second(0)))
            }
            CaseEvent::Enveloped(json) => read(json).map(|(provider, Enveloped { decoded, time_ms, cluster, .. })| {
                self.matches(&case.rule, provider, cluster.as_deref(), decoded.event, Second::of_millis(time_ms))
            }),
        };
        CaseResult { case: case.clone(), actual }
    }

    fn matches(&self, name: &str, provider: Provider, cluster: Option<&str>, event: AuditEvent, at: Second) -> bool {
        let source = Source {
            name: "case".to_owned(),
            provider,
            cluster: cluster.unwrap_or("case").into(),
            log: LogId(format!("{provider}/case")),
        };
        let observation = Observation::of_event(&source, &TrustedProxies::default(), event, at, || "case".to_owned());
        let Some(observation) = observation else {
            return false;
        };
        match self.named(name) {
            Some(rule) => !rule.groups_of(&observation).is_empty(),
            None => self.detections.iter().any(|detection| {
                detection.name == name && detection.expression.holds(&observation, observation.client)
            }),
        }
    }
}

/// Fails for a key that an audit event does not have: without it, a case with a typo would pass for the wrong reason.
fn check_keys(event: &At<'_>) -> Result<(), Diagnostic> {
    let map = event.map(EVENT_KEYS)?;
    for (name, known) in OBJECT_KEYS {
        if let Some(at) = map.get(name).filter(|at| at.node.value != Value::Null) {
            at.map(known)?;
        }
    }
    Ok(())
}

fn json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::List(items) => Json::Array(items.iter().map(json).collect()),
        Value::Map(entries) => {
            Json::Object(entries.iter().map(|(key, node)| (key.name.clone(), json(node))).collect::<Map<_, _>>())
        }
        Value::Scalar { text, is_plain } => match (is_plain, text.parse::<i64>(), text.parse::<bool>()) {
            (true, Ok(number), _) => Json::from(number),
            (true, _, Ok(value)) => Json::Bool(value),
            _ => Json::String(text.clone()),
        },
    }
}
