//! Test cases that stand in a rule's own file, under `stakeout: tests:`.

use serde_json::{Map, Value as Json};

use super::Rules;
use crate::address::TrustedProxies;
use crate::decode::decode;
use crate::diagnostic::Diagnostic;
use crate::event::AuditEvent;
use crate::observation::Observation;
use crate::source::{LogId, Provider, Source};
use crate::time::Second;
use crate::yaml::{At, Node, Value};

/// One case: an event, and whether the rule matches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The rule whose file it stands in.
    pub rule: String,
    /// What the case is about.
    pub name: String,
    /// The file.
    pub file: String,
    /// The line.
    pub line: usize,
    /// The event.
    pub event: AuditEvent,
    /// Whether the rule must match it.
    pub expected: bool,
}

/// How a case went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseResult {
    /// The case.
    pub case: Case,
    /// Whether the rule matched.
    pub actual: bool,
}

impl CaseResult {
    /// Tells whether the rule did what the case expects.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.actual == self.case.expected
    }
}

impl Case {
    pub(super) fn read(at: &At<'_>, rule: &str) -> Result<Case, Diagnostic> {
        let map = at.map(&["name", "event", "match"])?;
        let name = map.need("name", "say what the case is about")?.text()?.to_owned();
        let event_at = map.need("event", "write the audit event, as far as it matters")?;
        event_at.any_map()?;
        let spelled = json(event_at.node).to_string();
        let decoded = decode(spelled.as_bytes()).map_err(|fault| {
            event_at.fault(fault.to_string(), "give the event at least a verb, and no kind but Event")
        })?;
        Ok(Case {
            rule: rule.to_owned(),
            name,
            file: at.file().to_owned(),
            line: at.line(),
            event: decoded.event,
            expected: map.need("match", "write `match: true` or `match: false`")?.boolean()?,
        })
    }
}

impl Rules {
    /// Runs every case: a rule matches where the event is a request, fits its selections, and has a group to count for.
    #[must_use]
    pub fn test(&self) -> Vec<CaseResult> {
        self.cases
            .iter()
            .map(|case| CaseResult { actual: self.matches(&case.rule, &case.event), case: case.clone() })
            .collect()
    }

    fn matches(&self, name: &str, event: &AuditEvent) -> bool {
        let source = Source {
            name: "case".to_owned(),
            provider: Provider::File,
            cluster: "case".into(),
            log: LogId("file/case".to_owned()),
        };
        let observation =
            Observation::of_event(&source, &TrustedProxies::default(), event.clone(), Second(0), || "case".to_owned());
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

fn json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::List(items) => Json::Array(items.iter().map(json).collect()),
        Value::Map(entries) => {
            Json::Object(entries.iter().map(|(key, node)| (key.name.clone(), json(node))).collect::<Map<_, _>>())
        }
        Value::Scalar { text, is_plain } => match (is_plain, text.parse::<i64>(), text.parse::<bool>()) {
            (true, Ok(number), _) => Json::from(number),
            (true, _, Ok(fact)) => Json::Bool(fact),
            _ => Json::String(text.clone()),
        },
    }
}
