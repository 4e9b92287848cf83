//! Downtime: the windows that were missed are read in order, each once.

use super::audit::{DAY, HOUR, MINUTE, refused, utc};
use super::counter::{self, MULTIPLE_403};
use super::ocsf::{assert_each_opens_once, final_episodes};
use super::world::World;

/// Returns the window that the tick at this hour ends.
fn window(hour: i64) -> (i64, i64) {
    let latest = DAY + hour * HOUR - 10 * MINUTE;
    (latest - HOUR, latest)
}

#[test]
fn five_windows_are_read_in_order_and_none_twice() {
    let world = World::with("schedule: {reread: []}");
    let lines: Vec<_> =
        (0..7).flat_map(|hour| refused(&format!("8.8.8.{hour}"), DAY + hour * HOUR + 20 * MINUTE, 12, 10)).collect();
    world.ingest(&lines);
    world.once_done(DAY + HOUR);
    assert_eq!(world.windows_read(), [window(1)]);

    world.once_done(DAY + 6 * HOUR);
    let read: Vec<(i64, i64)> = (1..=6).map(window).collect();
    assert_eq!(world.windows_read(), read);
    assert_eq!(world.log("dev")["cursor"], utc(DAY + 6 * HOUR - 10 * MINUTE));
    let opened: Vec<String> = world
        .reported()
        .into_iter()
        .filter(|reported| reported.activity == 1 && reported.episode.rule == MULTIPLE_403)
        .map(|reported| reported.episode.source)
        .collect();
    assert_eq!(opened, ["8.8.8.0", "8.8.8.1", "8.8.8.2", "8.8.8.3", "8.8.8.4", "8.8.8.5"]);

    world.once_done(DAY + 6 * HOUR);
    assert_eq!(world.windows_read(), read, "a second run read a window again");
    world.once_done(DAY + 9 * HOUR);
    assert_each_opens_once(&world.reported());
    assert_eq!(final_episodes(&world.reported()), counter::episodes(&lines));
}

#[test]
fn rereads_that_came_due_meanwhile_are_done_once_after_the_windows() {
    let world = World::new();
    world.once_done(DAY + HOUR);
    world.once_done(DAY + 6 * HOUR);
    // The first window is due again since 01:50; the others were read after their first re-read was due, but the last.
    let mut read: Vec<(i64, i64)> = (1..=6).map(window).collect();
    read.push(window(1));
    assert_eq!(world.windows_read(), read);
    world.once_done(DAY + 7 * HOUR);
    read.extend([window(7), window(6)]);
    assert_eq!(world.windows_read(), read);
}

#[test]
fn a_span_before_the_backfill_is_reported_as_a_gap() {
    let world = World::with("schedule: {max_backfill: 4h, reread: [1h]}");
    world.ingest(&refused("8.8.8.8", DAY, 1, 0));
    world.once_done(DAY + HOUR);
    let before = world.reported().len();
    world.once_done(DAY + 12 * HOUR);
    let log = world.log("dev");
    assert_eq!(log["cursor"], utc(DAY + 12 * HOUR - 10 * MINUTE));
    let gap = &log["gaps"][0]["window"];
    assert_eq!(
        (&gap["earliest"], &gap["latest"]),
        (&utc(DAY + 50 * MINUTE).into(), &utc(DAY + 8 * HOUR).into()),
        "{log}"
    );
    let gaps = world.reported()[before..].iter().filter(|reported| reported.title == "Audit log gap").count();
    assert_eq!(gaps, 1);
}
