//! A log or a destination that is sick delays only its own messages: what is urgent goes out at once, and the rest soon.

use std::collections::BTreeSet;
use std::io::Read;
use std::time::{Duration, Instant};

use stakeout_fakes::{Fault, Faults};

use super::audit::{Asked, DAY, HOUR, Line, MINUTE, refused};
use super::ocsf::Reported;
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
/// How long until the daemon has noticed the next minutes and read them.
const NEXT_MINUTES: Duration = Duration::from_secs(160);
/// Sources that scan in each minute.
const SCANNERS: u32 = 40;

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

/// A log and a destination hang, one asks to be left alone for ten minutes, and nobody reads standard output. With a tick each
/// minute, SNS gets what each minute holds; the others get it later.
#[test]
fn the_next_tick_begins_while_a_log_and_destinations_are_sick() {
    let world = World::with_two_logs();
    world.use_rules(RULES);
    world.reconfigure("budget: 1\n", "budget: 1\nschedule: {cron: \"* * * * *\", earliest: -2m, latest: -1m}\n");
    let hook = world.webhook.url();
    let more = format!(
        "notify:\n  - {{name: hook, send: findings, webhook: {{url: {hook:?}}}}}\n  - {{name: out, send: findings, stdout: {{}}}}\n"
    );
    world.reconfigure("notify:\n", &more);
    let minute = current_minute();
    for n in -3..6 {
        // As many as do not fit into a pipe.
        let scanners = (0..SCANNERS).flat_map(|host| scan(&format!("8.8.{}.{host}", 10 + n), minute + n * MINUTE));
        world.ingest(&scanners.collect::<Vec<Line>>());
    }
    world.other_logs.set_faults(Faults::always(Fault::Hang));
    world.slack.set_faults(Faults::always(Fault::Hang));
    world.webhook.set_faults(Faults::always(Fault::Throttled { retry_after_s: Some(600) }));
    let (mut unread, stdout) = std::io::pipe().expect("a pipe");
    let daemon = world.begin_run_to(stdout.into());
    let minutes = || -> BTreeSet<String> {
        let high = world.reported().into_iter().filter(|reported| reported.episode.rule == HIGH);
        high.filter_map(|reported| Some(reported.episode.source.rsplit_once('.')?.0.to_owned())).collect()
    };
    let first = wait_at_most(AT_ONCE, "SNS hears of the first minute", || !minutes().is_empty());
    // The pause after any failure takes a minute, so two of them.
    let next = wait_at_most(NEXT_MINUTES, "SNS hears of the next two minutes", || minutes().len() >= 3);
    eprintln!("the first minute after {first:?}, the next two {next:?} later");
    assert!(world.slack.messages().is_empty() && !world.other_logs.requests().is_empty());
    assert_eq!(world.webhook.requests().len(), 1, "the webhook is left alone");
    assert_eq!(terminate(daemon), Some(0));

    let mut text = String::new();
    unread.read_to_string(&mut text).expect("the daemon has ended");
    // The last line may be cut.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let before = uids(whole.lines().map(Reported::read));
    assert!(!before.is_empty() && before.len() < uids(world.reported()).len(), "the pipe was never full: {before:?}");
    for faults in [world.other_logs.faults(), world.slack.faults(), world.webhook.faults()] {
        faults.clear();
    }
    let ran = world.run(&["once"]);
    ran.assert_code(0);
    let after = uids(ran.stdout.lines().map(Reported::read));
    assert_eq!(before.union(&after).cloned().collect::<BTreeSet<String>>(), uids(world.reported()));
    assert_eq!(
        uids(world.webhook.values().iter().map(|value| Reported::read(&value.to_string()))),
        uids(world.reported())
    );
}

fn uids(reported: impl IntoIterator<Item = Reported>) -> BTreeSet<String> {
    reported.into_iter().map(|reported| reported.uid).collect()
}

fn scan(source: &str, minute: i64) -> Vec<Line> {
    (0..12).map(|n| Asked::new(minute + 20 + n, source, 403, minute % 100_000 + n).line()).collect()
}
