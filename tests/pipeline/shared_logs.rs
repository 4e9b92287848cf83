//! Logs that hold the events of many clusters: the clusters of projects in Cloud Logging, and of a workspace in Log Analytics.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use stakeout_fakes::log_analytics::TablePlan;

use super::audit::{Asked, DAY, HOUR, Line, MINUTE, refused, utc};
use super::envelope;
use super::three_clouds::each;
use super::world::{Cloud, World};

const TICK: i64 = DAY + 24 * HOUR;
/// Every way to keep the logs of several clusters together.
const SHARED: [Cloud; 4] = [Cloud::Gke, Cloud::Aks, Cloud::AksDiagnostics, Cloud::AksBasic];
/// Projects of Google Cloud, or resource groups of Azure.
const OWNERS: [&str; 4] = ["acme-one", "acme-two", "acme-three", "acme-four"];
const CLUSTERS: usize = 20;

/// A cluster, by its owner and name.
type Cluster = (&'static str, String);

/// A world that reads one log of all clusters.
struct Shared {
    world: World,
    cloud: Cloud,
}

impl Shared {
    /// Starts with a discovery called `fleet` that has these keys too.
    fn new(cloud: Cloud, keys: &str) -> Shared {
        let shared = Shared { world: World::of(&[]), cloud };
        shared.prepare();
        let discovery = format!("discover:\n  - {{name: fleet, {}}}\nnotify:", shared.section(keys));
        shared.world.reconfigure("sources:\nnotify:", &discovery);
        shared
    }

    /// Starts with a source for each cluster.
    fn one_by_one(cloud: Cloud, clusters: &[Cluster]) -> Shared {
        let shared = Shared { world: World::of(&[]), cloud };
        shared.prepare();
        let sources: String = clusters.iter().map(|cluster| shared.source(cluster)).collect();
        shared.world.reconfigure("sources:\nnotify:", &format!("sources:\n{sources}notify:"));
        shared
    }

    fn prepare(&self) {
        // What is counted here is what reading takes.
        self.world.reconfigure("rules:", "context_query: \"off\"\nrules:");
        match self.cloud {
            Cloud::Gke => OWNERS.iter().for_each(|project| self.world.cloud_logging.create_project(project)),
            _ => {
                let plan = if self.cloud == Cloud::AksBasic { TablePlan::Basic } else { TablePlan::Analytics };
                for table in [envelope::table(self.cloud), "AKSControlPlane"] {
                    self.world.log_analytics.set_plan(envelope::WORKSPACE, table, plan).expect("a workspace");
                }
            }
        }
    }

    fn section(&self, keys: &str) -> String {
        match self.cloud {
            Cloud::Gke => format!(
                "cloud_logging: {{projects: [{}], endpoint: \"{}\"{keys}}}",
                OWNERS.join(", "),
                self.world.cloud_logging.endpoint()
            ),
            _ => format!("azure_monitor: {{workspaces: [{}], {}{keys}}}", envelope::WORKSPACE, self.table()),
        }
    }

    fn table(&self) -> String {
        let plan = if self.cloud == Cloud::AksBasic { "basic" } else { "analytics" };
        let endpoint = self.world.log_analytics.endpoint();
        format!("table: {}, plan: {plan}, endpoint: \"{endpoint}\"", envelope::table(self.cloud))
    }

    fn source(&self, (owner, name): &Cluster) -> String {
        match self.cloud {
            Cloud::Gke => format!(
                "  - {{name: {owner}-{name}, cluster: {name}/{owner}, cloud_logging: {{project: {owner}, cluster: {name}, endpoint: \"{}\"}}}}\n",
                self.world.cloud_logging.endpoint()
            ),
            _ => format!(
                "  - {{name: {owner}-{name}, cluster: {name}/{owner}, azure_monitor: {{workspace_id: {}, cluster: \"{}\", {}}}}}\n",
                envelope::WORKSPACE,
                resource(owner, name),
                self.table()
            ),
        }
    }

    /// Puts lines into the log of a cluster.
    fn ingest(&self, (owner, name): &Cluster, lines: &[Line]) {
        for line in lines {
            if self.cloud == Cloud::Gke {
                let mut entry = envelope::entry(line);
                entry["logName"] = json!(format!("projects/{owner}/logs/cloudaudit.googleapis.com%2Fdata_access"));
                entry["resource"]["labels"]["project_id"] = json!(owner);
                entry["resource"]["labels"]["cluster_name"] = json!(name);
                // What two clusters of a project write at once has two ids.
                entry["insertId"] = json!(format!("{name}-{}", entry["insertId"].as_str().expect("an id")));
                self.world.cloud_logging.ingest(&entry.to_string());
                continue;
            }
            let mut row = envelope::row(self.cloud, line);
            let id = resource(owner, name);
            let id = if self.cloud == Cloud::AksDiagnostics { id.to_uppercase() } else { id };
            row["_ResourceId"] = json!(id);
            if self.cloud == Cloud::AksDiagnostics {
                row["ResourceId"] = json!(id);
            }
            let table = envelope::table(self.cloud);
            self.world.log_analytics.ingest(envelope::WORKSPACE, table, row).expect("a row");
        }
    }

    /// Lets a cluster write an event that no rule counts in each hour of [from, until).
    fn live(&self, cluster: &Cluster, from: i64, until: i64) {
        for hour in (from..until).step_by(3_600) {
            let username = "system:kube-scheduler".to_owned();
            let asked = Asked { username, ..Asked::new(hour + 30 * MINUTE, "10.1.1.1", 200, hour / HOUR) };
            self.ingest(cluster, &[asked.line()]);
        }
    }

    /// Lets a cluster write what is no audit event of the kind that shows scans in each hour of [from, until).
    fn write_other_logs(&self, (owner, name): &Cluster, from: i64, until: i64) {
        for hour in (from..until).step_by(3_600) {
            let line = Asked::new(hour + 31 * MINUTE, "10.1.1.1", 200, hour / HOUR).line();
            if self.cloud == Cloud::Gke {
                let mut entry = envelope::entry(&line);
                entry["logName"] = json!(format!("projects/{owner}/logs/cloudaudit.googleapis.com%2Factivity"));
                entry["resource"]["labels"]["project_id"] = json!(owner);
                entry["resource"]["labels"]["cluster_name"] = json!(name);
                self.world.cloud_logging.ingest(&entry.to_string());
                continue;
            }
            let id = resource(owner, name);
            let (table, id) = match self.cloud {
                Cloud::AksDiagnostics => ("AzureDiagnostics", id.to_uppercase()),
                _ => ("AKSControlPlane", id),
            };
            let row =
                json!({"TimeGenerated": utc(hour + 31 * MINUTE), "Category": "kube-scheduler", "_ResourceId": id});
            self.world.log_analytics.ingest(envelope::WORKSPACE, table, row).expect("a row");
        }
    }

    /// Returns how many requests the cloud saw so far.
    fn requests(&self) -> usize {
        self.world.server(self.cloud).requests().len()
    }

    /// Returns what `sources` says of the clusters: name and status.
    fn clusters(&self) -> BTreeMap<String, String> {
        let ran = self.world.run(&["sources", "-o", "json"]);
        ran.assert_code(0);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let lines = ran.stdout.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line"));
        let seen = lines.filter(|line: &Value| line["seen_in"] == "fleet");
        seen.map(|line: Value| (text(&line["cluster"]), text(&line["status"]))).collect()
    }
}

fn resource(group: &str, name: &str) -> String {
    format!(
        "/subscriptions/11112222-3333-4444-5555-666677778888/resourcegroups/{group}/providers/microsoft.containerservice/managedclusters/{name}"
    )
}

/// Returns 20 clusters, each with the source of its attack. Each name comes with every owner.
fn fleet() -> Vec<(Cluster, String)> {
    (0..CLUSTERS).map(|n| ((OWNERS[n % 4], format!("c{}", n / 4)), format!("8.8.{n}.8"))).collect()
}

fn named((owner, name): &Cluster) -> String {
    format!("{name}/{owner}")
}

fn text(pair: (&str, &str)) -> (String, String) {
    (pair.0.to_owned(), pair.1.to_owned())
}

#[test]
#[expect(clippy::print_stdout, reason = "people read the figures")]
fn one_log_of_twenty_clusters_finds_each_attack_in_its_cluster_with_few_requests() {
    each(&SHARED, |&cloud| {
        let clusters = fleet();
        let one_by_one = Shared::one_by_one(cloud, &clusters.iter().map(|(it, _)| it.clone()).collect::<Vec<_>>());
        let shared = Shared::new(cloud, "");
        let mut hourly = Vec::new();
        for world in [&one_by_one, &shared] {
            for (cluster, source) in &clusters {
                world.live(cluster, TICK - 4 * HOUR, TICK + 4 * HOUR);
                world.ingest(cluster, &refused(source, TICK - 40 * MINUTE, 12, 10));
            }
            world.world.once_done(TICK);
            let expected: BTreeMap<String, BTreeSet<String>> =
                clusters.iter().map(|(cluster, source)| (source.clone(), BTreeSet::from([named(cluster)]))).collect();
            assert_eq!(world.world.found(), expected, "{cloud:?}");
            let before = world.requests();
            world.world.once_done(TICK + HOUR);
            hourly.push(world.requests() - before);
        }
        println!("{cloud:?}: {} requests an hour for 20 clusters one by one, {} for all at once", hourly[0], hourly[1]);
        assert!(hourly[0] >= 40 && hourly[1] <= 5, "{cloud:?}: {hourly:?}");
    });
}

#[test]
fn a_cluster_that_is_added_is_there_and_one_that_is_removed_is_missed_once() {
    each(&SHARED, |&cloud| {
        let shared = Shared::new(cloud, "");
        let six_hours = "schedule: {cron: \"0 */6 * * *\", earliest: -370m, latest: -10m}\nrules:";
        shared.world.reconfigure("rules:", six_hours);
        let (stays, goes) = (("acme-one", "stays".to_owned()), ("acme-two", "goes".to_owned()));
        let added = ("acme-two", "added".to_owned());
        shared.live(&stays, TICK - 6 * HOUR, TICK + 42 * HOUR);
        shared.live(&goes, TICK - 6 * HOUR, TICK);
        shared.world.once_done(TICK);
        shared.live(&added, TICK, TICK + 42 * HOUR);
        shared.ingest(&added, &refused("9.9.9.9", TICK + 40 * MINUTE, 12, 10));
        shared.world.once_done(TICK + 6 * HOUR);
        assert_eq!(shared.world.found()["9.9.9.9"], BTreeSet::from([named(&added)]));
        assert_eq!(shared.world.notices(), [], "a new cluster is simply there");
        for hours in [12, 18, 24, 30, 36] {
            shared.world.once_done(TICK + hours * HOUR);
        }
        assert_eq!(shared.world.notices(), [text(("vanished", &named(&goes)))], "{cloud:?}");
        let expected = [(&added, "read"), (&goes, "idle"), (&stays, "read")];
        let expected = expected.map(|(cluster, status)| (named(cluster), status.to_owned()));
        assert_eq!(shared.clusters(), BTreeMap::from(expected));
    });
}

#[test]
fn equal_requests_of_two_clusters_of_one_name_are_two() {
    each(&SHARED, |&cloud| {
        let shared = Shared::new(cloud, ", cluster: '{cluster}'");
        // The same audit ids at the same times, in two clusters that would have one name.
        let lines = refused("8.8.8.8", TICK - 40 * MINUTE, 12, 10);
        for owner in &OWNERS[..2] {
            shared.ingest(&(owner, "prod".to_owned()), &lines);
        }
        shared.world.once_done(TICK);
        let clusters = &shared.world.found()["8.8.8.8"];
        let names: Vec<&String> = clusters.iter().collect();
        assert!(matches!(names[..], [one, other] if one == "prod" && other.starts_with("prod~")), "{names:?}");
        let counts: BTreeSet<i64> = shared.world.requests_counted("8.8.8.8");
        assert!(counts.contains(&24), "{cloud:?}: {counts:?}");
    });
}

#[test]
fn an_audit_log_that_is_switched_off_is_told_with_the_command() {
    each(&SHARED, |&cloud| {
        let shared = Shared::new(cloud, "");
        let (stays, off) = (("acme-one", "stays".to_owned()), ("acme-two", "off".to_owned()));
        shared.live(&stays, TICK - 4 * HOUR, TICK + 9 * HOUR);
        shared.live(&off, TICK - 4 * HOUR, TICK);
        shared.write_other_logs(&off, TICK - 4 * HOUR, TICK + 6 * HOUR);
        for hours in 0..6 {
            shared.world.once_done(TICK + hours * HOUR);
        }
        assert_eq!(shared.world.notices(), [text(("audit_off", &named(&off)))], "{cloud:?}");
        let told = shared.world.sns.messages().iter().map(|it| it.message.clone()).collect::<String>();
        let command = match cloud {
            Cloud::Gke => "gcloud projects get-iam-policy acme-two",
            _ => "az monitor diagnostic-settings create --name stakeout --resource /subscriptions/11112222",
        };
        assert!(told.contains(command), "{cloud:?}: {told}");
        shared.live(&off, TICK + 6 * HOUR, TICK + 9 * HOUR);
        shared.world.once_done(TICK + 7 * HOUR);
        assert_eq!(shared.world.notices().last(), Some(&text(("returned", &named(&off)))));
    });
}

#[test]
fn clusters_are_chosen_named_routed_and_not_read_twice() {
    each(&[Cloud::Gke, Cloud::Aks], |&cloud| {
        let owner = if cloud == Cloud::Gke { "{project}" } else { "{resource_group}" };
        let shared = Shared::new(cloud, &format!(", exclude: ['test-*'], cluster: '{owner}.{{cluster}}'"));
        let by_name = ("acme-four", "by-name".to_owned());
        let source = format!("sources:\n{}notify:\n", shared.source(&by_name));
        let payments = "  - {name: payments, send: findings, clusters: ['acme-two.*'], stdout: {}}\n";
        shared.world.reconfigure("notify:\n", &(source + payments));
        let (prod, shop) = (("acme-one", "prod".to_owned()), ("acme-two", "prod".to_owned()));
        let test = ("acme-two", "test-1".to_owned());
        for (n, cluster) in [&prod, &shop, &test, &by_name].into_iter().enumerate() {
            shared.ingest(cluster, &refused(&format!("8.8.{n}.8"), TICK - 40 * MINUTE, 12, 10));
        }
        let ran = shared.world.once_done(TICK);
        let expected = [("8.8.0.8", "acme-one.prod"), ("8.8.1.8", "acme-two.prod"), ("8.8.3.8", "by-name/acme-four")];
        let expected = expected.map(|(source, cluster)| (source.to_owned(), BTreeSet::from([cluster.to_owned()])));
        assert_eq!(shared.world.found(), BTreeMap::from(expected), "{cloud:?}");
        assert!(ran.stdout.contains("8.8.1.8") && !ran.stdout.contains("8.8.0.8"), "{}", ran.stdout);
        assert!(!ran.stdout.contains("8.8.3.8"), "{}", ran.stdout);
        let route = |cluster: &str| shared.world.run(&["notify", "route", "--cluster", cluster]);
        let known = route("acme-two.prod");
        known.assert_code(0);
        assert!(!known.stderr.contains("acme-two.*"), "{}", known.stderr);
        route("acme-two.prd").assert_code(2);
        shared.world.reconfigure("'acme-two.*'", "'acme-tow.*'");
        let ran = route("acme-two.prod");
        assert!(ran.stderr.contains("no cluster was found that fits `acme-tow.*`"), "{}", ran.stderr);
    });
}

#[test]
fn a_project_that_refuses_is_named_by_the_doctor() {
    let shared = Shared::new(Cloud::Gke, "");
    let (one, two) = (("acme-one", "prod".to_owned()), ("acme-two", "prod".to_owned()));
    for cluster in [&one, &two] {
        shared.live(cluster, TICK - 4 * HOUR, TICK);
    }
    shared.write_other_logs(&("acme-two", "blind".to_owned()), TICK - 4 * HOUR, TICK);
    let (code, checks) = shared.world.doctor(TICK);
    let of = |subject: &str| -> Vec<&[String; 4]> { checks[0].iter().filter(|check| check[0] == subject).collect() };
    assert_eq!((code, of("clusters")[0][2].as_str()), (Some(1), "2 clusters: prod, prod"), "{checks:#?}");
    let blind = "projects/acme-two/locations/europe-west1/clusters/blind logs no reads, so its scans do not show";
    assert_eq!(of("scans")[0][1..3], ["bad".to_owned(), blind.to_owned()]);

    shared.world.cloud_logging.deny("projects/acme-three");
    let (code, checks) = shared.world.doctor(TICK);
    assert_eq!(code, Some(1));
    let named: Vec<&[String; 4]> = checks[0].iter().filter(|check| check[2].starts_with("projects/")).collect();
    assert!(matches!(named[..], [check] if check[2].starts_with("projects/acme-three: ")), "{checks:#?}");
    assert!(named[0][3].contains("gcloud projects add-iam-policy-binding acme-three"), "{named:?}");
}

#[test]
fn a_log_view_holds_the_clusters_of_its_projects() {
    let shared = Shared::new(Cloud::Gke, "");
    let view = "folders/1/locations/global/buckets/fleet/views/_AllLogs";
    shared.world.cloud_logging.create_view(view, &["acme-one", "acme-two"]);
    shared.world.reconfigure(&format!("projects: [{}]", OWNERS.join(", ")), &format!("views: [{view}]"));
    for (n, owner) in OWNERS.iter().enumerate() {
        shared.ingest(&(owner, "prod".to_owned()), &refused(&format!("8.8.{n}.8"), TICK - 40 * MINUTE, 12, 10));
    }
    shared.world.once_done(TICK);
    let found: Vec<(String, BTreeSet<String>)> = shared.world.found().into_iter().collect();
    let expected = [("8.8.0.8", "prod/acme-one"), ("8.8.1.8", "prod/acme-two")];
    assert_eq!(found, expected.map(|(source, name)| (source.to_owned(), BTreeSet::from([name.to_owned()]))));
}
