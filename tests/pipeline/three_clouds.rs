//! Cloud Logging and Log Analytics end to end, held to what CloudWatch Logs is held to; and all three clouds at once.

use std::collections::BTreeMap;

use stakeout_fakes::cloud_logging::{self, TokenGone};
use stakeout_fakes::log_analytics;
use stakeout_fakes::{Fault, Faults};

use super::audit::{Asked, DAY, HOUR, Line, MINUTE, refused, utc};
use super::counter::{self, MULTIPLE_403, SCANNING};
use super::ocsf::{CLOSE, CREATE, WATCH, assert_each_opens_once, final_episodes};
use super::timelines::any_timeline;
use super::world::{Cloud, World};
use crate::support::dice::Dice;

const TICK: i64 = DAY + HOUR;
/// Every way to keep a log beside CloudWatch Logs.
const OTHERS: [Cloud; 4] = [Cloud::Gke, Cloud::Aks, Cloud::AksDiagnostics, Cloud::AksBasic];

/// Twelve requests of one public address within the first window: three findings.
fn scan() -> Vec<Line> {
    refused("8.8.8.8", DAY + 20 * MINUTE, 12, 10)
}

fn assert_found(world: &World, lines: &[Line], what: &str) {
    assert_each_opens_once(&world.reported());
    assert_eq!(final_episodes(&world.reported()), counter::episodes(lines), "{what}");
}

/// Runs a test for several things at once: each has a world of its own.
pub(crate) fn each<T: Sync>(of: &[T], test: impl Fn(&T) + Sync) {
    std::thread::scope(|scope| {
        for it in of {
            let test = &test;
            scope.spawn(move || test(it));
        }
    });
}

#[test]
fn a_scan_is_reported_once_grows_over_downtime_and_by_late_records_and_ends() {
    each(&OTHERS, |&cloud| {
        let world = World::of(&[cloud]);
        let mut lines = scan();
        world.ingest_into(cloud, &lines);
        world.once_done(TICK);
        assert_found(&world, &lines, "the first window");
        let (messages, seen) = (world.slack.messages().len(), world.requests_seen());
        world.once_done(TICK);
        assert_eq!((world.slack.messages().len(), world.requests_seen()), (messages, seen), "{cloud:?} is not silent");

        let later = [
            refused("8.8.8.8", DAY + 55 * MINUTE, 7, 30),
            refused("9.9.9.9", DAY + 3 * HOUR, 11, 60),
            refused("10.9.9.9", DAY + 4 * HOUR + 49 * MINUTE, 6, 20),
        ]
        .concat();
        world.ingest_into(cloud, &later);
        lines.extend(later);
        world.once_done(TICK + 5 * HOUR);
        assert_found(&world, &lines, "five windows later");
        assert_eq!(world.log(cloud.cluster())["cursor"], utc(TICK + 5 * HOUR - 10 * MINUTE));

        let late = Asked::new(DAY + 4 * HOUR + 52 * MINUTE, "10.9.9.9", 403, 77).line();
        world.ingest_into(cloud, std::slice::from_ref(&late));
        lines.push(late);
        world.once_done(TICK + 8 * HOUR);
        assert_found(&world, &lines, "a record that was late");
        let findings = world.reported().into_iter().filter(|reported| reported.episode.rule != WATCH);
        let last: BTreeMap<String, i64> = findings.map(|reported| (reported.uid, reported.activity)).collect();
        assert!(last.values().all(|activity| *activity == CLOSE), "{cloud:?}: {last:?}");
    });
}

#[test]
fn failures_that_pass_are_tried_again() {
    let faults = [
        Fault::Throttled { retry_after_s: None },
        Fault::Throttled { retry_after_s: Some(1) },
        Fault::InternalError,
        Fault::Unavailable,
        Fault::ResetMidBody,
        Fault::TruncatedBody,
        Fault::AnswerLost,
    ];
    each(&[Cloud::Gke, Cloud::Aks], |&cloud| {
        for fault in &faults {
            let world = World::of(&[cloud]);
            world.ingest_into(cloud, &scan());
            world.server(cloud).set_faults(Faults::next(1, fault));
            world.once_done(TICK);
            assert_found(&world, &scan(), &format!("{cloud:?} and {fault:?}"));
        }
    });
}

