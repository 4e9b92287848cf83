//! Logs that throttle, fail, deny, lose tokens or fall silent: windows wait, and what is missed is said aloud.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};

use stakeout_fakes::cloudwatch_logs::{Paging, TokenGone};
use stakeout_fakes::{Fault, Faults};

use super::audit::{DAY, HOUR, Line, MINUTE, refused, utc};
use super::counter;
use super::ocsf::{Reported, WATCH, assert_each_opens_once, final_episodes};
use super::three_clouds::each;
use super::world::{Cloud, World};

const TICK: i64 = DAY + HOUR;

/// Twelve requests of one public address within the first window: three findings.
fn scan() -> Vec<Line> {
    refused("8.8.8.8", DAY + 20 * MINUTE, 12, 10)
}

fn assert_found(world: &World) {
    assert_each_opens_once(&world.reported());
    assert_eq!(final_episodes(&world.reported()), counter::episodes(&scan()));
}

/// Returns the titles of the notices about the watch itself.
fn notices(world: &World) -> Vec<String> {
    world
        .reported()
        .into_iter()
        .filter(|reported| reported.episode.rule == WATCH)
        .map(|reported| reported.title)
        .collect()
}

#[test]
fn failures_that_pass_are_tried_again() {
    let faults = [
        Fault::Throttled { retry_after_s: None },
        Fault::Throttled { retry_after_s: Some(1) },
        Fault::InternalError,
        Fault::Unavailable,
        Fault::ResetMidBody,
        Fault::TruncatedBody,
        Fault::AnswerLost,
        Fault::Answer { status: 200, body: String::new() },
    ];
    std::thread::scope(|scope| {
        for fault in &faults {
            scope.spawn(move || {
                let world = World::new();
                world.ingest(&scan());
                world.logs.set_paging(Paging { page_records: 5, ..Paging::default() });
                world.logs.faults().set(Faults { script: [None, Some(fault.clone())].into(), ..Faults::default() });
                world.once_done(TICK);
                assert_found(&world);
            });
        }
    });
}

/// A wait of an hour is not cut short: the window is left for a later run, and nobody is asked again in this one.
#[test]
fn a_long_wait_is_honoured() {
    for cloud in Cloud::THREE {
        let world = World::of(&[cloud]);
        world.ingest_into(cloud, &scan());
        world.server(cloud).set_faults(Faults::next(1, &Fault::Throttled { retry_after_s: Some(3_600) }));
        let ran = world.once(TICK);
        ran.assert_code(1);
        assert!(
            ran.stderr.contains("the provider asks to wait 3600 s, and a window waits 600 s at most"),
            "{}",
            ran.stderr
        );
        assert_eq!(world.server(cloud).requests().len(), 1, "{cloud:?}");
        world.once_done(TICK + HOUR);
        assert_found(&world);
    }
}

/// How long the provider asks to wait, unless STAKEOUT_WAIT_SECONDS names another.
const WAIT_SECONDS: u32 = 2;

