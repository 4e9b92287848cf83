//! A property: order, pages, repetition, delay and downtime do not change the reported findings. They equal the findings of
//! a counter of a few lines, which shares no code with the engine.
//!
//! The writer, the ledger and the schedule are those of the daemon. `STAKEOUT_TEST_CASES` sets how many timelines are tried
//! (300 where it is unset), `STAKEOUT_TEST_SEED` which ones; a failing run prints its seed and its smallest timeline.

#[path = "../../../../tests/support/by_hand.rs"]
mod by_hand;
mod incidents;
mod place;
mod timeline;
mod world;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use stakeout_core::finding::{Finding, FindingKey, FindingStatus};
use stakeout_core::fold::Limits;

use by_hand::{ReferencedRule, Request as ByHandRequest, count_by_hand, episodes_by_hand, sequence_by_hand};
use place::EngineKind;
use timeline::{Request, Timeline, Visit, timelines};
use world::{Setting, World, live};

/// 2026-11-21T00:50:00Z, where the first window begins.
const BEGIN: i64 = 1_795_222_200;
const WINDOW_SECONDS: i64 = 3600;
/// Windows in which something happens.
const HOURS: usize = 6;
const REREAD_SECONDS: [i64; 2] = [3600, 7200];
/// Timespans and quiet times of the rules below.
const TIMESPAN_SECONDS: [i64; 3] = [600, 900, 300];
const QUIET_SECONDS: [i64; 3] = [1200, 2700, 300];
/// The number of paths that requests ask for.
const PATHS: usize = 4;
/// The names of the sources and of their clusters.
const CLUSTERS: [&str; 2] = ["prod", "stage"];

const RULES: &str = "
title: Refused
name: refused
logsource: {product: kubernetes, service: audit}
detection: {selection: {responseStatus.code: 403}, condition: selection}
---
title: Refused Often
name: refused-often
correlation: {type: event_count, rules: [refused], group-by: [source_ip], timespan: 10m, condition: {gte: 3}}
stakeout: {dedup_period: 20m}
---
title: Refused By One Cluster
name: refused-by-one-cluster
correlation: {type: event_count, rules: [refused], group-by: [source_ip, cluster], timespan: 15m, condition: {gt: 1}}
stakeout: {dedup_period: 45m}
---
title: Listed
name: listed
logsource: {product: kubernetes, service: audit}
detection: {selection: {verb: list}, condition: selection}
---
title: Listed Once
name: listed-once
correlation: {type: event_count, rules: [listed], group-by: [source_ip], timespan: 5m, condition: {gte: 1}}
stakeout: {dedup_period: 5m}
---
title: Let In
name: let-in
logsource: {product: kubernetes, service: audit}
detection: {selection: {responseStatus.code: 200}, condition: selection}
stakeout: {follow_up: true}
---
title: Many Paths
name: many-paths
correlation:
  {type: value_count, rules: [refused], group-by: [source_ip], timespan: 10m, condition: {field: requestURI, gte: 3}}
stakeout: {dedup_period: 20m}
---
title: Each Path Seldom
name: each-path-seldom
correlation:
  {type: value_count, rules: [refused], group-by: [source_ip], timespan: 10m, condition: {field: requestURI, gte: 3}}
stakeout: {dedup_period: 20m, repeat_max: 2, repeat_within: 15m}
---
title: Many Senders
name: many-senders
correlation: {type: value_count, rules: [refused], timespan: 5m, condition: {field: source_ip, gte: 3}}
stakeout: {dedup_period: 5m}
---
title: Refused And Listed
name: refused-and-listed
correlation: {type: temporal, rules: [refused, listed], group-by: [source_ip], timespan: 5m}
stakeout: {dedup_period: 15m}
---
title: Refused Twice
name: refused-twice
correlation:
  {type: event_count, rules: [refused], group-by: [source_ip, cluster], timespan: 5m, condition: {gte: 2}}
stakeout: {dedup_period: 5m}
---
title: Refused Then Let In
name: refused-then-let-in
correlation: {type: temporal_ordered, rules: [refused-twice, let-in], group-by: [source_ip, cluster], timespan: 10m}
stakeout: {dedup_period: 20m}
";

