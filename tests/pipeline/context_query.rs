//! What else a source did around a new finding: read once, on each cloud, and reported with it.

use serde_json::{Value, json};
use stakeout_fakes::{Fault, Faults};

use super::audit::{Asked, DAY, HOUR, Line, MINUTE};
use super::ocsf::{assert_each_opens_once, final_episodes};
use super::world::{Cloud, World};

const TICK: i64 = DAY + HOUR;

/// Three denials are a finding; what was let in is asked for by no rule.
const RULES: &str = "
title: Denied
name: denied
logsource: {product: kubernetes, service: audit}
detection: {selection: {responseStatus.code: 403}, condition: selection}
---
title: Denied In A Burst
name: denied-in-a-burst
level: medium
correlation:
  {type: event_count, rules: [denied], group-by: [source_ip], timespan: 10m, condition: {gte: 3}}
";

/// Three denials between requests that were let in, an hour before, after and out of reach; and those of somebody else,
/// and of one who only says that he is the source.
fn requests() -> Vec<Line> {
    let asked = [
        ("8.8.8.8", -41, 200),
        ("8.8.8.8", -39, 200),
        ("8.8.8.8", 20, 403),
        ("8.8.8.8", 21, 403),
        ("9.9.9.9", 21, 200),
        ("8.8.8.8", 22, 403),
        ("8.8.8.8", 30, 200),
    ];
    let numbered = (1..).zip(asked);
    let mut lines: Vec<Line> =
        numbered.map(|(n, (source, minute, code))| Asked::new(DAY + minute * MINUTE, source, code, n).line()).collect();
    let honest = Asked::new(DAY + 23 * MINUTE, "7.7.7.7", 200, 90).line();
    let text = honest.text.replace(r#"["7.7.7.7"]"#, r#"["8.8.8.8","7.7.7.7"]"#);
    lines.push(Line { text, ..honest });
    lines
}

/// Returns what the one message to SNS says of the context, and to Slack.
fn reported(world: &World) -> (Value, String) {
    assert_each_opens_once(&world.reported());
    let [published] = world.sns.messages().try_into().unwrap_or_else(|reported| panic!("{reported:?}"));
    let object: Value = serde_json::from_str(&published.message).expect("JSON");
    let [message] = world.slack.messages().try_into().unwrap_or_else(|reported| panic!("{reported:?}"));
    (object["unmapped"]["context"].clone(), message.to_string())
}

#[test]
fn the_context_of_a_finding_is_read_once_and_reported_with_it() {
    std::thread::scope(|scope| {
        for cloud in [Cloud::Eks, Cloud::Gke, Cloud::Aks, Cloud::AksDiagnostics, Cloud::AksBasic] {
            scope.spawn(move || {
                let world = World::of(&[cloud]);
                world.use_rules(RULES);
                world.ingest_into(cloud, &requests());
                world.once_done(TICK);
                let (around, message) = reported(&world);
                assert_eq!(around["cluster"], cloud.cluster(), "{cloud:?}");
                assert_eq!(around["count_by_code"], json!({"200": 2, "403": 3}), "{cloud:?}");
                assert_eq!((&around["count"], &around["are_more"]), (&json!(5), &json!(false)), "{cloud:?}");
                assert_eq!(around["let_in"], json!([{"value": "get /version", "count": 2}]), "{cloud:?}");
                assert!(message.contains("The source sent 5 requests to cluster"), "{cloud:?}: {message}");
                let seen = world.requests_seen();
                world.once_done(TICK);
                assert_eq!(world.requests_seen(), seen, "{cloud:?} is not silent");
            });
        }
    });
}

#[test]
fn a_context_query_that_fails_or_dies_costs_no_finding() {
    for cloud in Cloud::THREE {
        let off = World::of(&[cloud]);
        off.use_rules(&RULES.replace("medium", "low"));
        off.ingest_into(cloud, &requests());
        off.once_done(TICK);
        assert_eq!(reported(&off).0, Value::Null, "{cloud:?}: a finding of a low level gets no context query");
        let requests_before = off.server(cloud).requests().len();

        let world = World::of(&[cloud]);
        world.use_rules(RULES);
        world.ingest_into(cloud, &requests());
        let script = [vec![None; requests_before], vec![Some(Fault::Hang)]].concat().into();
        world.server(cloud).set_faults(Faults { script, ..Faults::default() });
        let mut child = world.begin_once(TICK);
        let is_asked = || world.server(cloud).requests().len() > requests_before;
        world.wait_until("it looks around", is_asked);
        child.kill().expect("it still waits");
        child.wait().expect("a child can be waited for");
        world.server(cloud).faults().release();
        assert_eq!(world.reported(), [], "{cloud:?}");

        // The next process looks around in its place; this time it is refused.
        world.server(cloud).set_faults(Faults::next(1, &Fault::Denied));
        world.once_done(TICK);
        let (around, message) = reported(&world);
        assert!(around["unread"].as_str().is_some_and(|reason| !reason.is_empty()), "{cloud:?}: {around}");
        assert!(message.contains("not available"), "{cloud:?}: {message}");
        assert_eq!(final_episodes(&world.reported()), final_episodes(&off.reported()), "{cloud:?}");
    }
}
