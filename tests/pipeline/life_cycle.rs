//! A finding's life: opened, reported once, grown, closed; and how `once` and `run` end.

use std::collections::BTreeMap;

use super::audit::{Asked, DAY, HOUR, MINUTE, expected, moved, recording, refused};
use super::counter::{self, CLUSTER_SCAN, POD_SCAN, SCANNING};
use super::ocsf::{CLOSE, CREATE, Reported, UPDATE, assert_each_opens_once, final_episodes};
use super::world::{World, terminate};

/// A tick, whose window is [23:50, 00:50) by default, and a moment inside of that window.
const TICK: i64 = DAY + HOUR;
const INSIDE: i64 = DAY + 20 * MINUTE;

/// Returns (rule, source, requests) of the reported findings, sorted.
fn counted(reported: &[Reported]) -> Vec<(String, String, i64)> {
    let mut counted: Vec<_> = reported
        .iter()
        .map(|reported| (reported.episode.rule.clone(), reported.episode.source.clone(), reported.episode.count))
        .collect();
    counted.sort();
    counted
}

/// Returns the same of what `expected.json` says about a recording.
fn expected_of(name: &str) -> Vec<(String, String, i64)> {
    let rules: BTreeMap<String, BTreeMap<String, i64>> =
        serde_json::from_value(expected()[name].clone()).expect("rules with sources with numbers");
    let counts = |(rule, sources): (String, BTreeMap<String, i64>)| {
        sources.into_iter().map(move |(source, count)| (rule.clone(), source, count))
    };
    rules.into_iter().flat_map(counts).collect()
}

fn activities(reported: &[Reported]) -> Vec<i64> {
    reported.iter().map(|reported| reported.activity).collect()
}

#[test]
fn a_recorded_scan_is_reported_once_grows_in_silence_and_closes() {
    let world = World::new();
    let scan = recording("kube-hunter.audit.log");
    world.ingest(&moved(&scan, INSIDE + 25 * MINUTE));
    world.once_done(TICK);
    let created = world.reported();
    assert_eq!(counted(&created), expected_of("kube-hunter.audit.log"));
    assert_eq!(activities(&created), [CREATE; 6]);
    assert_eq!(world.slack.messages().len(), 6);

    let seen = world.requests_seen();
    world.once_done(TICK);
    assert_eq!(world.requests_seen(), seen, "a second run asked or reported again");

    // One more request each, in the next window; it is none for the rule that looks for lists of pods.
    for source in ["5.5.5.66", "5.5.5.67"] {
        world.ingest(&refused(source, TICK + 5 * MINUTE, 1, 0));
    }
    world.once_done(TICK + HOUR);
    let grown: Vec<_> =
        expected_of("kube-hunter.audit.log").into_iter().map(|(rule, ip, n)| (rule, ip, n + 1)).collect();
    let grown: Vec<_> = grown.into_iter().filter(|(rule, ..)| rule != POD_SCAN).collect();
    let (updated, closed): (Vec<Reported>, Vec<Reported>) =
        world.reported()[6..].iter().cloned().partition(|reported| reported.activity == UPDATE);
    assert_eq!(counted(&updated), grown);
    assert_eq!((activities(&closed), closed[0].episode.rule.as_str()), (vec![CLOSE; 2], POD_SCAN));

    world.once_done(TICK + 2 * HOUR);
    world.once_done(TICK + 3 * HOUR);
    let closed = world.reported()[12..].to_vec();
    assert_eq!((counted(&closed), activities(&closed)), (grown, vec![CLOSE; 4]));
    assert_eq!(world.slack.messages().len(), 6, "Slack hears of a finding once");
    assert_each_opens_once(&world.reported());
    assert_eq!(world.state()["pending"], serde_json::json!([]));
}

#[test]
fn many_findings_are_one_digest_and_every_one_goes_to_sns() {
    let world = World::new();
    world.ingest(&moved(&recording("anonymous-scan.audit.log"), INSIDE));
    world.once_done(TICK);
    assert_eq!(counted(&world.reported()), expected_of("anonymous-scan.audit.log"));
    assert_eq!(world.slack.messages().len(), 1);
    let digest = world.slack.messages()[0].to_string();
    assert!(digest.contains("264"), "{digest}");
    world.once_done(TICK);
    assert_eq!((world.slack.messages().len(), world.reported().len()), (1, 264));
}

#[test]
fn ten_findings_are_ten_messages_and_eleven_are_one_digest() {
    for (sources, messages) in [(10, 10), (11, 1)] {
        let world = World::new();
        for n in 0..sources {
            world.ingest(&[Asked::new(INSIDE, &format!("8.8.4.{n}"), 200, n).line()]);
        }
        world.once_done(TICK);
        assert_eq!(
            (world.reported().len(), world.slack.messages().len()),
            (usize::try_from(sources).expect("few"), messages)
        );
    }
}

#[test]
fn a_tick_before_the_cursor_does_nothing_and_one_in_the_future_is_refused() {
    let world = World::new();
    world.ingest(&refused("8.8.8.8", INSIDE, 12, 1));
    world.once_done(TICK);
    let seen = world.requests_seen();
    world.once_done(TICK - HOUR);
    world.once_done(TICK - 30 * 24 * HOUR);
    assert_eq!(world.requests_seen(), seen);
    let ran = world.once(DAY + 100 * 365 * 24 * HOUR);
    ran.assert_code(2);
    assert!(ran.stderr.contains("future"), "{}", ran.stderr);
}

#[test]
fn a_state_that_a_daemon_holds_is_left_alone_until_it_stops() {
    let world = World::new();
    world.ingest(&refused("8.8.8.8", INSIDE, 12, 1));
    let daemon = world.begin_run();
    let ran = world.once(TICK);
    assert_eq!(terminate(daemon), Some(0));
    ran.assert_code(75);
    assert_eq!(world.reported(), []);
}

#[test]
fn a_burst_across_the_windows_edge_is_one_finding() {
    let world = World::new();
    // Six requests within the hour open the rule; three lie before 00:50, and four after it.
    let burst = refused("10.1.2.3", DAY + 49 * MINUTE, 7, 20);
    world.ingest(&burst);
    world.once_done(TICK);
    assert_eq!(counted(&world.reported()), [(CLUSTER_SCAN.to_owned(), "10.1.2.3".to_owned(), 3)]);
    world.once_done(TICK + HOUR);
    let scanning: Vec<Reported> =
        world.reported().into_iter().filter(|reported| reported.episode.rule == SCANNING).collect();
    assert_eq!(counted(&scanning), [(SCANNING.to_owned(), "10.1.2.3".to_owned(), 7)]);
    assert_eq!(final_episodes(&world.reported()), counter::episodes(&burst));
}
