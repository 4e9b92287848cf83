//! An audit log file: what is to be followed up of many sources is found in one read of it, also where the process died
//! before that read or after it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};

use stakeout_fakes::{Fault, Faults};

use super::audit::{Asked, DAY, HOUR, Line, MINUTE, refused};
use super::let_in::{BURST, LET_IN, RULES};
use super::ocsf::{CREATE, assert_each_opens_once};
use super::world::World;

const TICK: i64 = DAY + HOUR;
/// More than one follow-up holds, and more than two do.
const SOURCES: i64 = 120;
const COMMITTED: &str = "window committed";

/// Every source is denied three times; all but each fifth are let in after it.
fn requests() -> Vec<Line> {
    let mut asked = Vec::new();
    for source in 0..SOURCES {
        let is_let_in = source % 5 != 0;
        for (turn, code) in [403, 403, 403, 200].into_iter().enumerate().take(3 + usize::from(is_let_in)) {
            let turn = i64::try_from(turn).expect("few");
            let at = DAY + source * 10 + turn * 2 * MINUTE;
            asked.push(Asked::new(at, &format!("8.8.1.{source}"), code, source * 4 + turn));
        }
    }
    asked.sort_by_key(|asked| asked.ms);
    asked.iter().map(Asked::line).collect()
}

/// Returns (rule, source, requests) of each finding to report.
fn expected() -> Vec<(String, String, i64)> {
    let burst = (0..SOURCES).map(|source| (BURST.to_owned(), format!("8.8.1.{source}"), 3));
    let let_in = (0..SOURCES).filter(|source| source % 5 != 0);
    let mut expected: Vec<_> =
        burst.chain(let_in.map(|source| (LET_IN.to_owned(), format!("8.8.1.{source}"), 4))).collect();
    expected.sort();
    expected
}

fn assert_reported(world: &World) {
    let reported = world.reported();
    assert_each_opens_once(&reported);
    let mut found: Vec<_> = reported
        .into_iter()
        .filter(|reported| reported.activity == CREATE)
        .map(|reported| (reported.episode.rule, reported.episode.source, reported.episode.count))
        .collect();
    found.sort();
    assert_eq!(found, expected());
}

/// Asserts that no stored delivery holds more than 64 things, so that to settle one of them rewrites few: messages bear
/// the number of the delivery that they are of.
fn assert_deliveries_are_small(world: &World) {
    let mut sizes: BTreeMap<String, usize> = BTreeMap::new();
    for reported in world.reported() {
        let number = reported.delivery.split('-').next().unwrap_or_default().to_owned();
        *sizes.entry(number).or_default() += 1;
    }
    assert!(sizes.values().all(|size| *size <= 64), "{sizes:?}");
}

#[test]
fn follow_ups_of_many_sources_take_one_read_of_the_file() {
    let world = World::of_file(&requests());
    world.use_rules(RULES);
    let ran = world.once_done(TICK);
    let reads: Vec<&str> = ran.stderr.lines().filter(|line| line.contains(COMMITTED)).collect();
    assert!(reads.len() == 2 && reads.iter().all(|read| read.contains("pages=1 ")), "{reads:#?}");
    assert_reported(&world);
    assert_deliveries_are_small(&world);
    let seen = world.requests_seen();
    let again = world.once_done(TICK);
    assert_eq!((world.requests_seen(), again.stderr.contains(COMMITTED)), (seen, false));
}

/// An X-Forwarded-For of 700 KB makes a line of 1.2 MB. Its sender is its last entry.
#[test]
fn a_long_chain_of_addresses_hides_no_scan() {
    let chain = format!("\"sourceIPs\":[{}\"8.8.8.8\"]", "\"::\",".repeat(700_000 / "::,".len()));
    let mut requests = refused("8.8.8.8", DAY + 10 * MINUTE, 12, 2);
    for line in &mut requests {
        line.text = line.text.replace("\"sourceIPs\":[\"8.8.8.8\"]", &chain);
        assert!(line.text.len() > 1 << 20);
    }
    let world = World::of_file(&requests);
    world.once_done(TICK);
    let found: Vec<_> = world.reported().into_iter().map(|reported| reported.episode).collect();
    let is_scan = |rule: &str| rule == "kubernetes-api-multiple-403-from-public-ip";
    assert!(
        found.iter().any(|found| is_scan(&found.rule) && found.source == "8.8.8.8" && found.count == 12),
        "{found:?}"
    );
}

/// Container runtimes cut lines after 16 KiB. The sender is in the last part of a long chain.
#[test]
fn parts_of_long_lines_are_joined() {
    let chain = format!("\"sourceIPs\":[{}\"8.8.8.8\"]", "\"::\",".repeat(50_000));
    let requests = refused("8.8.8.8", DAY + 10 * MINUTE, 12, 2);
    let part = |text: &str, time: &str, is_docker: bool, is_last: bool| match (is_docker, is_last) {
        (true, false) => serde_json::json!({"log": text, "stream": "stdout", "time": time}).to_string(),
        (true, true) => serde_json::json!({"log": format!("{text}\n"), "stream": "stdout", "time": time}).to_string(),
        (false, false) => format!("{time} stdout P {text}"),
        (false, true) => format!("{time} stdout F {text}"),
    };
    for is_docker in [true, false] {
        let in_parts = |line: &Line| {
            let text = line.text.replace("\"sourceIPs\":[\"8.8.8.8\"]", &chain);
            // As the API server begins a line.
            let text = text.replacen('{', "{\"kind\":\"Event\",", 1);
            let time = super::audit::utc(line.ms / 1000);
            let parts: Vec<&str> =
                text.as_bytes().chunks(16_384).map(|it| str::from_utf8(it).expect("ASCII")).collect();
            let is_last = |n: usize| n + 1 == parts.len();
            let parts = parts.iter().enumerate().map(|(n, text)| part(text, &time, is_docker, is_last(n)));
            Line { ms: line.ms, text: parts.collect::<Vec<_>>().join("\n") }
        };
        let world = World::of_file(&requests.iter().map(in_parts).collect::<Vec<_>>());
        world.once_done(TICK);
        let found: Vec<_> = world.reported().into_iter().map(|reported| reported.episode).collect();
        let is_scan = |rule: &str| rule == "kubernetes-api-multiple-403-from-public-ip";
        assert!(
            found.iter().any(|found| is_scan(&found.rule) && found.source == "8.8.8.8" && found.count == 12),
            "{is_docker}: {found:?}"
        );
    }
}

#[test]
fn a_kill_around_the_follow_ups_loses_nothing_and_reports_nothing_twice() {
    for commits in [1, 2] {
        let world = World::of_file(&requests());
        world.use_rules(RULES);
        // The destinations do not answer before the kill, so no message is out.
        world.sns.set_faults(Faults::always(Fault::Hang));
        world.slack.set_faults(Faults::always(Fault::Hang));
        let mut child = world.begin_once_heard(TICK);
        let said = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let committed = said.map_while(Result::ok).filter(|line| line.contains(COMMITTED)).take(commits).count();
        child.kill().expect("it has not sent anything yet");
        child.wait().expect("a child can be waited for");
        assert_eq!((committed, world.reported()), (commits, Vec::new()));
        world.sns.faults().clear();
        world.slack.faults().clear();
        world.sns.faults().release();
        world.slack.faults().release();

        world.once_done(TICK);
        assert_reported(&world);
    }
}