/// One of so many timelines is tried with PostgreSQL too.
const POSTGRES_SHARE: u32 = 15;
/// Senders of one request each, all in one hour: more rows than one commit deletes.
const CROWD: u32 = 20_000;

/// An episode: rule, group, first second, last second and requests.
type EpisodeRow = (String, String, i64, i64, u64);

/// The properties of a request that the rules below [`BY_HAND`] count.
#[derive(Clone, Debug)]
struct Asked {
    address: u32,
    path: usize,
    is_refused: bool,
    is_list: bool,
}

type Asks = [ByHandRequest<Asked>];

/// A rule that counts more than requests, implemented a second time.
struct ByHand {
    name: &'static str,
    fits: fn(&Asked) -> bool,
    group: fn(&Request) -> String,
    timespan: i64,
    quiet: i64,
    is_enough: fn(&Asks, &Asks) -> bool,
}

fn distinct<T: Ord>(requests: &Asks, of: fn(&Asked) -> T) -> usize {
    requests.iter().map(|request| of(&request.what)).collect::<BTreeSet<T>>().len()
}

fn in_cluster(request: &Request) -> String {
    format!("{} {}", request.sender(), CLUSTERS[request.source])
}

const REFUSED: ReferencedRule<Asked> = ReferencedRule { fits: |asked| asked.is_refused, least: 1, within: 0 };
const REFUSED_TWICE: ReferencedRule<Asked> = ReferencedRule { least: 2, within: 300, ..REFUSED };
const LISTED: ReferencedRule<Asked> = ReferencedRule { fits: |asked| asked.is_list, least: 1, within: 0 };
const LET_IN: ReferencedRule<Asked> = ReferencedRule { fits: |asked| !asked.is_refused, least: 1, within: 0 };

const BY_HAND: &[ByHand] = &[
    ByHand {
        name: "many-paths",
        fits: |asked| asked.is_refused,
        group: Request::sender,
        timespan: 600,
        quiet: 1200,
        is_enough: |_, span| distinct(span, |asked| asked.path) >= 3,
    },
    ByHand {
        name: "many-senders",
        fits: |asked| asked.is_refused,
        group: |_| String::new(),
        timespan: 300,
        quiet: 300,
        is_enough: |_, span| distinct(span, |asked| asked.address) >= 3,
    },
    ByHand {
        name: "refused-and-listed",
        fits: |asked| asked.is_refused || asked.is_list,
        group: Request::sender,
        timespan: 300,
        quiet: 900,
        is_enough: |all, span| sequence_by_hand(all, span, &[REFUSED, LISTED], false),
    },
    ByHand {
        name: FOLLOWED,
        fits: |_| true,
        group: in_cluster,
        timespan: 600,
        quiet: 1200,
        is_enough: |all, span| sequence_by_hand(all, span, &[REFUSED_TWICE, LET_IN], true),
    },
];

/// The rule whose last referenced rule counts only for ten minutes after a second refusal within five.
const FOLLOWED: &str = "refused-then-let-in";

/// The rule with a repeat limit. What comes late can exceed the limit after the finding is open, and the finding stays.
const SELDOM: &str = "each-path-seldom";

/// Returns the expected episodes of the rule with a repeat limit.
fn expected_of_seldom(requests: &[Request]) -> Vec<EpisodeRow> {
    let mut senders: BTreeMap<String, Vec<(i64, usize)>> = BTreeMap::new();
    for (number, request) in requests.iter().enumerate().filter(|(_, request)| request.is_refused) {
        let asked = std::iter::repeat_n((request.at, number % PATHS), request.n as usize);
        senders.entry(request.sender()).or_default().extend(asked);
    }
    let paths = |asked: &[(i64, usize)]| asked.iter().map(|(_, path)| *path).collect::<BTreeSet<_>>().len();
    let mut episodes = Vec::new();
    for (sender, mut asked) in senders {
        asked.sort_unstable();
        let is_seldom = |first: i64| {
            let around: Vec<_> =
                asked.iter().copied().filter(|(at, _)| (first - 600..=first + 900).contains(at)).collect();
            around.len() <= 2 * paths(&around)
        };
        let mut from = 0;
        while let Some(first) = (from..asked.len()).find_map(|at| {
            let first = (from..=at).find(|first| asked[at].0 - asked[*first].0 <= 600)?;
            (paths(&asked[first..=at]) >= 3 && is_seldom(asked[first].0)).then_some(first)
        }) {
            let mut last = first;
            while last + 1 < asked.len() && asked[last + 1].0 - asked[last].0 <= 1200 {
                last += 1;
            }
            let (begin, end) = (asked[first].0, asked[last].0);
            episodes.push((SELDOM.to_owned(), sender.clone(), begin, end, (last - first + 1) as u64));
            from = last + 1;
        }
    }
    episodes
}

