//! A destination that was renamed: its messages are missed at every place where people look, and can be moved or dropped.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use serde_json::Value;
use stakeout_fakes::Faults;
use stakeout_fakes::slack::SlackRefusal;

use super::audit::{DAY, HOUR, MINUTE, refused};
use super::world::{World, terminate};

const TICK: i64 = DAY + HOUR;
const STRANDED: &str = "3 pending messages for `secops`, which is no destination of the config";

/// A world with three findings that are pending for `secops`, which has another name now.
fn renamed() -> World {
    let world = World::new();
    world.ingest(&refused("8.8.8.8", DAY + 20 * MINUTE, 12, 10));
    world.slack.set_faults(Faults::always(SlackRefusal::NoService.into()));
    world.once(TICK).assert_code(1);
    world.slack.faults().clear();
    world.reconfigure("name: secops", "name: security");
    assert_eq!(world.state()["pending"], pending("secops"));
    world
}

/// Returns how `state show` shows three pending messages of a destination.
fn pending(destination: &str) -> Value {
    serde_json::json!([{"destination": destination, "messages": 3}])
}

fn assert_is_missed(world: &World) {
    let once = world.once(TICK);
    once.assert_code(1);
    assert!(once.stderr.contains(STRANDED), "{}", once.stderr);
    let check = world.run(&["check"]);
    check.assert_code(0);
    assert!(check.stdout.contains(&format!("warning: {STRANDED}")), "{}", check.stdout);
    assert_eq!(world.slack.messages().len(), 0);
}

#[test]
fn its_messages_are_missed_and_moved() {
    let world = renamed();
    assert_is_missed(&world);
    let typo = world.run(&["state", "move-pending", "secops", "securty"]);
    typo.assert_code(2);
    assert!(typo.stderr.contains("did you mean `security`?"), "{}", typo.stderr);
    let typo = world.run(&["state", "move-pending", "secop", "security"]);
    typo.assert_code(2);
    assert!(typo.stderr.contains("no message is pending for `secop`; did you mean `secops`?"), "{}", typo.stderr);

    let moved = world.run(&["state", "move-pending", "secops", "security"]);
    moved.assert_code(0);
    assert_eq!(moved.stdout, "3 pending messages of `secops` moved to `security`\n");
    assert_eq!(world.state()["pending"], pending("security"));
    let once = world.once_done(TICK);
    assert!(!once.stderr.contains("secops"), "{}", once.stderr);
    assert_eq!(world.slack.messages().len(), 3);
    assert!(!world.run(&["check"]).stdout.contains("pending"));
    world.run(&["state", "move-pending", "secops", "security"]).assert_code(2);
}

#[test]
fn its_messages_can_be_dropped() {
    let world = renamed();
    let dropped = world.run(&["state", "drop-pending", "secops"]);
    dropped.assert_code(0);
    assert_eq!(dropped.stdout, "3 pending messages of `secops` dropped\n");
    world.once_done(TICK);
    assert_eq!(world.slack.messages().len(), 0);
    world.run(&["state", "drop-pending", "secops"]).assert_code(2);
    let listed = world.run(&["findings", "list", "-o", "json"]);
    assert_eq!(listed.stdout.lines().count(), 3, "{}", listed.stdout);
}

#[test]
fn a_running_daemon_warns_and_keeps_them() {
    let world = renamed();
    let admin = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
    world.reconfigure("admin: {listen: \"off\"}", &format!("admin: {{listen: \"{admin}\"}}"));
    let daemon = world.begin_run();
    world.wait_until("the metric counts them", || {
        metrics(admin).lines().any(|line| line == "stakeout_messages_stranded{destination=\"secops\"} 3")
    });
    assert!(metrics(admin).contains("stakeout_messages_stranded{destination=\"bus\"} 0"));
    let check = world.run(&["check"]);
    assert!(check.stdout.contains(STRANDED), "{}", check.stdout);
    for verb in [&["move-pending", "secops", "security"][..], &["drop-pending", "secops"]] {
        let refused = world.run(&[&["state"], verb].concat());
        refused.assert_code(75);
        assert!(refused.stderr.contains("stop the daemon first"), "{}", refused.stderr);
    }
    assert_eq!(terminate(daemon), Some(0));
    let kept = world.state()["pending"].as_array().expect("a list").clone();
    assert!(kept.contains(&pending("secops")[0]), "{kept:?}");
}

fn metrics(admin: SocketAddr) -> String {
    let mut answer = String::new();
    if let Ok(mut stream) = TcpStream::connect(admin) {
        let asked = write!(stream, "GET /metrics HTTP/1.1\r\nHost: {admin}\r\n\r\n");
        drop(asked.and_then(|()| stream.read_to_string(&mut answer)));
    }
    answer
}
