//! One attacker on many clusters: however many commits a tick has, a destination gets one message for each finding.

use std::collections::BTreeMap;

use serde_json::json;
use stakeout_fakes::webhook::Post;
use stakeout_fakes::{Fault, Faults};

use super::audit::{Asked, DAY, HOUR, MINUTE};
use super::ocsf::{CREATE, Reported, UPDATE, assert_each_opens_once};
use super::world::World;

const CLUSTERS: usize = 40;
const TICK: i64 = DAY + HOUR;
const ATTACKER: &str = "8.8.8.8";
const JOINED: &str = "denied-by-several-clusters";

const RULES: &str = "
title: Denied
name: denied
logsource: {product: kubernetes, service: audit}
detection: {selection: {responseStatus.code: 403}, condition: selection}
---
title: Denied By Several Clusters
name: denied-by-several-clusters
level: high
correlation:
  {type: value_count, rules: [denied], group-by: [source_ip], timespan: 1h, condition: {field: cluster, gte: 3}}
stakeout: {dedup_period: 24h}
---
title: Denied Often
name: denied-often
level: low
correlation: {type: event_count, rules: [denied], group-by: [source_ip, user.username], timespan: 1h, condition: {gte: 10}}
stakeout: {dedup_period: 24h}
";

/// A message as the webhook took it.
struct Posted {
    reported: Reported,
    /// The numbers of the first and the last delivery that it settles, as its id names them.
    deliveries: (u64, u64),
    clusters: usize,
}

/// The attacker sends one request to each cluster in the hour before `tick`.
fn attack(world: &World, tick: i64) {
    for cluster in 0..CLUSTERS {
        let n = i64::try_from(cluster).expect("few");
        let asked = Asked::new(tick - 40 * MINUTE + n, ATTACKER, 403, (tick - DAY) / HOUR * 1000 + n);
        world.append_to_file(cluster, &[asked.line()]);
    }
}

/// Returns the posts after the first `before`. Each is one object, and its header has the id of the object.
fn posted(world: &World, before: usize) -> Vec<Posted> {
    let read = |post: Post| {
        let [object] = &post.values[..] else { panic!("{post:?}") };
        let reported = Reported::read(&object.to_string());
        let header = post.headers.iter().find(|(name, _)| name == "x-stakeout-delivery");
        assert_eq!(header.map(|(_, id)| id), Some(&reported.delivery));
        let end = format!("-{}-{}", reported.uid, reported.activity);
        let deliveries = reported.delivery.strip_suffix(&end).expect("the id names its finding and activity");
        let (first, last) = deliveries.split_once('-').unwrap_or((deliveries, deliveries));
        let number = |text: &str| text.parse().expect("the number of a delivery");
        let clusters = object["resources"].as_array().map_or(0, Vec::len);
        Posted { deliveries: (number(first), number(last)), clusters, reported }
    };
    world.webhook.posts().into_iter().skip(before).map(read).collect()
}

/// Asserts that the posts are one of `activity` for each of the two findings, with so many requests to all clusters.
fn assert_one_post_for_each_finding(posted: &[Posted], activity: i64, requests: i64) {
    let found: BTreeMap<&str, (i64, i64, usize)> = posted
        .iter()
        .map(|posted| {
            let Reported { activity, episode, .. } = &posted.reported;
            (episode.rule.as_str(), (*activity, episode.count, posted.clusters))
        })
        .collect();
    let expected = (activity, requests, CLUSTERS);
    assert_eq!(found, BTreeMap::from([(JOINED, expected), ("denied-often", expected)]));
    assert_eq!(posted.len(), 2, "a finding has more than one post");
}

/// Returns the first and the last delivery that the posts name.
fn range(posted: &[Posted]) -> (u64, u64) {
    let deliveries = posted.iter().map(|posted| posted.deliveries);
    deliveries.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1))).expect("posts")
}

#[test]
fn a_destination_gets_one_message_for_each_finding_and_tick() {
    let world = World::of_files(CLUSTERS);
    world.use_rules(RULES);
    let requests = |ticks: usize| i64::try_from(ticks * CLUSTERS).expect("few");

    attack(&world, TICK);
    world.once_done(TICK);
    let created = posted(&world, 0);
    assert_one_post_for_each_finding(&created, CREATE, requests(1));

    attack(&world, TICK + HOUR);
    world.once_done(TICK + HOUR);
    let updated = posted(&world, 2);
    assert_one_post_for_each_finding(&updated, UPDATE, requests(2));

    // What the webhook does not take at one tick is one message together with what comes at the next.
    world.webhook.set_faults(Faults::always(Fault::Denied));
    attack(&world, TICK + 2 * HOUR);
    world.once(TICK + 2 * HOUR).assert_code(1);
    world.webhook.faults().clear();
    attack(&world, TICK + 3 * HOUR);
    world.once_done(TICK + 3 * HOUR);
    let merged = posted(&world, 4);
    assert_one_post_for_each_finding(&merged, UPDATE, requests(4));
    assert_eq!(world.state()["pending"], json!([]));

    let ranges = [range(&created), range(&updated), range(&merged)];
    assert!(ranges.is_sorted_by(|one, other| one.1 < other.0), "{ranges:?}");
    assert!(merged.iter().all(|posted| posted.deliveries.0 < posted.deliveries.1), "{ranges:?}");
    assert_each_opens_once(&world.reported());
}
