//! `stakeout findings` and `state show`: from a running daemon, from a state that nobody holds, and where neither answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Output};
use std::thread::JoinHandle;

use serde_json::Value;

use super::{Daemon, configure, ended};

/// Lines of 1 MiB, which are more than the command reads of an answer.
const LONG_LINES: usize = 256;

fn stakeout(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stakeout"));
    command.args(arguments).args(["-c", "stakeout.yaml"]).current_dir(folder).output().expect("stakeout starts")
}

/// Returns the exit code and what is printed.
fn printed(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = stakeout(folder, arguments);
    (output.status.code(), String::from_utf8(output.stdout).expect("text"))
}

/// Returns the exit code and what is logged.
fn logged(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = stakeout(folder, arguments);
    (output.status.code(), String::from_utf8(output.stderr).expect("text"))
}

/// Where the requests come from.
const SOURCE: &str = "203.0.113.9";

/// Somebody asks for the pods of all namespaces every five minutes, for the last three hours.
#[expect(clippy::disallowed_methods, reason = "the daemon reads what is recent")]
pub(super) fn recent_scan(source: &str) -> String {
    let now = jiff::Timestamp::now().as_second();
    let line = |minutes: i64| {
        let at = jiff::Timestamp::from_second(now - 60 * minutes).expect("a time");
        format!(
            r#"{{"kind":"Event","auditID":"{minutes}","stage":"ResponseComplete","requestURI":"/api/v1/pods","verb":"list","user":{{"username":"system:anonymous","groups":["system:unauthenticated"]}},"sourceIPs":["{source}"],"userAgent":"scan\u001b[31m","objectRef":{{"resource":"pods","apiVersion":"v1"}},"responseStatus":{{"code":403}},"requestReceivedTimestamp":"{at}","stageTimestamp":"{at}"}}"#
        ) + "\n"
    };
    (0..36).rev().map(|five| line(5 * five)).collect()
}

