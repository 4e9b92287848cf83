//! The line of a day, with the real binary: true numbers, once, over restarts and failures.

use serde_json::{Value, json};
use stakeout_fakes::{Fault, Faults};

use super::audit::{Asked, DAY, HOUR, Line, MINUTE};
use super::world::World;

const BENIGN: &str = "10.0.0.7";

/// Returns a request in the window that is read at this hour of the day.
fn request(hour: i64) -> Line {
    Asked::new(DAY + hour * HOUR - 40 * MINUTE, BENIGN, 200, hour).line()
}

/// Returns what an attacker asks in that window: for secrets.
fn attack(hour: i64) -> impl Iterator<Item = Line> {
    (0..12).map(move |n| {
        let uri = format!("/api/v1/namespaces/n{n}/secrets");
        let line =
            Asked { uri, ..Asked::new(DAY + hour * HOUR - 30 * MINUTE + n, "8.8.8.8", 403, hour * 100 + n) }.line();
        let object = r#""objectRef":{"resource":"secrets","apiVersion":"v1"},"requestURI""#;
        Line { text: line.text.replace("\"requestURI\"", object), ..line }
    })
}

/// Returns the days among the objects, each with its line and its numbers.
fn days(objects: impl IntoIterator<Item = Value>) -> Vec<(String, Value)> {
    let days = objects.into_iter().filter(|object| object["unmapped"]["kind"] == "day");
    days.map(|object| {
        assert!(object["resources"].is_null() && object["unmapped"]["source"].is_null(), "{object}");
        (object["message"].as_str().expect("a text").to_owned(), object["unmapped"]["day"].clone())
    })
    .collect()
}

fn of_webhook(world: &World) -> Vec<(String, Value)> {
    days(world.webhook.posts().into_iter().flat_map(|post| post.values))
}

fn of_sns(world: &World) -> Vec<(String, Value)> {
    days(world.sns.messages().into_iter().map(|message| serde_json::from_str(&message.message).expect("JSON")))
}

/// Returns the lines of days that a channel shows.
fn in_slack(messages: impl IntoIterator<Item = Value>) -> Vec<String> {
    let texts = messages.into_iter().map(|message| message["text"].as_str().unwrap_or_default().to_owned());
    texts.filter(|text| text.contains("Daily summary")).collect()
}

/// Each tick is a process of its own.
#[test]
fn a_day_has_one_line_with_true_numbers_whatever_fails() {
    let world = World::of_files(2);
    world.use_shipped_rules();
    world.reconfigure("budget: 1", "budget: 1\ndaily: [secops, bus, hook]");
    for cluster in 0..2 {
        let lines: Vec<Line> = (1..30)
            .filter(|hour| cluster == 0 || ![11, 12].contains(hour))
            .flat_map(|hour| [request(hour)].into_iter().chain(attack(hour).take(if hour == 3 { 12 } else { 0 })))
            .collect();
        world.append_to_file(cluster, &lines);
    }
    // On the day before, no window ended.
    world.once_done(DAY + HOUR);
    for hour in [3, 24] {
        world.once_done(DAY + hour * HOUR);
    }
    assert_eq!((of_webhook(&world), of_sns(&world)), (Vec::new(), Vec::new()), "its last minutes are not read");

    world.slack.set_faults(Faults::always(Fault::Unavailable));
    assert_eq!(world.once(DAY + 25 * HOUR).code, Some(1), "the line is pending for Slack");
    world.slack.faults().clear();
    for hour in 26..29 {
        world.once_done(DAY + hour * HOUR);
    }
    let line = "2025-03-04: 24 windows of 2 clusters read, 40 of them late, 2 windows without a record in 1 log, \
                2 incidents (1 medium, 1 informational), no gaps.";
    let numbers = json!({
        "clusters": 2, "logs": 2, "windows_scheduled": 24, "windows_due": 48, "windows_read": 48, "windows_late": 40,
        "windows_silent": 2, "logs_silent": 1, "gaps": 0, "partial_gaps": 0, "incidents": [["medium", 1], ["informational", 1]],
        "incidents_silenced": 0, "notices": 0, "unread": [], "unread_more": 0
    });
    let expected = vec![(format!("Daily summary: {line}"), numbers)];
    assert_eq!((of_webhook(&world), of_sns(&world)), (expected.clone(), expected));
    assert_eq!(in_slack(world.slack.messages()), [format!("Daily summary. {line}")]);
    assert_eq!(world.state()["pending"], json!([]));
}

#[test]
fn six_hours_after_its_end_a_day_has_its_line_and_names_what_is_not_read() {
    let world = World::with_two_logs();
    world.use_bot();
    world.reconfigure("budget: 1", "budget: 1\ndaily: [secops]");
    let lines: Vec<Line> = (1..40).map(request).collect();
    world.ingest(&lines);
    world.ingest_other(&lines);
    let lines_of_days = || {
        let messages = world.slack_api.channel_messages();
        in_slack(messages.into_iter().map(|message| message.payload))
    };
    for hour in [1, 19] {
        world.once_done(DAY + hour * HOUR);
    }
    world.other_logs.set_faults(Faults::always(Fault::Denied));
    for hour in [25, 29] {
        assert_eq!(world.once(DAY + hour * HOUR).code, Some(1));
        assert_eq!(lines_of_days(), [""; 0]);
    }
    assert_eq!(world.once(DAY + 30 * HOUR).code, Some(1));
    let line = "Daily summary. 2025-03-04: 43 of 48 windows of 2 clusters read, 39 of them late, \
                1 incident (1 informational), no gaps. Not read to the end of the day: prod-eks.";
    assert_eq!(lines_of_days(), [line]);
    world.other_logs.faults().clear();
    for hour in 31..33 {
        world.once_done(DAY + hour * HOUR);
    }
    assert_eq!(lines_of_days(), [line], "a day has one line");
}
