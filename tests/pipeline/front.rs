//! Clusters behind a proxy: that of AKS itself, which is trusted, and others, which a notice and `doctor` name.

use serde_json::Value;

use super::audit::{Asked, DAY, HOUR, Line, MINUTE, moved};
use super::ocsf::{CREATE, WATCH};
use super::world::{Cloud, World};

const TICK: i64 = DAY + HOUR;
/// The key that empties the list of AKS.
const EMPTIED: (&str, &str) = ("azure_monitor: {", "azure_monitor: {control_plane_proxies: [], ");

/// Returns refused requests of three clients, which reach the API server through two proxies.
fn forwarded(proxies: [&str; 2]) -> Vec<Line> {
    let clients = ["8.8.8.8", "9.9.9.9", "7.7.7.7"];
    let asked = |n: usize| {
        let (client, proxy) = (clients[n % 3], proxies[n % 2]);
        let second = i64::try_from(n).expect("few");
        let line = Asked::new(DAY + 20 * MINUTE + second, client, 403, second).line();
        let text = line.text.replace(&format!("[\"{client}\"]"), &format!("[\"{client}\",\"{proxy}\"]"));
        Line { text, ..line }
    };
    (0..45).map(asked).collect()
}

/// Returns the sources of the findings, and the addresses of the notices.
fn reported(world: &World) -> (Vec<String>, Vec<Value>) {
    let reported = world.reported();
    let mut sources: Vec<String> = reported
        .iter()
        .filter(|reported| reported.activity == CREATE && reported.episode.rule != WATCH)
        .map(|reported| reported.episode.source.clone())
        .collect();
    sources.sort();
    sources.dedup();
    let messages = world.sns.messages();
    let objects = messages.iter().map(|published| serde_json::from_str::<Value>(&published.message).expect("JSON"));
    let notices = objects.filter(|object| object["unmapped"]["kind"] == "hidden_proxy");
    (sources, notices.map(|notice| notice["unmapped"]["addresses"].clone()).collect())
}

#[test]
fn the_front_of_aks_hides_no_client_and_its_list_can_be_emptied() {
    for cloud in [Cloud::Aks, Cloud::AksDiagnostics] {
        let world = World::of(&[cloud]);
        world.ingest_into(cloud, &forwarded(["172.31.4.5", "172.31.200.6"]));
        world.once_done(TICK);
        let clients = ["7.7.7.7", "8.8.8.8", "9.9.9.9"].map(str::to_owned).to_vec();
        assert_eq!(reported(&world), (clients, Vec::new()), "{cloud:?}");

        let world = World::of(&[cloud]);
        world.reconfigure(EMPTIED.0, EMPTIED.1);
        world.ingest_into(cloud, &forwarded(["172.31.4.5", "172.31.200.6"]));
        world.once_done(TICK);
        let (sources, notices) = reported(&world);
        assert!(!sources.iter().any(|source| source == "8.8.8.8"), "{sources:?}");
        assert_eq!(notices, [serde_json::json!(["172.31.4.5", "172.31.200.6"])], "{cloud:?}");
    }
}

#[test]
fn a_proxy_that_the_config_does_not_name_is_reported_once_on_each_cloud_that_shows_it() {
    for cloud in [Cloud::Eks, Cloud::Aks] {
        let world = World::of(&[cloud]);
        let lines = forwarded(["10.0.0.50", "10.0.0.51"]);
        world.ingest_into(cloud, &lines);
        world.once_done(TICK);
        world.ingest_into(cloud, &moved(&lines, TICK + MINUTE));
        world.once_done(TICK + HOUR);
        let (_, notices) = reported(&world);
        assert_eq!(notices, [serde_json::json!(["10.0.0.50", "10.0.0.51"])], "{cloud:?}");
        let (_, checks) = world.doctor(TICK + 5 * MINUTE);
        let found =
            checks.concat().into_iter().find(|[subject, ..]| subject == "proxies").expect("the doctor names it");
        let [_, status, finding, fix] = found;
        assert_eq!(status, "doubtful");
        assert!(
            finding.contains("10.0.0.50, 10.0.0.51") && fix.contains("trusted_proxies: [10.0.0.50, 10.0.0.51]"),
            "{finding} {fix}"
        );

        world.reconfigure("admin:", "trusted_proxies: [10.0.0.50, 10.0.0.51]\nadmin:");
        let (_, checks) = world.doctor(TICK + 5 * MINUTE);
        assert!(checks.concat().iter().all(|[subject, ..]| subject != "proxies"), "{checks:?}");
    }
}
