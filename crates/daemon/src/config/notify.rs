//! The destinations of findings and incidents: `notify`. Nothing is sent here, not even to check that a destination exists.

use secrecy::{ExposeSecret, SecretString};
use stakeout_aws::Access;
use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::route::{Route, Subjects};
use stakeout_core::rule::Level;
use stakeout_core::yaml::{At, Map, Value};
use stakeout_http::Endpoint;
use stakeout_notify::{pagerduty, slack};

use super::route::{self, WantedRule};
use crate::section::secret::SecretScope;
use crate::section::{self, SectionReader, aws, keys, secret, url};

/// Each commit writes a delivery for each destination; more destinations are a job for a fan-out service.
const DESTINATIONS_MAX: usize = 64;
const KINDS: [&str; 5] = ["slack", "sns", "pagerduty", "webhook", "stdout"];
const MESSAGES_PER_RUN: u32 = 10;
const MESSAGES_PER_RUN_MAX: u32 = 50;

/// A destination of findings and incidents.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    /// The name, which is the key of its pending deliveries.
    pub(crate) name: String,
    /// Which findings and incidents it hears of, complete once [`name_rules`](super::route::name_rules) knows the rules.
    pub(crate) route: Route,
    /// The rules that its route names.
    pub(crate) rules: Vec<WantedRule>,
    /// How it is reached.
    pub(crate) kind: DestinationKind,
}

/// The kinds of destination.
#[derive(Clone, Debug)]
pub(crate) enum DestinationKind {
    /// Slack.
    Slack(Slack),
    /// A topic of Amazon SNS.
    Sns(Sns),
    /// A service of PagerDuty.
    PagerDuty(PagerDuty),
    /// A URL that accepts findings and incidents as JSON.
    Webhook(Webhook),
    /// One line of JSON for each finding and incident on standard output.
    Stdout,
}

/// A channel of Slack.
#[derive(Clone, Debug)]
pub(crate) struct Slack {
    /// How messages get there.
    pub(crate) mode: SlackMode,
    /// With more messages than this, a digest has the rest.
    pub(crate) max_messages_per_run: u32,
}

/// How messages get to Slack.
#[derive(Clone, Debug)]
pub(crate) enum SlackMode {
    /// By an incoming webhook, which cannot edit its messages.
    Webhook {
        /// The URL, which is the credential: Slack's own host over https, or a fake on this machine.
        url: SecretString,
    },
    /// By a bot, which edits one message for each incident.
    Bot {
        /// The bot token.
        token: SecretString,
        /// The id or the name of the channel.
        channel: String,
        /// Slack's Web API, or a fake of it on this machine.
        endpoint: Endpoint,
    },
}

/// A topic of Amazon SNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sns {
    /// The topic.
    pub(crate) topic_arn: String,
    /// Region, role and endpoint.
    pub(crate) access: Access,
}

/// A service of PagerDuty.
#[derive(Clone, Debug)]
pub(crate) struct PagerDuty {
    /// The integration key.
    pub(crate) routing_key: SecretString,
    /// The Events API, or a fake of it on this machine.
    pub(crate) endpoint: Endpoint,
}

/// A URL that accepts findings and incidents as JSON.
#[derive(Clone, Debug)]
pub(crate) struct Webhook {
    /// The URL, https or on this machine. It is a secret, because many URLs contain a token.
    pub(crate) url: SecretString,
    /// The bearer token, if any; valid in a header.
    pub(crate) token: Option<SecretString>,
}

/// Parses `notify`. An error in one destination does not hide the errors in the others.
pub(super) fn read(
    top: &Map<'_>,
    clusters: Option<&[&str]>,
    secrets: SecretScope<'_>,
    reader: &mut SectionReader<'_>,
    errors: &mut Vec<Diagnostic>,
) -> Option<Vec<Destination>> {
    let items = items(top, reader).map_err(|error| errors.push(error)).ok()?;
    let mut read: Vec<(Destination, usize)> = Vec::new();
    for at in items {
        match destination(&at, &read, clusters, secrets, reader) {
            Ok(destination) => read.push((destination, at.line())),
            Err(error) => errors.push(error),
        }
    }
    let destinations: Vec<Destination> = read.into_iter().map(|(destination, _)| destination).collect();
    if let Some(clusters) = clusters {
        let routes: Vec<&Route> = destinations.iter().map(|destination| &destination.route).collect();
        route::warn_of_unheard(top, &routes, clusters, reader);
    }
    Some(destinations)
}

