//! Measures the largest windows. Matching requests from many sources are folded with the shipped rules and committed to
//! a real ledger; then the same window is read again, and then the next hour. Prints the processor seconds of each part
//! and the peak memory of the process.
//!
//! `cargo run --release -p stakeout-ledger --example flood -- [REQUESTS] [SOURCES] [burst|spread] [all|seeds]`

use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::io::Write;
use std::net::Ipv4Addr;
use std::sync::Arc;

use stakeout_core::address::TrustedProxies;
use stakeout_core::delivery::NotificationFilter;
use stakeout_core::event::{AuditEvent, ObjectRef};
use stakeout_core::fold::{self, CloseInput, Limits, WindowCounts};
use stakeout_core::hash::HashKey;
use stakeout_core::observation::Observation;
use stakeout_core::rule::{self, Level, Rules};
use stakeout_core::shipped;
use stakeout_core::source::{LogId, Provider, Source};
use stakeout_core::time::{Minute, Second, Window};
use stakeout_ledger::Ledger;

/// 2026-11-21T00:50:00Z.
const BEGIN: i64 = 1_795_222_200;
const HOUR: i64 = 3600;
const RESOURCES: [&str; 8] =
    ["pods", "secrets", "nodes", "configmaps", "services", "namespaces", "serviceaccounts", "deployments"];

/// A flood of requests.
struct Flood {
    requests: u32,
    sources: u32,
    is_spread: bool,
}

impl Flood {
    /// Returns the request with this number in the hour that begins at `begin`: refused and anonymous.
    fn request(&self, number: u32, begin: i64) -> Observation {
        let source = number % self.sources;
        // The sources take turns; a burst takes a minute.
        let position = number.wrapping_mul(2_654_435_761) >> 8;
        let offset = if self.is_spread { position % 3600 } else { source % 60 * 60 + position % 60 };
        let at = Second(begin + i64::from(offset));
        let resource = RESOURCES[(number / self.sources + source) as usize % RESOURCES.len()];
        let stamp = jiff::Timestamp::from_second(at.0).expect("a time").to_string();
        let event = AuditEvent {
            level: Some("Metadata".to_owned()),
            audit_id: Some(format!("{begin}-{number:032x}")),
            stage: Some("ResponseComplete".to_owned()),
            request_uri: Some(format!("/api/v1/{resource}?limit=500")),
            verb: Some("list".to_owned()),
            username: Some("system:anonymous".to_owned()),
            groups: vec!["system:unauthenticated".to_owned()],
            source_ips: vec![Ipv4Addr::from(0x5b0a_0000 + source).to_string()],
            user_agent: Some("python-requests/2.31.0".to_owned()),
            object_ref: Some(ObjectRef { resource: Some(resource.to_owned()), ..ObjectRef::default() }),
            response_code: Some(403),
            response_reason: Some("Forbidden".to_owned()),
            request_received_timestamp: Some(stamp.clone()),
            stage_timestamp: Some(stamp),
            ..AuditEvent::default()
        };
        Observation::of_event(&source_of_log(), &TrustedProxies::default(), event, at, String::new).expect("a request")
    }
}

fn source_of_log() -> Source {
    Source {
        name: "onprem".to_owned(),
        provider: Provider::File,
        cluster: "onprem".into(),
        log: LogId("file/audit.log".to_owned()),
    }
}

/// Processor seconds since they were last asked for.
struct Stopwatch(f64);

impl Stopwatch {
    fn lap(&mut self) -> f64 {
        let used = processor_seconds();
        used - std::mem::replace(&mut self.0, used)
    }
}

/// Returns the processor seconds that this process took so far, in all threads; Linux counts them in hundredths.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    let ticks = after_name.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

/// Returns the memory that this process has now and the most that it had, in MiB.
fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    (kib("VmRSS:") / 1024, kib("VmHWM:") / 1024)
}

