//! Floods that do not fit into an answer: what is given up is one second at most.

use serde_json::Value;
use stakeout_fakes::log_analytics::Answering;

use super::audit::{Asked, DAY, HOUR, Line, MINUTE, refused};
use super::ocsf::WATCH;
use super::world::{Cloud, World};

const TICK: i64 = DAY + HOUR;
/// The second of the flood.
const FULL: i64 = DAY + 30 * MINUTE;

/// Returns a scan of one source, and so many requests of another one in a single second.
fn requests(flood: i64) -> Vec<Line> {
    let full = (0..flood).map(|n| Asked::new(FULL, "9.9.9.9", 403, n).line());
    refused("8.8.8.8", DAY + 20 * MINUTE, 12, 10).into_iter().chain(full).collect()
}

/// Returns the sources of all findings, and kind and reason of all notices.
fn reported(world: &World) -> (Vec<String>, Vec<(String, String)>) {
    let reported = world.reported();
    let of_rules = reported.iter().filter(|reported| reported.episode.rule != WATCH);
    let mut sources: Vec<String> = of_rules.map(|reported| reported.episode.source.clone()).collect();
    sources.sort();
    sources.dedup();
    let messages = world.sns.messages();
    let objects = messages.iter().map(|published| serde_json::from_str::<Value>(&published.message).expect("JSON"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let notices = objects.filter(|object| object["finding_info"]["analytic"]["name"] == WATCH);
    (sources, notices.map(|notice| (text(&notice["unmapped"]["kind"]), text(&notice["unmapped"]["reason"]))).collect())
}

#[test]
fn a_second_that_does_not_fit_costs_no_other_second_and_a_reread_fills_it() {
    let world = World::of(&[Cloud::Aks]);
    world.ingest_into(Cloud::Aks, &requests(40));
    world.log_analytics.set_answering(Answering { rows_max: 20, ..Answering::default() });
    world.once_done(TICK);
    let (sources, notices) = reported(&world);
    assert_eq!(sources, ["8.8.8.8"]);
    let [(kind, reason)] = notices.try_into().unwrap_or_else(|notices| panic!("{notices:?}"));
    assert_eq!(kind, "partial_gap");
    assert!(reason.contains("2025-03-04T00:30:00Z, 2025-03-04T00:30:01Z"), "{reason}");
    assert_eq!(world.log(Cloud::Aks.cluster())["gaps"].as_array().map(Vec::len), Some(1));

    world.log_analytics.set_answering(Answering::default());
    world.once_done(TICK + HOUR);
    let (sources, notices) = reported(&world);
    assert_eq!(sources, ["8.8.8.8", "9.9.9.9"]);
    assert_eq!(notices.last().map(|(kind, _)| kind.as_str()), Some("gap_filled"));
    assert_eq!(world.log(Cloud::Aks.cluster())["gaps"].as_array().map(Vec::len), Some(0));
}

#[test]
fn a_second_of_the_shared_table_is_read_in_parts() {
    let world = World::of(&[Cloud::AksDiagnostics]);
    world.ingest_into(Cloud::AksDiagnostics, &requests(40));
    world.log_analytics.set_answering(Answering { rows_max: 20, ..Answering::default() });
    world.once_done(TICK);
    assert_eq!(reported(&world), (vec!["8.8.8.8".to_owned(), "9.9.9.9".to_owned()], Vec::new()));
}

/// Two rules that read a long field, and one that reads none.
const RULES: &str = "
title: Scanner by its agent
name: by-agent
logsource: {product: kubernetes, service: audit}
detection: {selection: {userAgent|startswith: scanner}, condition: selection}
---
title: Scanner by its path
name: by-path
logsource: {product: kubernetes, service: audit}
detection: {selection: {requestURI|startswith: /api/v1/secrets}, condition: selection}
---
title: Refused
name: by-code
logsource: {product: kubernetes, service: audit}
detection: {selection: {responseStatus.code: 403}, condition: selection}
";

#[test]
fn a_second_that_was_cut_names_the_rules_that_could_not_judge_it() {
    let world = World::of(&[Cloud::Aks]);
    world.use_rules(RULES);
    let long =
        |n: i64| Asked { agent: format!("scanner{n}{}", "x".repeat(60_000)), ..Asked::new(FULL, "9.9.9.9", 403, n) };
    let lines: Vec<Line> = (0..420).map(|n| long(n).line()).collect();
    world.ingest_into(Cloud::Aks, &lines);
    world.once_done(TICK);
    let found: Vec<String> = world.reported().into_iter().map(|reported| reported.episode.rule).collect();
    assert!(found.iter().any(|rule| rule == "by-code") && !found.iter().any(|rule| rule == "by-agent"), "{found:?}");
    let (_, notices) = reported(&world);
    let [(kind, reason)] = notices.try_into().unwrap_or_else(|notices| panic!("{notices:?}"));
    assert_eq!(kind, "partial_gap");
    let cut = "userAgent of 420 requests came cut, so these rules could not judge them: by-agent";
    assert!(reason.contains("2025-03-04T00:30:00Z, 2025-03-04T00:30:01Z") && reason.ends_with(cut), "{reason}");
}