fn items<'a>(top: &Map<'a>, reader: &mut SectionReader<'_>) -> Result<Vec<At<'a>>, Diagnostic> {
    let fix = "add a destination, such as - {name: out, stdout: {}}";
    let problem = "findings have no destination";
    let Some(at) = top.get("notify") else {
        reader.warn(Diagnostic { line: 0, key: "notify".to_owned(), ..top.at().error(problem, fix) });
        return Ok(Vec::new());
    };
    if !matches!(at.node.value, Value::List(_)) {
        // The error of core would repeat the value, which may be a secret URL in the wrong place.
        return Err(at.error("not a list of destinations", fix));
    }
    let items = at.list()?;
    if items.is_empty() {
        reader.warn(at.error(problem, fix));
    }
    if items.len() > DESTINATIONS_MAX {
        return Err(at.error(
            format!("{} destinations", items.len()),
            format!("keep at most {DESTINATIONS_MAX}, or let one SNS topic reach many receivers"),
        ));
    }
    Ok(items)
}

fn destination(
    at: &At<'_>,
    before: &[(Destination, usize)],
    clusters: Option<&[&str]>,
    secrets: SecretScope<'_>,
    reader: &mut SectionReader<'_>,
) -> Result<Destination, Diagnostic> {
    let map = keys(at, &[&["name"][..], &route::KEYS, &KINDS].concat())?;
    let name_fix = "give each destination its own name";
    let name_at = map.need("name", name_fix)?;
    let name = section::name(&name_at)?;
    if let Some((_, line)) = before.iter().find(|(other, _)| other.name == name) {
        return Err(name_at.error(format!("the destination in line {line} has the same name"), name_fix));
    }
    reader.set_secrets(secrets.of_destination(&name));
    let kind = kind(&map, reader)?;
    // People hear of attackers, and machines of all that is known.
    let unless_given = match kind {
        DestinationKind::Slack(_) => Route::from_level(Subjects::Incidents, Level::Low),
        // PagerDuty wakes people.
        DestinationKind::PagerDuty(_) => Route::from_level(Subjects::Incidents, Level::High),
        DestinationKind::Sns(_) | DestinationKind::Webhook(_) | DestinationKind::Stdout => {
            Route::from_level(Subjects::Both, Level::Informational)
        }
    };
    let (route, rules) = route::read(&map, unless_given, clusters)?;
    Ok(Destination { name, route, rules, kind })
}

fn kind(map: &Map<'_>, reader: &mut SectionReader<'_>) -> Result<DestinationKind, Diagnostic> {
    let named: Vec<_> = map.entries().filter(|(name, _)| KINDS.contains(name)).collect();
    match named.as_slice() {
        [] => Err(map.at().error("the destination has no kind", format!("add one of {}", KINDS.join(", ")))),
        [("slack", at)] => slack(at, reader).map(DestinationKind::Slack),
        [("sns", at)] => sns(at).map(DestinationKind::Sns),
        [("pagerduty", at)] => pagerduty(at, reader).map(DestinationKind::PagerDuty),
        [("webhook", at)] => webhook(at, reader).map(DestinationKind::Webhook),
        [(_, at)] => stdout(at),
        [(first, _), (second, at), ..] => {
            Err(at
                .error(format!("the destination is {first} already"), format!("give {second} its own entry and name")))
        }
    }
}

fn slack(at: &At<'_>, reader: &mut SectionReader<'_>) -> Result<Slack, Diagnostic> {
    let known = [
        "webhook_url",
        "webhook_url_file",
        "bot_token",
        "bot_token_file",
        "channel",
        "endpoint",
        "max_messages_per_run",
    ];
    let map = keys(at, &known)?;
    let is_bot = map.get("bot_token").is_some() || map.get("bot_token_file").is_some();
    let mode = if is_bot { slack_bot(&map, reader)? } else { slack_webhook(&map, reader)? };
    let messages = map.get("max_messages_per_run").map(|at| section::number_within(&at, 1, MESSAGES_PER_RUN_MAX));
    Ok(Slack { mode, max_messages_per_run: messages.transpose()?.unwrap_or(MESSAGES_PER_RUN) })
}

fn slack_bot(map: &Map<'_>, reader: &mut SectionReader<'_>) -> Result<SlackMode, Diagnostic> {
    let webhook = map.get("webhook_url").or_else(|| map.get("webhook_url_file"));
    if let Some(at) = webhook {
        return Err(at.error("a bot needs no webhook", "keep the bot token, which can edit messages, or the webhook"));
    }
    let secret = secret::need(map, "bot_token", "the bot token of a Slack app", reader)?;
    if !secret.value.as_ref().is_none_or(|token| slack::is_bot_token(token.expose_secret())) {
        return Err(secret.at.error(
            "not a bot token of Slack",
            "copy the Bot User OAuth Token from the app's page OAuth & Permissions: it begins with xoxb-",
        ));
    }
    let fix = "add the channel's id, such as C024BE91L, which Slack shows at the end of the channel's details";
    let channel_at = map.need("channel", fix)?;
    let channel = channel_at.text()?;
    if !slack::is_channel(channel) {
        return Err(channel_at.error("not the id or the name of a channel", fix));
    }
    let endpoint = match map.get("endpoint") {
        Some(at) => {
            let endpoint = url::endpoint(&at)?;
            if !slack::is_api(&endpoint) {
                return Err(
                    at.error("not Slack's Web API", "leave it out, or write https://slack-gov.com for GovSlack")
                );
            }
            endpoint
        }
        None => Endpoint::parse(slack::API_URL).map_err(|error| url::fault(map.at(), error))?,
    };
    Ok(SlackMode::Bot { token: secret.value.unwrap_or_default(), channel: channel.to_owned(), endpoint })
}

