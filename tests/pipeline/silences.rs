//! Silences, with the real binary: what is silenced is stored, shown and not sent, and it is heard again when the silence ends.

use std::collections::BTreeSet;

use serde_json::Value;

use super::audit::{Asked, DAY, HOUR, Line, MINUTE};
use super::ocsf::{CLOSE, CREATE, UPDATE};
use super::world::World;

const TICK: i64 = DAY + 10 * HOUR;
pub(crate) const ATTACKER: &str = "8.8.8.8";

/// Returns a world with the shipped rules and one audit log file, which sends incidents to Slack, and these to the webhook.
fn world(send: &str) -> World {
    let world = World::of_files(1);
    world.use_shipped_rules();
    world.reconfigure("send: findings, webhook", &format!("send: {send}, webhook"));
    world.reconfigure("send: findings, min_severity: informational, slack", "slack");
    world.reconfigure("budget: 1", "budget: 1\nsilences: silences.yaml");
    world
}

/// The attacker asks for secrets, and the next tick comes.
pub(crate) fn attack(world: &World, hour: i64) -> String {
    let at = TICK + hour * HOUR - 40 * MINUTE;
    let asked = (0..12).map(|n| {
        let uri = format!("/api/v1/namespaces/n{n}/secrets");
        let line = Asked { uri, ..Asked::new(at + n, ATTACKER, 403, hour * 100 + n) }.line();
        let object = r#""objectRef":{"resource":"secrets","apiVersion":"v1"},"requestURI""#;
        Line { text: line.text.replace("\"requestURI\"", object), ..line }
    });
    world.append_to_file(0, &asked.collect::<Vec<Line>>());
    world.once_done(TICK + hour * HOUR).stderr
}

/// Returns the class, the activity and the rule of each message to the webhook.
fn posted(world: &World) -> Vec<(i64, i64, String)> {
    let posts = world.webhook.posts().into_iter().flat_map(|post| post.values);
    let number = |object: &Value, name: &str| object[name].as_i64().expect("a number");
    let rule = |object: &Value| object["finding_info"]["analytic"]["name"].as_str().unwrap_or_default().to_owned();
    posts.map(|object| (number(&object, "class_uid"), number(&object, "activity_id"), rule(&object))).collect()
}

fn silence(world: &World, arguments: &[&str]) -> String {
    let common = ["silence", "add", "--for", "7d", "--reason", "red team", "--owner", "ada"];
    let added = world.run(&[&common, arguments].concat());
    added.assert_code(0);
    added.stdout
}

#[test]
fn a_silenced_incident_is_stored_and_shown_and_heard_again_when_the_silence_ends() {
    let world = world("incidents");
    silence(&world, &["--source", "8.8.8.0/24", "--id", "red"]);
    for hour in 0..2 {
        assert!(attack(&world, hour).contains("silenced changes are not sent"));
    }
    assert_eq!((world.slack.messages().len(), posted(&world)), (0, Vec::new()));
    assert_eq!(world.state()["pending"], serde_json::json!([]));
    let listed = world.run(&["incidents", "list", "-o", "json"]).stdout;
    let incident: Value = serde_json::from_str(listed.trim_end()).expect("one incident");
    let silenced = &incident["unmapped"]["incident"]["silenced"];
    assert_eq!((silenced["by"][0]["owner"].as_str(), silenced["by"][0]["id"].as_str()), (Some("ada"), Some("red")));
    let uid = incident["unmapped"]["incident"]["uid"].as_str().expect("a uid");
    for shown in [world.run(&["incidents", "list"]), world.run(&["incidents", "show", uid])] {
        let text = shown.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("silenced until") && text.contains("by ada (red): red team"), "{text}");
    }

    // A typo in another entry.
    let path = world.path("silences.yaml");
    let good = std::fs::read_to_string(&path).expect("the file");
    std::fs::write(&path, format!("{good}- {{id: typo}}\n")).expect("written");
    let said = attack(&world, 2);
    assert!(said.contains("silences.yaml:6: [1].reason: `reason` is missing"), "{said}");
    assert!(world.run(&["check"]).stderr.contains("`reason` is missing"));
    assert_eq!((world.slack.messages().len(), posted(&world).len()), (0, 0));
    std::fs::write(&path, good).expect("written");

    world.run(&["silence", "expire", "red"]).assert_code(0);
    assert_eq!((world.slack.messages().len(), posted(&world).len()), (0, 0));
    attack(&world, 3);
    let messages = world.slack.messages();
    assert!(messages.len() == 1 && messages[0].to_string().contains(ATTACKER), "{messages:?}");
    assert_eq!(posted(&world), [(2005, CREATE, String::new())], "it begins now");
    attack(&world, 4);
    assert_eq!(world.slack.messages().len(), 1, "growth waits for the digest of the day again");
    assert_eq!(posted(&world).last(), Some(&(2005, UPDATE, String::new())));
    let listed = world.run(&["silence", "list"]).stdout;
    assert!(listed.contains("red  over") && listed.contains("source=8.8.8.0/24"), "{listed}");
    assert_eq!(silence(&world, &["--source", "9.9.9.9"]), "it silences no open incident now\n");
    assert!(silence(&world, &["--source", ATTACKER]).contains(&uid[..8]));
}

