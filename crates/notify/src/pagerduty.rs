//! PagerDuty, by its Events API v2: an alert for each incident, finding and notice, which its end resolves.
//!
//! The deduplication key is the uid, so growth is another event of the same alert, and sending one again changes nothing.
//! PagerDuty accepts an event before it is processed: status 202 says that it is queued.
//! <https://developer.pagerduty.com/docs/send-alert-event>

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use stakeout_core::delivery::Activity;
use stakeout_core::incident::Incident;
use stakeout_core::rule::Level;
use stakeout_core::text::{bounded, visible};
use stakeout_http::{Client, Endpoint, Network};

use crate::address_book::AddressBook;
use crate::console::{LogConsole, Search};
use crate::details::{address_details, incident_details};
use crate::error::{Receipt, SendError, SetupError};
use crate::http::{self, Answer, Secrets};
use crate::notification::{Message, MessageBody};
use crate::ocsf;
use crate::text;

/// Where events go unless the config names another address.
pub const API_URL: &str = "https://events.pagerduty.com/";
/// The addresses of PagerDuty and of its service region in the EU.
const HOSTS: [&str; 2] = ["events.pagerduty.com", "events.eu.pagerduty.com"];
/// Length of an integration key.
const ROUTING_KEY_CHARS: usize = 32;
/// Longest summary of an event.
const SUMMARY_CHARS_MAX: usize = 1_024;
/// Longest text of details: an event takes 512 kB, and nobody reads more on a telephone.
const DETAILS_CHARS_MAX: usize = 8_000;
/// Most names of clusters and rules in an event, and the longest of them, in characters.
const NAMES_MAX: usize = 20;
const NAME_CHARS_MAX: usize = 256;
/// Most links in an event.
const LINKS_MAX: usize = 3;

/// A service of PagerDuty.
#[derive(Debug)]
pub struct PagerDuty {
    url: String,
    routing_key: SecretString,
    client: Client,
}

impl PagerDuty {
    /// Returns the service with this integration key, over the Events API at `endpoint`.
    pub fn new(endpoint: &Endpoint, routing_key: SecretString, network: &Network) -> Result<PagerDuty, SetupError> {
        if !is_api(endpoint) {
            return Err(SetupError::Address {
                reason: "PagerDuty's Events API is at https://events.pagerduty.com/ or https://events.eu.pagerduty.com/; plain \
                         http is for this machine only",
            });
        }
        let url = format!("{}/v2/enqueue", endpoint.as_str().trim_end_matches('/'));
        Ok(PagerDuty { url, routing_key, client: http::client(network)? })
    }

    /// Sends the event of `message`. The receipt has the alert's key.
    pub(crate) async fn send(
        &self,
        message: &Message<'_>,
        consoles: &[LogConsole],
        book: &AddressBook,
        now: Timestamp,
    ) -> Result<Receipt, SendError> {
        let mut event = event(message, consoles, book, now);
        let key = event["dedup_key"].as_str().map(str::to_owned);
        event["routing_key"] = json!(self.routing_key.expose_secret());
        let request = self.client.post(&self.url);
        let answer = http::post(request, ocsf::to_line(&event), &Secrets::of_token(&self.routing_key)).await?;
        match answer.status {
            202 => Ok(Receipt { remote_id: key, ..Receipt::default() }),
            _ => Err(failure(&answer)),
        }
    }
}

/// Returns whether an address can be the Events API, or a fake of it on this machine.
#[must_use]
pub fn is_api(endpoint: &Endpoint) -> bool {
    HOSTS.contains(&endpoint.authority()) || endpoint.is_plain_http()
}

/// Returns whether a text can be an integration key.
#[must_use]
pub fn is_routing_key(key: &str) -> bool {
    key.len() == ROUTING_KEY_CHARS && key.chars().all(|c| c.is_ascii_alphanumeric())
}

