//! One attacker is one incident for the daemon too: hour by hour, over restarts and rereads, and for each destination.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use stakeout_fakes::webhook::Post;

use super::audit::{DAY, HOUR, recording, stretched};
use super::ocsf::{CLOSE, CREATE, UPDATE};
use super::world::World;

const TICK: i64 = DAY + 10 * HOUR;
const ATTACKER: &str = "8.8.8.8";

/// What an incident is, whoever says it.
type Reported = (String, String, i64, BTreeSet<String>);

fn reported(object: &Value) -> Reported {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = object["finding_info_list"].as_array().expect("findings").iter();
    let uid = text(&object["unmapped"]["incident"]["uid"]);
    let findings = findings.map(|finding| text(&finding["uid"])).collect();
    (uid, text(&object["message"]), object["severity_id"].as_i64().expect("a severity"), findings)
}

fn objects(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
}

/// Returns the messages about incidents that the webhook took, as (uid, activity, title).
fn posted(world: &World) -> Vec<(String, i64, String)> {
    let object = |post: Post| post.values.into_iter().next().expect("an object");
    let of_incident = |object: &Value| object["class_uid"].as_i64() == Some(2005);
    let posts = world.webhook.posts().into_iter().map(object).filter(of_incident);
    let reported = posts.map(|object| {
        let (uid, title, ..) = reported(&object);
        (uid, object["activity_id"].as_i64().expect("an activity"), title)
    });
    reported.collect()
}

/// Returns a world with the shipped rules and one audit log file, which sends incidents to Slack and the webhook.
fn world() -> World {
    let world = World::of_files(1);
    world.use_shipped_rules();
    world.reconfigure("send: findings, webhook", "send: incidents, webhook");
    world.reconfigure("send: findings, min_severity: informational, slack", "slack");
    world
}

/// Three recordings, read hour by hour with a process each, and again an hour and a day later.
#[test]
fn hour_by_hour_the_incidents_are_those_of_replay() {
    for name in ["kube-hunter.audit.log", "rbac-enumeration.audit.log", "anonymous-scan.audit.log"] {
        let world = world();
        world.append_to_file(0, &stretched(&recording(name), TICK - 6 * HOUR, 5 * HOUR));
        for tick in (-5..=2).chain([27]) {
            world.once_done(TICK + tick * HOUR);
        }
        let replayed = world.replay_file("cluster-0.log", &["-o", "incidents", "--cluster", "cluster-0"]);
        let listed = world.run(&["incidents", "list", "-n", "1000", "-o", "json"]);
        let by_uid = |text: &str| objects(text).iter().map(reported).collect::<BTreeSet<Reported>>();
        assert_eq!(by_uid(&listed.stdout), by_uid(&replayed.stdout), "{name}");
        assert!(!objects(&listed.stdout).is_empty(), "{name}");

        // Each was reported to begin once, and what was reported last of each is what it is.
        let mut last: BTreeMap<String, String> = BTreeMap::new();
        let mut created = BTreeMap::<String, usize>::new();
        for (uid, activity, title) in posted(&world) {
            *created.entry(uid.clone()).or_default() += usize::from(activity == CREATE);
            last.insert(uid, title);
        }
        assert!(created.values().all(|times| *times == 1), "{name}: {created:?}");
        let is_root = |object: &&Value| object["unmapped"]["incident"]["merged_into"].is_null();
        for object in objects(&replayed.stdout).iter().filter(is_root) {
            let (uid, title, ..) = reported(object);
            assert_eq!(last.get(&uid), Some(&title), "{name}");
        }
    }
}

/// The attacker probes for three hours, is let in in the fourth, and stops. Slack hears of the beginning and of the way in; what
/// else happens waits for the digest of the day.
#[test]
fn an_attack_over_hours_is_one_incident() {
    let world = world();
    let ask = |hour: i64, code: u16| {
        super::bot::ask(&world, ATTACKER, hour, code);
        world.once_done(TICK + hour * HOUR);
    };
    (0..3).for_each(|hour| ask(hour, 403));
    assert_eq!(world.slack.messages().len(), 1, "{:?}", world.slack.messages());
    ask(3, 200);
    let messages = world.slack.messages();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages[1].to_string().contains("Critical"), "{}", messages[1]);
    world.once_done(TICK + 50 * HOUR);

    let posted = posted(&world);
    let uids: BTreeSet<&str> = posted.iter().map(|(uid, ..)| uid.as_str()).collect();
    let activities: Vec<i64> = posted.iter().map(|(_, activity, _)| *activity).collect();
    assert_eq!((uids.len(), activities), (1, vec![CREATE, UPDATE, UPDATE, UPDATE, CLOSE]), "{posted:?}");
    let of_attacker = |message: &&Value| message.to_string().contains(ATTACKER);
    assert_eq!(world.slack.messages().iter().filter(of_attacker).count(), 2, "the end is no message");
}

/// Standard output has an object a line: what a webhook is sent with the same options, incidents and findings.
#[test]
fn standard_output_hears_what_a_webhook_hears() {
    let world = world();
    world.reconfigure("send: incidents, webhook", "webhook");
    world.reconfigure("notify:\n", "notify:\n  - {name: out, stdout: {}}\n");
    let mut printed = BTreeSet::new();
    for (hour, code) in [(0, 403), (1, 403), (2, 200)] {
        super::bot::ask(&world, ATTACKER, hour, code);
        printed.extend(objects(&world.once_done(TICK + hour * HOUR).stdout).iter().map(heard));
    }
    assert_eq!(printed, world.webhook.values().iter().map(heard).collect());
    let of = |class| printed.iter().filter(|(of, ..)| *of == class).count();
    assert!(of(2004) > 3 && of(2005) == 3, "{printed:?}");
}

/// Returns class, uid, activity and message of an object.
fn heard(object: &Value) -> (i64, String, i64, String) {
    let number = |key: &str| object[key].as_i64().expect("a number");
    let text = |key: &str| object[key].as_str().expect("a text").to_owned();
    let uid = object.pointer("/unmapped/incident/uid").or(object.pointer("/finding_info/uid")).and_then(Value::as_str);
    (number("class_uid"), uid.expect("a uid").to_owned(), number("activity_id"), text("message"))
}
