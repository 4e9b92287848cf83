//! Who was denied and then let in, on each cloud: found by a follow-up, also where the process died before it.

use std::process::Child;

use serde_json::{Value, json};
use stakeout_fakes::{Fault, Faults};

use super::audit::{Asked, DAY, HOUR, Line, MINUTE, utc};
use super::ocsf::{CREATE, assert_each_opens_once};
use super::world::{Cloud, World};

const TICK: i64 = DAY + HOUR;
pub(crate) const BURST: &str = "denied-in-a-burst";
pub(crate) const LET_IN: &str = "denied-then-let-in";

pub(crate) const RULES: &str = "
title: Denied
name: denied
logsource: {product: kubernetes, service: audit}
detection: {selection: {responseStatus.code: [401, 403]}, condition: selection}
---
title: Let In
name: let-in
logsource: {product: kubernetes, service: audit}
detection: {selection: {responseStatus.code: [200, 201]}, condition: selection}
stakeout: {follow_up: true}
---
title: Denied In A Burst
name: denied-in-a-burst
level: low
correlation:
  {type: event_count, rules: [denied], group-by: [source_ip, cluster], timespan: 10m, condition: {gte: 3}}
---
title: Denied Then Let In
name: denied-then-let-in
level: critical
generate: true
correlation: {type: temporal_ordered, rules: [denied-in-a-burst, let-in], group-by: [source_ip, cluster], timespan: 1h}
";

/// Three that were denied and one that was let in, and another sender who was let in only.
fn requests() -> Vec<Line> {
    let asked =
        [("8.8.8.8", 20, 403), ("8.8.8.8", 21, 403), ("9.9.9.9", 22, 200), ("8.8.8.8", 23, 403), ("8.8.8.8", 29, 200)];
    let numbered = (1..).zip(asked);
    numbered.map(|(n, (source, minute, code))| Asked::new(DAY + minute * MINUTE, source, code, n).line()).collect()
}

/// Returns how many requests it takes to read the window without follow-ups.
fn requests_of_a_window(cloud: Cloud) -> usize {
    let world = World::of(&[cloud]);
    world.use_rules(RULES);
    world.ingest_into(cloud, &requests()[..2]);
    world.once_done(TICK);
    world.server(cloud).requests().len()
}

fn kill(mut child: Child) {
    child.kill().expect("it still waits");
    child.wait().expect("a child can be waited for");
}

/// Returns rule, requests by code, and the other rules and clusters of the source, of every message so far.
fn reported(world: &World) -> Vec<(String, Value, Value)> {
    let messages = world.sns.messages();
    let objects = messages.iter().map(|published| serde_json::from_str::<Value>(&published.message).expect("JSON"));
    let mut reported: Vec<_> = objects
        .map(|object| {
            let rule = object["finding_info"]["analytic"]["name"].as_str().unwrap_or_default().to_owned();
            let unmapped = &object["unmapped"];
            (rule, unmapped["count_by_code"].clone(), unmapped["related_activity"].clone())
        })
        .collect();
    reported.sort_by(|one, other| one.0.cmp(&other.0));
    reported
}

#[test]
fn an_allowed_source_is_reported_once_on_each_cloud_although_the_process_died_before_the_follow_up() {
    std::thread::scope(|scope| {
        for cloud in Cloud::THREE {
            scope.spawn(move || {
                let window_requests = requests_of_a_window(cloud);
                let world = World::of(&[cloud]);
                world.use_rules(RULES);
                world.ingest_into(cloud, &requests());
                // The window is read and written; the follow-up is asked for, and then the process is gone.
                let script = [vec![None; window_requests], vec![Some(Fault::Hang)]].concat().into();
                world.server(cloud).set_faults(Faults { script, ..Faults::default() });
                let child = world.begin_once(TICK);
                let is_asked = || world.server(cloud).requests().len() > window_requests;
                world.wait_until("the follow-up is asked for", is_asked);
                kill(child);
                world.server(cloud).set_faults(Faults::default());
                world.server(cloud).faults().release();
                assert_eq!(world.log(cloud.cluster())["cursor"], utc(TICK - 10 * MINUTE), "{cloud:?}");
                assert_eq!(world.reported(), [], "{cloud:?}");

                world.once_done(TICK);
                assert_each_opens_once(&world.reported());
                assert!(
                    world.reported().iter().all(|reported| reported.activity == CREATE),
                    "{cloud:?}: {:?}",
                    world.reported()
                );
                let clusters = [cloud.cluster()];
                let let_in = json!({"rules": [BURST], "clusters": clusters});
                let [burst, found] =
                    reported(&world).try_into().unwrap_or_else(|reported| panic!("{cloud:?}: {reported:?}"));
                assert_eq!((burst.0.as_str(), burst.1), (BURST, json!({"403": 3})), "{cloud:?}");
                assert_eq!(found, (LET_IN.to_owned(), json!({"200": 1, "403": 3}), let_in), "{cloud:?}");

                let seen = world.requests_seen();
                world.once_done(TICK);
                assert_eq!(world.requests_seen(), seen, "{cloud:?} is not silent");
            });
        }
    });
}
