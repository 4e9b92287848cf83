//! PagerDuty, with the real binary: an incident is one alert, over growth, failures and its end.

use serde_json::Value;
use stakeout_fakes::pagerduty::Alert;
use stakeout_fakes::{Fault, Faults};

use super::audit::{Asked, DAY, HOUR, MINUTE};
use super::bot::ask;
use super::world::World;

const TICK: i64 = DAY + 10 * HOUR;

fn world() -> World {
    let world = World::of_files(1);
    world.use_shipped_rules();
    world.use_pager("min_severity: low,");
    world
}

fn payload(alert: &Alert) -> &Value {
    &alert.events.last().expect("an event")["payload"]
}

/// The attacker probes for three hours, is let in in the fourth, and stops.
#[test]
fn an_incident_is_one_alert_that_grows_and_is_resolved() {
    let world = world();
    for (hour, code) in [(0, 403), (1, 403), (2, 403), (3, 200)] {
        ask(&world, "8.8.8.8", hour, code);
        world.once_done(TICK + hour * HOUR);
    }
    let [alert] = &world.pager.alerts()[..] else { panic!("{:#?}", world.pager.alerts()) };
    assert_eq!((alert.events.len(), alert.is_resolved), (4, false));
    let severities: Vec<&Value> = alert.events.iter().map(|event| &event["payload"]["severity"]).collect();
    assert_eq!((severities[0], severities[3]), (&Value::from("warning"), &Value::from("critical")), "{severities:?}");
    let payload = payload(alert);
    assert!(payload["summary"].as_str().is_some_and(|summary| summary.contains("8.8.8.8")), "{payload}");
    assert_eq!(payload["source"], "cluster-0");
    assert!(payload["class"].as_str().is_some_and(|class| class.starts_with("kubernetes-")), "{payload}");
    let details = &payload["custom_details"];
    assert_eq!(details["show"], format!("stakeout incidents show {}", alert.dedup_key));
    assert!(details["silence"].as_str().is_some_and(|it| it.starts_with("stakeout silence add --source")), "{details}");
    world.once_done(TICK + 50 * HOUR);
    world.once_done(TICK + 51 * HOUR);
    // The log is silent by then, which is an alert too.
    let alerts = world.pager.alerts();
    let of_incident: Vec<_> = alerts.iter().filter(|other| other.dedup_key == alert.dedup_key).collect();
    let [alert] = of_incident[..] else { panic!("{alerts:#?}") };
    assert_eq!((alert.events.len(), alert.is_resolved), (4, true));
}

#[test]
fn what_pagerduty_does_not_take_is_sent_again() {
    let world = world();
    ask(&world, "8.8.8.8", 0, 403);
    let throttled = Fault::Throttled { retry_after_s: Some(1) };
    world.pager.set_faults(Faults::next(1, &throttled));
    for fault in [Fault::InternalError, Fault::Unavailable, Fault::AnswerLost] {
        world.pager.faults().script_next(1, &fault);
    }
    world.once_done(TICK);
    // The answer that was lost costs an event of the same alert.
    let [alert] = &world.pager.alerts()[..] else { panic!("{:#?}", world.pager.alerts()) };
    assert_eq!(alert.events.len(), 2);
    let same = |event: &Value| event["payload"]["custom_details"].clone();
    assert_eq!(same(&alert.events[0]), same(&alert.events[1]));
}

#[test]
fn a_refusal_names_its_fix_and_keeps_the_event() {
    let world = world();
    ask(&world, "8.8.8.8", 0, 403);
    world.pager.set_faults(Faults::always(Fault::Denied));
    let ran = world.once(TICK);
    ran.assert_code(1);
    assert!(ran.stderr.contains("Invalid routing key") && ran.stderr.contains("integration key"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("fakefake"), "{}", ran.stderr);
    assert_eq!(world.state()["pending"], serde_json::json!([{"destination": "on-call", "messages": 1}]));
    world.pager.faults().clear();
    world.once_done(TICK + HOUR);
    assert_eq!(world.pager.alerts().len(), 1);
    let test = world.run(&["notify", "test", "on-call"]);
    test.assert_code(0);
    assert_eq!(payload(&world.pager.alerts()[1])["severity"], "info");
}

/// A gap is an alert too, and is resolved when it is filled.
#[test]
fn a_gap_is_an_alert_until_it_is_filled() {
    let world = World::new();
    world.use_pager("");
    world.ingest(&[Asked::new(DAY + 20 * MINUTE, "10.0.0.7", 200, 1).line()]);
    world.once_done(DAY + HOUR);
    world.logs.set_faults(Faults::always(Fault::Denied));
    for hour in [2, 8] {
        world.once(DAY + hour * HOUR);
    }
    let gaps = |is_resolved| {
        let of_gap = |alert: &&Alert| {
            alert.is_resolved == is_resolved && payload(alert)["summary"].to_string().contains("Audit log gap")
        };
        world.pager.alerts().iter().filter(of_gap).count()
    };
    assert_eq!((gaps(false), gaps(true)), (1, 0), "{:#?}", world.pager.alerts());
    world.logs.faults().clear();
    for hour in [9, 10, 34] {
        world.once(DAY + hour * HOUR);
    }
    assert_eq!((gaps(false), gaps(true)), (0, 1), "{:#?}", world.pager.alerts());
}

#[test]
fn hostile_text_makes_valid_events() {
    let world = World::new();
    world.use_pager("send: both, min_severity: informational,");
    world.ingest(&super::hostile::lines());
    world.once_done(DAY + HOUR);
    assert!(world.pager.alerts().len() >= 3, "{:#?}", world.pager.alerts());
    let text = format!("{:?}", world.pager.alerts());
    assert!(!text.contains(['\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}']), "{text}");
}
