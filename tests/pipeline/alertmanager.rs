//! Alertmanager, with the real binary: an alert that lives while its incident does, at a fake and at the original.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use stakeout_fakes::alertmanager::Alert;
use stakeout_fakes::{Fault, Faults};

use super::audit::{Asked, DAY, HOUR, MINUTE};
use super::bot::ask;
use super::world::World;

const TICK: i64 = DAY + 10 * HOUR;

fn world() -> World {
    let world = World::of_files(1);
    world.use_shipped_rules();
    world.use_alertmanager("", &world.alertmanager.endpoint());
    world
}

fn now() -> Timestamp {
    stakeout_fakes::Clock::default().now()
}

fn severities(alerts: &[Alert]) -> Vec<&str> {
    alerts.iter().map(|alert| alert.labels["severity"].as_str()).collect()
}

/// Returns the alerts of incidents that fire.
fn firing(world: &World) -> Vec<Alert> {
    let mut firing = world.alertmanager.firing(now());
    firing.retain(|alert| alert.labels["alertname"] == "StakeoutIncident");
    firing
}

/// The attacker probes for two hours, is let in in the third, and stops.
#[test]
fn an_incident_is_an_alert_of_its_level_until_its_end() {
    let world = world();
    for (hour, code) in [(0, 403), (1, 403), (2, 200)] {
        ask(&world, "8.8.8.8", hour, code);
        world.once_done(TICK + hour * HOUR);
        let firing = firing(&world);
        assert_eq!(severities(&firing), [if hour < 2 { "medium" } else { "critical" }]);
        // It is sent when it changes, and again with the tick.
        let life = firing[0].ends_at.duration_since(now());
        assert!(SignedDuration::from_mins(50) < life && life <= SignedDuration::from_hours(2), "{life}");
    }
    let [alert] = &firing(&world)[..] else { panic!("{:#?}", world.alertmanager.alerts()) };
    assert_eq!((alert.labels["actor"].as_str(), alert.labels["team"].as_str()), ("8.8.8.8", "payments"));
    assert!(alert.annotations["summary"].contains("8.8.8.8") && alert.annotations["clusters"] == "cluster-0");
    world.once_done(TICK + 50 * HOUR);
    world.once_done(TICK + 51 * HOUR);
    assert_eq!(firing(&world), []);
}

/// Alertmanager keeps alerts in memory only.
#[test]
fn an_alertmanager_that_started_again_hears_of_open_incidents() {
    let world = world();
    ask(&world, "8.8.8.8", 0, 403);
    world.once_done(TICK);
    let before = firing(&world);
    world.alertmanager.restart();
    // Nothing happens in this hour.
    world.once_done(TICK + HOUR);
    let after = firing(&world);
    assert_eq!((after.len(), &after[0].labels), (1, &before[0].labels));
    assert!(after[0].ends_at >= before[0].ends_at);
}

#[test]
fn what_alertmanager_does_not_take_is_sent_again() {
    let world = world();
    ask(&world, "8.8.8.8", 0, 403);
    world.alertmanager.set_faults(Faults::next(1, &Fault::Throttled { retry_after_s: Some(1) }));
    for fault in [Fault::InternalError, Fault::Unavailable, Fault::AnswerLost] {
        world.alertmanager.faults().script_next(1, &fault);
    }
    world.once_done(TICK);
    assert_eq!(severities(&firing(&world)), ["medium"]);
    world.alertmanager.set_faults(Faults::always(Fault::Denied));
    ask(&world, "8.8.8.8", 1, 403);
    let ran = world.once(TICK + HOUR);
    ran.assert_code(1);
    assert!(ran.stderr.contains("status 401: Unauthorized"), "{}", ran.stderr);
    world.alertmanager.faults().clear();
    world.once_done(TICK + 2 * HOUR);
}