/// Returns what is printed of the state, but for sizes: a database that is opened again may have others.
fn state(folder: &Path, arguments: &[&str]) -> String {
    let (code, text) = printed(folder, arguments);
    assert_eq!(code, Some(0), "{text}");
    text.lines().filter(|line| !line.contains("bytes")).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_daemon_and_the_state_give_the_same_findings() {
    let mut daemon = Daemon::start_with(Command::new(env!("CARGO_BIN_EXE_stakeout")), &recent_scan(SOURCE));
    daemon.wait_for("STATUS=tick ");
    let folder = daemon.folder.path().to_owned();
    let (code, listed) = printed(&folder, &["findings", "list", "-o", "json"]);
    assert_eq!(code, Some(0));
    let first: Value = serde_json::from_str(listed.lines().next().expect("a finding")).expect("JSON");
    let uid = first["finding_info"]["uid"].as_str().expect("a uid");
    let (_, incidents) = printed(&folder, &["incidents", "list", "-o", "json"]);
    let first: Value = serde_json::from_str(incidents.lines().next().expect("an incident")).expect("JSON");
    let incident = first["unmapped"]["incident"]["uid"].as_str().expect("a uid");
    let list = |more: &[&'static str]| [&["findings", "list"], more].concat();
    let asked = [
        list(&["-o", "json"]),
        list(&[]),
        list(&["--since", "24h", "--source", "203.0.113.9", "--level", "informational", "-n", "1"]),
        list(&["--source", "203.0.113.10"]),
        list(&["--source", "203.0.112.0/22"]),
        vec!["findings", "show", &uid[..8], "-o", "json"],
        vec!["findings", "show", uid],
        vec!["findings", "show", "00000000"],
        list(&["-n", "2"]),
        vec!["incidents", "list"],
        vec!["incidents", "list", "-o", "json", "--source", "203.0.113.9", "--open", "--since", "24h"],
        vec!["incidents", "list", "--source", "203.0.113.10"],
        vec!["incidents", "show", incident],
        vec!["incidents", "show", &incident[..8], "-o", "json"],
        vec!["incidents", "show", "00000000"],
    ];
    let states = || [state(&folder, &["state", "show"]), state(&folder, &["state", "show", "--json"])];
    let state_by_daemon = states();
    let by_daemon: Vec<_> = asked.iter().map(|arguments| printed(&folder, arguments)).collect();
    assert_eq!(daemon.ask("GET", "/findings").1, by_daemon[0].1);
    assert_eq!(daemon.ask("GET", "/findings?format=text&source=203.0.112.0/22").1, by_daemon[4].1);
    assert_eq!(daemon.ask("GET", &format!("/findings/{uid}")).1, by_daemon[5].1);
    assert_eq!(daemon.ask("GET", "/incidents").1, by_daemon[10].1);
    assert_eq!(daemon.ask("GET", &format!("/incidents/{incident}")).1, by_daemon[13].1);
    for wrong in [
        "/incidents/0123",
        "/incidents?since=1",
        "/findings?level=severe",
        "/findings?uid=00000000",
        "/findings/0123",
        "/state?format=xml",
    ] {
        assert!(daemon.ask("GET", wrong).0.contains("400"), "{wrong}");
    }
    daemon.signal("TERM");
    assert!(ended(daemon.child.take().expect("it runs")).success());
    let by_state: Vec<_> = asked.iter().map(|arguments| printed(&folder, arguments)).collect();
    assert_eq!((&by_daemon, state_by_daemon), (&by_state, states()));

    let lines = |index: usize| by_state[index].1.lines().collect::<Vec<_>>();
    assert!(lines(1).len() > 2 && lines(2).len() == 2 && lines(3).is_empty(), "{by_state:?}");
    assert_eq!(lines(4), lines(1));
    let uids = |index: usize| lines(index).iter().skip(1).map(|line| line[..8].to_owned()).collect::<Vec<_>>();
    assert_eq!(uids(8), uids(1)[..2]);
    for heading in ["STATUS", "LEVEL", "RULE", "SOURCE", "REQUESTS", "FIRST SEEN", "LAST SEEN", "CLUSTERS"] {
        let column = lines(1)[0].find(heading).expect("a heading");
        let is_aligned = |line: &&str| line[..column].ends_with("  ") && !line[column..].starts_with(' ');
        assert!(lines(1).iter().all(is_aligned), "{heading}: {:#?}", lines(1));
    }
    assert_eq!((lines(5).len(), lines(5)[0].contains(uid)), (1, true));
    assert!(lines(6).iter().all(|line| line.chars().count() <= 80), "{:#?}", lines(6));
    assert_eq!(by_state[7], (Some(1), String::new()));

    // All that the source did is one incident, with every finding.
    let uid_of_row = |row: &str| row.split(' ').next().map(str::to_owned);
    assert_eq!((lines(9).len(), uid_of_row(lines(9)[1])), (2, Some(incident[..8].to_owned())));
    assert!(lines(9)[1].ends_with("203.0.113.9 probed cluster onprem without credentials"), "{:#?}", lines(9));
    assert_eq!((lines(10).len(), lines(11).len(), lines(13).len()), (1, 0, 1));
    let found: Vec<&str> = lines(12).into_iter().skip_while(|line| !line.ends_with(" findings")).skip(1).collect();
    assert_eq!(found.len(), lines(1).len() - 1, "{:#?}", lines(12));
    assert!(lines(12).iter().all(|line| line.chars().count() <= 80), "{:#?}", lines(12));
    assert_eq!(by_state[14], (Some(1), String::new()));
    assert!(by_state.iter().all(|(_, text)| !text.contains('\u{1b}')), "{by_state:?}");
}

#[test]
fn a_finding_is_shown_with_all_that_is_known_of_it_and_its_rule() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("audit.log"), recent_scan(SOURCE)).expect("written");
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
    configure(folder.path(), nobody, "rules: [own.yml]\n");
    std::fs::write(folder.path().join("own.yml"), RULE).expect("written");
    assert_eq!(printed(folder.path(), &["once"]).0, Some(0));
    let (_, listed) = printed(folder.path(), &["findings", "list"]);
    let uid = listed.lines().nth(1).expect("a finding").split(' ').next().expect("a uid");
    let (code, shown) = printed(folder.path(), &["findings", "show", uid]);
    assert_eq!(code, Some(0));
    assert!(shown.lines().any(|line| line.starts_with("by code  ") && line.ends_with(" × 403")), "{shown}");
    for expected in [
        "title           Pods Listed Again And Again\n",
        "level           medium\n",
        "risk score      35\n",
        "quiet time      2 h 0 min: closes when all logs are read past 20",
        "source          203.0.113.9 (documentation)\n",
        "group           user.username = system:anonymous\n                verb = list\n",
        "distinct values 1 of requestURI\n",
        "  name          pods-listed\n",
        "  description   Somebody asks for all pods every few minutes, which is what a\n                scanner of clusters does, and hardly anything else.\n                Second line.\n",
        "  ATT&CK        T1613 Container and Resource Discovery\n                T1046 Network Service Discovery\n",
        "  false alarms  A dashboard.\n                A health check.\n",
        "  runbook       Ask the owner of the address.\n",
        "what else the source did\n",
    ] {
        assert!(shown.contains(expected), "{expected}\n{shown}");
    }
}

