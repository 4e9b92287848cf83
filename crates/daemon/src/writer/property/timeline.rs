//! Timelines: the requests, when the record of each becomes visible, and when the daemon runs.

use std::net::Ipv4Addr;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{BEGIN, HOURS, QUIET_SECONDS, REREAD_SECONDS, TIMESPAN_SECONDS, WINDOW_SECONDS};

/// One request, or `n` equal ones.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// The source whose API server audited it.
    pub(super) source: usize,
    /// Its sender, as an offset from the first address of 10.0.0.0/8.
    pub(super) address: u32,
    /// Whether it was refused; otherwise it succeeded.
    pub(super) is_refused: bool,
    /// `verb`.
    pub(super) verb: &'static str,
    /// Its second.
    pub(super) at: i64,
    /// The number of requests that the record represents.
    pub(super) n: u32,
    /// The time from which on a read finds its record.
    pub(super) visible_from: i64,
    /// The seconds of its further records.
    pub(super) copies: Vec<i64>,
}

impl Request {
    /// Returns the address of its sender.
    pub(super) fn sender(&self) -> String {
        Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + self.address).to_string()
    }
}

/// The actions of the daemon at one tick.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    /// Whether each source is read.
    pub(super) reads: [bool; 2],
    /// The seed for the order of records in a read and of the commits of both sources.
    pub(super) shuffle: u64,
    /// Whether the daemon restarted before it.
    pub(super) restarts: bool,
    /// Whether the destination is reachable.
    pub(super) settles: bool,
}

/// Requests and the visits of the daemon, one per hour.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    pub(super) requests: Vec<Request>,
    pub(super) visits: Vec<Visit>,
}

/// Returns timelines with gaps close to the limits of rules and windows.
pub(super) fn timelines() -> impl Strategy<Value = Timeline> {
    let requests = prop_oneof![2 => vec(step(), 1..40), 1 => drip()].prop_map(|steps| requests(&steps));
    (requests, vec(visit(), HOURS)).prop_map(|(requests, visits)| Timeline { requests, visits })
}

/// Returns a long series of requests from one sender with gaps close to the quiet time. Late records join findings that
/// were reported separately, and the first minutes of a finding expire while it still grows.
fn drip() -> impl Strategy<Value = Vec<Step>> {
    let apart = prop_oneof![Just(TIMESPAN_SECONDS[1]), Just(QUIET_SECONDS[0]), Just(QUIET_SECONDS[1])];
    let more = prop_oneof![8 => Just(0_i64), 4 => Just(-1), 1 => Just(1)];
    (apart, vec((step(), more, prop::bool::weighted(0.1)), 10..40)).prop_map(|(apart, steps)| {
        let sender = |(step, more, is_other): (Step, i64, bool)| {
            let (source, address) = if is_other { (step.source, step.address) } else { (0, 1) };
            Step { gap: Gap::Seconds(apart + more), source, address, is_refused: true, ..step }
        };
        steps.into_iter().map(sender).collect()
    })
}

fn visit() -> impl Strategy<Value = Visit> {
    let reads = prop_oneof![4 => Just([true, true]), 1 => Just([true, false]), 1 => Just([false, true]), 2 => Just([false, false])];
    (reads, any::<u64>(), prop::bool::weighted(0.2), prop::bool::weighted(0.7))
        .prop_map(|(reads, shuffle, restarts, settles)| Visit { reads, shuffle, restarts, settles })
}

/// A request, relative to the one before it.
#[derive(Clone, Debug)]
struct Step {
    gap: Gap,
    source: usize,
    address: u32,
    is_refused: bool,
    is_list: bool,
    n: u32,
    rereads_late: usize,
    copies: Vec<i64>,
}

/// The time since the request before.
#[derive(Clone, Debug)]
enum Gap {
    Seconds(i64),
    /// Seconds after the end of the window.
    Boundary(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let near = |seconds: i64| (seconds - 1)..=(seconds + 1);
    let spans: Vec<i64> = TIMESPAN_SECONDS.into_iter().chain(QUIET_SECONDS).collect();
    let gap = prop_oneof![
        4 => (0_i64..5).prop_map(Gap::Seconds),
        3 => proptest::sample::select(spans).prop_flat_map(near).prop_map(Gap::Seconds),
        1 => (-2_i64..3).prop_map(Gap::Boundary),
        2 => (0_i64..6_000).prop_map(Gap::Seconds),
    ];
    let sender = (0_usize..2, 1_u32..4, prop::bool::weighted(0.8), prop::bool::weighted(0.2));
    let n = prop_oneof![6 => Just(1_u32), 1 => 2_u32..4];
    let rereads_late = prop_oneof![3 => Just(0_usize), 1 => 1..=REREAD_SECONDS.len()];
    let copies = prop_oneof![3 => Just(Vec::new()), 1 => vec(0_i64..90, 1..3)];
    (gap, sender, n, rereads_late, copies).prop_map(|(gap, sender, n, rereads_late, copies)| {
        let (source, address, is_refused, is_list) = sender;
        Step { gap, source, address, is_refused, is_list, n, rereads_late, copies }
    })
}

fn requests(steps: &[Step]) -> Vec<Request> {
    let end = BEGIN + i64::try_from(HOURS).expect("small") * WINDOW_SECONDS;
    let mut requests = Vec::new();
    let mut at = BEGIN;
    for step in steps {
        at = match step.gap {
            Gap::Seconds(seconds) => at + seconds,
            Gap::Boundary(seconds) => window_end(at) + seconds,
        };
        if at >= end {
            break;
        }
        requests.push(Request {
            source: step.source,
            address: step.address,
            is_refused: step.is_refused,
            verb: if step.is_list { "list" } else { "get" },
            at,
            n: step.n,
            visible_from: match step.rereads_late {
                0 => at,
                late => window_end(at) + REREAD_SECONDS[late - 1],
            },
            copies: step.copies.iter().map(|after| (at + after).min(window_end(at) - 1)).collect(),
        });
    }
    requests
}

/// Returns the end of the window that contains `at`.
pub(super) fn window_end(at: i64) -> i64 {
    BEGIN + ((at - BEGIN).div_euclid(WINDOW_SECONDS) + 1) * WINDOW_SECONDS
}
