//! A week of three clusters, for looks at the pages: a benign client, scanners of several days, a stolen token, a log that is
//! silent, one that could not be read for seven hours, and a pause of the daemon.

use std::fmt::Write;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Daemon, TcpListener, last_tick, read_messages, utc};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// What the logs hold, in hours: a little more than a strip shows.
const WEEK_HOURS: i64 = 8 * 24;
/// The hours before now, counted back, at which the daemon ran once. Between the first two it was down.
const RUNS: std::ops::RangeInclusive<i64> = 1..=18;
const RUNS_BEFORE_THE_PAUSE: [i64; 2] = [23, 19];
/// The hours before now in which the file of a log was away.
const AWAY: std::ops::RangeInclusive<i64> = 7..=14;

/// Starts a daemon that has watched the scene for a week, and waits for its first tick.
pub(super) fn start() -> Daemon {
    let folder = tempfile::tempdir().expect("a folder");
    let admin = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
    let source = |name: &str| format!("  - {{name: {name}, file: {{path: {name}.log}}}}\n");
    let now = last_tick();
    let config = format!(
        "state: {{path: state}}\nadmin: {{listen: \"{admin}\"}}\nschedule: {{start: -6d, cron: \"{} * * * *\"}}\nsources:\n{}{}{}notify:\n  - {{name: \
         siem, min_severity: critical, stdout: {{}}}}\n",
        now % HOUR / 60,
        source("shop-prod"),
        source("shop-staging"),
        source("edge")
    );
    std::fs::write(folder.path().join("stakeout.yaml"), config).expect("written");
    std::fs::write(folder.path().join("shop-prod.log"), prod(now)).expect("written");
    std::fs::write(folder.path().join("shop-staging.log"), staging(now)).expect("written");
    std::fs::write(folder.path().join("edge.log"), edge(now)).expect("written");
    for hours in RUNS_BEFORE_THE_PAUSE.into_iter().chain(RUNS.rev()) {
        let (here, away) = (folder.path().join("edge.log"), folder.path().join("edge.away"));
        let (from, to) = if AWAY.contains(&hours) { (&here, &away) } else { (&away, &here) };
        if from.exists() {
            std::fs::rename(from, to).expect("renamed");
        }
        once(folder.path(), now - hours * HOUR);
    }
    let socket = folder.path().join("notify");
    let systemd = read_messages(UnixDatagram::bind(&socket).expect("a socket"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_stakeout"));
    command.args(["run", "-c", "stakeout.yaml"]).current_dir(folder.path()).env("NOTIFY_SOCKET", &socket);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("stakeout starts");
    let daemon = Daemon { folder, admin, systemd, child: Some(child) };
    daemon.wait_for("STATUS=tick ");
    daemon
}

fn once(folder: &Path, at: i64) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stakeout"));
    command.args(["once", "-c", "stakeout.yaml", "--at", &utc(at)]).current_dir(folder);
    let ended = command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("stakeout starts");
    // It ends with 1 while a log cannot be read.
    assert!(matches!(ended.code(), Some(0 | 1)), "{ended}");
}

/// Who asks.
struct Client<'a> {
    user: &'a str,
    source: &'a str,
    agent: &'a str,
}

const CONTROLLER: Client<'static> =
    Client { user: "system:kube-controller-manager", source: "10.0.0.4", agent: "kube-controller-manager/v1.33.1" };
const STOLEN: Client<'static> =
    Client { user: "system:serviceaccount:shop:cart", source: "198.51.100.23", agent: "curl/8.5.0" };

fn scanner(source: &str) -> Client<'_> {
    Client { user: "system:anonymous", source, agent: "Mozilla/5.0 zgrab/0.x" }
}

/// Adds a request to a log.
fn ask(log: &mut String, at: i64, client: &Client<'_>, verb: &str, uri: &str, object: &Value, code: u16) {
    let groups = if client.user == "system:anonymous" { "system:unauthenticated" } else { "system:authenticated" };
    let event = json!({
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "auditID": format!("{at}{}{uri}", client.source),
        "stage": "ResponseComplete", "verb": verb, "requestURI": uri, "user": {"username": client.user, "groups": [groups]},
        "sourceIPs": [client.source], "userAgent": client.agent, "objectRef": object, "responseStatus": {"code": code},
        "requestReceivedTimestamp": utc(at), "stageTimestamp": utc(at),
    });
    writeln!(log, "{event}").expect("a string takes it");
}

fn benign(log: &mut String, at: i64) {
    let lease = json!({"resource": "leases", "namespace": "kube-system", "name": "scheduler", "apiGroup": "coordination.k8s.io"});
    ask(
        log,
        at,
        &CONTROLLER,
        "get",
        "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/scheduler",
        &lease,
        200,
    );
}

fn scan(log: &mut String, begin: i64, source: &str) {
    for minute in 0..25 {
        let (uri, object) = match minute % 3 {
            0 => ("/api/v1/pods", json!({"resource": "pods", "apiVersion": "v1"})),
            1 => ("/api/v1/secrets", json!({"resource": "secrets", "apiVersion": "v1"})),
            _ => ("/api/v1/nodes", json!({"resource": "nodes", "apiVersion": "v1"})),
        };
        ask(log, begin + 60 * minute, &scanner(source), "list", uri, &object, 403);
    }
}

fn prod(now: i64) -> String {
    let mut log = String::new();
    (0..WEEK_HOURS).for_each(|hour| benign(&mut log, now - WEEK_HOURS * HOUR + hour * HOUR));
    for (days, hours, source) in
        [(5, 3, "203.0.113.77"), (5, 9, "192.0.2.15"), (3, 6, "203.0.113.9"), (2, 2, "192.0.2.200")]
    {
        scan(&mut log, now - days * DAY + hours * HOUR, source);
    }
    scan(&mut log, now - 3 * HOUR, "203.0.113.9");
    // Somebody has the token of a pod, looks at what it may do, and takes the secrets that it may read.
    let begin = now - 5 * HOUR;
    for second in 0..24 {
        let review = json!({"resource": "selfsubjectrulesreviews", "apiGroup": "authorization.k8s.io"});
        ask(
            &mut log,
            begin + second,
            &STOLEN,
            "create",
            "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
            &review,
            201,
        );
        let namespace = format!("team-{second}");
        let secrets = json!({"resource": "secrets", "namespace": namespace, "apiVersion": "v1"});
        let code = if second % 8 == 7 { 200 } else { 403 };
        ask(
            &mut log,
            begin + 60 + second,
            &STOLEN,
            "list",
            &format!("/api/v1/namespaces/{namespace}/secrets"),
            &secrets,
            code,
        );
    }
    log
}

/// Silent since a day and a half.
fn staging(now: i64) -> String {
    let mut log = String::new();
    (0..WEEK_HOURS - 36).for_each(|hour| benign(&mut log, now - WEEK_HOURS * HOUR + hour * HOUR));
    scan(&mut log, now - 3 * DAY + 7 * HOUR, "203.0.113.9");
    log
}

fn edge(now: i64) -> String {
    let mut log = String::new();
    (0..WEEK_HOURS).for_each(|hour| benign(&mut log, now - WEEK_HOURS * HOUR + hour * HOUR));
    for source in 1..=40 {
        scan(&mut log, now - DAY - 4 * HOUR, &format!("100.64.7.{source}"));
    }
    log
}
