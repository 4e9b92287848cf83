//! The commands in messages, pasted into a shell: each does what the message is about, whatever attackers call themselves.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::audit::{Asked, DAY, HOUR, Line, MINUTE, recording, stretched};
use super::ran::Ran;
use super::world::World;

const TICK: i64 = DAY + 10 * HOUR;

/// Names of accounts, most of which a shell would interpret.
const ACCOUNTS: [&str; 9] = [
    "system:serviceaccount:dev:builder",
    "--rule",
    "ada; touch pwned",
    "$(touch pwned)",
    "`touch pwned`",
    "ada' && touch pwned && '",
    "\" || touch pwned #",
    "ada\n touch pwned",
    "<@U012ABCDEF>",
];

/// Returns a world with the shipped rules and silences, which sends incidents to Slack, to a bot or to a webhook.
fn world(is_bot: bool) -> World {
    let world = World::of_files(1);
    world.use_shipped_rules();
    world.reconfigure("send: findings, min_severity: informational, slack: {", "slack: {max_messages_per_run: 50, ");
    world.reconfigure("budget: 1", "budget: 1\nsilences: silences.yaml");
    if is_bot {
        world.use_bot();
    }
    world
}

/// Returns the messages that Slack shows.
fn messages(world: &World, is_bot: bool) -> Vec<Value> {
    match is_bot {
        true => world.slack_api.channel_messages().into_iter().map(|message| message.payload).collect(),
        false => world.slack.messages(),
    }
}

/// Returns the commands of a message, as somebody copies them.
fn commands(message: &Value) -> Vec<String> {
    let blocks = message["blocks"].as_array().expect("blocks").iter();
    let texts = blocks.filter_map(|block| block["text"]["text"].as_str());
    let section = texts.filter(|text| text.starts_with("*Commands*")).collect::<Vec<_>>().join("\n");
    let lines = section.lines().filter_map(|line| line.strip_prefix('`')?.strip_suffix('`'));
    lines.map(|line| line.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")).collect()
}

/// Runs a command as a shell would, in a directory of its own.
fn pasted(world: &World, command: &str) -> Ran {
    let folder = world.path("shell");
    std::fs::create_dir_all(&folder).expect("the folder");
    let binary = Path::new(env!("CARGO_BIN_EXE_stakeout")).parent().expect("a folder");
    let mut shell = Command::new("sh");
    // Where people have the config in its usual place.
    let config = world.path("stakeout.yaml");
    let script = format!("stakeout() {{ command stakeout \"$@\" -c {config:?}; }}\n{command}\n");
    Ran::of(
        shell
            .args(["-c", &script])
            .current_dir(&folder)
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", binary.display()))
            .output(),
    )
}

/// Returns each incident that is no part of another one, with whether it is silenced.
fn listed(world: &World) -> Vec<(String, bool)> {
    let listed = world.run(&["incidents", "list", "-n", "1000", "-o", "json"]);
    let objects = listed.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let of = |object: Value| {
        let incident = &object["unmapped"]["incident"];
        (incident["uid"].as_str().expect("a uid").to_owned(), !incident["silenced"].is_null())
    };
    objects.map(of).collect()
}

/// Pastes the commands of each message about an incident, and asserts that they show and silence this one.
fn assert_commands_work(world: &World, is_bot: bool, what: &str) {
    let (mut tried, mut silences) = (BTreeSet::new(), 0);
    for message in messages(world, is_bot) {
        let commands = commands(&message);
        let Some(uid) = commands.iter().find_map(|command| command.strip_prefix("stakeout incidents show ")) else {
            continue;
        };
        // An earlier message may be about it too, or its silence may fit this one.
        let is_silenced = |world: &World| listed(world).contains(&(uid.to_owned(), true));
        if !tried.insert(uid.to_owned()) || is_silenced(world) {
            continue;
        }
        let shown = pasted(world, &format!("stakeout incidents show {uid}"));
        shown.assert_code(0);
        assert!(shown.stdout.contains(uid), "{what}: {}", shown.stdout);
        let silence: Vec<&String> = commands.iter().filter(|command| command.starts_with("stakeout silence")).collect();
        // What takes many silences has no command.
        let [silence] = silence[..] else {
            assert!(silence.is_empty(), "{what}: {commands:?}");
            continue;
        };
        silences += 1;
        let ran = pasted(world, silence);
        assert_eq!(ran.code, Some(0), "{what}: {silence}: {}", ran.stderr);
        assert!(is_silenced(world), "{what}: {silence} does not silence {uid}: {}", shown.stdout);
    }
    assert!(silences > 0, "{what}: no command of {} incidents silences anything", tried.len());
    let left_behind: Vec<_> = std::fs::read_dir(world.path("shell")).expect("the folder").collect();
    assert!(left_behind.is_empty(), "{what}: {left_behind:?}");
}

#[test]
fn the_commands_of_the_recordings_show_and_silence_their_incidents() {
    for (name, is_bot) in [
        ("kube-hunter.audit.log", true),
        ("rbac-enumeration.audit.log", false),
        ("anonymous-scan.audit.log", true),
        ("auth-failures.audit.log", false),
        ("xff.audit.log", true),
    ] {
        let world = world(is_bot);
        world.append_to_file(0, &stretched(&recording(name), TICK - 6 * HOUR, 5 * HOUR));
        for tick in -5..=0 {
            world.once_done(TICK + tick * HOUR);
        }
        assert_commands_work(&world, is_bot, name);
    }
}

/// Each account asks for what it may not see, from one address or from several.
#[test]
fn no_name_of_an_account_reaches_the_shell() {
    for (is_bot, addresses) in [(true, 1), (false, 1), (true, 3)] {
        let world = world(is_bot);
        let mut lines: Vec<Line> = Vec::new();
        for (number, account) in (0..).zip(ACCOUNTS) {
            for n in 0..60 {
                let mut asked = Asked::new(
                    TICK - 40 * MINUTE + n,
                    &format!("8.8.{number}.{}", n % addresses),
                    if n < 50 { 403 } else { 200 },
                    number * 100 + n,
                );
                asked.uri = format!("/api/v1/namespaces/n{n}/secrets");
                asked.username = (*account).to_owned();
                let line = asked.line();
                let namespace = format!("\"namespace\":\"n{n}\"");
                let object =
                    format!(r#""objectRef":{{"resource":"secrets",{namespace},"apiVersion":"v1"}},"requestURI""#);
                let text = line.text.replace("system:unauthenticated", "system:authenticated");
                lines.push(Line { text: text.replace("\"requestURI\"", &object), ..line });
            }
        }
        lines.sort_by_key(|line| line.ms);
        world.append_to_file(0, &lines);
        // Some rules look at what follows before they open a finding.
        for tick in 0..=1 {
            world.once_done(TICK + tick * HOUR);
        }
        assert_commands_work(&world, is_bot, &format!("{addresses} addresses"));
    }
}
