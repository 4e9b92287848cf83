//! Properties of any input: episodes equal a count by hand, and folds give the same in any order and over their limits.
//!
//! The same over many windows, with a ledger and restarts, is tested where the writer is, in the daemon.

#[path = "../../../../tests/support/by_hand.rs"]
mod by_hand;
mod commit_parts;
mod counting;
mod episodes;
mod finding_limit;
mod group_limit;
mod novelty;
mod order;
mod parts;
mod progress_only;
mod row_limit;

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use stakeout_core::address::TrustedProxies;
use stakeout_core::commit::Commit;
use stakeout_core::event::AuditEvent;
use stakeout_core::fold::{self, CloseInput, Closed, Limits};
use stakeout_core::hash::HashKey;
use stakeout_core::observation::Observation;
use stakeout_core::rule::{self, Origin, RuleFile, Rules};
use stakeout_core::source::{LogId, Provider, Source};
use stakeout_core::tally::StoredMinute;
use stakeout_core::time::{Second, Window};

/// Returns how often a property is tried: so many times, or as many as `PROPTEST_CASES` says.
#[expect(clippy::disallowed_methods, reason = "how often a property is tried is its caller's decision")]
fn cases(usual: u32) -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() { config } else { ProptestConfig { cases: usual, ..config } }
}

const RULES: &str = "
title: Refused
name: refused
logsource: {product: kubernetes, service: audit}
detection: {selection: {responseStatus.code: 403}, condition: selection}
---
title: Refused Often
name: refused-often
correlation: {type: event_count, rules: [refused], group-by: [source_ip], timespan: 5m, condition: {gte: 3}}
stakeout: {dedup_period: 10m}
---
title: Listed
name: listed
logsource: {product: kubernetes, service: audit}
detection: {selection: {verb: list}, condition: selection}
";

/// The first second of the hour that tests happen in, which begins at :50.
const BEGIN: i64 = 1_795_222_200;

fn rules() -> Arc<Rules> {
    static LOADED: LazyLock<Arc<Rules>> = LazyLock::new(|| load(RULES));
    LOADED.clone()
}

fn load(text: &str) -> Arc<Rules> {
    let file = RuleFile { origin: Origin::Own, name: "rules.yml".to_owned(), text: text.to_owned() };
    Arc::new(rule::load(&[file]).unwrap_or_else(|faults| panic!("{faults:#?}")))
}

fn source() -> Source {
    Source {
        name: "prod".to_owned(),
        provider: Provider::File,
        cluster: "prod".into(),
        log: LogId("file/prod".to_owned()),
    }
}

/// One record of a request.
#[derive(Clone, Debug)]
struct Record {
    /// The number of its request; the client gave all requests one audit id.
    request: usize,
    address: [u8; 4],
    code: i64,
    verb: &'static str,
    path: u8,
    at: i64,
}

impl Record {
    fn observation(&self) -> Observation {
        let event = AuditEvent {
            audit_id: Some("mine".to_owned()),
            request_received_timestamp: Some(format!("2026-11-21T00:00:00.{:06}Z", self.request)),
            verb: Some(self.verb.to_owned()),
            request_uri: Some(format!("/api/{}", self.path)),
            source_ips: vec![std::net::Ipv4Addr::from(self.address).to_string()],
            response_code: Some(self.code),
            ..AuditEvent::default()
        };
        Observation::of_event(&source(), &TrustedProxies::default(), event, Second(self.at), String::new)
            .expect("an event without a stage is a request")
    }
}

/// Returns records of requests within `seconds`, each of another request; of some the address is always the same.
fn records(number: impl Into<proptest::collection::SizeRange>, seconds: i64) -> impl Strategy<Value = Vec<Record>> {
    let record = (
        prop_oneof![2 => 0_u8..4, 1 => any::<u8>()],
        prop_oneof![4 => Just(403), 1 => Just(200)],
        prop_oneof![4 => Just("get"), 1 => Just("list")],
        any::<u8>(),
        0..seconds,
    );
    proptest::collection::vec(record, number).prop_map(|drawn| {
        let record = |(request, (host, code, verb, path, after)): (usize, _)| Record {
            request,
            address: [198, 51, 100, host],
            code,
            verb,
            path,
            at: BEGIN + after,
        };
        drawn.into_iter().enumerate().map(record).collect()
    })
}

/// Returns what a commit stores, as it is read again.
fn stored(commit: &Commit) -> Vec<StoredMinute> {
    let minutes = commit.logs.iter().flat_map(|log| log.minutes.iter().map(|minute| (log.source, minute)));
    minutes.map(|(source, (minute, rows))| StoredMinute { source, minute: *minute, rows: rows.clone() }).collect()
}

/// Closes what `input` says, under the rules and limits.
fn close_input(input: CloseInput, limits: Limits) -> Closed {
    fold::close(&rules(), &limits, input, jiff::Timestamp::UNIX_EPOCH)
}

/// Folds the records in their order, as the one window of an empty state.
fn close(records: &[Record], limits: Limits) -> Closed {
    close_with(&rules(), records, limits)
}

fn close_with(rules: &Arc<Rules>, records: &[Record], limits: Limits) -> Closed {
    let window = Window::new(Second(BEGIN), Second(BEGIN + 3600)).expect("not empty");
    let mut fold = fold::open(rules.clone(), window, false, HashKey([7; 16]), limits);
    for record in records {
        fold.observe(&record.observation());
    }
    fold.close_alone(&source(), window.latest(), jiff::Timestamp::UNIX_EPOCH)
}