/// Reads what the daemon's writer reads to close a window.
fn close_input(ledger: &Ledger, counted: &WindowCounts, window: Window) -> Result<CloseInput, Box<dyn Error>> {
    let log = source_of_log().log;
    let findings = ledger.findings()?;
    let source_id = ledger.source_id_for(&log)?;
    let needed = counted.keys_needed(&[], &[], &findings);
    let (earliest, latest) = (window.earliest().minute(), window.latest().minute());
    let mut minutes = ledger.minutes(Minute(i64::MIN), earliest, |_, key| needed.contains(key))?;
    minutes.extend(ledger.minutes(latest, Minute(i64::MAX), |_, key| needed.contains(key))?);
    let own = ledger.minutes(earliest, latest, |source, _| source == source_id)?;
    let deliveries = ledger.deliveries()?;
    let pending: BTreeSet<_> =
        deliveries.iter().flat_map(|delivery| &delivery.entries).map(|entry| entry.finding).collect();
    Ok(CloseInput {
        source_id,
        own,
        minutes,
        findings,
        pending,
        providers: HashMap::from([(source_id, Provider::File)]),
        forget_before: Second(BEGIN),
        notification_filters: vec![NotificationFilter {
            destination: "secops".to_owned(),
            level_min: Level::Informational,
            every_change: false,
        }],
        next_delivery: ledger.next_delivery(),
        ..CloseInput::nothing(log, window.latest())
    })
}

fn measure(
    ledger: &Ledger,
    flood: &Flood,
    rules: &Arc<Rules>,
    begin: i64,
    is_reread: bool,
) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout();
    let window = Window::new(Second(begin), Second(begin + HOUR)).expect("an hour");
    let mut stopwatch = Stopwatch(processor_seconds());
    for number in 0..flood.requests {
        std::hint::black_box(flood.request(number, begin));
    }
    let making = stopwatch.lap();
    let mut fold = fold::open(rules.clone(), window, is_reread, ledger_key(ledger), Limits::default());
    for number in 0..flood.requests {
        fold.observe(&flood.request(number, begin));
    }
    writeln!(out, "observe {:>6.2} s  {:>5?} MiB", stopwatch.lap() - making, memory())?;
    let counted = fold.count();
    writeln!(out, "count   {:>6.2} s  {:>5?} MiB", stopwatch.lap(), memory())?;
    let input = close_input(ledger, &counted, window)?;
    writeln!(out, "read    {:>6.2} s  {:>5?} MiB", stopwatch.lap(), memory())?;
    let mut closed = counted.close(&source_of_log(), input, jiff::Timestamp::from_second(begin + 2 * HOUR)?);
    writeln!(out, "close   {:>6.2} s  {:>5?} MiB", stopwatch.lap(), memory())?;
    let rows: usize = closed.commit.minutes.iter().map(|(_, rows)| rows.len()).sum();
    ledger.commit_window(&mut closed.commit)?;
    writeln!(out, "commit  {:>6.2} s  {:>5?} MiB", stopwatch.lap(), memory())?;
    writeln!(
        out,
        "        {} rows, {} findings, {} KiB on disk; {:?} {:?}",
        rows,
        closed.commit.findings.len(),
        ledger.size_on_disk()? / 1024,
        closed.counts,
        closed.notices.iter().map(|notice| &notice.kind).collect::<Vec<_>>()
    )?;
    Ok(())
}

fn ledger_key(ledger: &Ledger) -> HashKey {
    ledger.hash_key()
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let requests = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let sources = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let is_spread = arguments.next().is_some_and(|word| word == "spread");
    let are_seeds = arguments.next().is_some_and(|word| word == "seeds");
    let mut files = shipped::rule_files();
    files.retain(|file| !are_seeds || !file.name.contains('/'));
    let rules = Arc::new(rule::load(&files).map_err(|faults| format!("{faults:?}"))?);
    let flood = Flood { requests, sources, is_spread };
    let dir = tempfile::tempdir()?;
    let ledger = Ledger::open(&dir.path().join("state"))?;
    for (title, hour, is_reread) in [("first hour", 0, false), ("read again", 0, true), ("second hour", 1, false)] {
        writeln!(std::io::stdout(), "{title}: {requests} requests of {sources} sources")?;
        measure(&ledger, &flood, &rules, BEGIN + hour * HOUR, is_reread)?;
    }
    Ok(())
}
