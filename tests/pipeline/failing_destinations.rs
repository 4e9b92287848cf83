//! Destinations that refuse, hang and lose answers: nothing is lost, and nothing is doubled but what must be.

use stakeout_fakes::slack::SlackRefusal;
use stakeout_fakes::{Fault, Faults};

use super::audit::{DAY, HOUR, MINUTE, refused};
use super::ocsf::assert_each_opens_once;
use super::world::World;

const TICK: i64 = DAY + HOUR;

/// A world with a scan of one public address: three findings.
fn scanned() -> World {
    let world = World::new();
    world.ingest(&refused("8.8.8.8", DAY + 20 * MINUTE, 12, 10));
    world
}

fn assert_reported_once(world: &World) {
    assert_eq!((world.slack.messages().len(), world.reported().len()), (3, 3));
    assert_each_opens_once(&world.reported());
    assert_eq!(world.state()["pending"], serde_json::json!([]));
}

#[test]
fn a_webhook_that_is_gone_keeps_its_messages_pending_and_sns_gets_its_own() {
    for refusal in [SlackRefusal::NoService, SlackRefusal::InvalidToken, SlackRefusal::ChannelIsArchived] {
        let world = scanned();
        world.slack.set_faults(Faults::always(refusal.into()));
        world.once(TICK).assert_code(1);
        assert_eq!((world.slack.messages().len(), world.reported().len()), (0, 3));
        assert_eq!(world.state()["pending"], serde_json::json!([{"destination": "secops", "messages": 3}]));
        world.once(TICK).assert_code(1);
        world.slack.faults().clear();
        world.once_done(TICK);
        assert_reported_once(&world);
    }
}

#[test]
fn a_topic_that_denies_keeps_its_messages_pending_and_slack_gets_its_own() {
    let world = scanned();
    world.sns.set_faults(Faults::always(Fault::Denied));
    world.once(TICK).assert_code(1);
    assert_eq!((world.slack.messages().len(), world.reported().len()), (3, 0));
    world.sns.faults().clear();
    world.once_done(TICK);
    assert_reported_once(&world);
}

#[test]
fn a_day_of_refusals_ends_in_one_digest() {
    let world = World::new();
    world.slack.set_faults(Faults::always(SlackRefusal::NoService.into()));
    for hour in 0..5 {
        world.ingest(&refused(&format!("8.8.8.{hour}"), DAY + hour * HOUR + 20 * MINUTE, 12, 10));
        world.once(TICK + hour * HOUR).assert_code(1);
    }
    world.slack.faults().clear();
    world.once_done(TICK + 4 * HOUR);
    assert_eq!(world.slack.messages().len(), 1);
    assert_each_opens_once(&world.reported());
}

#[test]
fn a_rate_limit_and_short_failures_are_waited_for() {
    let world = scanned();
    let throttled = Fault::Throttled { retry_after_s: Some(1) };
    world.slack.set_faults(Faults::next(1, &throttled));
    world.slack.faults().script_next(1, &Fault::InternalError);
    world.sns.set_faults(Faults::next(1, &Fault::Throttled { retry_after_s: None }));
    world.sns.faults().script_next(1, &Fault::Unavailable);
    world.once_done(TICK);
    assert_reported_once(&world);
}

#[test]
fn a_webhook_that_takes_one_message_a_second_gets_all() {
    let world = scanned();
    world.slack.limit_rate(true);
    world.once_done(TICK);
    assert_reported_once(&world);
}

#[test]
fn a_wait_that_is_too_long_is_left_for_the_next_tick() {
    let world = scanned();
    world.slack.set_faults(Faults::next(1, &Fault::Throttled { retry_after_s: Some(600) }));
    world.once(TICK).assert_code(1);
    assert_eq!(world.slack.messages().len(), 0);
    world.once_done(TICK);
    assert_reported_once(&world);
}

#[test]
fn a_destination_that_hangs_holds_up_no_other() {
    let world = scanned();
    world.slack.set_faults(Faults::next(1, &Fault::Hang));
    let mut child = world.begin_once(TICK);
    world.wait_until("SNS gets its messages while Slack hangs", || world.sns.messages().len() == 3);
    world.wait_until("Slack is asked", || world.slack.requests().len() == 1);
    world.slack.faults().release();
    assert_eq!(child.wait().expect("a child can be waited for").code(), Some(0));
    assert_reported_once(&world);
}

#[test]
fn an_answer_that_is_lost_repeats_that_one_message_under_the_same_id() {
    let world = scanned();
    world.sns.set_faults(Faults::next(1, &Fault::AnswerLost));
    world.once_done(TICK);
    let ids: Vec<String> = world.reported().into_iter().map(|reported| reported.delivery).collect();
    assert_eq!((ids.len(), &ids[0]), (4, &ids[1]));
    assert_eq!(world.slack.messages().len(), 3);
}

#[test]
fn a_message_that_is_refused_stands_in_the_way_of_no_other() {
    let world = scanned();
    world.sns.set_faults(Faults::next(1, &Fault::Denied));
    world.once(TICK).assert_code(1);
    assert_eq!((world.slack.messages().len(), world.reported().len()), (3, 2));
    assert_eq!(world.state()["pending"], serde_json::json!([{"destination": "bus", "messages": 1}]));
    world.once_done(TICK);
    assert_reported_once(&world);
}