/// Who heard of an incident before its silence hears of its end, and who did not hears nothing.
#[test]
fn the_end_of_a_silenced_incident_is_heard_by_those_who_heard_of_the_incident() {
    let incident = |activity| (2005, activity, String::new());
    // Without the notice that the log is silent.
    let posted = |world: &World| posted(world).into_iter().filter(|post| post.0 == 2005).collect::<Vec<_>>();
    let in_slack = |world: &World| world.slack.messages().iter().filter(|it| it.to_string().contains(ATTACKER)).count();
    let known = world("incidents");
    attack(&known, 0);
    silence(&known, &["--source", ATTACKER]);
    for hour in 1..3 {
        assert!(attack(&known, hour).contains("silenced changes are not sent"));
    }
    assert_eq!(posted(&known), [incident(CREATE)]);
    known.once_done(TICK + 50 * HOUR);
    assert_eq!(posted(&known), [incident(CREATE), incident(CLOSE)]);
    known.once_done(TICK + 51 * HOUR);
    assert_eq!((posted(&known).len(), in_slack(&known)), (2, 1));

    // Silenced to its end, or to shortly before.
    for is_over in [false, true] {
        let unknown = world("incidents");
        silence(&unknown, &["--source", ATTACKER, "--id", "red"]);
        attack(&unknown, 0);
        if is_over {
            unknown.run(&["silence", "expire", "red"]).assert_code(0);
        }
        unknown.once_done(TICK + 50 * HOUR);
        assert_eq!((posted(&unknown), in_slack(&unknown)), (Vec::new(), 0), "{is_over}");
        assert_eq!(unknown.state()["pending"], serde_json::json!([]));
    }
}

#[test]
fn nobody_hides_behind_the_silence_of_one_rule() {
    let heard = world("both");
    attack(&heard, 0);
    let rules: BTreeSet<String> = posted(&heard).into_iter().filter(|post| post.0 == 2004).map(|post| post.2).collect();
    assert!(rules.len() > 1, "{rules:?}");
    let silenced = rules.first().expect("a rule");

    let world = world("both");
    silence(&world, &["--rule", silenced, "--cluster", "cluster-0"]);
    attack(&world, 0);
    let posts = posted(&world);
    assert!(posts.iter().any(|post| post.0 == 2005), "the incident is heard: {posts:?}");
    let sent: BTreeSet<String> = posts.into_iter().filter(|post| post.0 == 2004).map(|post| post.2).collect();
    assert_eq!(sent, rules.iter().skip(1).cloned().collect::<BTreeSet<_>>());
    let typo =
        world.run(&["silence", "add", "--cluster", "clustr-0", "--for", "7d", "--reason", "x", "--owner", "ada"]);
    typo.assert_code(2);
    assert!(typo.stderr.contains("did you mean `cluster-0`?"), "{}", typo.stderr);
}

/// A silence of half of the internet would be one of everything.
#[test]
fn a_silence_of_the_internet_is_refused() {
    let world = world("incidents");
    for wide in ["0.0.0.0/0", "::/0", "128.0.0.0/1", "2000::/3"] {
        let common = ["silence", "add", "--for", "7d", "--reason", "red team", "--owner", "ada", "--source", wide];
        let refused = world.run(&common);
        refused.assert_code(2);
        assert!(
            refused.stderr.contains("a large part of the internet (write a network of at least /8"),
            "{}",
            refused.stderr
        );
    }
    silence(&world, &["--source", "10.0.0.0/8", "--id", "vpn"]);
    let listed = world.run(&["silence", "list", "-o", "json"]);
    let silence: Value = serde_json::from_str(&listed.stdout).expect("a JSON object");
    assert_eq!((&silence["id"], &silence["source"]), (&Value::from("vpn"), &Value::from("10.0.0.0/8")));
    assert_eq!((&silence["status"], &silence["cluster"]), (&Value::from("in force"), &Value::Null));
}