fn slack_webhook(map: &Map<'_>, reader: &mut SectionReader<'_>) -> Result<SlackMode, Diagnostic> {
    for of_bot in ["channel", "endpoint"] {
        if let Some(at) = map.get(of_bot) {
            return Err(
                at.error("only a bot has it", "add `bot_token_file`, or remove it: a webhook belongs to a channel")
            );
        }
    }
    let secret =
        secret::need(map, "webhook_url", "the URL of Slack's incoming webhook, or `bot_token` and `channel`", reader)?;
    let is_webhook =
        |url: &SecretString| Endpoint::parse(url.expose_secret()).is_ok_and(|endpoint| slack::is_webhook(&endpoint));
    if !secret.value.as_ref().is_none_or(is_webhook) {
        return Err(secret.at.error(
            "not the URL of a Slack incoming webhook",
            "copy it from Slack: it begins with https://hooks.slack.com/services/",
        ));
    }
    Ok(SlackMode::Webhook { url: secret.value.unwrap_or_default() })
}

fn sns(at: &At<'_>) -> Result<Sns, Diagnostic> {
    let map = keys(at, &["topic_arn", "region", "endpoint", "assume_role", "credential"])?;
    let at = map.need("topic_arn", "add arn:aws:sns:REGION:ACCOUNT:TOPIC")?;
    let (topic_arn, region) = aws::topic(&at)?;
    Ok(Sns { topic_arn: topic_arn.to_owned(), access: aws::access(&map, Some(region))? })
}

fn pagerduty(at: &At<'_>, reader: &mut SectionReader<'_>) -> Result<PagerDuty, Diagnostic> {
    let map = keys(at, &["routing_key", "routing_key_file", "endpoint"])?;
    let secret = secret::need(&map, "routing_key", "the integration key of a service", reader)?;
    if !secret.value.as_ref().is_none_or(|key| pagerduty::is_routing_key(key.expose_secret())) {
        return Err(secret.at.error(
            "not an integration key of PagerDuty",
            "add an integration of the type Events API v2 to the service, and copy its key: 32 letters and digits",
        ));
    }
    let endpoint = match map.get("endpoint") {
        Some(at) => {
            let endpoint = url::endpoint(&at)?;
            if !pagerduty::is_api(&endpoint) {
                let fix = "leave it out, or write https://events.eu.pagerduty.com for the service region EU";
                return Err(at.error("not PagerDuty's Events API", fix));
            }
            endpoint
        }
        None => Endpoint::parse(pagerduty::API_URL).map_err(|error| url::fault(map.at(), error))?,
    };
    Ok(PagerDuty { routing_key: secret.value.unwrap_or_default(), endpoint })
}

fn webhook(at: &At<'_>, reader: &mut SectionReader<'_>) -> Result<Webhook, Diagnostic> {
    let map = keys(at, &["url", "url_file", "token", "token_file"])?;
    let secret = secret::need(&map, "url", "the URL that accepts the findings", reader)?;
    if let Some(url) = &secret.value {
        Endpoint::parse(url.expose_secret()).map_err(|error| url::fault(&secret.at, error))?;
    }
    Ok(Webhook { url: secret.value.unwrap_or_default(), token: token(&map, reader)? })
}

fn stdout(at: &At<'_>) -> Result<DestinationKind, Diagnostic> {
    match &at.node.value {
        Value::Null => Ok(DestinationKind::Stdout),
        Value::Map(entries) if entries.is_empty() => Ok(DestinationKind::Stdout),
        _ => Err(at.error("standard output has no settings", "write stdout: {}")),
    }
}

fn token(map: &Map<'_>, reader: &mut SectionReader<'_>) -> Result<Option<SecretString>, Diagnostic> {
    if map.get("token").is_none() && map.get("token_file").is_none() {
        return Ok(None);
    }
    let secret = secret::need(map, "token", "the token", reader)?;
    if secret.value.as_ref().is_none_or(|token| token.expose_secret().bytes().all(|b| b.is_ascii_graphic())) {
        return Ok(secret.value);
    }
    Err(secret.at.error(
        "the token contains a space, a line break or a non-ASCII character",
        "write only the token, on one line and without `Bearer`",
    ))
}
