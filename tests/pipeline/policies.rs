//! The policies in `deploy/iam` against the calls that the fakes recorded: nothing is missing, and nothing is unused.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use stakeout_fakes::Server;

use super::audit::{DAY, HOUR, MINUTE, refused, utc};
use super::discovery::{Fleet, OWN, TICK};
use super::proxied::Proxied;
use super::world::{Cloud, World};

const NOW: i64 = DAY + HOUR + 5 * MINUTE;
/// What SNS itself asks of KMS in the caller's name, to encrypt a message for a topic.
/// <https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html>
const OF_ENCRYPTED_TOPICS: [&str; 2] = ["kms:Decrypt", "kms:GenerateDataKey"];

fn policy(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/iam").join(name);
    std::fs::read_to_string(path).expect("the policy is there")
}

/// Returns the names of the operations that a fake was asked for.
fn targets(server: &Server) -> BTreeSet<String> {
    server.requests().into_iter().map(|request| request.target).collect()
}

#[test]
fn the_policy_of_aws_allows_what_is_called_and_nothing_else() {
    let proxied = Proxied::new();
    proxied.once(|command| proxied.trust(command)).assert_code(0);
    let mut doctor = proxied.command(&["doctor", "--at", &utc(NOW)]);
    proxied.trust(&mut doctor);
    assert!(doctor.output().expect("the binary runs").status.success());
    let fleet = Fleet::new("{regions: [eu-west-1]}");
    fleet.live((OWN, "eu-west-1"), "prod", TICK - HOUR, TICK);
    fleet.once_done(TICK);
    let of = |service: &'static str, server: &Server| {
        targets(server).into_iter().map(move |target| format!("{service}:{target}")).collect::<Vec<_>>()
    };
    let mut called: BTreeSet<String> = of("logs", &proxied.world.logs).into_iter().collect();
    let found: BTreeSet<String> = of("logs", &fleet.world.logs).into_iter().collect();
    let to_find = ["DescribeLogGroups", "DescribeLogStreams", "FilterLogEvents"].map(|call| format!("logs:{call}"));
    assert_eq!(found, to_find.into());
    called.extend(found);
    called.extend(of("sns", &proxied.world.sns));
    called.extend(of("sts", &proxied.sts));
    called.extend(OF_ENCRYPTED_TOPICS.map(str::to_owned));
    let policy: Value = serde_json::from_str(&policy("eks-cloudwatch.json")).expect("JSON");
    let actions = policy["Statement"].as_array().expect("statements").iter().flat_map(|statement| {
        let action = &statement["Action"];
        action.as_array().cloned().unwrap_or_else(|| vec![action.clone()])
    });
    let allowed: BTreeSet<String> = actions.map(|action| action.as_str().expect("a text").to_owned()).collect();
    assert_eq!(allowed, called);
    // What the daemon itself needs must not be bundled with what only doctor, or only some, need.
    let sids = policy["Statement"].as_array().expect("statements").iter().filter_map(|it| it["Sid"].as_str());
    let optional: Vec<&str> = sids.filter(|sid| sid.ends_with("Only")).collect();
    assert_eq!(
        optional,
        ["ForDoctorOnly", "ForDiscoveryOnly", "ForAnEncryptedTopicOnly", "ForALogOfAnotherAccountOnly"]
    );
}

#[test]
fn the_role_of_google_allows_what_is_called_and_nothing_else() {
    let world = World::of(&[Cloud::Gke]);
    world.ingest_into(Cloud::Gke, &refused("8.8.8.8", DAY + 40 * MINUTE, 12, 10));
    world.once_done(NOW);
    world.doctor(NOW);
    assert_eq!(targets(&world.cloud_logging), BTreeSet::from(["POST /v2/entries:list".to_owned()]));
    // Entries of the data access log are private: listing them takes a permission of its own.
    let is_private = |body: &str| body.contains("data_access");
    assert!(world.cloud_logging.requests().iter().any(|request| is_private(&request.body)));
    let role = policy("gke-cloud-logging.yaml");
    let permissions: Vec<&str> = role.lines().filter_map(|line| line.strip_prefix("  - ")).collect();
    assert_eq!(permissions, ["logging.logEntries.list", "logging.privateLogEntries.list"]);
    world.cloud_logging.hide_private_logs(true);
    let (_, checks) = world.doctor(NOW);
    let says = |[subject, status, ..]: &[String; 4]| subject == "scans" && status == "bad";
    assert!(checks.concat().iter().any(says), "{checks:#?}");
}

#[test]
fn the_role_of_azure_allows_what_is_called_and_nothing_else() {
    let script = policy("aks-log-analytics.sh");
    for (cloud, table) in [(Cloud::Aks, "AKSAudit"), (Cloud::AksDiagnostics, "AzureDiagnostics")] {
        let world = World::of(&[cloud]);
        world.ingest_into(cloud, &refused("8.8.8.8", DAY + 40 * MINUTE, 12, 10));
        world.once_done(NOW);
        world.doctor(NOW);
        let requests = world.log_analytics.requests();
        assert!(!requests.is_empty());
        for request in requests {
            assert!(request.target.starts_with("POST /v1/workspaces/"), "{}", request.target);
            assert!(request.target.ends_with("/query"), "{}", request.target);
            let body: Value = serde_json::from_str(&request.body).expect("JSON");
            let query = body["query"].as_str().expect("a query");
            assert_eq!(query.split(['\n', ' ']).next(), Some(table), "{query}");
            assert!(!query.contains("union") && !query.contains("join"), "{query}");
        }
        assert!(script.contains(&format!("\n{table})")), "{table} is not a table of the script");
    }
    let quoted = |text: &str| text.contains("Microsoft.OperationalInsights").then(|| text.to_owned());
    let allowed: BTreeSet<String> = script.split('"').skip(1).step_by(2).filter_map(quoted).collect();
    let of_queries = ["/workspaces/read", "/workspaces/query/read", "/workspaces/tables/data/read"];
    let expected: BTreeSet<String> = of_queries.map(|action| format!("Microsoft.OperationalInsights{action}")).into();
    let actions = allowed.into_iter().filter(|text| !text.contains("Resource[")).collect::<BTreeSet<_>>();
    assert_eq!(actions, expected);
    assert!(script.contains("StringEquals '$table'"));
}
