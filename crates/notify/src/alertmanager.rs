//! Prometheus Alertmanager, by its API v2: an alert for each incident, finding and notice, which its end resolves.
//!
//! Labels identify an alert, so none of them changes while the alert lives. A level may rise, and people route by `severity`: each
//! level of an incident is an alert of its own, and a message ends those of the other levels. Alertmanager keeps alerts in memory
//! and ends those of which it hears no more, so the daemon sends the alerts of incidents again with each tick.
//! <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use stakeout_core::delivery::Activity;
use stakeout_core::incident::{Actor, Incident};
use stakeout_core::rule::Level;
use stakeout_core::text::{bounded, visible};
use stakeout_core::time::Second;
use stakeout_http::{Client, Endpoint, Network};

use crate::address_book::AddressBook;
use crate::console::{LogConsole, Search};
use crate::details::address_details;
use crate::error::{Receipt, SendError, SetupError};
use crate::http::{self, Secrets};
use crate::incident::story;
use crate::notification::{IncidentReport, Message, MessageBody};
use crate::ocsf;
use crate::text;

/// Most of the user's labels.
pub const LABELS_MAX: usize = 16;
/// The labels that Stakeout sets.
const OWN_LABELS: [&str; 9] =
    ["alertname", "severity", "incident", "finding", "notice", "actor_kind", "actor", "rule", "destination"];
/// Longest value of a label, in characters: they are shown in lists, and stored with each silence.
const LABEL_CHARS_MAX: usize = 200;
/// Longest value of an annotation, in characters.
const ANNOTATION_CHARS_MAX: usize = 4_000;
/// Most clusters, rules and sources that an annotation names.
const NAMES_MAX: usize = 20;
/// How long an alert lives that is not sent again: a finding or a notice. Its end comes with a message of its own.
const UNREPEATED: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How long the alert of a test lives.
const TEST: SignedDuration = SignedDuration::from_mins(5);
/// The shortest time for which an alert lives without another word of it: a tick may take some minutes.
const LIFE_MIN: SignedDuration = SignedDuration::from_mins(15);

/// An Alertmanager.
#[derive(Debug)]
pub struct Alertmanager {
    /// Where alerts are posted. Its path may hold a key.
    url: SecretString,
    bearer_token: Option<SecretString>,
    labels: BTreeMap<String, String>,
    client: Client,
}

impl Alertmanager {
    /// Returns the Alertmanager at the base address `endpoint`; each alert has these labels too.
    pub fn new(
        endpoint: &Endpoint,
        bearer_token: Option<SecretString>,
        labels: BTreeMap<String, String>,
        network: &Network,
    ) -> Result<Alertmanager, SetupError> {
        let url = SecretString::from(format!("{}/api/v2/alerts", endpoint.as_str().trim_end_matches('/')));
        Ok(Alertmanager { url, bearer_token, labels, client: http::client(network)? })
    }

