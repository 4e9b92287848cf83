//! `tune` over the logs of a config: the figures are those of the same lines in a file, and nothing is kept or reported.

use serde_json::{Value, json};
use stakeout_fakes::{Fault, Faults};

use super::audit::{DAY, HOUR, Line, MINUTE, moved, recording};
use super::world::World;

const FROM: i64 = DAY + 20 * MINUTE;
const TO: i64 = FROM + 3 * HOUR;

/// Returns what is said of each rule whatever the log is read from: samples are of other parts, and records are what a
/// provider let through.
fn figures(tuned: &[Value]) -> Vec<Value> {
    tuned.iter().map(|rule| json!([rule["rule"], rule["requests"], rule["groups"], rule["outcomes"]])).collect()
}

/// Returns a scan over the end of the first hour, and the same one before and behind the time in question.
fn scans() -> Vec<Line> {
    let scan = recording("anonymous-scan.audit.log");
    [FROM - HOUR, FROM + 59 * MINUTE, TO].into_iter().flat_map(|begin| moved(&scan, begin)).collect()
}

#[test]
fn the_logs_of_a_config_are_tuned_as_their_lines_are() {
    let world = World::new();
    let lines = scans();
    world.ingest(&lines);
    let (ran, tuned) = world.tune(None, FROM, TO);
    ran.assert_code(0);
    let (ran, of_file) = world.tune(Some(&lines), FROM, TO);
    ran.assert_code(0);
    assert_eq!(figures(&tuned), figures(&of_file));
    assert_eq!(tuned.len(), 4);
    assert!(tuned.iter().all(|rule| rule["requests"].as_u64() > Some(0)), "{tuned:?}");
    let hours: Vec<_> = (0..3).map(|hour| (FROM + hour * HOUR, FROM + (hour + 1) * HOUR)).collect();
    assert_eq!(world.windows_read(), hours);
    assert_eq!(world.requests_seen(), world.logs.requests().len(), "nothing is sent");
    assert!(!world.has_state());
}

/// Figures of a part would pass for those of the whole.
#[test]
fn a_log_that_cannot_be_read_is_no_log_without_requests() {
    let world = World::new();
    world.ingest(&scans());
    let script = [None, Some(Fault::Denied)].into();
    world.logs.set_faults(Faults { script, ..Faults::default() });
    let (ran, tuned) = world.tune(None, FROM, TO);
    ran.assert_code(1);
    assert_eq!(tuned, Vec::<Value>::new());
    assert!(ran.stderr.contains("cannot read dev-eks in "), "{}", ran.stderr);
}