#[test]
fn pages_of_cloud_logging_may_be_empty_come_twice_or_lose_their_token() {
    let paging = |page_records| cloud_logging::Paging { page_records, ..cloud_logging::Paging::default() };
    let odd = [
        cloud_logging::Paging { empty_pages: 2, last_page_has_token: true, ..paging(7) },
        cloud_logging::Paging { token_gone: Some(TokenGone { page: 2, times: 2 }), ..paging(6) },
        cloud_logging::Paging { duplicates: true, order: cloud_logging::EntryOrder::Shuffled(7), ..paging(9) },
    ];
    each(&odd, |paging| {
        let world = World::of(&[Cloud::Gke]);
        world.ingest_into(Cloud::Gke, &scan());
        world.cloud_logging.set_paging(paging.clone());
        world.once_done(TICK);
        assert_found(&world, &scan(), &format!("{paging:?}"));
    });
    let world = World::of(&[Cloud::Gke]);
    world.ingest_into(Cloud::Gke, &scan());
    world.cloud_logging.set_paging(cloud_logging::Paging { same_token: true, ..paging(4) });
    world.once(TICK).assert_code(1);
    assert_eq!(world.reported(), [], "a circle of tokens is no window");
    world.cloud_logging.set_paging(cloud_logging::Paging::default());
    world.once_done(TICK);
    assert_found(&world, &scan(), "after the circle");
}

#[test]
fn a_window_is_split_until_each_answer_is_complete() {
    let answering = log_analytics::Answering::default;
    let parts = [
        log_analytics::Answering { partial_next: 3, ..answering() },
        log_analytics::Answering { rows_max: 3, ..answering() },
        log_analytics::Answering { span_max: Some(std::time::Duration::from_secs(600)), ..answering() },
        log_analytics::Answering { empty_body_next: 2, ..answering() },
    ];
    each(&parts, |part| {
        for cloud in [Cloud::Aks, Cloud::AksDiagnostics] {
            let world = World::of(&[cloud]);
            world.ingest_into(cloud, &scan());
            world.log_analytics.set_answering(part.clone());
            world.once_done(TICK);
            assert_found(&world, &scan(), &format!("{cloud:?} and {part:?}"));
        }
    });
}

#[test]
fn a_second_that_is_too_full_costs_this_second_and_no_other_log() {
    let world = World::of(&[Cloud::Eks, Cloud::Aks]);
    let burst = refused("8.8.8.8", DAY + 21 * MINUTE, 12, 0);
    world.ingest_into(Cloud::Eks, &scan());
    world.ingest_into(Cloud::Aks, &burst);
    world.log_analytics.set_answering(log_analytics::Answering { rows_max: 3, ..log_analytics::Answering::default() });
    let ran = world.once_done(TICK);
    assert!(ran.stderr.contains("partial answer"), "{}", ran.stderr);
    assert_found(&world, &scan(), "the healthy log");
    world.log_analytics.set_answering(log_analytics::Answering::default());
    world.once_done(TICK + HOUR);
    assert_found(&world, &[scan(), burst].concat(), "both logs");
}

#[test]
fn an_empty_answer_is_an_answer_and_silence_is_reported() {
    each(&[Cloud::Gke, Cloud::Aks], |&cloud| {
        let world = World::of(&[cloud]);
        world
            .log_analytics
            .set_answering(log_analytics::Answering { no_content_next: 1, ..log_analytics::Answering::default() });
        for hour in 0..3 {
            world.once_done(TICK + hour * HOUR);
        }
        let titles: Vec<String> = world.reported().into_iter().map(|reported| reported.title).collect();
        assert_eq!(titles, ["No audit records"], "{cloud:?}");
    });
}

