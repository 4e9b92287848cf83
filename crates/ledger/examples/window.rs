//! Times the largest window that is stored in full: 100,000 rows in 60 minutes, in one commit.
//!
//! `cargo run --release -p stakeout-ledger --example window [DIR]`; the state goes to a temporary directory, or into
//! DIR where the disk matters.

#![expect(clippy::disallowed_methods, reason = "this example measures time")]

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use stakeout_core::address::SourceIp;
use stakeout_core::commit::Commit;
use stakeout_core::delivery::DeliveryId;
use stakeout_core::group::{CountKey, GroupKey, GroupValue, ReferencedRuleSet, RuleKey};
use stakeout_core::progress::Progress;
use stakeout_core::response_code::ResponseCode;
use stakeout_core::source::{LogId, SourceId};
use stakeout_core::tally::{Rows, SecondCount, Tally};
use stakeout_core::time::{Minute, Second};
use stakeout_ledger::Ledger;

const ROWS: u32 = 100_000;
const MINUTES: u32 = 60;

fn rows(minute: u32) -> Rows {
    (0..ROWS)
        .filter(|row| row % MINUTES == minute)
        .map(|row| {
            let group = GroupKey(vec![GroupValue::Address(SourceIp::V4(row.into()))]);
            let key = CountKey { rule: RuleKey(0x5eed), group };
            let tally = Tally {
                seconds: [(7, 1), (31, 4)]
                    .map(|(second, n)| SecondCount {
                        second,
                        referenced: ReferencedRuleSet(0),
                        code: ResponseCode::of(Some(403)),
                        n,
                    })
                    .to_vec(),
                clusters: ["prod-eu-west-1".to_owned()].into_iter().collect(),
                ..Tally::default()
            };
            (key, tally)
        })
        .collect()
}

fn commit(source: SourceId, log: LogId, first: u32) -> Commit {
    Commit {
        source,
        minutes: (0..MINUTES).map(|minute| (Minute((first + minute).into()), rows(minute))).collect(),
        expired: Vec::new(),
        progress: Progress {
            log,
            cursor: Second(i64::from(first + MINUTES) * 60),
            rereads: Vec::new(),
            gaps: Vec::new(),
            follow_ups: Vec::new(),
            context_queries: Vec::new(),
            failing: None,
            silent_windows: 0,
            silence_reported: false,
        },
        findings: Vec::new(),
        forgotten: Vec::new(),
        deliveries: Vec::new(),
        next_delivery: DeliveryId(0),
    }
}

/// Returns the most memory that this process had, as Linux reports it.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.map_or("unknown", str::trim).to_owned()
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout();
    let temporary = tempfile::tempdir()?;
    let dir = std::env::args_os().nth(1).map_or(temporary.path().join("state"), PathBuf::from);
    let begin = Instant::now();
    let ledger = Ledger::open(&dir)?;
    writeln!(out, "open:     {:>8.1?}", begin.elapsed())?;

    let log = LogId("file/var/log/kubernetes/audit.log".to_owned());
    let source = ledger.source_id_for(&log)?;
    for round in 0..5 {
        let mut window = commit(source, log.clone(), round * MINUTES);
        let before = peak_memory();
        let begin = Instant::now();
        ledger.commit_window(&mut window)?;
        let took = begin.elapsed();
        let after = peak_memory();
        writeln!(out, "commit:   {took:>8.1?}  {ROWS} rows, peak memory {before} -> {after}")?;
    }
    let mut cursor = Commit { minutes: Vec::new(), ..commit(source, log, 0) };
    for _ in 0..5 {
        let begin = Instant::now();
        ledger.commit_window(&mut cursor)?;
        writeln!(out, "a cursor: {:>8.1?}", begin.elapsed())?;
    }

    let mine = CountKey { rule: RuleKey(0x5eed), group: GroupKey(vec![GroupValue::Address(SourceIp::V4(1.into()))]) };
    let begin = Instant::now();
    let kept = ledger.minutes(Minute(0), Minute(i64::MAX), |_, key| *key == mine)?;
    writeln!(out, "one group of {} rows: {:.1?}, {} minutes", 5 * ROWS, begin.elapsed(), kept.len())?;
    writeln!(out, "on disk:  {} KiB, {} blobs", ledger.size_on_disk()? / 1024, ledger.blobs()?)?;
    drop(ledger);
    let begin = Instant::now();
    Ledger::open(&dir)?;
    writeln!(out, "reopen:   {:>8.1?}", begin.elapsed())?;
    Ok(())
}
