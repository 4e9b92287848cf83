//! What the rules' filter leaves at the provider: records, answers and bytes of one window, with it and without.

use super::audit::{DAY, HOUR, Line, MINUTE, moved, recording};
use super::world::{Cloud, World};

/// A rule that nothing but every record will do for.
const EVERYTHING: &str = "
title: Anything
name: anything
logsource: {product: kubernetes, service: audit}
detection: {selection: {verb|contains: e}, condition: selection}
";

/// Records, answers and bytes that a fake handed out.
pub(crate) fn served(world: &World, cloud: Cloud) -> [u64; 3] {
    match cloud {
        Cloud::Eks => {
            let served = world.logs.served();
            [served.records, served.pages, served.bytes]
        }
        Cloud::Gke => {
            let served = world.cloud_logging.served();
            [served.records, served.pages, served.bytes]
        }
        Cloud::Aks | Cloud::AksDiagnostics | Cloud::AksBasic => {
            let served = world.log_analytics.served();
            [served.rows, served.answers, served.bytes]
        }
    }
}

#[test]
fn what_no_rule_wants_stays_at_the_provider() {
    // A cluster at work, and a scan of it.
    let mut lines: Vec<Line> = moved(&recording("benign.audit.log"), DAY + 5 * MINUTE);
    lines.extend(moved(&recording("kube-hunter.audit.log"), DAY + 20 * MINUTE));
    for cloud in [Cloud::Eks, Cloud::Gke, Cloud::Aks, Cloud::AksDiagnostics] {
        let run = |rules: &str| {
            let world = World::of(&[cloud]);
            if !rules.is_empty() {
                world.use_rules(rules);
            }
            world.ingest_into(cloud, &lines);
            world.once_done(DAY + HOUR);
            served(&world, cloud)
        };
        let (filtered, whole) = (run(""), run(EVERYTHING));
        eprintln!("{cloud:?}: records, answers, bytes {filtered:?} with the filter, {whole:?} without");
        assert!(filtered[0] * 2 < whole[0] && filtered[2] * 2 < whole[2], "{cloud:?}: {filtered:?} of {whole:?}");
    }
}
