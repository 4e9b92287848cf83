//! Events that the provider delivers late: the re-reads find them, and their changes are reported.

use stakeout_fakes::{Fault, Faults};

use super::audit::{Asked, DAY, HOUR, Line, MINUTE, refused};
use super::counter::SCANNING;
use super::ocsf::{CLOSE, CREATE};
use super::three_ways::assert_reported_and_replayed;
use super::world::World;
use crate::support::dice::Dice;

/// A line, and when it can be read.
type Arriving = (i64, Line);

/// Ticks hourly until the last re-read is done; each line is in the log only from its time on.
fn live(world: &World, arriving: &[Arriving], hours: i64) {
    let mut since = i64::MIN;
    for hour in 1..=hours {
        let tick = DAY + hour * HOUR;
        let arrived = arriving.iter().filter(|(at, _)| since < *at && *at <= tick);
        world.ingest(&arrived.map(|(_, line)| line.clone()).collect::<Vec<_>>());
        world.once_done(tick);
        since = tick;
    }
}

fn lines(arriving: &[Arriving]) -> Vec<Line> {
    arriving.iter().map(|(_, line)| line.clone()).collect()
}

fn at_once(lines: Vec<Line>) -> impl Iterator<Item = Arriving> {
    lines.into_iter().map(|line| (line.ms / 1000, line))
}

#[test]
fn a_late_event_opens_a_finding() {
    let world = World::new();
    let mut arriving: Vec<Arriving> = at_once(refused("10.9.9.9", DAY + 10 * MINUTE, 5, 10)).collect();
    arriving.push((DAY + 90 * MINUTE, Asked::new(DAY + 12 * MINUTE, "10.9.9.9", 403, 77).line()));
    live(&world, &arriving, 4);
    let opened: Vec<String> = world.reported().into_iter().map(|reported| reported.episode.rule).collect();
    assert!(opened.contains(&SCANNING.to_owned()), "{opened:?}");
    assert_reported_and_replayed("a late event", &world, &lines(&arriving));
}

#[test]
fn a_late_event_joins_two_findings_into_the_earlier() {
    let world = World::new();
    let mut arriving: Vec<Arriving> = at_once(refused("10.9.9.9", DAY + 10 * MINUTE, 6, 10)).collect();
    arriving.extend(at_once(refused("10.9.9.9", DAY + 120 * MINUTE, 6, 10)));
    arriving.push((DAY + 10 * HOUR, Asked::new(DAY + 65 * MINUTE, "10.9.9.9", 403, 77).line()));
    live(&world, &arriving, 27);
    assert_reported_and_replayed("a bridge", &world, &lines(&arriving));
    let scanning: Vec<_> = world.reported().into_iter().filter(|reported| reported.episode.rule == SCANNING).collect();
    let merged: Vec<i64> =
        scanning.iter().filter(|reported| reported.is_merged).map(|reported| reported.activity).collect();
    assert_eq!(merged, [CLOSE]);
    let earlier: Vec<(i64, i64)> = scanning
        .iter()
        .filter(|reported| reported.uid == scanning[0].uid)
        .map(|reported| (reported.activity, reported.episode.count))
        .collect();
    assert_eq!(earlier, [(CREATE, 6), (CLOSE, 6), (CLOSE, 13)], "it was over, and is over again with what joined it");
}

#[test]
fn a_failed_reread_stays_due_and_finds_the_late_event_afterwards() {
    let world = World::new();
    let mut lines = refused("10.9.9.9", DAY + 10 * MINUTE, 5, 10);
    world.ingest(&lines);
    world.once_done(DAY + HOUR);
    lines.push(Asked::new(DAY + 12 * MINUTE, "10.9.9.9", 403, 77).line());
    world.ingest(&lines[5..]);
    world.logs.set_faults(Faults::always(Fault::Denied));
    world.once(DAY + 2 * HOUR).assert_code(1);
    world.logs.faults().clear();
    world.once_done(DAY + 3 * HOUR);
    let scanning = world
        .reported()
        .iter()
        .filter(|reported| reported.episode.rule == SCANNING && reported.activity == CREATE)
        .count();
    assert_eq!(scanning, 1);
    assert_reported_and_replayed("a re-read that failed", &world, &lines);
}

#[test]
fn any_delay_up_to_a_day_changes_nothing_in_the_end() {
    let mut dice = Dice::of_environment("any_delay_up_to_a_day_changes_nothing_in_the_end");
    let mut arriving = Vec::new();
    for source in ["8.8.8.8", "10.0.0.9", "9.9.9.9"] {
        for _ in 0..4 {
            let burst = refused(source, DAY + dice.seconds(5 * HOUR), 1 + dice.seconds(14), dice.seconds(300));
            for line in burst {
                let delay = [0, dice.seconds(HOUR), dice.seconds(23 * HOUR)]
                    [usize::try_from(dice.below(3)).expect("one of three")];
                arriving.push((line.ms / 1000 + delay, line));
            }
        }
    }
    let world = World::new();
    live(&world, &arriving, 33);
    assert_reported_and_replayed("any delay", &world, &lines(&arriving));
}
