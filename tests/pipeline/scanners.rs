//! What it costs to find out which of the refused were let in later: bytes of one window of a quiet log, by the number of
//! scanners, on each cloud.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::audit::{DAY, HOUR, Line, MINUTE};
use super::pushdown::served;
use super::world::{Cloud, World};
use crate::support::seeds::seed_rules;

/// The size of the quiet log, unless STAKEOUT_QUIET_LOG_BYTES names another: what is read must not depend on it.
const LOG_BYTES: usize = 2_000_000;
/// A tenth of a quiet log of 12 MB.
const FEW_BYTES: u64 = 1_200_000;
/// Requests of each scanner that are refused, and one more is let in.
const REFUSED: usize = 10;
const RULE: &str = "kubernetes-denied-then-let-in";

/// Writes the line of a request for objects.
fn line(ms: i64, n: usize, source: IpAddr, user: &str, code: u16, padding: usize) -> Line {
    let stage = Timestamp::from_millisecond(ms).expect("a time");
    let event = json!({
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": format!("{n:08}-1f00-4000-8000-000000000000"),
        "stage": "ResponseComplete", "requestURI": "/api/v1/namespaces/shop/configmaps", "verb": "list",
        "user": {"username": user, "groups": [if user == "system:anonymous" { "system:unauthenticated" } else { "system:authenticated" }]},
        "sourceIPs": [source], "userAgent": format!("client/1.30{}", "x".repeat(padding)),
        "objectRef": {"resource": "configmaps", "namespace": "shop", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": code},
        "requestReceivedTimestamp": format!("{stage:.6}"), "stageTimestamp": format!("{stage:.6}"),
    });
    Line { ms, text: event.to_string() }
}

/// Returns the requests of controllers and nodes, spread over the hour: all are let in.
fn quiet() -> Vec<Line> {
    let log_bytes = std::env::var("STAKEOUT_QUIET_LOG_BYTES").ok().and_then(|bytes| bytes.parse().ok());
    let log_bytes: usize = log_bytes.unwrap_or(LOG_BYTES);
    // However large it is, it covers an hour.
    let every_ms = i64::try_from(2_700 * LOG_BYTES / log_bytes).expect("few");
    let at_work = |n: usize| {
        let source = Ipv4Addr::new(10, 0, u8::try_from(n % 3).expect("small"), u8::try_from(n % 200).expect("small"));
        let user = format!("system:serviceaccount:shop:worker-{}", n % 40);
        line(DAY * 1000 + i64::try_from(n).expect("few") * every_ms, n, source.into(), &user, 200, 900)
    };
    let mut bytes = 0;
    let within = |line: &Line| {
        bytes += line.text.len();
        bytes <= log_bytes
    };
    (0..).map(at_work).take_while(within).collect()
}

/// Returns the address of a scanner: of another network for each.
fn scanner(n: usize, is_ipv6: bool) -> IpAddr {
    let n = u16::try_from(n).expect("few");
    match is_ipv6 {
        false => {
            Ipv4Addr::new(20 + u8::try_from(n % 100).expect("small"), u8::try_from(n / 100).expect("small"), 113, 7)
                .into()
        }
        true => Ipv6Addr::new(0x2a01, 0x4f8, 0x100 + n, n % 3, 0, 0, n % 2, 1 + n).into(),
    }
}

/// Returns the requests of so many scanners.
fn scans(scanners: usize, is_ipv6: bool) -> Vec<Line> {
    let begin = DAY + 20 * MINUTE;
    let of = |index: usize| {
        let source = scanner(index, is_ipv6);
        let ask = move |n: usize| {
            let (at, code) = if n < REFUSED { (begin, 403) } else { (begin + 10 * MINUTE, 200) };
            let number = 1_000_000 + index * 100 + n;
            line(at * 1000 + i64::try_from(n * 3000 + index).expect("few"), number, source, "system:anonymous", code, 0)
        };
        (0..=REFUSED).map(ask)
    };
    (0..scanners).flat_map(of).collect()
}

/// Returns the bytes of the records of the first read, those of all answers, and how many scanners were found to be let in.
fn costs(cloud: Cloud, lines: &[Line]) -> (u64, u64, usize) {
    let world = World::of(&[cloud]);
    world.reconfigure(&format!("rules: {:?}\n", seed_rules()), "rules: [builtin]\n");
    world.ingest_into(cloud, lines);
    let ran = world.once(DAY + HOUR);
    let bytes_of_first = ran.stderr.lines().find(|line| line.contains("window committed")).and_then(|line| {
        let (_, bytes) = line.split_once(" bytes=")?;
        bytes.split(' ').next()?.parse::<u64>().ok()
    });
    let first = bytes_of_first.unwrap_or_else(|| panic!("no window was committed: {}", ran.stderr));
    let [_, _, all] = served(&world, cloud);
    let found = world.run(&["findings", "list", "--rule", RULE, "-n", "1000", "-o", "json"]);
    let found = found.stdout.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count();
    (first, all, found)
}

#[test]
fn a_few_scanners_do_not_make_the_daemon_read_the_log() {
    let quiet = quiet();
    let quiet_bytes = u64::try_from(quiet.iter().map(|line| line.text.len()).sum::<usize>()).expect("few");
    std::thread::scope(|scope| {
        for cloud in [Cloud::Eks, Cloud::Gke, Cloud::Aks, Cloud::AksDiagnostics] {
            let quiet = &quiet;
            scope.spawn(move || {
                for (scanners, is_ipv6) in [1, 4, 60, 400].into_iter().flat_map(|n| [(n, false), (n, true)]) {
                    let scans = scans(scanners, is_ipv6);
                    let own_bytes =
                        u64::try_from(scans.iter().map(|line| line.text.len()).sum::<usize>()).expect("few");
                    let (first, all, found) = costs(cloud, &[quiet.clone(), scans].concat());
                    let case = format!("{cloud:?}, {scanners} scanners of {}", if is_ipv6 { "IPv6" } else { "IPv4" });
                    eprintln!("{case}: {all} bytes in all, records of {first} bytes in the first read, {found} found");
                    assert_eq!(found, scanners, "{case}");
                    // Each of their requests is read at most twice, in whatever form the cloud stores it.
                    assert!(all < own_bytes * 5, "{case}: {all} bytes of {own_bytes}");
                    if scanners <= 60 {
                        assert!(all < FEW_BYTES, "{case}: {all} bytes");
                    }
                    assert!(all.saturating_sub(first) < quiet_bytes + own_bytes, "{case}: {all} bytes, {first} first");
                }
            });
        }
    });
}
