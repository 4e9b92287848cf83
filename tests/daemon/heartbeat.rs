//! The heartbeat, on a fake of healthchecks.io: what each tick says, and that nothing waits for it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use stakeout_fakes::heartbeat::Signal;
use stakeout_fakes::{Fault, Faults, Heartbeat, Webhook};
use tokio::runtime::Runtime;

use super::{AUDIT_LINE, Daemon, configure_page};

/// Times of ticks: each reads one window.
const TICKS: [&str; 5] = [
    "2026-11-22T02:00:00Z",
    "2026-11-22T03:00:00Z",
    "2026-11-22T04:00:00Z",
    "2026-11-22T05:00:00Z",
    "2026-11-22T11:00:00Z",
];

/// A fake, a folder with a config and a log, and the binary.
pub(super) struct World {
    folder: tempfile::TempDir,
    heartbeat: Heartbeat,
    pub(super) webhook: Webhook,
    _runtime: Runtime,
}

impl World {
    pub(super) fn new() -> World {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (heartbeat, webhook) = runtime.block_on(async { (Heartbeat::start().await, Webhook::start().await) });
        let (heartbeat, webhook) = (heartbeat.expect("a port"), webhook.expect("a port"));
        let folder = tempfile::tempdir().expect("a folder");
        let world = World { folder, heartbeat, webhook, _runtime: runtime };
        world.write_log(1);
        world.configure(&world.heartbeat.url());
        world
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a log with a record in each of so many windows.
    fn write_log(&self, windows: usize) {
        let line = |hour: usize| AUDIT_LINE.replace("2020-01-01T00:00:00Z", &format!("2026-11-22T0{hour}:10:00Z"));
        let log: Vec<String> = (1..=windows).map(line).collect();
        fs::write(self.path().join("audit.log"), log.join("\n") + "\n").expect("written");
    }

    fn configure(&self, url: &str) {
        let text = format!(
            "state: {{path: state}}\nadmin: {{listen: \"off\"}}\nsources:\n  - {{name: onprem, file: {{path: audit.log}}}}\n\
             notify:\n  - {{name: hook, webhook: {{url: {:?}}}}}\nheartbeat: {{url: {url:?}}}\n",
            self.webhook.url()
        );
        fs::write(self.path().join("stakeout.yaml"), text).expect("written");
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stakeout"));
        command
            .args(arguments)
            .args(["-c", "stakeout.yaml"])
            .current_dir(self.path())
            .output()
            .expect("stakeout starts")
    }

    /// Runs one tick, and returns its exit code and what it logged.
    pub(super) fn tick(&self, at: &str) -> (Option<i32>, String) {
        let output = self.run(&["once", "--at", at]);
        let logged = String::from_utf8_lossy(&output.stderr).into_owned();
        let id = self.heartbeat.url().rsplit('/').next().expect("an id").to_owned();
        assert!(!logged.contains(&id), "the URL is a secret: {logged}");
        (output.status.code(), logged)
    }

    /// Returns the signals, without the tick that they name.
    fn signals(&self) -> Vec<(Signal, String)> {
        let without_tick = |body: String| body.split_once("Z: ").map(|(_, reasons)| reasons.to_owned()).unwrap_or(body);
        self.heartbeat.signals().into_iter().map(|(signal, body)| (signal, without_tick(body))).collect()
    }
}

fn success() -> (Signal, String) {
    (Signal::Success, String::new())
}

fn fail(reasons: &str) -> (Signal, String) {
    (Signal::Fail, reasons.to_owned())
}

#[test]
fn a_watch_that_sees_nothing_is_not_well() {
    let world = World::new();
    assert_eq!(world.tick(TICKS[0]).0, Some(0));
    assert_eq!(world.signals(), [success()]);
    // Two windows without a record may be a quiet night, the third is not.
    for (tick, expected) in [(1, success()), (2, success()), (3, fail("log onprem has no records"))] {
        assert_eq!(world.tick(TICKS[tick]).0, Some(0));
        assert_eq!(world.signals().last(), Some(&expected), "tick {tick}");
    }
}

#[test]
fn a_log_that_fails_and_its_gap_are_not_well() {
    let world = World::new();
    world.tick(TICKS[0]);
    fs::rename(world.path().join("audit.log"), world.path().join("away")).expect("renamed");
    assert_eq!(world.tick(TICKS[1]).0, Some(1));
    let failing = fail("log onprem cannot be read; 1 log pending");
    assert_eq!(world.signals(), [success(), failing.clone()]);
    // Six hours later the first window is a gap, and nothing of it is pending any more.
    assert_eq!(world.tick(TICKS[4]).0, Some(1));
    assert_eq!(world.signals().last(), Some(&failing));
    world.write_log(9);
    assert_eq!(world.tick(TICKS[4]).0, Some(0));
    assert_eq!(world.signals().len(), 4);
    assert_eq!(world.signals().last(), Some(&success()));
}

#[test]
fn a_message_that_is_not_taken_is_not_well() {
    let world = World::new();
    world.write_log(1);
    world.tick(TICKS[0]);
    world.webhook.set_faults(Faults::always(Fault::Denied));
    // The notice that the log is silent cannot be sent.
    (1..4).for_each(|tick| drop(world.tick(TICKS[tick])));
    assert_eq!(world.signals().last(), Some(&fail("log onprem has no records; 1 message pending")));
}

#[test]
fn a_signal_is_sent_a_second_time_and_its_failure_changes_nothing_else() {
    let world = World::new();
    world.write_log(4);
    world.heartbeat.set_faults(Faults::next(1, &Fault::Unavailable));
    let (code, logged) = world.tick(TICKS[0]);
    assert_eq!((code, logged.contains("heartbeat")), (Some(0), false), "{logged}");
    assert_eq!((world.signals(), world.heartbeat.requests().len()), (vec![success()], 2));

    world.heartbeat.set_faults(Faults::always(Fault::InternalError));
    let (code, logged) = world.tick(TICKS[1]);
    assert_eq!((code, world.heartbeat.requests().len()), (Some(0), 4));
    assert!(logged.contains("the heartbeat was not taken") && logged.contains("status 500"), "{logged}");

    // A refusal is final.
    world.heartbeat.set_faults(Faults::always(Fault::Denied));
    let (code, logged) = world.tick(TICKS[2]);
    assert_eq!((code, world.heartbeat.requests().len()), (Some(0), 5));
    assert!(logged.contains("status 403"), "{logged}");

    // healthchecks.io answers 200 for a check that was deleted.
    world.heartbeat.set_faults(Faults::default());
    world.configure(&world.heartbeat.unknown_url());
    let (code, logged) = world.tick(TICKS[3]);
    assert_eq!((code, world.signals().len()), (Some(0), 1));
    assert!(logged.contains("the service does not know the URL"), "{logged}");
}

#[test]
fn check_and_doctor_know_the_heartbeat() {
    let world = World::new();
    let doctor = world.run(&["doctor"]);
    let printed = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(printed.contains("\nheartbeat\n  good      heartbeat     127.0.0.1:"), "{printed}");
    assert_eq!(world.signals(), [(Signal::Log, "stakeout doctor".to_owned())]);
    world.heartbeat.set_faults(Faults::always(Fault::Denied));
    let printed = String::from_utf8_lossy(&world.run(&["doctor"]).stdout).into_owned();
    assert!(printed.contains("doubtful  heartbeat") && printed.contains("status 403"), "{printed}");
    let json = String::from_utf8_lossy(&world.run(&["doctor", "-o", "json"]).stdout).into_owned();
    let last: serde_json::Value = serde_json::from_str(json.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["checks"][0]["subject"], "heartbeat");

    world.configure("http://attacker.example/ping/8f0c2a3e");
    let check = world.run(&["check"]);
    let complaint = String::from_utf8_lossy(&check.stderr).into_owned();
    assert_eq!(check.status.code(), Some(78));
    assert!(complaint.contains("plain http to another machine") && !complaint.contains("8f0c2a3e"), "{complaint}");
}

#[test]
fn a_daemon_sends_signals_and_waits_for_none() {
    let world = World::new();
    let mut daemon = Daemon::start();
    daemon.wait_for("STATUS=tick ");
    world.heartbeat.set_faults(Faults::next(1, &Fault::Hang));
    let admin = format!("{{listen: \"{}\"}}", daemon.admin);
    configure_page(daemon.folder.path(), &admin, &format!("heartbeat: {{url: {:?}}}\n", world.heartbeat.url()));
    // The first tick had no heartbeat. The one after the reload begins at once, and is done while its signal hangs.
    daemon.signal("HUP");
    daemon.wait_for("READY=1");
    daemon.wait_for("STATUS=tick ");
    assert_eq!((daemon.ask("GET", "/readyz").0.as_str(), world.signals().len()), ("HTTP/1.1 200 OK", 0));
    world.heartbeat.faults().clear();
    while !daemon.metric("stakeout_heartbeats_total{signal=\"success\",outcome=\"sent\"} 1") {
        daemon.wait_for("WATCHDOG=1");
    }
    assert_eq!(world.signals(), [success()]);
    daemon.signal("TERM");
    assert!(super::ended(daemon.child.take().expect("it runs")).success());
}
