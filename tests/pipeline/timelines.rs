//! Timelines that are made to go wrong: at the edges of windows, of timespans and of the quiet time.

use stakeout_fakes::cloudwatch_logs::Paging;

use super::audit::{Asked, DAY, HOUR, Line, MINUTE, refused};
use super::counter::{self, MULTIPLE_403, SCANNING};
use super::three_ways::{assert_same, assert_same_hourly};
use super::world::World;
use crate::support::dice::Dice;

/// Returns how many episodes of a rule the counter finds, so that a timeline cannot miss its own point.
fn episodes_of(rule: &str, lines: &[Line]) -> usize {
    counter::episodes(lines).iter().filter(|episode| episode.rule == rule).count()
}

#[test]
fn a_burst_across_the_windows_edge() {
    let lines = refused("8.8.8.8", DAY + 44 * MINUTE + 30, 12, 60);
    assert_eq!(episodes_of(MULTIPLE_403, &lines), 1);
    assert_same_hourly("a burst across :50", &lines);
}

#[test]
fn ten_requests_in_exactly_half_an_hour_and_in_a_second_more() {
    let just = refused("8.8.8.8", DAY + 35 * MINUTE, 10, 200);
    let mut missed = refused("8.8.4.4", DAY + 35 * MINUTE, 9, 200);
    missed.extend(refused("8.8.4.4", DAY + 65 * MINUTE + 1, 1, 0));
    assert_eq!((episodes_of(MULTIPLE_403, &just), episodes_of(MULTIPLE_403, &missed)), (1, 0));
    assert_same_hourly("half an hour", &[just, missed].concat());
}

#[test]
fn lines_that_repeat_count_once() {
    let once = refused("8.8.8.8", DAY + 45 * MINUTE, 9, 30);
    assert_eq!(episodes_of(MULTIPLE_403, &once), 0);
    let world = World::new();
    world.logs.set_paging(Paging { page_records: 4, duplicates: true, ..Paging::default() });
    let ticks = [DAY + HOUR, DAY + 2 * HOUR, DAY + 3 * HOUR];
    assert_same("repeats", &world, &[once.clone(), once].concat(), &ticks);
}

#[test]
fn a_slow_scan_below_one_threshold_stays_one_finding_of_the_other() {
    let lines = refused("8.8.8.8", DAY + 10 * MINUTE, 90, 201);
    assert_eq!((episodes_of(MULTIPLE_403, &lines), episodes_of(SCANNING, &lines)), (0, 1));
    assert_same_hourly("a slow scan", &lines);
}

#[test]
fn bursts_on_both_sides_of_the_quiet_time() {
    let mut lines = Vec::new();
    let gaps = [29 * MINUTE, 30 * MINUTE, 30 * MINUTE + 1, 31 * MINUTE, 60 * MINUTE, 60 * MINUTE + 1, 61 * MINUTE];
    for (place, gap) in gaps.into_iter().enumerate() {
        let source = format!("8.8.8.{place}");
        let begin = DAY + 12 * MINUTE;
        lines.extend(refused(&source, begin, 12, 7));
        lines.extend(refused(&source, begin + 11 * 7 + gap, 12, 7));
    }
    assert_eq!((episodes_of(MULTIPLE_403, &lines), episodes_of(SCANNING, &lines)), (12, 9));
    assert_same_hourly("two bursts", &lines);
}

#[test]
fn requests_that_all_claim_one_audit_id_are_all_counted() {
    let claim = |n: i64| {
        let mut asked = Asked::new(DAY + 44 * MINUTE + n * 40, "8.8.8.8", 403, n);
        asked.audit_id = "11111111-1111-4111-8111-111111111111".to_owned();
        asked.line()
    };
    let lines: Vec<Line> = (0..20).map(claim).collect();
    assert_eq!(episodes_of(MULTIPLE_403, &lines), 1);
    assert_same_hourly("one Audit-ID", &lines);
}

#[test]
fn a_source_that_comes_back_after_its_finding_closed_opens_another() {
    // Windows of ten minutes without re-reads: findings are forgotten soon, and what they counted must be as well.
    let mut lines = refused("8.8.8.8", DAY + 2 * MINUTE, 12, 5);
    lines.extend(refused("8.8.8.8", DAY + 52 * MINUTE, 1, 5));
    lines.extend(refused("8.8.8.8", DAY + 110 * MINUTE, 12, 5));
    assert_eq!((episodes_of(MULTIPLE_403, &lines), episodes_of(SCANNING, &lines)), (2, 1));
    let world = World::with("schedule: {cron: \"*/10 * * * *\", earliest: -20m, latest: -10m, reread: []}");
    let ticks: Vec<i64> = (1..=24).map(|tick| DAY + tick * 10 * MINUTE).collect();
    assert_same("windows of ten minutes", &world, &lines, &ticks);
}

/// Makes bursts and stragglers of a few sources over six hours, in no order.
pub(crate) fn any_timeline(dice: &mut Dice) -> Vec<Line> {
    let mut lines = Vec::new();
    for source in ["8.8.8.8", "10.0.0.9", "9.9.9.9", "2a00:1450:4001::7"] {
        for _ in 0..=dice.below(5) {
            let begin = DAY + dice.seconds(6 * HOUR);
            let (count, every) = (1 + dice.seconds(15), dice.seconds(400));
            lines.extend(refused(source, begin, count, every));
        }
    }
    dice.shuffle(&mut lines);
    lines
}

/// Schedules with their periods: what is kept and forgotten follows from both.
const SCHEDULES: [(&str, i64); 3] = [
    ("", HOUR),
    ("schedule: {cron: \"*/10 * * * *\", earliest: -20m, latest: -10m, reread: []}", 10 * MINUTE),
    ("schedule: {cron: \"*/30 * * * *\", earliest: -35m, latest: -5m, reread: [20m]}", 30 * MINUTE),
];

#[test]
fn any_timeline_on_any_schedule_is_the_same_three_ways() {
    let mut dice = Dice::of_environment("any_timeline_on_any_schedule_is_the_same_three_ways");
    for (config, period) in SCHEDULES {
        let lines = any_timeline(&mut dice);
        let world = World::with(config);
        let page_records = usize::try_from(10 + dice.below(40)).expect("few");
        world.logs.set_paging(Paging { page_records, ..Paging::default() });
        let ticks: Vec<i64> = (1..=10 * HOUR / period).map(|tick| DAY + tick * period).collect();
        assert_same(&format!("schedule {config:?}"), &world, &lines, &ticks);
    }
}

#[test]
fn ticks_that_are_missed_change_nothing() {
    let mut dice = Dice::of_environment("ticks_that_are_missed_change_nothing");
    let lines = any_timeline(&mut dice);
    let world = World::new();
    let mut ticks: Vec<i64> = (1..=10).map(|hour| DAY + hour * HOUR).collect();
    ticks.retain(|tick| *tick == DAY + HOUR || *tick == DAY + 10 * HOUR || dice.below(2) == 0);
    assert_same(&format!("ticks {ticks:?}"), &world, &lines, &ticks);
}