fn is_followed(all: &Asks, at: i64) -> bool {
    let refused = |from: i64, to: i64| {
        all.iter().filter(move |one| one.what.is_refused && from <= one.at && one.at <= to).map(|one| one.at)
    };
    refused(at - 600, at).any(|second| refused(second - 300, second).count() >= 2)
}

/// Returns the expected episodes of the rules that count more than requests.
fn expected_of_more(requests: &[Request]) -> Vec<EpisodeRow> {
    let mut counted = Vec::new();
    for rule in BY_HAND {
        let mut groups: BTreeMap<String, Vec<ByHandRequest<Asked>>> = BTreeMap::new();
        for (number, request) in requests.iter().enumerate() {
            let what = Asked {
                address: request.address,
                path: number % PATHS,
                is_refused: request.is_refused,
                is_list: request.verb == "list",
            };
            let group = groups.entry((rule.group)(request)).or_default();
            let all = std::iter::repeat_n(ByHandRequest { at: request.at, what }, request.n as usize);
            group.extend(all.filter(|one| (rule.fits)(&one.what)));
        }
        for (group, mut requests) in groups {
            requests.sort_by_key(|request| request.at);
            if rule.name == FOLLOWED {
                let all = requests.clone();
                requests.retain(|one| one.what.is_refused || is_followed(&all, one.at));
            }
            for (first, last, count) in episodes_by_hand(&requests, rule.timespan, rule.quiet, rule.is_enough) {
                counted.push((rule.name.to_owned(), group.clone(), first, last, count));
            }
        }
    }
    counted
}

/// Returns the expected episodes of a timeline.
fn expected(requests: &[Request]) -> Vec<EpisodeRow> {
    let mut times: BTreeMap<(usize, String), Vec<i64>> = BTreeMap::new();
    for request in requests {
        let address = request.sender();
        let both = format!("{address} {}", CLUSTERS[request.source]);
        let counts =
            [(request.is_refused, address.clone()), (request.is_refused, both), (request.verb == "list", address)];
        for (rule, (_, group)) in counts.into_iter().enumerate().filter(|(_, (fits, _))| *fits) {
            times.entry((rule, group)).or_default().extend(vec![request.at; request.n as usize]);
        }
    }
    let mut counted = expected_of_more(requests);
    for ((rule, group), mut times) in times {
        times.sort_unstable();
        let (name, least) = [("refused-often", 3), ("refused-by-one-cluster", 2), ("listed-once", 1)][rule];
        for (first, last, count) in count_by_hand(&times, least, TIMESPAN_SECONDS[rule], QUIET_SECONDS[rule]) {
            counted.push((name.to_owned(), group.clone(), first, last, count));
        }
    }
    counted.sort();
    counted
}

fn counted<'a>(findings: impl Iterator<Item = &'a Finding>) -> Vec<EpisodeRow> {
    let mut counted: Vec<EpisodeRow> = findings
        .filter(|finding| !matches!(finding.status, FindingStatus::MergedInto(_)))
        .map(|finding| {
            let group: Vec<String> = finding.group.0.iter().map(ToString::to_string).collect();
            let episode = finding.episode;
            assert_eq!(finding.codes.total(), episode.count, "every request has an answer");
            (finding.rule.name.clone(), group.join(" "), episode.first.0, episode.last.0, episode.count)
        })
        .collect();
    counted.sort();
    counted
}

