//! Measures what commits cost in each engine. `tests/perf/postgres` starts a server and runs this.
//!
//!     throughput large DIRECTORY|URL            one commit of 100,000 rows, twice, and what they take on the disk
//!     throughput windows DIRECTORY|URL N        windows per minute of N processes at once, each with a log of its own
//!
//! A window asks for what a close asks for, and commits the rows of ten addresses.

#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a measurement for people")]

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use stakeout_core::address::SourceIp;
use stakeout_core::commit::{Commit, LogCommit};
use stakeout_core::evidence::{Evidence, Sample};
use stakeout_core::group::{CountKey, GroupKey, GroupValue, ReferencedRuleSet, RuleKey};
use stakeout_core::incident::Actor;
use stakeout_core::progress::Progress;
use stakeout_core::response_code::ResponseCode;
use stakeout_core::source::LogId;
use stakeout_core::tally::{Rows, SecondCount, Tally};
use stakeout_core::time::{Minute, Second, Window};
use stakeout_ledger::{Ledger, LedgerError, Location, NeededRows, PostgresOptions, PostgresTls, Stay};

/// Rows of the large commit, of a tenth as many addresses.
const ROWS: u32 = 100_000;
/// How long windows are measured.
const MEASURED: Duration = Duration::from_secs(15);

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["large", place] => large(&location(place)?),
        ["windows", place, replicas] => windows(&location(place)?, replicas.parse()?),
        _ => Err("throughput large PLACE | windows PLACE N".into()),
    }
}

fn location(place: &str) -> Result<Location, Failure> {
    if !place.starts_with("postgresql://") {
        return Ok(Location::from(Path::new(place)));
    }
    let schema = format!("measured_{}", std::process::id());
    let options = PostgresOptions::new(&SecretString::from(place), &schema, PostgresTls::Disable);
    Ok(Location::Postgres(options.map_err(|(problem, fix)| format!("{problem}: {fix}"))?))
}

/// Returns the rows of some addresses in a minute, with a sample each.
fn rows(addresses: std::ops::Range<u32>, minute: Minute) -> Rows {
    addresses.map(|address| (key(address), tally(address, minute))).collect()
}

fn key(address: u32) -> CountKey {
    CountKey {
        rule: RuleKey(u64::from(address % 9)),
        group: GroupKey(vec![GroupValue::Address(SourceIp::V4(address.into()))]),
    }
}

fn tally(address: u32, minute: Minute) -> Tally {
    let sample: Sample = serde_json::from_value(serde_json::json!({
        "rank": address, "at": minute.start().0, "audit_id": format!("{address:032x}"), "verb": "get",
        "request_uri": format!("/api/v1/namespaces/default/pods?limit=500&continue={address}"),
        "user_agent": "python-requests/2.31.0", "username": "system:anonymous", "code": 403, "resource": "pods",
        "namespace": "default", "cluster": "prod", "source_ips": ["198.51.100.7"],
    }))
    .expect("a sample");
    let mut evidence = Evidence::default();
    evidence.add(sample, 1);
    let second = SecondCount { second: 7, referenced: ReferencedRuleSet(0), code: ResponseCode::of(Some(403)), n: 5 };
    Tally { seconds: vec![second], evidence, ..Tally::default() }
}

fn large(location: &Location) -> Result<(), Failure> {
    let ledger = Ledger::open_for(location.clone(), Stay::Long)?;
    let before = ledger.size_on_disk()?;
    for round in 0..2_u32 {
        let log = LogId("measured/large".to_owned());
        let minutes: Vec<(Minute, Rows)> =
            (0..10).map(|minute| (Minute(minute), rows(0..ROWS / 10, Minute(minute)))).collect();
        let begun = Instant::now();
        ledger.alone(|ledger| {
            let source = ledger.source_id_for(&log)?;
            let progress = Progress::new(log.clone(), Second(i64::from(round)));
            let logs = vec![LogCommit { source, minutes, progress }];
            ledger.commit_window(&mut Commit { logs, ..Commit::empty(ledger.next_delivery()) }, &[])
        })?;
        let how = ["new rows", "the same rows again"][round as usize];
        println!("{ROWS} rows, {how}: {} ms", begun.elapsed().as_millis());
    }
    println!("size on disk: {} kB", (ledger.size_on_disk()? - before) / 1000);
    Ok(())
}

fn windows(location: &Location, replicas: u32) -> Result<(), Failure> {
    drop(Ledger::open_for(location.clone(), Stay::Long)?);
    let (done, begun) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let replicas: Vec<_> = (0..replicas)
        .map(|replica| {
            let (location, done) = (location.clone(), done.clone());
            thread::spawn(move || {
                let ledger = Ledger::open_for(location, Stay::Long)?;
                for hour in 0.. {
                    if begun.elapsed() > MEASURED {
                        break;
                    }
                    window(&ledger, replica, hour)?;
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<_, LedgerError>(())
            })
        })
        .collect();
    let count = replicas.len();
    for replica in replicas {
        replica.join().map_err(|_| "a replica panicked")??;
    }
    let done = done.load(Ordering::Relaxed);
    let per_minute = f64::from(u32::try_from(done)?) * 60.0 / begun.elapsed().as_secs_f64();
    println!("{count} at once: {per_minute:.0} windows a minute");
    Ok(())
}

/// Closes the window of an hour of a log: asks for what a close asks for, and commits.
fn window(ledger: &Ledger, replica: u32, hour: u32) -> Result<(), LedgerError> {
    let log = LogId(format!("measured/{replica}"));
    let begin = Minute(i64::from(hour) * 60 - 10);
    let addresses = replica * 1_000_000 + hour * 10..replica * 1_000_000 + hour * 10 + 10;
    let rows = rows(addresses, begin);
    ledger.alone(|ledger| {
        let source = ledger.source_id_for(&log)?;
        let keys: HashSet<&CountKey> = rows.keys().collect();
        let groups: HashSet<&GroupKey> = rows.keys().map(|key| &key.group).collect();
        ledger.rows_of_groups_of_source(source, begin, Minute(begin.0 + 60), &keys)?;
        let far_rules = HashSet::new();
        let from = Minute(begin.0 - 24 * 60);
        let expired =
            ledger.oldest_rows(&NeededRows { all_from: from, near_from: from, far_rules: &far_rules }, 4096)?;
        ledger.waiting(begin.start(), 1000)?;
        ledger.findings_of_groups(&groups, 256)?;
        ledger.findings_quiet(begin.start(), 1000)?;
        let span = Window::new(Second(begin.start().0 - 7200), Second(begin.start().0 + 3600)).expect("not empty");
        ledger.rows_of_groups(&keys, &keys.iter().map(|key| (key.rule, span)).collect::<HashMap<_, _>>())?;
        ledger.findings_over(begin.start(), 1000, |_| true)?;
        ledger.findings_quiet_until(begin.start(), 1000)?;
        let actors: BTreeSet<Actor> = rows.keys().filter_map(|key| key.group.source_ip()).map(Actor::Address).collect();
        ledger.findings_of_actors(&actors)?;
        drop(keys);
        let progress = Progress::new(log.clone(), Second(begin.start().0 + 3600));
        let logs = vec![LogCommit { source, minutes: vec![(begin, rows.clone())], progress }];
        let commit = Commit {
            logs,
            expired: expired.minutes,
            near_rows_from: expired.near_from,
            ..Commit::empty(ledger.next_delivery())
        };
        ledger.commit_window(&mut { commit }, &[])
    })
}
