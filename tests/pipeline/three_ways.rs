//! Three ways to the episodes in a log: the daemon tick by tick, `replay`, and the counter. They must agree.

use super::audit::{DAY, HOUR, Line};
use super::counter;
use super::ocsf::{assert_each_opens_once, final_episodes};
use super::world::World;

/// Asserts that hourly ticks with a fresh process each, `replay` and the counter find the same.
pub(crate) fn assert_same_hourly(name: &str, lines: &[Line]) {
    let ticks: Vec<i64> = (1..=9).map(|hour| DAY + hour * HOUR).collect();
    assert_same(name, &World::new(), lines, &ticks);
}

/// Asserts the same for any ticks.
pub(crate) fn assert_same(name: &str, world: &World, lines: &[Line], ticks: &[i64]) {
    world.ingest(lines);
    for tick in ticks {
        world.once_done(*tick);
    }
    assert_reported_and_replayed(name, world, lines);
}

/// Asserts that what the world reported, `replay` of the lines, and the counter agree.
pub(crate) fn assert_reported_and_replayed(name: &str, world: &World, lines: &[Line]) {
    let counted = counter::episodes(lines);
    let reported = world.reported();
    assert_each_opens_once(&reported);
    assert_eq!(final_episodes(&reported), counted, "{name}: the daemon and the counter");
    assert_eq!(world.replay(lines), counted, "{name}: replay and the counter");
}