/// Returns the finding that continues `finding`.
fn survivor<'a>(finding: &'a Finding, all: &'a BTreeMap<FindingKey, Finding>) -> &'a Finding {
    let mut kept = finding;
    for _ in 0..all.len() {
        match kept.status {
            FindingStatus::MergedInto(key) => kept = &all[&key],
            FindingStatus::Open | FindingStatus::Quiet => break,
        }
    }
    kept
}

fn check(timeline: &Timeline, world: &World) -> Result<(), TestCaseError> {
    let expected = expected(&timeline.requests);
    let (seldom, stored): (Vec<_>, Vec<_>) =
        counted(world.stored.values()).into_iter().partition(|(rule, ..)| rule == SELDOM);
    let (_, reported): (Vec<_>, Vec<_>) =
        counted(world.reported.latest.values()).into_iter().partition(|(rule, ..)| rule == SELDOM);
    proptest::prop_assert_eq!(&stored, &expected, "as stored");
    proptest::prop_assert_eq!(&reported, &expected, "as reported");
    let expected = expected_of_seldom(&timeline.requests);
    if timeline.requests.iter().all(|request| request.visible_from == request.at) {
        proptest::prop_assert_eq!(&seldom, &expected, "with a repeat limit");
    }
    for (_, sender, first, last, _) in &expected {
        let holds = |(_, other, from, to, _): &&EpisodeRow| other == sender && from <= first && last <= to;
        proptest::prop_assert_eq!(seldom.iter().filter(holds).count(), 1, "{} {} in {:?}", sender, first, &seldom);
    }
    let reported: BTreeSet<&FindingKey> = world.reported.creates.keys().collect();
    proptest::prop_assert_eq!(
        reported,
        world.stored.keys().collect::<BTreeSet<_>>(),
        "every stored finding was reported"
    );
    for (key, creates) in &world.reported.creates {
        proptest::prop_assert_eq!(*creates, 1, "finding {} was opened {} times", key, creates);
        let finding = &world.reported.latest[key];
        proptest::prop_assert!(!finding.is_open(), "finding {} is still open", key);
        let kept = survivor(finding, &world.reported.latest);
        proptest::prop_assert!(
            !matches!(kept.status, FindingStatus::MergedInto(_)),
            "finding {} was merged in a circle",
            key
        );
        let (inner, outer) = (finding.episode, kept.episode);
        proptest::prop_assert!(
            outer.first <= inner.first && inner.last <= outer.last && finding.group == kept.group,
            "finding {} is outside of the finding that it was merged into",
            key
        );
    }
    Ok(())
}

/// How often the timelines contained the hard cases.
#[derive(Clone, Copy, Debug, Default)]
struct Met {
    findings: usize,
    merged: usize,
    late: usize,
    pruned: usize,
    /// Findings that grew after some of their minutes were deleted.
    pruned_and_grown: usize,
    /// Follow-ups that were read.
    followed: usize,
    /// Findings of the rule with a follow-up, and those of them that name related findings.
    let_in: usize,
    related: usize,
    /// Findings of the rule with a repeat limit.
    seldom: usize,
    /// Crashes between two parts of a window.
    died_between_parts: usize,
}

impl Met {
    fn and(self, world: &World) -> Met {
        let count = |fits: fn(&Finding) -> bool| world.stored.values().filter(|finding| fits(finding)).count();
        Met {
            findings: self.findings + world.stored.len(),
            merged: self.merged + count(|finding| matches!(finding.status, FindingStatus::MergedInto(_))),
            late: self.late + count(|finding| finding.late),
            pruned: self.pruned + count(|finding| finding.pruned.is_some()),
            pruned_and_grown: self.pruned_and_grown + world.grown.len(),
            followed: self.followed + world.followed,
            let_in: self.let_in + count(|finding| finding.rule.name == FOLLOWED),
            related: self.related + count(|finding| !finding.related.is_empty()),
            seldom: self.seldom + count(|finding| finding.rule.name == SELDOM),
            died_between_parts: self.died_between_parts + world.died_between_parts,
        }
    }

