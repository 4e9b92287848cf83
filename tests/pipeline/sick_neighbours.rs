//! A log or a destination that is sick delays only its own messages: what is urgent goes out at once, and the rest soon.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use stakeout_fakes::{Fault, Faults};

use super::audit::{Asked, DAY, HOUR, Line, MINUTE, refused};
use super::world::{World, terminate};

const TICK: i64 = DAY + HOUR;
const HIGH: &str = "denied-often";
const LOW: &str = "denied-a-little";

const RULES: &str = "
title: Denied
name: denied
logsource: {product: kubernetes, service: audit}
detection: {selection: {responseStatus.code: 403}, condition: selection}
---
title: Denied Often
name: denied-often
level: high
correlation: {type: event_count, rules: [denied], group-by: [source_ip], timespan: 1h, condition: {gte: 10}}
---
title: Denied A Little
name: denied-a-little
level: low
correlation: {type: event_count, rules: [denied], group-by: [source_ip, user.username], timespan: 1h, condition: {gte: 5}}
";

/// How long a finding of level high may take while a neighbour is sick. Everything else goes out after 30 s.
const AT_ONCE: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_secs(50);
/// How long until the daemon has noticed the next minute and read it.
const NEXT_MINUTE: Duration = Duration::from_secs(100);

/// A healthy log with one scanner, and another log.
fn world() -> World {
    let world = World::with_two_logs();
    world.use_rules(RULES);
    world.ingest(&refused("8.8.8.8", DAY + 20 * MINUTE, 12, 10));
    world
}

/// Waits until something is so, which must be within `most`.
#[expect(clippy::disallowed_methods, reason = "the deadline bounds the test itself")]
fn wait_at_most(most: Duration, what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < most, "waited {most:?} in vain until {what}");
        std::thread::yield_now();
    }
    begun.elapsed()
}

fn rules_reported(world: &World) -> Vec<String> {
    world.reported().into_iter().map(|reported| reported.episode.rule).collect()
}

#[test]
fn a_sick_log_delays_no_message_of_a_healthy_one() {
    let faults = [Fault::Hang, Fault::Throttled { retry_after_s: None }, Fault::Unavailable];
    std::thread::scope(|scope| {
        for fault in &faults {
            scope.spawn(move || {
                let world = world();
                world.other_logs.set_faults(Faults::always(fault.clone()));
                let mut child = world.begin_once(TICK);
                let urgent =
                    wait_at_most(AT_ONCE, "SNS has the finding of level high", || !world.reported().is_empty());
                assert_eq!(rules_reported(&world), [HIGH], "{fault:?}");
                let all = wait_at_most(SOON, "both have everything", || {
                    world.reported().len() == 2 && world.slack.messages().len() == 2
                });
                assert_eq!(rules_reported(&world), [HIGH, LOW], "{fault:?}");
                assert_eq!(child.try_wait().expect("a child can be asked"), None, "the sick log is still being read");
                eprintln!("{fault:?}: level high after {urgent:?}, the rest {all:?} later");
                child.kill().expect("it runs");
                child.wait().expect("dead");
            });
        }
    });
}

#[expect(clippy::disallowed_methods, reason = "the daemon reads the clock too")]
fn current_minute() -> i64 {
    let now = jiff::Timestamp::now().as_second();
    now - now.rem_euclid(MINUTE)
}

/// A log and a destination hang; with a tick each minute, the others get what each minute holds.
#[test]
fn the_next_tick_begins_while_a_log_and_a_destination_hang() {
    let world = World::with_two_logs();
    world.use_rules(RULES);
    world.reconfigure("budget: 1\n", "budget: 1\nschedule: {cron: \"* * * * *\", earliest: -2m, latest: -1m}\n");
    let minute = current_minute();
    // Another address in each minute.
    for n in -3..4 {
        world.ingest(&scan(&format!("8.8.4.{}", 10 + n), minute + n * MINUTE));
    }
    world.other_logs.set_faults(Faults::always(Fault::Hang));
    world.slack.set_faults(Faults::always(Fault::Hang));
    let daemon = world.begin_run();
    let sources = || -> BTreeSet<String> {
        let high = world.reported().into_iter().filter(|reported| reported.episode.rule == HIGH);
        high.map(|reported| reported.episode.source).collect()
    };
    let first = wait_at_most(AT_ONCE, "SNS hears of the first minute", || !sources().is_empty());
    let next = wait_at_most(NEXT_MINUTE, "SNS hears of the next minute", || sources().len() >= 2);
    eprintln!("the first minute after {first:?}, the next {next:?} later");
    assert!(world.slack.messages().is_empty() && !world.other_logs.requests().is_empty());
    assert_eq!(terminate(daemon), Some(0));
}

fn scan(source: &str, minute: i64) -> Vec<Line> {
    (0..12).map(|n| Asked::new(minute + 20 + n, source, 403, minute % 100_000 + n).line()).collect()
}