/// Returns the event for a message, without the integration key.
#[must_use]
pub fn event(message: &Message<'_>, consoles: &[LogConsole], book: &AddressBook, now: Timestamp) -> Value {
    let object = ocsf::message(message, now);
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let uid = match &message.body {
        MessageBody::Incident(report) => report.uid.to_string(),
        // A notice that ends a problem has the uid of the one that began it.
        _ => text("/finding_info/uid").to_owned(),
    };
    let is_end = object["activity_id"] == json!(Activity::Close as u8);
    let action = if is_end { "resolve" } else { "trigger" };
    let mut event = json!({"event_action": action, "dedup_key": uid, "client": "Stakeout"});
    if is_end {
        return event;
    }
    let mut details = json!({"message": message.id, "uid": uid});
    let mut clusters: Vec<&String> = Vec::new();
    let mut level = Level::Informational;
    let mut class = "stakeout";
    match &message.body {
        MessageBody::Incident(report) => {
            let incident = report.incident;
            level = incident.level;
            // The most important step.
            class = incident.steps.first().map_or(class, |step| &step.rule);
            clusters = incident.clusters.iter().collect();
            details["rules"] = names(incident.rules.iter());
            let known = incident_details(incident, "open") + &address_details(incident.sources.iter().copied(), book);
            details["details"] = json!(bounded(&known, DETAILS_CHARS_MAX));
            details["show"] = json!(text::incident_command(incident));
            details["silence"] = json!(text::silence_command(incident));
            event["links"] = links(incident, consoles);
        }
        MessageBody::Finding { finding, .. } => {
            level = finding.rule.level;
            class = &finding.rule.name;
            clusters = finding.clusters.iter().collect();
            details["rules"] = names([&finding.rule.name]);
            details["show"] = json!(text::details_command(finding));
        }
        MessageBody::Notice(notice) => {
            level = crate::notice::level(notice);
            class = crate::notice::kind(notice);
            clusters = vec![&notice.cluster];
        }
        MessageBody::Digest(_) | MessageBody::Forgotten(_) => level = Level::Medium,
        MessageBody::Test { .. } => {}
    }
    details["clusters"] = names(clusters.iter().copied());
    let source = clusters.first().map_or_else(|| "stakeout".to_owned(), |cluster| shown(cluster));
    event["payload"] = json!({
        "summary": bounded(&visible(text("/message")), SUMMARY_CHARS_MAX),
        "source": if source.is_empty() { "stakeout" } else { source.as_str() },
        "severity": severity(level),
        "timestamp": now.to_string(),
        "component": "kubernetes-api",
        "class": class,
        "custom_details": details,
    });
    event
}

fn links(incident: &Incident, consoles: &[LogConsole]) -> Value {
    let Some(search) = Search::of(incident) else { return json!([]) };
    let asked = consoles.iter().filter(|console| incident.clusters.contains(&console.cluster));
    let links = asked.filter_map(|console| {
        let text = format!("{}: {}", console.name(), shown(&console.cluster));
        Some(json!({"href": console.url(&search)?, "text": text}))
    });
    links.take(LINKS_MAX).collect()
}

fn names<'a>(names: impl IntoIterator<Item = &'a String>) -> Value {
    names.into_iter().take(NAMES_MAX).map(|name| json!(shown(name))).collect()
}

fn shown(name: &str) -> String {
    bounded(&visible(name), NAME_CHARS_MAX)
}

/// Returns PagerDuty's word for a level.
fn severity(level: Level) -> &'static str {
    match level {
        Level::Informational | Level::Low => "info",
        Level::Medium => "warning",
        Level::High => "error",
        Level::Critical => "critical",
    }
}

/// Returns what an answer means. An event that is refused is refused for its form or its key, and the answer says for which.
fn failure(answer: &Answer) -> SendError {
    match answer.failure() {
        SendError::Refused { reason } if answer.status == 400 => SendError::refused(format!(
            "{reason} (check `routing_key`: it is the integration key of an Events API v2 integration, not an API key)"
        )),
        failure => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_addresses_are_those_of_pagerduty() {
        assert!(is_routing_key("0123456789abcdef0123456789ABCDEF"));
        for bad in ["", "0123456789abcdef0123456789abcde", "0123456789abcdef0123456789abcde-", "u+0123456789abcdef01"] {
            assert!(!is_routing_key(bad), "{bad}");
        }
        let is_api = |url: &str| Endpoint::parse(url).is_ok_and(|endpoint| super::is_api(&endpoint));
        let urls = [API_URL, "https://events.eu.pagerduty.com", "http://127.0.0.1:80", "https://events.evil.example"];
        assert_eq!(urls.map(is_api), [true, true, true, false]);
    }

    #[test]
    fn each_level_has_a_severity() {
        assert_eq!(Level::ALL.map(severity), ["info", "info", "warning", "error", "critical"]);
    }
}