/// A gap is an alert too, and ends when it is filled.
#[test]
fn hostile_text_and_notices_make_valid_alerts() {
    let world = World::new();
    world.use_alertmanager("send: both, min_severity: informational,", &world.alertmanager.endpoint());
    world.ingest(&super::hostile::lines());
    world.ingest(&[Asked::new(DAY + 20 * MINUTE, "10.0.0.7", 200, 1).line()]);
    world.once_done(DAY + HOUR);
    let alerts = world.alertmanager.alerts();
    assert!(alerts.len() >= 3, "{alerts:#?}");
    let text = format!("{alerts:?}");
    assert!(!text.contains(['\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}']), "{text}");
    assert!(alerts.iter().flat_map(|alert| alert.labels.values()).all(|value| value.chars().count() <= 200));
}

/// Debian's Alertmanager, until it is dropped.
struct Original {
    child: Child,
    endpoint: String,
}

impl Original {
    /// Starts it on a free port; `None` where it is not installed.
    fn start(world: &World) -> Option<Original> {
        let config = world.path("alertmanager.yml");
        let receiver = format!(
            "route: {{receiver: hook, group_by: [alertname, severity], group_wait: 0s, group_interval: 1s}}\n\
             receivers: [{{name: hook, webhook_configs: [{{url: {:?}, send_resolved: true}}]}}]\n",
            world.webhook.url()
        );
        std::fs::write(&config, receiver).expect("written");
        let mut command = Command::new("prometheus-alertmanager");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.path={}", world.path("alertmanager").display()));
        command.args(["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="]).stderr(Stdio::piped());
        let mut child = command.stdout(Stdio::null()).spawn().ok()?;
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let mut address = || {
            let line = lines.next()?.expect("text");
            let (_, rest) = line.split_once("address=127.0.0.1:")?;
            Some(rest.split_whitespace().next()?.trim_matches('"').to_owned())
        };
        let port = (0..40).find_map(|_| address().filter(|port| port != "0")).expect("it listens");
        std::thread::spawn(move || lines.for_each(drop));
        Some(Original { child, endpoint: format!("http://127.0.0.1:{port}") })
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        let _it_may_have_ended = self.child.kill();
        let _it_has_ended = self.child.wait();
    }
}

/// Returns the status and the severity of the alerts that the original passed on, in order.
fn passed_on(world: &World) -> Vec<(String, String)> {
    let text = |alert: &Value, pointer: &str| alert.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned();
    let messages = world.webhook.values();
    let alerts = messages.iter().filter_map(|message| message["alerts"].as_array()).flatten();
    let of_incidents = alerts.filter(|alert| alert["labels"]["alertname"] == "StakeoutIncident");
    let mut passed: Vec<_> =
        of_incidents.map(|alert| (text(alert, "/status"), text(alert, "/labels/severity"))).collect();
    passed.dedup();
    passed
}

#[test]
fn the_original_passes_on_the_beginning_the_rise_and_the_end() {
    let world = World::of_files(1);
    world.use_shipped_rules();
    let Some(original) = Original::start(&world) else {
        eprintln!("skipped: there is no prometheus-alertmanager (Debian: prometheus-alertmanager)");
        return;
    };
    world.use_alertmanager("", &original.endpoint);
    ask(&world, "8.8.8.8", 0, 403);
    world.once_done(TICK);
    let has = |status: &str, severity: &str| passed_on(&world).contains(&(status.to_owned(), severity.to_owned()));
    world.wait_until("it fires", || has("firing", "medium"));
    ask(&world, "8.8.8.8", 1, 200);
    world.once_done(TICK + HOUR);
    world.wait_until("it rises", || has("firing", "critical") && has("resolved", "medium"));
    world.once_done(TICK + 50 * HOUR);
    world.once_done(TICK + 51 * HOUR);
    world.wait_until("it ends", || has("resolved", "critical"));
    // Levels that it never had were ended too, of which nobody hears.
    assert!(!has("resolved", "low") && !has("resolved", "high"), "{:?}", passed_on(&world));
}
