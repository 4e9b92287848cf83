//! A large log, in disorder and with repetitions: every count is exact, and memory stays small.
//!
//! 44,000 records are made; `STAKEOUT_TEST_RECORDS=220000` is the long form, about 20 seconds in a debug build.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Counts, counts, findings, replay_stdin, stderr};

const MULTIPLE_403: &str = "kubernetes-api-multiple-403-from-public-ip";
const SCANNING: &str = "kubernetes-scanning-by-unauthenticated-ip";
const CLUSTER_SCAN: &str = "kubernetes-cluster-scan-by-anonymous";
/// 2026-11-21T10:00:00Z, and how far the log reaches from there.
const BEGIN: i64 = 1_795_255_200;
const SECONDS: i64 = 6 * 3600;

struct Request {
    source: String,
    at: i64,
}

/// Returns anonymous refused requests: one source sends half of them, many send a few, most send one.
fn requests(number: usize) -> Vec<Request> {
    let (dozens, hundreds) = (number / 4_000, number / 1_000);
    let request = |place: usize| {
        let eighth = place / 8;
        let source = match place % 8 {
            0..4 => "5.5.5.5".to_owned(),
            4 | 5 => format!("91.10.0.{}", eighth % hundreds),
            6 => format!("91.20.{}.{}", eighth % dozens, eighth / dozens % 40),
            _ => format!("91.{}.{}.{}", 30 + eighth / 65_536, eighth / 256 % 256, eighth % 256),
        };
        // A step that has no factor in common with the span: times come in disorder and fill all of it.
        Request { source, at: BEGIN + i64::try_from(place).expect("small") * 7_919 % SECONDS }
    };
    (0..number).map(request).collect()
}

/// Returns what a rule must say of the requests: an episode for each run of a source that crossed the threshold.
fn count_by_hand(requests: &[Request], least: usize, timespan: i64, quiet: i64) -> Vec<(String, u64)> {
    let mut times: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for request in requests {
        times.entry(&request.source).or_default().push(request.at);
    }
    let mut found = Vec::new();
    for (source, mut times) in times {
        times.sort_unstable();
        let mut rest = &times[..];
        while let Some(first) = rest.windows(least).position(|span| span[least - 1] - span[0] <= timespan) {
            let run = rest[first..].windows(2).take_while(|pair| pair[1] - pair[0] <= quiet).count() + 1;
            found.push((source.to_owned(), run as u64));
            rest = &rest[first + run..];
        }
    }
    found.sort();
    found
}

fn text(requests: &[Request]) -> String {
    let mut text = String::new();
    for (place, request) in requests.iter().enumerate() {
        let at = jiff::Timestamp::from_second(request.at).expect("a time");
        let (source, received) = (&request.source, at + jiff::SignedDuration::from_micros(place as i64 % 1_000_000));
        // Every tenth request comes twice, the second time as the first of the next ten.
        for _ in 0..=usize::from(place % 10 == 9) {
            writeln!(
                text,
                r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"chosen-{}","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/n{}/secrets","verb":"list","user":{{"username":"system:anonymous","groups":["system:unauthenticated"]}},"sourceIPs":["{source}"],"userAgent":"scan/1","objectRef":{{"resource":"secrets","namespace":"n{}","apiVersion":"v1"}},"responseStatus":{{"metadata":{{}},"code":403}},"requestReceivedTimestamp":"{received:.6}","stageTimestamp":"{at:.6}"}}"#,
                place / 1000,
                place % 500,
                place % 500,
            )
            .expect("memory takes it");
        }
    }
    text
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test prints how long the replay took")]
fn a_large_log_is_counted_exactly() {
    let records = std::env::var("STAKEOUT_TEST_RECORDS").map_or(44_000, |text| text.parse().expect("a number"));
    let requests = requests(records * 10 / 11);
    let text = text(&requests);
    assert_eq!(text.lines().count(), records);
    let begun = std::time::Instant::now();
    let output = replay_stdin(&["-o", "json", "-"], text.as_bytes());
    eprintln!("{records} records, {} bytes, {:.1} s", text.len(), begun.elapsed().as_secs_f64());
    let expected = Counts::from([
        (MULTIPLE_403.to_owned(), count_by_hand(&requests, 10, 1800, 1800)),
        (SCANNING.to_owned(), count_by_hand(&requests, 6, 3600, 3600)),
        (CLUSTER_SCAN.to_owned(), count_by_hand(&requests, 1, 3600, 3600)),
    ]);
    let found = counts(&findings(&output));
    for (rule, expected) in &expected {
        assert!(expected.len() >= 40, "{rule}: {} findings prove little", expected.len());
        assert!(found[rule] == *expected, "{rule}: {} findings, {} expected", found[rule].len(), expected.len());
    }
    assert_eq!(found.len(), expected.len());
    assert!(stderr(&output).contains(&format!("duplicates={}", records - requests.len())), "{}", stderr(&output));
}