const RULE: &str = "
title: Pods Listed
name: pods-listed-once
logsource: {product: kubernetes, service: audit}
detection: {selection: {verb: list}, condition: selection}
---
title: Pods Listed Again And Again
name: pods-listed
id: 5f0f1c2e-6a5d-4f8e-9d0a-3f5a4f3c1b99
description: |
  Somebody asks for all pods every few minutes, which is what a scanner of clusters does, and hardly anything else.
  Second line.
level: medium
tags: [attack.t1613, attack.t1046]
falsepositives: [A dashboard., A health check.]
correlation:
  type: value_count
  rules: [pods-listed-once]
  group-by: [source_ip, user.username, verb]
  timespan: 1h
  condition: {field: requestURI, gte: 1}
stakeout: {risk_score: 35, dedup_period: 2h, runbook: Ask the owner of the address.}
";

#[test]
fn an_unknown_rule_gets_a_suggestion() {
    let daemon = Daemon::start();
    daemon.wait_for("STATUS=tick ");
    let rule = "kubernetes-pod-scan-by-anonimous";
    let (code, log) = logged(daemon.folder.path(), &["findings", "list", "--rule", rule]);
    assert_eq!(code, Some(0));
    assert!(log.contains("did you mean `kubernetes-pod-scan-by-anonymous`?"), "{log}");
}

const COMMANDS: [&[&str]; 4] =
    [&["findings", "list"], &["findings", "show", "00000000"], &["incidents", "list"], &["state", "show"]];

#[test]
fn a_state_that_another_process_holds_is_for_later_where_no_admin_page_answers() {
    let daemon = Daemon::start();
    daemon.wait_for("STATUS=tick ");
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
    configure(daemon.folder.path(), nobody, "");
    for command in COMMANDS {
        let (code, log) = logged(daemon.folder.path(), command);
        assert_eq!(code, Some(75), "{log}");
        assert!(log.contains("another process uses the state") && log.contains(&nobody.to_string()), "{log}");
    }
    let config = std::fs::read_to_string(daemon.folder.path().join("stakeout.yaml")).expect("a config");
    let config = config.replace(&nobody.to_string(), "off");
    std::fs::write(daemon.folder.path().join("stakeout.yaml"), config).expect("written");
    for command in COMMANDS {
        assert_eq!(logged(daemon.folder.path(), command).0, Some(75));
    }
}

/// Answers one request with `head` and then `body` so many times, until the other side has enough. Returns the address, and
/// later how many times.
fn answering_once(head: &'static str, body: String, times: usize) -> (SocketAddr, JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let sent = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().expect("a request");
        let _request = connection.read(&mut [0; 4096]).expect("a request");
        write!(connection, "HTTP/1.1 {head}\r\nconnection: close\r\n\r\n").expect("sent");
        (0..times).take_while(|_| connection.write_all(body.as_bytes()).is_ok()).count()
    });
    (address, sent)
}

#[test]
fn the_reason_of_the_daemon_is_shown_and_its_answer_has_a_limit() {
    let daemon = Daemon::start();
    daemon.wait_for("STATUS=tick ");
    let answers = [
        ("400 Bad Request", "level: not a level\n", 1, "level: not a level"),
        ("503 Service Unavailable", "the disk of the state is full\n", 75, "the disk of the state is full"),
        ("500 Internal Server Error", "a\u{1b}[31m\n", 1, "status 500: a\\u{1b}[31m"),
        ("200 OK", "\u{1b}[31m\n", 1, "is not one of Stakeout"),
    ];
    for command in COMMANDS {
        for (head, body, code, reason) in answers {
            let (admin, sent) = answering_once(head, body.to_owned(), 1);
            configure(daemon.folder.path(), admin, "");
            let (ended, log) = logged(daemon.folder.path(), command);
            assert_eq!((ended, log.contains(reason)), (Some(code), true), "{log}");
            sent.join().expect("it answered");
        }
        let (admin, sent) = answering_once("200 OK", "a".repeat((1 << 20) - 1) + "\n", LONG_LINES);
        configure(daemon.folder.path(), admin, "");
        let (ended, log) = logged(daemon.folder.path(), command);
        assert_eq!((ended, log.contains("longer than")), (Some(1), true), "{log}");
        assert!(sent.join().expect("it answered") < LONG_LINES / 2);
    }
}