#[test]
fn any_timeline_in_any_pages_and_order_gives_what_the_counter_counts() {
    let mut dice = Dice::of_environment("any_timeline_in_any_pages_and_order_gives_what_the_counter_counts");
    let cases: Vec<(Cloud, Vec<Line>, u64)> =
        OTHERS.into_iter().map(|cloud| (cloud, any_timeline(&mut dice), dice.below(1000))).collect();
    each(&cases, |(cloud, lines, seed)| {
        let world = World::of(&[*cloud]);
        let entries = 20 + usize::try_from(seed % 30).expect("small");
        world.cloud_logging.set_paging(cloud_logging::Paging {
            page_records: entries,
            empty_pages: u32::from(seed % 2 == 0),
            duplicates: seed % 3 == 0,
            order: cloud_logging::EntryOrder::Shuffled(*seed),
            ..cloud_logging::Paging::default()
        });
        world.log_analytics.set_answering(log_analytics::Answering {
            rows_max: entries,
            order: log_analytics::RowOrder::Shuffled(*seed),
            ..log_analytics::Answering::default()
        });
        world.ingest_into(*cloud, lines);
        for hour in 1..=9 {
            world.once_done(DAY + hour * HOUR);
        }
        assert_found(&world, lines, &format!("{cloud:?}"));
    });
}

#[test]
fn one_scan_of_three_clouds_is_one_finding_over_three_clusters() {
    let world = World::of(&Cloud::THREE);
    // Four requests to each cluster: none alone crosses the ten of the rule that counts over clusters.
    let mut lines = Vec::new();
    for (n, cloud) in (0..).zip(Cloud::THREE) {
        let own: Vec<Line> =
            (0..4).map(|i| Asked::new(DAY + (30 + n) * MINUTE + i, "8.8.8.8", 403, 100 * n + i).line()).collect();
        world.ingest_into(cloud, &own);
        lines.extend(own);
    }
    world.once_done(TICK);
    let reported = world.reported();
    let opened = |rule: &str| {
        let of_rule: Vec<_> = reported.iter().filter(|reported| reported.episode.rule == rule).collect();
        (
            of_rule.iter().filter(|reported| reported.activity == CREATE).count(),
            of_rule.iter().map(|reported| reported.episode.count).max(),
        )
    };
    assert_eq!((opened(MULTIPLE_403), opened(SCANNING)), ((1, Some(12)), (1, Some(12))));
    let texts: Vec<String> = world.slack.messages().iter().map(ToString::to_string).collect();
    let all = |text: &&String| Cloud::THREE.iter().all(|cloud| text.contains(cloud.cluster()));
    assert!(texts.iter().any(|text| all(&text)), "{texts:?}");
}

#[test]
fn one_cloud_fails_for_ever_one_hangs_and_the_third_is_on_time() {
    let world = World::of(&Cloud::THREE);
    world.ingest_into(Cloud::Eks, &scan());
    world.cloud_logging.set_faults(Faults::always(Fault::InternalError));
    world.log_analytics.set_faults(Faults::next(1, &Fault::Hang));
    let mut child = world.begin_once(TICK);
    world.wait_until("the hanging cloud is asked", || !world.log_analytics.requests().is_empty());
    // The failing one was asked again and again, and the healthy one is done, while the third still hangs.
    world.wait_until("the failing cloud is asked again", || world.cloud_logging.requests().len() >= 3);
    world.wait_until("the healthy log is read", || world.logs.requests().len() >= 2);
    world.log_analytics.faults().release();
    assert_eq!(child.wait().expect("a child can be waited for").code(), Some(1));
    assert_found(&world, &scan(), "the healthy cloud");
    assert_eq!(world.log(Cloud::Eks.cluster())["cursor"], utc(TICK - 10 * MINUTE));
    assert_eq!(world.log(Cloud::Gke.cluster())["cursor"], utc(TICK - 70 * MINUTE));

    // Now two of them are dead for ever: retried, then reported as gaps, each once; the third stays on time.
    world.cloud_logging.set_faults(Faults::always(Fault::Denied));
    world.log_analytics.set_faults(Faults::always(Fault::Denied));
    for hour in 1..=7 {
        world.once(TICK + hour * HOUR).assert_code(1);
        assert_eq!(world.log(Cloud::Eks.cluster())["cursor"], utc(TICK + hour * HOUR - 10 * MINUTE));
    }
    let gaps = world
        .reported()
        .into_iter()
        .filter(|reported| reported.episode.rule == WATCH && reported.title == "Audit log gap");
    assert_eq!(gaps.count(), 3, "a window of the one, which failed an hour longer, and one of the other");
}
