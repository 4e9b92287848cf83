//! Secrets in every slot of a config: none shows in what any command prints with all of its log, nor in the state, whether
//! services take them or refuse them.

use std::path::Path;
use std::process::Command;

use stakeout_fakes::pagerduty::ROUTING_KEY;
use stakeout_fakes::slack_api::BOT_TOKEN;
use stakeout_fakes::{Fault, Faults, Server};

use super::audit::{DAY, HOUR, MINUTE, refused, utc};
use super::ran::Ran;
use super::world::{Cloud, World};

const TICK: i64 = DAY + HOUR;
const BEARER: &str = "canary-of-a-bearer-token";
/// The heartbeat's URL is all that its service asks for. Nobody listens there.
const HEARTBEAT: &str = "http://127.0.0.1:9/8f0c2a3e-6b1d-4a57-9c47-0d5b2f6e91aa";
const AWS_SECRET: &str = "canaryOfASecretAccessKey/0123456789abcdef";

fn world() -> World {
    let world = World::of(&Cloud::THREE);
    std::fs::write(world.path("siem-token"), BEARER).expect("written");
    let bot = format!(
        "{{name: chat, min_severity: informational, slack: {{bot_token: {BOT_TOKEN}, channel: {}, endpoint: {:?}}}}}",
        stakeout_fakes::slack_api::CHANNEL.1,
        world.slack_api.endpoint()
    );
    let hook = format!("{{name: hook, webhook: {{url: {:?}, token_file: siem-token}}}}", world.webhook.url());
    world.use_pager("min_severity: informational,");
    world.reconfigure("notify:\n", &format!("heartbeat: {{url: {HEARTBEAT:?}}}\nnotify:\n  - {bot}\n  - {hook}\n"));
    for cloud in Cloud::THREE {
        world.ingest_into(cloud, &refused("8.8.8.8", DAY + 20 * MINUTE, 12, 10));
    }
    world
}

/// Returns the secrets, each with its slot.
fn canaries(world: &World) -> Vec<(&'static str, String)> {
    let webhook = world.slack.webhook_url();
    let (_, path) = webhook.rsplit_once('/').expect("a path");
    vec![
        ("the webhook of Slack", path.to_owned()),
        ("the bot's token", BOT_TOKEN.rsplit_once('-').expect("three parts").1.to_owned()),
        ("the routing key", ROUTING_KEY.to_owned()),
        ("the bearer token", BEARER.to_owned()),
        ("the heartbeat's URL", HEARTBEAT.rsplit_once('/').expect("a path").1.to_owned()),
        ("the secret access key", AWS_SECRET.to_owned()),
    ]
}

fn said(world: &World, verb: &[&str]) -> String {
    let mut command: Command = world.command(verb);
    command.env("STAKEOUT_LOG", "trace");
    command.env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE").env("AWS_SECRET_ACCESS_KEY", AWS_SECRET);
    let ran = Ran::of(command.output());
    format!("{}{}", ran.stdout, ran.stderr)
}

fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("listed") {
        let path = entry.expect("listed").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).expect("read")));
        }
    }
    found
}

#[test]
fn no_secret_shows_anywhere() {
    let world = world();
    let tick = utc(TICK);
    let once: &[&str] = &["once", "--at", &tick];
    let webhook = world.slack.webhook_url();
    // Each service, and the secret that it may repeat in an answer.
    let servers: [(&Server, &str); 8] = [
        (&world.logs, AWS_SECRET),
        (&world.cloud_logging, ""),
        (&world.log_analytics, ""),
        (&world.slack, &webhook),
        (&world.slack_api, BOT_TOKEN),
        (&world.sns, ""),
        (&world.webhook, BEARER),
        (&world.pager, ROUTING_KEY),
    ];
    let mut heard = Vec::new();
    for kind in ["denied", "repeated", "cut"] {
        for (server, secret) in servers {
            let repeated = Fault::Answer { status: 400, body: format!("no such token: {secret}") };
            let refusal = match kind {
                "denied" => Fault::Denied,
                "repeated" => repeated,
                _ => Fault::TruncatedBody,
            };
            server.set_faults(Faults::always(refusal));
        }
        heard.push((format!("{kind}, once"), said(&world, once)));
        heard.push((format!("{kind}, doctor"), said(&world, &["doctor"])));
        servers.iter().for_each(|(server, _)| server.faults().clear());
    }
    let verbs: [&[&str]; 9] = [
        once,
        &["check"],
        &["doctor"],
        &["notify", "test", "chat"],
        &["notify", "route"],
        &["state", "show", "--json"],
        &["findings", "list", "-o", "json"],
        &["incidents", "list", "-o", "json"],
        &["sources"],
    ];
    heard.extend(verbs.iter().map(|verb| (verb.join(" "), said(&world, verb))));
    let lines: usize = heard.iter().map(|(_, text)| text.lines().count()).sum();
    assert!(lines > 200, "{lines} lines: hardly anything was said");
    for (slot, canary) in &canaries(&world) {
        for (what, text) in &heard {
            let line = text.lines().find(|line| line.contains(canary.as_str()));
            assert_eq!(line, None, "{what} shows {slot}");
        }
        for (name, bytes) in files(&world.path("state")) {
            let is_there = bytes.windows(canary.len()).any(|part| part == canary.as_bytes());
            assert!(!is_there, "{name} holds {slot}");
        }
    }
    assert!(!world.slack_api.messages().is_empty() && !world.webhook.values().is_empty(), "nobody used a secret");
}