    fn each_is_there(&self) -> bool {
        let grown = self.pruned_and_grown;
        let died = self.died_between_parts;
        [self.findings, self.merged, self.late, self.pruned, grown, self.followed, self.let_in, self.seldom, died]
            .iter()
            .all(|times| *times > 0)
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Checks a property of worlds over random timelines.
fn for_each_world(daemon: &Setting, cases: u32, check: impl Fn(&Timeline, &World) -> Result<(), TestCaseError>) {
    let seed = setting("STAKEOUT_TEST_SEED").unwrap_or_else(|| crate::clock::now().as_millisecond().unsigned_abs());
    let cases = setting("STAKEOUT_TEST_CASES").map_or(cases, |cases| u32::try_from(cases).expect("fits in 32 bits"));
    eprintln!("STAKEOUT_TEST_SEED={seed} STAKEOUT_TEST_CASES={cases}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for engine in EngineKind::all() {
        // A round trip to a database takes as long as a hundred reads of a directory.
        let cases = if engine == EngineKind::Postgres { cases.div_ceil(POSTGRES_SHARE) } else { cases };
        let config = Config { cases, failure_persistence: None, max_shrink_iters: 4000, ..Config::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
        let outcome = runner.run(&timelines(), |timeline| {
            let daemon = Setting { engine, ..daemon.of_some_parts(timeline.visits[0].shuffle) };
            check(&timeline, &runtime.block_on(live(&timeline, &daemon)))
        });
        if let Err(error) = outcome {
            panic!("{engine:?}: {error}");
        }
    }
}

#[test]
fn order_pages_repetition_delay_and_downtime_never_change_the_findings() {
    let (met, worlds) = (Cell::new(Met::default()), Cell::new(0));
    for_each_world(&Setting::of(Limits::default()), 300, |timeline, world| {
        met.set(met.get().and(world));
        worlds.set(worlds.get() + 1);
        check(timeline, world)
    });
    let met = met.get();
    eprintln!("{met:?}");
    assert!(worlds.get() < 1000 || met.each_is_there(), "the timelines lack some hard cases and prove nothing");
}

#[test]
fn no_sequence_of_windows_stores_more_than_the_limits() {
    let limits = Limits { findings_stored_max: 3, rows_stored_max: 9, pending_max: 3, ..Limits::default() };
    let bounds = [limits.findings_stored_max, limits.rows_stored_max, limits.pending_max];
    let reached = Cell::new([false; 3]);
    for_each_world(&Setting::of(limits), 100, |_, world| {
        for (kind, (most, bound)) in ["findings", "rows", "pending"].iter().zip(world.most.iter().zip(bounds)) {
            proptest::prop_assert!(*most <= bound, "{} {} are stored, of at most {}", most, kind, bound);
        }
        let before = reached.get();
        reached.set(std::array::from_fn(|kind| before[kind] || world.most[kind] == bounds[kind]));
        Ok(())
    });
    assert_eq!(reached.get(), [true; 3], "a limit that is never reached proves nothing");
}

/// More minutes expire at once than one commit deletes. An episode among them stays one episode and counts once.
#[test]
fn minutes_that_expire_in_parts_count_once() {
    let request = |source, address, at| Request {
        source,
        address,
        is_refused: true,
        verb: "get",
        at,
        n: 1,
        visible_from: at,
        copies: Vec::new(),
    };
    let last = BEGIN + i64::try_from(HOURS).expect("small") * WINDOW_SECONDS;
    let mut requests: Vec<Request> = (BEGIN..last).step_by(290).map(|at| request(0, 1, at)).collect();
    requests.extend((0..CROWD).map(|stranger| request(1, 2 + stranger, BEGIN + i64::from(stranger % 3600))));
    let visit = Visit { reads: [true, true], shuffle: 7, restarts: false, settles: true };
    let timeline = Timeline { requests, visits: vec![visit; HOURS] };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for engine in EngineKind::all() {
        let world = runtime.block_on(live(&timeline, &Setting { engine, ..Setting::of(Limits::default()) }));
        check(&timeline, &world).unwrap_or_else(|error| panic!("{engine:?}: {error}"));
        let parts: Vec<usize> = world.expired.into_iter().filter(|rows| *rows > 0).collect();
        assert!(parts[0] < CROWD as usize, "one commit deleted the whole first hour: {parts:?}");
    }
}