    /// Sends the alerts of `message`. That of an incident lives until `until`.
    pub(crate) async fn send(
        &self,
        message: &Message<'_>,
        consoles: &[LogConsole],
        book: &AddressBook,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Receipt, SendError> {
        self.post(alerts(message, consoles, book, until, now)).await
    }

    /// Sends the alerts of open incidents again.
    pub(crate) async fn repeat(
        &self,
        incidents: &[IncidentReport<'_>],
        consoles: &[LogConsole],
        book: &AddressBook,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), SendError> {
        let ends_at = life(until, now);
        let alerts = incidents.iter().map(|report| {
            let labels = incident_labels(report, report.incident.level);
            alert(labels, incident_annotations(report.incident, book), began(report.incident.first, now), ends_at)
                .with_link(report.incident, consoles)
        });
        self.post(alerts.collect()).await.map(drop)
    }

    async fn post(&self, mut alerts: Vec<Alert>) -> Result<Receipt, SendError> {
        for alert in &mut alerts {
            for (name, value) in &self.labels {
                alert.0["labels"][name] = json!(value);
            }
        }
        let body = ocsf::to_line(&alerts.into_iter().map(|alert| alert.0).collect());
        let mut request = self.client.post(self.url.expose_secret());
        if let Some(token) = &self.bearer_token {
            request = request.bearer_auth(token.expose_secret());
        }
        let answer = http::post(request, body, &Secrets::of(&self.url, &self.bearer_token)).await?;
        match answer.status {
            200..=299 => Ok(Receipt::default()),
            _ => Err(answer.failure()),
        }
    }
}

/// Returns whether a text can be the name of a label of the user.
#[must_use]
pub fn is_label(name: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(is_inner)
        && name.starts_with(|c: char| !c.is_ascii_digit())
        && !name.starts_with("__")
        && name.len() <= 63
        && !OWN_LABELS.contains(&name)
}

/// An alert as the API takes it.
struct Alert(Value);

impl Alert {
    /// Adds a link to where the log can be searched.
    fn with_link(mut self, incident: &Incident, consoles: &[LogConsole]) -> Alert {
        let mut asked = consoles.iter().filter(|console| incident.clusters.contains(&console.cluster));
        if let Some(search) = Search::of(incident)
            && let Some(url) = asked.find_map(|console| console.url(&search))
        {
            self.0["generatorURL"] = json!(url);
        }
        self
    }
}

fn alerts(
    message: &Message<'_>,
    consoles: &[LogConsole],
    book: &AddressBook,
    until: Option<Timestamp>,
    now: Timestamp,
) -> Vec<Alert> {
    let object = ocsf::message(message, now);
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let is_end = object["activity_id"] == json!(Activity::Close as u8);
    let ends_at = |life: Timestamp| if is_end { now } else { life };
    let summary = || vec![("summary", text("/message").to_owned())];
    let unrepeated = ends_at(now + UNREPEATED);
    match &message.body {
        MessageBody::Incident(report) => {
            let incident = report.incident;
            let of_level = |level: Level| {
                let is_current = level == incident.level;
                let ends_at = if is_current { ends_at(life(until, now)) } else { now };
                let labels = incident_labels(report, level);
                alert(labels, incident_annotations(incident, book), began(incident.first, now), ends_at)
                    .with_link(incident, consoles)
            };
            Level::ALL.into_iter().map(of_level).collect()
        }
        MessageBody::Finding { finding, .. } => {
            let labels = [
                ("alertname", "StakeoutFinding".to_owned()),
                ("severity", finding.rule.level.to_string()),
                ("finding", finding.key.to_string()),
                ("rule", finding.rule.name.clone()),
                ("actor", text::subject(finding)),
            ];
            let show = ("show", text::details_command(finding));
            let annotations = summary().into_iter().chain([show]);
            vec![alert(labels, annotations, began(finding.episode.first, now), unrepeated)]
        }
        MessageBody::Notice(notice) => {
            let labels = [
                ("alertname", "StakeoutNotice".to_owned()),
                ("severity", crate::notice::level(notice).to_string()),
                ("notice", crate::notice::uid(notice)),
            ];
            vec![alert(labels, summary(), now, unrepeated)]
        }
        MessageBody::Digest(_) | MessageBody::Forgotten(_) => {
            let labels = [
                ("alertname", "StakeoutMessage".to_owned()),
                ("severity", Level::Medium.to_string()),
                ("notice", message.id.clone()),
            ];
            vec![alert(labels, summary(), now, unrepeated)]
        }
        MessageBody::Test { destination } => {
            let labels = [
                ("alertname", "StakeoutTest".to_owned()),
                ("severity", Level::Informational.to_string()),
                ("destination", (*destination).to_owned()),
            ];
            vec![alert(labels, summary(), now, now + TEST)]
        }
    }
}

fn incident_labels(report: &IncidentReport<'_>, level: Level) -> [(&'static str, String); 5] {
    [
        ("alertname", "StakeoutIncident".to_owned()),
        ("severity", level.to_string()),
        ("incident", report.uid.to_string()),
        ("actor_kind", report.incident.actor.kind().to_owned()),
        ("actor", actor(&report.incident.actor)),
    ]
}

/// Returns the name of an actor that stays the same; a crowd has none but its uid.
fn actor(actor: &Actor) -> String {
    match actor {
        Actor::Account { name, .. } => name.clone(),
        Actor::Address(source) => source.to_string(),
        Actor::Crowd { .. } => String::new(),
    }
}

fn incident_annotations(incident: &Incident, book: &AddressBook) -> Vec<(&'static str, String)> {
    let names = |names: &mut dyn Iterator<Item = String>| names.take(NAMES_MAX).collect::<Vec<_>>().join(", ");
    let silence = text::silence_command(incident).unwrap_or_default();
    vec![
        ("summary", incident.title.clone()),
        ("description", story(incident) + &address_details(incident.sources.iter().copied(), book)),
        ("clusters", names(&mut incident.clusters.iter().cloned())),
        ("rules", names(&mut incident.rules.iter().cloned())),
        ("sources", names(&mut incident.sources.iter().map(ToString::to_string))),
        ("show", text::incident_command(incident)),
        ("silence", silence),
    ]
}

/// Makes an alert. Every text is escaped and cut, and what is empty is left out: an empty label is none.
fn alert(
    labels: impl IntoIterator<Item = (&'static str, String)>,
    annotations: impl IntoIterator<Item = (&'static str, String)>,
    starts_at: Timestamp,
    ends_at: Timestamp,
) -> Alert {
    let labels: BTreeMap<&str, String> = labels
        .into_iter()
        .map(|(name, value)| (name, bounded(&visible(&value), LABEL_CHARS_MAX)))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let lines = |text: &str| text.lines().map(visible).collect::<Vec<_>>().join("\n");
    let annotations: BTreeMap<&str, String> = annotations
        .into_iter()
        .map(|(name, value)| (name, bounded(&lines(&value), ANNOTATION_CHARS_MAX)))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    Alert(json!({
        "labels": labels,
        "annotations": annotations,
        "startsAt": starts_at.to_string(),
        "endsAt": ends_at.to_string(),
    }))
}

/// Returns until when an alert lives that is sent again with the next tick.
fn life(until: Option<Timestamp>, now: Timestamp) -> Timestamp {
    until.unwrap_or(now).max(now + LIFE_MIN)
}

/// Returns when an alert began, which is never after now: an alert does not end before it begins.
fn began(first: Second, now: Timestamp) -> Timestamp {
    Timestamp::from_second(first.0).map_or(now, |first| first.min(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_of_the_user_is_one_of_prometheus_and_none_of_ours() {
        assert!(["team", "_a1", "Cluster"].into_iter().all(is_label));
        for bad in ["", "1a", "a-b", "a.b", "__meta", "severity", "incident", "\u{e4}"] {
            assert!(!is_label(bad), "{bad}");
        }
    }

    #[test]
    fn an_alert_lives_until_the_tick_after_the_next() {
        let at = |minutes: i64| Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes);
        assert_eq!(life(Some(at(120)), at(0)), at(120));
        assert_eq!([life(Some(at(2)), at(0)), life(None, at(0))], [at(15), at(15)]);
    }
}