#[test]
fn a_wait_that_the_window_has_time_for_is_waited_for() {
    let seconds = std::env::var("STAKEOUT_WAIT_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let seconds: u32 = seconds.unwrap_or(WAIT_SECONDS);
    each(&Cloud::THREE, |&cloud| {
        let world = World::of(&[cloud]);
        world.ingest_into(cloud, &scan());
        world.server(cloud).set_faults(Faults::next(1, &Fault::Throttled { retry_after_s: Some(seconds) }));
        world.once_done(TICK);
        assert_found(&world);
        let requests = world.server(cloud).requests();
        let waited = requests[1].at.duration_since(requests[0].at).as_secs_f64();
        eprintln!("{cloud:?}: asked to wait {seconds} s, waited {waited:.3} s");
        assert!(waited >= f64::from(seconds), "{cloud:?}: waited {waited} s");
    });
}

/// The longest waits are begun and announced, and nobody is asked meanwhile.
#[test]
fn a_wait_of_minutes_is_announced() {
    each(&Cloud::THREE, |&cloud| {
        for seconds in [45, 600] {
            let world = World::of(&[cloud]);
            world.ingest_into(cloud, &scan());
            world.server(cloud).set_faults(Faults::next(1, &Fault::Throttled { retry_after_s: Some(seconds) }));
            let mut child = world.begin_once_heard(TICK);
            let announced = BufReader::new(child.stderr.take().expect("it is piped")).lines().find_map(|line| {
                let line = line.expect("UTF-8");
                let (_, wait) = line.split_once("wait_seconds=")?;
                wait.split(' ').next()?.parse::<u32>().ok()
            });
            // A part of it has passed by then.
            assert!(announced.is_some_and(|wait| (seconds - 5..=seconds).contains(&wait)), "{cloud:?}: {announced:?}");
            assert_eq!(world.server(cloud).requests().len(), 1, "{cloud:?}");
            child.kill().and_then(|()| child.wait()).expect("it ends");
            world.once_done(TICK);
            assert_found(&world);
        }
    });
}

#[test]
fn pages_may_be_empty_and_the_last_may_lead_on() {
    let world = World::new();
    world.ingest(&scan());
    let paging = Paging { page_records: 1, empty_pages: 3, last_page_has_token: true, ..Paging::default() };
    world.logs.set_paging(paging);
    world.once_done(TICK);
    assert_found(&world);
}

#[test]
fn a_token_that_is_gone_begins_the_window_again() {
    let world = World::new();
    world.ingest(&scan());
    world.logs.set_paging(Paging {
        page_records: 4,
        token_gone: Some(TokenGone { page: 3, times: 2 }),
        ..Paging::default()
    });
    world.once_done(TICK);
    assert_found(&world);
}

#[test]
fn a_token_that_leads_in_a_circle_fails_the_window_and_does_not_count_twice() {
    let world = World::new();
    world.ingest(&scan());
    world.logs.set_paging(Paging { page_records: 4, same_token: true, ..Paging::default() });
    world.once(TICK).assert_code(1);
    assert_eq!(world.reported(), []);
    world.logs.set_paging(Paging::default());
    world.once_done(TICK);
    assert_found(&world);
}

#[test]
fn silence_is_reported_after_three_windows_and_so_is_its_end() {
    let world = World::with("schedule: {reread: []}");
    for hour in 0..5 {
        world.once_done(TICK + hour * HOUR);
        let expected: &[&str] = if hour < 2 { &[] } else { &["No audit records"] };
        assert_eq!(notices(&world), expected, "after {} windows", hour + 1);
    }
    world.ingest(&refused("8.8.8.8", DAY + 5 * HOUR + 20 * MINUTE, 1, 0));
    world.once_done(TICK + 5 * HOUR);
    assert_eq!(notices(&world), ["No audit records", "Audit records are back"]);
    assert_eq!(world.slack.messages().len(), 3, "silence, its end, and one finding");
}

#[test]
fn a_window_that_fails_for_six_hours_is_a_gap_and_a_reread_fills_it() {
    let world = World::new();
    world.ingest(&scan());
    world.logs.set_faults(Faults::always(Fault::Denied));
    for hour in 0..6 {
        world.once(TICK + hour * HOUR).assert_code(1);
        assert_eq!(notices(&world), Vec::<String>::new());
    }
    assert_eq!(world.log("dev")["cursor"], utc(DAY - 10 * MINUTE));
    world.once(TICK + 6 * HOUR).assert_code(1);
    assert_eq!(notices(&world), ["Audit log gap"]);
    assert_eq!(world.log("dev")["cursor"], utc(DAY + 50 * MINUTE), "one window is given up, and no more");

    world.logs.faults().clear();
    world.once_done(TICK + 7 * HOUR);
    assert_eq!(world.log("dev")["cursor"], utc(DAY + 7 * HOUR + 50 * MINUTE));
    assert_eq!(final_episodes(&world.reported()), [], "the gap has not been read yet");
    world.once_done(TICK + 24 * HOUR);
    assert_eq!(notices(&world), ["Audit log gap", "No audit records", "Audit log gap closed"]);
    assert_found(&world);
    assert_eq!(world.log("dev")["gaps"], serde_json::json!([]));
}

/// Removes the files of the state, as `rm state/*` does, which leaves the directories.
fn remove_files(world: &World) {
    for entry in std::fs::read_dir(world.path("state")).expect("listed") {
        let path = entry.expect("listed").path();
        if path.is_file() {
            std::fs::remove_file(path).expect("removed");
        }
    }
}

/// The directories say that there was a state.
#[test]
fn a_state_whose_files_are_gone_is_said_aloud_once() {
    let world = World::with("schedule: {reread: []}");
    world.ingest(&scan());
    world.once_done(TICK);
    remove_files(&world);
    std::fs::remove_dir_all(world.path("state").join("backups")).expect("removed");
    let ran = world.run(&["state", "verify"]);
    assert!(ran.stderr.contains("there is no state in"), "{}", ran.stderr);
    world.once_done(TICK);
    assert_eq!(notices(&world), ["The state is gone"]);
    world.once_done(TICK + HOUR);
    assert_eq!(notices(&world), ["The state is gone"]);
    assert_eq!(world.slack.messages().len(), 3 + 1 + 3, "the scan is found again");
}

/// The disk changes a block of the database. The copy of the hour before takes its place, and the log is read again from there.
#[test]
fn a_damaged_state_goes_on_with_its_copy_and_says_so_once() {
    let world = World::with("schedule: {reread: []}");
    world.ingest(&scan());
    world.once_done(TICK);
    let database = world.path("state").join("db");
    let bytes = std::fs::read(&database).expect("the database");
    std::fs::write(&database, &bytes[..bytes.len() / 3]).expect("cut off");
    world.run(&["state", "verify"]).assert_code(1);
    let said = world.run(&["state", "verify"]).stderr;
    assert!(said.contains("stakeout state repair"), "{said}");
    let ran = world.once_done(TICK + HOUR);
    assert!(ran.stderr.contains("going on with its copy"), "{}", ran.stderr);
    assert_eq!(notices(&world), ["The state was damaged"]);
    world.once_done(TICK + 2 * HOUR);
    assert_eq!(notices(&world), ["The state was damaged"]);
    // The copy holds the messages that were pending when it was made: they come again, with the same number.
    let mut numbers = BTreeSet::new();
    let once: Vec<Reported> =
        world.reported().into_iter().filter(|reported| numbers.insert(reported.delivery.clone())).collect();
    assert_each_opens_once(&once);
    assert!(world.run(&["state", "repair"]).stdout.contains("nothing to repair"));
    world.run(&["state", "verify"]).assert_code(0);
}

/// The first copy holds the first commit: a log that was read goes on where it was, even where all but the copies is gone.
#[test]
fn a_state_of_which_only_copies_are_left_goes_on_with_the_newest() {
    let world = World::with("schedule: {reread: []}");
    world.ingest(&scan());
    world.once_done(TICK);
    let cursor = world.log("dev")["cursor"].clone();
    remove_files(&world);
    world.run(&["state", "verify"]).assert_code(1);
    world.run(&["state", "repair"]).assert_code(0);
    assert_eq!(world.log("dev")["cursor"], cursor);
    let copies = std::fs::read_dir(world.path("state").join("backups")).expect("listed");
    let copy = copies.map(|entry| entry.expect("listed").path()).max().expect("a copy");
    let mut bytes = std::fs::read(&copy).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(copy, bytes).expect("written");
    let ran = world.run(&["state", "verify"]);
    ran.assert_code(1);
    assert!(ran.stdout.contains("is damaged: its checksum is another one"), "{}", ran.stdout);
}
