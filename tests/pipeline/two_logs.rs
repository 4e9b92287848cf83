//! Two logs of two clusters: one finding over both, and neither waits long for the other.

use stakeout_fakes::{Fault, Faults};

use super::audit::{DAY, HOUR, Line, MINUTE, refused, utc};
use super::counter::{self, MULTIPLE_403};
use super::ocsf::{CLOSE, CREATE, assert_each_opens_once, final_episodes};
use super::three_ways::assert_reported_and_replayed;
use super::timelines::any_timeline;
use super::world::World;
use crate::support::dice::Dice;

const TICK: i64 = DAY + HOUR;

/// Twelve requests of one public address within the first window: three findings.
fn scan() -> Vec<Line> {
    refused("8.8.8.8", DAY + 20 * MINUTE, 12, 10)
}

fn assert_found(world: &World) {
    assert_each_opens_once(&world.reported());
    assert_eq!(final_episodes(&world.reported()), counter::episodes(&scan()));
}

#[test]
fn a_log_that_denies_holds_up_no_other() {
    let world = World::with_two_logs();
    world.ingest(&scan());
    world.other_logs.set_faults(Faults::always(Fault::Denied));
    world.once(TICK).assert_code(1);
    assert_found(&world);
    assert_eq!(world.log("dev")["cursor"], utc(DAY + 50 * MINUTE));
    assert_eq!(world.log("prod")["cursor"], utc(DAY - 10 * MINUTE));
    world.other_logs.faults().clear();
    world.once_done(TICK);
    assert_found(&world);
}

#[test]
fn a_log_that_hangs_holds_up_no_other() {
    let world = World::with_two_logs();
    world.ingest(&scan());
    world.other_logs.set_faults(Faults::next(1, &Fault::Hang));
    let mut child = world.begin_once(TICK);
    world.wait_until("the other log is asked", || world.other_logs.requests().len() == 1);
    world.wait_until("the healthy log is read", || world.logs.requests().len() >= 2);
    world.other_logs.faults().release();
    assert_eq!(child.wait().expect("a child can be waited for").code(), Some(0));
    assert_found(&world);
}

#[test]
fn a_finding_stays_open_while_a_log_is_behind_and_a_dead_log_is_not_waited_for() {
    let world = World::with_two_logs();
    world.ingest(&refused("8.8.8.8", DAY + 40 * MINUTE, 12, 10));
    world.once_done(TICK);
    world.other_logs.set_faults(Faults::always(Fault::Denied));
    let closed = |world: &World| world.reported().iter().filter(|reported| reported.activity == CLOSE).count();
    // One of the three is over at 01:12, and the healthy log is read until 01:50; but the other stands at 00:50.
    world.once(TICK + HOUR).assert_code(1);
    assert_eq!(closed(&world), 0);
    // Two windows failed: nobody waits for that log any more.
    world.once(TICK + 2 * HOUR).assert_code(1);
    assert_eq!(closed(&world), 3);
    assert_each_opens_once(&world.reported());
}

#[test]
fn one_source_in_two_clusters_is_one_finding() {
    let world = World::with_two_logs();
    // Six requests to each cluster: neither alone crosses the ten of the rule that counts over clusters.
    world.ingest(&refused("8.8.8.8", DAY + 30 * MINUTE, 6, 10));
    world.ingest_other(&refused("8.8.8.8", DAY + 31 * MINUTE, 6, 10));
    world.once_done(TICK);
    let multiple: Vec<_> =
        world.reported().into_iter().filter(|reported| reported.episode.rule == MULTIPLE_403).collect();
    assert_eq!((multiple.len(), multiple[0].activity, multiple[0].episode.count), (1, CREATE, 12));
}

#[test]
fn slack_hears_of_another_cluster_whichever_log_is_read_first() {
    for is_dev_first in [true, false] {
        let world = World::with_two_logs();
        world.ingest(&refused("8.8.8.8", DAY + 45 * MINUTE, 12, 10));
        world.once_done(TICK);
        world.ingest_other(&refused("8.8.8.8", DAY + 55 * MINUTE, 1, 0));
        world.ingest(&refused("8.8.8.8", DAY + 56 * MINUTE, 1, 0));
        let later = if is_dev_first { &world.other_logs } else { &world.logs };
        later.set_faults(Faults::always(Fault::Denied));
        world.once(TICK + HOUR).assert_code(1);
        later.faults().clear();
        world.once_done(TICK + HOUR);
        world.once_done(TICK + 3 * HOUR);
        let reported = world.reported();
        assert_each_opens_once(&reported);
        assert_eq!(final_episodes(&reported).iter().map(|episode| episode.count).collect::<Vec<_>>(), [14; 3]);
        assert_eq!(reported.iter().filter(|reported| reported.activity == CLOSE).count(), 3);
        let texts: Vec<String> =
            world.slack.messages()[3..].iter().map(|message| message["text"].to_string()).collect();
        let updates = texts.iter().filter(|text| text.contains("Update: ") && text.contains("prod")).count();
        assert_eq!((texts.len(), updates), (3, 3), "dev first: {is_dev_first}, {texts:?}");
    }
}

#[test]
fn any_two_timelines_are_the_same_three_ways_though_logs_fail_now_and_then() {
    let mut dice = Dice::of_environment("any_two_timelines_are_the_same_three_ways_though_logs_fail_now_and_then");
    let world = World::with_two_logs();
    let dev = any_timeline(&mut dice);
    let mut prod = any_timeline(&mut dice);
    for line in &mut prod {
        // Requests to another cluster are other requests.
        line.text = line.text.replace("00000000-0000-4000-8000", "99999999-9999-4999-8999");
    }
    world.ingest(&dev);
    world.ingest_other(&prod);
    for hour in 1..=12 {
        for faults in [world.logs.faults(), world.other_logs.faults()] {
            let is_denied = hour % 4 != 0 && dice.below(3) == 0;
            faults.set(if is_denied { Faults::always(Fault::Denied) } else { Faults::default() });
        }
        world.once(DAY + hour * HOUR);
    }
    assert_reported_and_replayed("two logs", &world, &[dev, prod].concat());
}
