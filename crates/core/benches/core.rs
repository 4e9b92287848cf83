//! Where the time goes of a line that is read, of one that is passed over, and of a window that closes.
//!
//! `cargo bench -p stakeout-core`

use std::hint::black_box;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::BytesCount;
use stakeout_core::address::TrustedProxies;
use stakeout_core::decode::{decode, stage_time_unread_ms};
use stakeout_core::fold::{self, Fold, Limits};
use stakeout_core::hash::HashKey;
use stakeout_core::needle::{Needles, Spelling};
use stakeout_core::observation::Observation;
use stakeout_core::rule::{self, Rules};
use stakeout_core::shipped;
use stakeout_core::source::{LogId, Provider, Source};
use stakeout_core::time::{Second, Window};

/// Requests of a window that closes, four from each source.
const REQUESTS: u32 = 40_000;

fn main() {
    divan::main();
}

/// Returns a line of the API server's with a body of so many bytes.
fn line(code: u16, body: usize) -> String {
    let item =
        r#"{"metadata":{"name":"web-6f7c","uid":"8b3c6c1e-9f0d-4a55-8a3e-3e1f8f6c2d10"},"spec":{"nodeName":"n1"}}"#;
    let items = vec![item; body / item.len()].join(",");
    format!(
        r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse","auditID":"6c1b5e0e-6a5d-4f8e-9d0a-3f5a4f3c1b06","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/prod/pods?limit=500\u0026resourceVersion=0","verb":"list","user":{{"username":"system:serviceaccount:prod:web","uid":"1","groups":["system:serviceaccounts","system:authenticated"]}},"sourceIPs":["91.10.0.7"],"userAgent":"kubectl/v1.33.1 (linux/amd64) kubernetes/8adc0f0","objectRef":{{"resource":"pods","namespace":"prod","apiVersion":"v1"}},"responseStatus":{{"metadata":{{}},"code":{code}}},"responseObject":{{"items":[{items}]}},"requestReceivedTimestamp":"2026-11-21T10:00:00.041212Z","stageTimestamp":"2026-11-21T10:00:00.044087Z","annotations":{{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":""}}}}"#
    )
}

fn rules() -> Arc<Rules> {
    Arc::new(rule::load(&shipped::rule_files()).expect("the shipped rules load"))
}

fn source() -> Source {
    Source { name: "b".to_owned(), provider: Provider::File, cluster: "b".into(), log: LogId("file/b".to_owned()) }
}

fn open() -> Fold {
    fold::open(rules(), Window::ALL, false, HashKey([7; 16]), Limits::default())
}

fn observations() -> Vec<Observation> {
    let event = decode(line(403, 0).as_bytes()).expect("an event").event;
    let observation = |number: u32| {
        let mut event = event.clone();
        event.audit_id = Some(number.to_string());
        event.source_ips = vec![std::net::Ipv4Addr::from(0x5b0a_0000 + number % (REQUESTS / 4)).to_string()];
        let at = Second(i64::from(1_795_255_200 + number % 3_000));
        Observation::of_event(&source(), &TrustedProxies::default(), event, at, String::new).expect("a request")
    };
    (0..REQUESTS).map(observation).collect()
}

#[divan::bench(args = [300, 20_000])]
fn decoding(bencher: Bencher<'_, '_>, body: usize) {
    let line = line(200, body);
    bencher.counter(BytesCount::new(line.len())).bench(|| decode(black_box(line.as_bytes())));
}

#[divan::bench(args = [300, 20_000])]
fn passing_over(bencher: Bencher<'_, '_>, body: usize) {
    let needles = Needles::of(&rules().prefilter(), Spelling::Native).expect("needles");
    let block = format!("{}\n", line(200, body)).repeat(256 * 1024 / (body + 900));
    bencher.counter(BytesCount::new(block.len())).bench(|| needles.occur_in(black_box(block.as_bytes())));
}

#[divan::bench]
fn time_of_a_line_at_its_end(bencher: Bencher<'_, '_>) {
    let line = line(200, 20_000);
    bencher.bench(|| stage_time_unread_ms(black_box(line.as_bytes())));
}

#[divan::bench]
fn observing(bencher: Bencher<'_, '_>) {
    let observations = observations();
    bencher.counter(observations.len()).with_inputs(open).bench_values(|mut fold| {
        observations.iter().for_each(|observation| fold.observe(observation));
        fold
    });
}

#[divan::bench(sample_count = 10)]
fn closing_ten_thousand_groups(bencher: Bencher<'_, '_>) {
    let observations = observations();
    let folded = || {
        let mut fold = open();
        observations.iter().for_each(|observation| fold.observe(observation));
        fold
    };
    bencher
        .with_inputs(folded)
        .bench_values(|fold| fold.close_alone(&source(), Second(1_795_260_000), jiff::Timestamp::UNIX_EPOCH));
}
