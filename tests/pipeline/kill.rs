//! Sudden death: the process is killed at any point of a tick, and the next run ends as though nothing had been.
//!
//! `STAKEOUT_TEST_KILLS` says how many kills there are in each test (10 by default), `STAKEOUT_TEST_SEED` which ones.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};

use serde_json::Value;
use stakeout_fakes::cloudwatch_logs::Paging;
use stakeout_fakes::{Fault, FaultSwitch, Faults};

use super::audit::{DAY, HOUR, MINUTE, moved, recording, refused};
use super::world::World;
use crate::support::dice::Dice;

/// Turns between what is waited for and the kill, at most; they spread kills over a few milliseconds.
const TURNS_MAX: u64 = 40_000;
/// How many times longer that may be where nothing is waited for: opening the state takes that long.
const START_TURNS: u64 = 15;
const FINDINGS_TO_SNS: &str = "{name: bus, send: findings";
const BOTH_TO_SNS: &str = "{name: bus, send: both";
/// The most runs until everything is reported; more would be a run that gets nowhere.
const RUNS_MAX: usize = 3;

/// What must be the same whether somebody was killed or not.
#[derive(Debug, PartialEq)]
struct End {
    /// How often SNS took each (uid, activity, requests), repeats left out.
    reported: BTreeMap<(String, i64, i64), usize>,
    /// How often SNS took each (uid, activity, title, findings) of an incident, repeats left out.
    incidents: BTreeMap<(String, i64, String, i64), usize>,
    /// What Slack took, repeats left out: the line that people see first.
    shown: BTreeSet<String>,
    log: Value,
    open: Value,
    closed: Value,
    pending: Value,
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn end(world: &World) -> End {
    let mut state = world.state();
    let mut reported = BTreeMap::new();
    let mut deliveries = BTreeSet::new();
    for message in world.reported() {
        if deliveries.insert(message.delivery) {
            *reported.entry((message.uid, message.activity, message.episode.count)).or_default() += 1;
        }
    }
    let mut incidents = BTreeMap::new();
    for object in world.reported_incidents() {
        if deliveries.insert(text(&object["metadata"]["uid"])) {
            let details = &object["unmapped"]["incident"];
            let number = |value: &Value| value.as_i64().expect("a number");
            let reported =
                (number(&object["activity_id"]), text(&object["message"]), number(&details["findings_total"]));
            *incidents.entry((text(&details["uid"]), reported.0, reported.1, reported.2)).or_default() += 1;
        }
    }
    let line = |message: &Value| message["text"].as_str().unwrap_or_default().to_owned();
    let shown = world.slack.messages().iter().map(line).collect();
    let mut take = |key: &str| state[key].take();
    End {
        reported,
        incidents,
        shown,
        log: world.log("dev"),
        open: take("open"),
        closed: take("closed"),
        pending: take("pending"),
    }
}

fn switches(world: &World) -> [&FaultSwitch; 3] {
    [world.logs.faults(), world.slack.faults(), world.sns.faults()]
}

/// Runs a process and kills it at a point of chance; `requests` is how many a whole run sends. Returns whether it was
/// still alive then.
fn run_and_kill(world: &World, tick: i64, dice: &mut Dice, requests: u64) -> bool {
    let point = dice.below(requests + 1);
    let seen = world.requests_seen() + usize::try_from(point).expect("few");
    if dice.below(2) == 0 {
        hold_a_request(world, dice);
    }
    let mut child = world.begin_once(tick);
    let is_over = |child: &mut Child| child.try_wait().expect("a child can be asked").is_some();
    while world.requests_seen() < seen && !is_a_request_held(world) && !is_over(&mut child) {
        std::thread::yield_now();
    }
    for _ in 0..dice.below(if point == 0 { TURNS_MAX * START_TURNS } else { TURNS_MAX }) {
        std::hint::spin_loop();
    }
    // Where it is over already there is nobody to kill; how it ended says so.
    let _ = child.kill();
    let ended = child.wait().expect("a child can be waited for");
    switches(world).iter().for_each(|switch| switch.clear());
    ended.signal() == Some(9)
}

/// Lets one of the next requests, of one fake, wait for an answer that does not come.
fn hold_a_request(world: &World, dice: &mut Dice) {
    let mut script = vec![None; usize::try_from(dice.below(8)).expect("few")];
    script.push(Some(Fault::Hang));
    let switch = switches(world)[usize::try_from(dice.below(3)).expect("one of three")];
    switch.set(Faults { script: script.into(), ..Faults::default() });
}

fn is_a_request_held(world: &World) -> bool {
    let requests = [world.logs.requests(), world.slack.requests(), world.sns.requests()];
    requests.iter().filter_map(|requests| requests.last()).any(|last| last.fault == Some(Fault::Hang))
}

fn run_to_the_end(world: &World, tick: i64) {
    for _ in 1..RUNS_MAX {
        if world.once(tick).code == Some(0) {
            return;
        }
    }
    world.once_done(tick);
}

/// Asserts that SNS got nothing again but what was in flight when `taken` messages had been taken; returns how often.
fn repeats(world: &World, taken: &[usize]) -> usize {
    let object = |message: &str| serde_json::from_str::<Value>(message).expect("JSON");
    let ids: Vec<String> =
        world.sns.messages().iter().map(|sent| text(&object(&sent.message)["metadata"]["uid"])).collect();
    let mut repeats = 0;
    for (place, id) in ids.iter().enumerate() {
        let first = ids.iter().position(|other| other == id).expect("it is there");
        if first < place {
            repeats += 1;
            let was_in_flight = taken.iter().any(|taken| first + 1 == *taken || first == *taken);
            assert!(was_in_flight, "{id} came again, and was not in flight after {taken:?}: {ids:?}");
        }
    }
    assert!(repeats <= taken.len(), "{repeats} repeats after {} kills", taken.len());
    repeats
}

/// Kills runs of `tick` in one world after another, and holds each end against that of a world without kills.
fn kill_again_and_again(test: &str, make: fn() -> World, tick: i64, findings: usize) {
    let mut dice = Dice::of_environment(test);
    let kills = std::env::var("STAKEOUT_TEST_KILLS").map_or(10, |kills| kills.parse().expect("a number"));
    let untouched = make();
    let before = untouched.requests_seen();
    untouched.once_done(tick);
    let (expected, requests) = (end(&untouched), (untouched.requests_seen() - before) as u64);
    assert_eq!((expected.shown.len(), &expected.pending), (findings, &Value::Array(Vec::new())));
    assert!(!expected.incidents.is_empty());
    let (mut killed, mut repeated) = (0, 0);
    while killed < kills {
        let world = make();
        let mut taken = Vec::new();
        for _ in 0..=dice.below(3) {
            if run_and_kill(&world, tick, &mut dice, requests) {
                taken.push(world.sns.messages().len());
            }
        }
        killed += taken.len();
        run_to_the_end(&world, tick);
        assert_eq!(end(&world), expected, "after {} kills", taken.len());
        repeated += repeats(&world, &taken);
        assert!(world.slack.messages().len() <= findings + taken.len());
    }
    eprintln!("{test}: {killed} kills, {repeated} messages came again");
}

/// A window that takes several pages and holds six findings.
fn one_window() -> World {
    let world = World::new();
    world.reconfigure(FINDINGS_TO_SNS, BOTH_TO_SNS);
    world.ingest(&moved(&recording("kube-hunter.audit.log"), DAY + 20 * MINUTE));
    world.logs.set_paging(Paging { page_records: 6, ..Paging::default() });
    world
}

/// Four due windows: findings open in the first, grow in the second, and close.
fn four_windows() -> World {
    let world = World::with("schedule: {reread: [1h]}");
    world.reconfigure(FINDINGS_TO_SNS, BOTH_TO_SNS);
    world.once_done(DAY);
    world.ingest(&moved(&recording("kube-hunter.audit.log"), DAY + 45 * MINUTE));
    world.ingest(&refused("5.5.5.66", DAY + 65 * MINUTE, 4, 10));
    world.ingest(&refused("8.8.8.8", DAY + 115 * MINUTE, 2, 10));
    world
}

#[test]
fn a_kill_in_a_window_loses_nothing_and_doubles_only_what_was_in_flight() {
    let test = "a_kill_in_a_window_loses_nothing_and_doubles_only_what_was_in_flight";
    kill_again_and_again(test, one_window, DAY + HOUR, 6);
}

#[test]
fn a_kill_in_a_catch_up_loses_nothing_and_doubles_only_what_was_in_flight() {
    let test = "a_kill_in_a_catch_up_loses_nothing_and_doubles_only_what_was_in_flight";
    kill_again_and_again(test, four_windows, DAY + 4 * HOUR, 8);
}

/// What a CronJob's controller does when it wants a pod's place. The first process of a container ignores the signals that it
/// does not wait for.
#[test]
fn a_run_that_is_terminated_ends_after_the_current_window() {
    let world = World::new();
    world.ingest(&refused("8.8.8.8", DAY + 20 * MINUTE, 12, 10));
    world.once_done(DAY);
    world.logs.set_faults(Faults::next(1, &Fault::Hang));
    let mut child = world.begin_once_heard(DAY + 5 * HOUR);
    let lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    world.wait_until("a request is held", || is_a_request_held(&world));
    signal(&child, "TERM");
    let mut lines = lines.map_while(Result::ok);
    assert!(lines.any(|line| line.contains("stopping after the current windows")));
    world.logs.faults().release();
    assert!(lines.any(|line| line.contains("are still pending")));
    assert_eq!(child.wait().expect("a child can be waited for").code(), Some(1));
    world.once_done(DAY + 5 * HOUR);
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "the process is gone already");
}
