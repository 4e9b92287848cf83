//! `doctor` against the fakes: a healthy log of each cloud, and what hides scans or cannot be read, with its fix.

use stakeout_fakes::cloudwatch_logs::LogGroupClass;
use stakeout_fakes::log_analytics::TablePlan;
use stakeout_fakes::{Fault, Faults};

use super::audit::{DAY, HOUR, MINUTE, refused};
use super::world::{Cloud, GROUP, World};

/// When the doctor comes: the last window is [23:50, 00:50).
const NOW: i64 = DAY + HOUR + 5 * MINUTE;

/// Returns a world whose log holds a scan of the last window.
fn scanned(cloud: Cloud) -> World {
    let world = World::of(&[cloud]);
    world.ingest_into(cloud, &refused("8.8.8.8", DAY + 40 * MINUTE, 12, 10));
    world.ingest_into(cloud, &refused("8.8.8.8", NOW - 4 * MINUTE, 1, 0));
    world
}

/// Asserts that the doctor says `status` of `subject`, with these words in the finding or the fix.
fn assert_says(world: &World, exit: i32, subject: &str, status: &str, words: &str) {
    let (code, sources) = world.doctor(NOW);
    let said = sources.concat();
    let is_it = |[its, how, finding, fix]: &&[String; 4]| {
        its == subject && how == status && (finding.contains(words) || fix.contains(words))
    };
    assert!(said.iter().any(|check| is_it(&check)), "no {status} {subject} with {words:?} in {said:#?}");
    assert_eq!(code, Some(exit), "{said:#?}");
    let has_fix = |[_, how, _, fix]: &[String; 4]| how == "good" || !fix.is_empty();
    assert!(said.iter().all(has_fix), "a finding without its fix: {said:#?}");
}

#[test]
fn healthy_logs_are_good_in_every_respect() {
    for cloud in [Cloud::Eks, Cloud::Gke, Cloud::Aks, Cloud::AksDiagnostics] {
        let (code, sources) = scanned(cloud).doctor(NOW);
        let verdicts: Vec<(&str, &str)> =
            sources.iter().flatten().map(|[subject, status, ..]| (subject.as_str(), status.as_str())).collect();
        assert!(verdicts.iter().all(|(_, status)| *status == "good"), "{cloud:?}: {sources:#?}");
        for subject in ["permission", "scans", "newest event", "quota"] {
            assert!(
                verdicts.iter().any(|(its, _)| *its == subject),
                "{cloud:?} says nothing of {subject}: {sources:#?}"
            );
        }
        assert_eq!(code, Some(0), "{cloud:?}");
    }
}

#[test]
fn a_denied_read_names_the_permission_to_grant() {
    for (cloud, words) in
        [(Cloud::Eks, "logs:FilterLogEvents"), (Cloud::Gke, "privateLog"), (Cloud::Aks, "Log Analytics")]
    {
        let world = scanned(cloud);
        world.server(cloud).set_faults(Faults::always(Fault::Denied));
        assert_says(&world, 1, "permission", "bad", words);
    }
}

#[test]
fn an_eks_log_that_is_off_or_cannot_be_searched_is_bad() {
    let switch_on = "aws eks update-cluster-config --region eu-west-1 --name dev --logging";
    let world = World::of(&[Cloud::Eks]);
    assert_says(&world, 1, "scans", "bad", switch_on);
    world.logs.create_group(GROUP, LogGroupClass::InfrequentAccess);
    assert_says(&world, 1, "log", "bad", "create-log-group");
    world.reconfigure("/aws/eks/dev/cluster", "/aws/eks/other/cluster");
    assert_says(&world, 1, "log", "bad", "--name other --logging");
}

#[test]
fn a_gke_log_without_data_access_hides_scans() {
    let world = World::of(&[Cloud::Gke]);
    for line in refused("8.8.8.8", DAY + 40 * MINUTE, 3, 10) {
        let entry = super::envelope::entry(&line).to_string().replace("%2Fdata_access", "%2Factivity");
        world.cloud_logging.ingest(&entry);
    }
    assert_says(&world, 1, "scans", "bad", "DATA_READ");
}

#[test]
fn tables_of_aks_that_hide_scans_cost_more_or_are_empty_say_so() {
    let world = scanned(Cloud::Aks);
    world.log_analytics.set_plan(super::envelope::WORKSPACE, "AKSAuditAdmin", TablePlan::Analytics).expect("a table");
    world.reconfigure("table: AKSAudit,", "table: AKSAuditAdmin,");
    assert_says(&world, 1, "scans", "bad", "az monitor diagnostic-settings");
    let (_, sources) = scanned(Cloud::AksBasic).doctor(NOW);
    let is_doubtful = |check: &[String; 4]| check[1] == "doubtful" && check[2].to_lowercase().contains("basic");
    assert!(sources.concat().iter().any(is_doubtful), "{sources:#?}");
}

#[test]
fn text_for_people_names_the_source_and_the_fix() {
    let world = World::of(&[Cloud::Eks]);
    let text = world.doctor_text(NOW);
    assert!(text.starts_with("dev-eks (cloudwatch, cluster dev)\n"), "{text}");
    assert!(text.contains("\n  bad       scans"), "{text}");
    assert!(text.contains("-> aws eks update-cluster-config"), "{text}");
}
