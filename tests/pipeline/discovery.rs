//! Clusters that the config does not name: they are found, watched, and missed when they are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use jiff::Timestamp;
use serde_json::Value;
use stakeout_fakes::{Proxy, Server, Sts};
use tokio::runtime::Runtime;

use super::audit::{Asked, DAY, HOUR, Line, MINUTE, refused, utc};
use super::ran::Ran;
use super::world::{World, terminate};

const CHAIN: &str = include_str!("../data/tls/server.pem");
const KEY: &str = include_str!("../data/tls/server.key");
const CA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/tls/ca.pem");
const REGIONS: [&str; 2] = ["eu-west-1", "us-east-1"];
const ACCOUNTS: [&str; 3] = ["111111111111", "222222222222", "333333333333"];
/// The account of the credentials that assume no role.
pub(crate) const OWN: &str = "000000000000";
pub(crate) const TICK: i64 = DAY + 24 * HOUR;
const AUDIT_STREAM: &str = "kube-apiserver-audit-0a1b2c3d";
const OTHER_STREAM: &str = "kube-scheduler-0a1b2c3d";
const EVERYWHERE: &str = "{regions: [eu-west-1, us-east-1], accounts: ['111111111111', '222222222222', '333333333333'], \
                          assume_role: {arn: 'arn:aws:iam::{account}:role/stakeout'}}";

/// AWS under its own names, and a config that names no log.
pub(crate) struct Fleet {
    pub(crate) world: World,
    proxy: Proxy,
    sts: Sts,
    _runtime: Runtime,
}

impl Fleet {
    /// Starts with a discovery called `fleet`.
    pub(crate) fn new(cloudwatch: &str) -> Fleet {
        let world = World::of(&[]);
        world.reconfigure(
            "sources:\nnotify:",
            &format!("discover:\n  - {{name: fleet, cloudwatch: {cloudwatch}}}\nnotify:"),
        );
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (proxy, sts) = runtime.block_on(async { (Proxy::start(CHAIN, KEY).await, Sts::start().await) });
        let (proxy, sts) = (proxy.expect("a port"), sts.expect("a port"));
        for region in REGIONS {
            proxy.route(&format!("logs.{region}.amazonaws.com"), &world.logs.endpoint());
            proxy.route(&format!("sts.{region}.amazonaws.com"), &sts.endpoint());
        }
        for account in ACCOUNTS {
            sts.create_role(&format!("arn:aws:iam::{account}:role/stakeout"), None);
        }
        world.logs.clock().set(Timestamp::from_second(DAY - 30 * 24 * HOUR).expect("a time"));
        Fleet { world, proxy, sts, _runtime: runtime }
    }

    fn command(&self, verb: &[&str]) -> Command {
        let mut command = self.world.command(verb);
        command
            .env("AWS_ACCESS_KEY_ID", "AKIDFAKE")
            .env("AWS_SECRET_ACCESS_KEY", "canary-aws")
            .env("HOME", "/nonexistent");
        command.env("HTTPS_PROXY", self.proxy.url("")).env("SSL_CERT_FILE", CA);
        command
    }

    fn run(&self, verb: &[&str]) -> Ran {
        Ran::of(self.command(verb).output())
    }

    fn once(&self, at: i64) -> Ran {
        self.run(&["once", "--at", &utc(at)])
    }

    pub(crate) fn once_done(&self, at: i64) -> Ran {
        let ran = self.once(at);
        ran.assert_code(0);
        ran
    }

    /// Puts lines into the audit log of a cluster.
    fn ingest(&self, place: (&str, &str), cluster: &str, lines: &[Line]) {
        for line in lines {
            self.world.logs.ingest_in(place, &group(cluster), AUDIT_STREAM, line.ms, &line.text);
        }
    }

    /// Lets a cluster write an event that no rule counts in each hour of [from, until).
    pub(crate) fn live(&self, place: (&str, &str), cluster: &str, from: i64, until: i64) {
        for hour in (from..until).step_by(3_600) {
            let username = "system:kube-scheduler".to_owned();
            let asked = Asked { username, ..Asked::new(hour + 30 * MINUTE, "10.1.1.1", 200, hour / HOUR) };
            self.ingest(place, cluster, &[asked.line()]);
        }
    }

    /// Lets the scheduler of a cluster write its log in each hour of [from, until).
    fn schedule(&self, place: (&str, &str), cluster: &str, from: i64, until: i64) {
        for hour in (from..until).step_by(3_600) {
            let ms = (hour + 31 * MINUTE) * 1000;
            self.world.logs.ingest_in(place, &group(cluster), OTHER_STREAM, ms, "I1122 scheduled");
        }
    }

    /// Returns how often each operation of AWS was asked for, but for the first `before` requests.
    fn requests(&self, before: (usize, usize)) -> BTreeMap<String, usize> {
        let of = |server: &Server, before: usize| {
            server.requests().into_iter().skip(before).map(|it| it.target).collect::<Vec<_>>()
        };
        let mut requests = BTreeMap::new();
        for target in of(&self.world.logs, before.0).into_iter().chain(of(&self.sts, before.1)) {
            *requests.entry(target).or_insert(0) += 1;
        }
        requests
    }

    fn requests_so_far(&self) -> (usize, usize) {
        (self.world.logs.requests().len(), self.sts.requests().len())
    }

    /// Returns what `sources` says of the sources: name, status and until when each is read.
    fn sources(&self) -> Vec<(String, String, String)> {
        let ran = self.run(&["sources", "-o", "json"]);
        ran.assert_code(0);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let lines = ran.stdout.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line"));
        let sources = lines.filter(|line: &Value| line["source"].is_string());
        sources.map(|line: Value| (text(&line["source"]), text(&line["status"]), text(&line["read_until"]))).collect()
    }
}

fn group(cluster: &str) -> String {
    format!("/aws/eks/{cluster}/cluster")
}

fn text(pair: (&str, &str)) -> (String, String) {
    (pair.0.to_owned(), pair.1.to_owned())
}

/// Returns 40 clusters: place, name in EKS, and the source of its attack.
fn clusters() -> Vec<((&'static str, &'static str), String, String)> {
    let mut clusters = Vec::new();
    for n in 0..40 {
        let place = (ACCOUNTS[n % 3], REGIONS[n / 3 % 2]);
        // The same names come in each account and region.
        clusters.push((place, format!("c{}", n / 6), format!("8.8.{n}.8")));
    }
    clusters
}

fn named(((account, region), cluster, _): &((&str, &str), String, String)) -> String {
    format!("{cluster}/{account}/{region}")
}

#[test]
#[expect(clippy::print_stdout, reason = "people read the figures")]
fn a_fleet_is_found_and_each_attack_is_found_in_its_cluster() {
    let fleet = Fleet::new(EVERYWHERE);
    let clusters = clusters();
    for (place, cluster, source) in &clusters {
        fleet.live(*place, cluster, TICK - 4 * HOUR, TICK + 48 * HOUR);
        fleet.ingest(*place, cluster, &refused(source, TICK - 40 * MINUTE, 12, 10));
        // Another log group is no cluster.
        fleet.world.logs.create_group_in(place.0, place.1, &format!("/aws/eks/{cluster}/workloads"));
    }
    fleet.once_done(TICK);
    let expected: BTreeMap<String, BTreeSet<String>> =
        clusters.iter().map(|cluster| (cluster.2.clone(), BTreeSet::from([named(cluster)]))).collect();
    assert_eq!(fleet.world.found(), expected);

    let before = fleet.requests_so_far();
    fleet.once_done(TICK + HOUR);
    let hourly = fleet.requests(before);
    println!("40 clusters in 3 accounts and 2 regions: {hourly:?} in an hour");
    assert_eq!(hourly["DescribeLogGroups"], 6, "each account and region is asked once");
    assert_eq!(hourly["AssumeRole"], 6, "all logs of an account and region share a session");
    assert_eq!(hourly.get("DescribeLogStreams"), None, "nothing is asked of logs that are written");

    // One is added, and one is removed, while others go on.
    let added = ((ACCOUNTS[1], REGIONS[1]), "added".to_owned(), "9.9.9.9".to_owned());
    fleet.live(added.0, &added.1, TICK + HOUR, TICK + 48 * HOUR);
    fleet.ingest(added.0, &added.1, &refused(&added.2, TICK + 2 * HOUR - 40 * MINUTE, 12, 10));
    let removed = &clusters[7];
    fleet.world.logs.delete_group_in(removed.0.0, removed.0.1, &group(&removed.1));
    fleet.once_done(TICK + 2 * HOUR);
    assert_eq!(fleet.world.found()[&added.2], BTreeSet::from([named(&added)]));
    assert_eq!(fleet.world.notices(), [text(("vanished", &named(removed)))]);
    let sources = fleet.sources();
    let status = |name: &str| {
        let name = format!("fleet/{name}");
        sources.iter().find(|(source, ..)| *source == name).map(|(_, status, _)| status.as_str())
    };
    assert_eq!((status(&named(&added)), status(&named(removed)), sources.len()), (Some("read"), Some("gone"), 41));
    fleet.once_done(TICK + 3 * HOUR);
    assert_eq!(fleet.world.notices().len(), 1);
}

#[test]
fn a_cluster_that_is_gone_is_missed_once_and_its_log_is_never_a_gap() {
    let fleet = Fleet::new("{regions: [eu-west-1]}");
    let place = (OWN, REGIONS[0]);
    for cluster in ["stays", "goes"] {
        fleet.live(place, cluster, TICK - 4 * HOUR, TICK + 48 * HOUR);
    }
    fleet.once_done(TICK);
    fleet.world.logs.delete_group_in(place.0, place.1, &group("goes"));
    // Rereads of it are due after an hour and after a day.
    for hours in [1, 2, 3, 26, 27, 28] {
        fleet.once_done(TICK + hours * HOUR);
    }
    assert_eq!(fleet.world.notices(), [text(("vanished", "goes"))]);
    let expected =
        [("fleet/goes", "gone", TICK - 10 * MINUTE), ("fleet/stays", "read", TICK + 28 * HOUR - 10 * MINUTE)];
    assert_eq!(fleet.sources(), expected.map(|(name, status, at)| (name.to_owned(), status.to_owned(), utc(at))));
    let before = fleet.requests_so_far();
    fleet.once_done(TICK + 29 * HOUR);
    let asked: Vec<String> =
        fleet.world.logs.requests().into_iter().skip(before.0).map(|request| request.body).collect();
    assert!(!asked.is_empty() && !asked.iter().any(|body| body.contains("/goes/")), "{asked:#?}");

    // A cluster of the same name is a new one: it is read from where the other was left.
    fleet.live(place, "goes", TICK + 29 * HOUR, TICK + 48 * HOUR);
    fleet.ingest(place, "goes", &refused("8.8.8.8", TICK + 29 * HOUR + 10 * MINUTE, 12, 10));
    fleet.once_done(TICK + 31 * HOUR);
    assert_eq!(fleet.world.found()["8.8.8.8"], BTreeSet::from(["goes".to_owned()]));
    assert_eq!(fleet.world.notices().last(), Some(&text(("returned", "goes"))));
}

#[test]
fn a_list_that_cannot_be_read_stops_no_known_log_not_even_after_a_restart() {
    let fleet = Fleet::new("{regions: [eu-west-1]}");
    let place = (OWN, REGIONS[0]);
    fleet.live(place, "prod", TICK - 4 * HOUR, TICK + 8 * HOUR);
    fleet.once_done(TICK);
    fleet.world.logs.deny("DescribeLogGroups", true);
    fleet.ingest(place, "prod", &refused("8.8.8.8", TICK + 20 * MINUTE, 12, 10));
    let ran = fleet.once(TICK + HOUR);
    ran.assert_code(1);
    assert!(ran.stderr.contains("cannot list all logs"), "{}", ran.stderr);
    assert_eq!(fleet.world.found()["8.8.8.8"], BTreeSet::from(["prod".to_owned()]));
    fleet.once(TICK + 2 * HOUR).assert_code(1);
    let failed = text(("discovery_failed", "eu-west-1"));
    assert_eq!(fleet.world.notices(), std::slice::from_ref(&failed));
    let sources = fleet.sources();
    assert_eq!(sources, [("fleet/prod".to_owned(), "read".to_owned(), utc(TICK + 110 * MINUTE))]);
    fleet.world.logs.deny("DescribeLogGroups", false);
    fleet.once_done(TICK + 3 * HOUR);
    assert_eq!(fleet.world.notices(), [failed, text(("discovery_recovered", "eu-west-1"))]);
}

#[test]
fn an_audit_log_that_is_switched_off_is_reported_with_the_command_and_so_is_its_return() {
    let fleet = Fleet::new("{regions: [eu-west-1]}");
    let place = (OWN, REGIONS[0]);
    // Of a cluster that wrote weeks ago, and of one whose audit log was never on.
    fleet.live(place, "old", TICK - 20 * 24 * HOUR, TICK - 20 * 24 * HOUR + HOUR);
    fleet.live(place, "prod", TICK - 4 * HOUR, TICK);
    let others = |from, until| ["never", "prod"].iter().for_each(|cluster| fleet.schedule(place, cluster, from, until));
    others(TICK - 4 * HOUR, TICK);
    fleet.once_done(TICK);
    let never = text(("audit_off", "never"));
    assert_eq!(fleet.world.notices(), std::slice::from_ref(&never));
    for hours in 1..6 {
        others(TICK + (hours - 1) * HOUR, TICK + hours * HOUR);
        fleet.once_done(TICK + hours * HOUR);
    }
    let off = text(("audit_off", "prod"));
    let reported: Vec<_> = fleet.world.notices().into_iter().filter(|(kind, _)| kind != "silent").collect();
    assert_eq!(reported, [never.clone(), off.clone()]);
    let object = &fleet
        .world
        .objects(2004)
        .into_iter()
        .rfind(|object| object["unmapped"]["kind"] == "audit_off")
        .expect("reported");
    let command = object["unmapped"]["command"].as_str().expect("a command");
    assert!(
        command.starts_with("aws eks update-cluster-config --region eu-west-1 --name prod --logging "),
        "{command}"
    );

    // While it is off, nothing of it is read or missed. When it is on again, all that was written is read.
    let lines = refused("8.8.8.8", TICK + 6 * HOUR + 10 * MINUTE, 12, 10);
    others(TICK + 5 * HOUR, TICK + 12 * HOUR);
    fleet.live(place, "prod", TICK + 6 * HOUR, TICK + 12 * HOUR);
    fleet.ingest(place, "prod", &lines);
    fleet.once_done(TICK + 12 * HOUR);
    assert_eq!(fleet.world.found()["8.8.8.8"], BTreeSet::from(["prod".to_owned()]));
    let reported: Vec<_> = fleet.world.notices().into_iter().filter(|(kind, _)| !kind.starts_with("silen")).collect();
    assert_eq!(reported, [never, off, text(("returned", "prod"))]);
    let statuses: Vec<_> = fleet.sources().into_iter().map(|(source, status, _)| (source, status)).collect();
    let expected = [("fleet/never", "audit off"), ("fleet/old", "idle"), ("fleet/prod", "read")];
    assert_eq!(statuses, expected.map(text));
}

#[test]
fn a_monitoring_account_sees_the_logs_that_it_is_linked_with() {
    let fleet = Fleet::new("{regions: [eu-west-1], linked_accounts: true, exclude: [test-*]}");
    fleet.world.logs.link_account(OWN, ACCOUNTS[0]);
    for (account, cluster, source) in [
        (OWN, "hub", "8.8.1.8"),
        (ACCOUNTS[0], "prod", "8.8.2.8"),
        (ACCOUNTS[0], "test-1", "8.8.3.8"),
        (ACCOUNTS[1], "prod", "8.8.4.8"),
    ] {
        fleet.ingest((account, REGIONS[0]), cluster, &refused(source, TICK - 40 * MINUTE, 12, 10));
    }
    fleet.once_done(TICK);
    let clusters = [("8.8.1.8", "hub/own"), ("8.8.2.8", "prod/111111111111")];
    assert_eq!(
        fleet.world.found(),
        clusters.map(|(source, name)| (source.to_owned(), BTreeSet::from([name.to_owned()]))).into()
    );
}

#[test]
fn a_log_that_the_config_names_is_read_once_and_goes_on_when_it_is_found_instead() {
    let fleet = Fleet::new("{regions: [eu-west-1]}");
    let place = (OWN, REGIONS[0]);
    fleet.live(place, "prod", TICK - 4 * HOUR, TICK + 8 * HOUR);
    // By its ARN: its id has the account, which a discovery learns from the answer alone.
    let source = format!(
        "  - {{name: prod, cloudwatch: {{log_group: 'arn:aws:logs:eu-west-1:{OWN}:log-group:{}'}}}}\n",
        group("prod")
    );
    fleet.world.reconfigure("discover:\n", &format!("sources:\n{source}discover:\n"));
    fleet.once_done(TICK);
    fleet.once_done(TICK + HOUR);
    let read = fleet.world.logs.requests().into_iter().filter(|request| request.target == "FilterLogEvents");
    assert!(
        read.map(|request| request.body).all(|body| body.contains("logGroupIdentifier")),
        "it is read as named, once"
    );
    assert_eq!(fleet.sources(), [("prod".to_owned(), "read".to_owned(), utc(TICK + 50 * MINUTE))]);

    fleet.world.reconfigure(&format!("sources:\n{source}"), "");
    fleet.ingest(place, "prod", &refused("8.8.8.8", TICK + 80 * MINUTE, 12, 10));
    let before = fleet.requests_so_far();
    fleet.once_done(TICK + 4 * HOUR);
    assert_eq!(fleet.world.found()["8.8.8.8"], BTreeSet::from(["prod".to_owned()]), "it goes on where it was left");
    let bodies = fleet.world.logs.requests().into_iter().skip(before.0).map(|request| request.body);
    let bodies: Vec<Value> = bodies.map(|body| serde_json::from_str(&body).expect("JSON")).collect();
    let begins = bodies.iter().filter_map(|body| body["startTime"].as_i64()).min();
    assert_eq!(begins, Some((TICK - 10 * MINUTE) * 1000), "it rereads what was read, and reads the rest");
    assert!(bodies.iter().all(|body| body["logGroupName"].is_null()), "its id is that of its ARN");
    assert_eq!(fleet.world.notices(), []);
}

#[test]
fn a_discovery_that_finds_nothing_is_not_well() {
    let fleet = Fleet::new("{regions: [eu-west-1], include: [prd-*]}");
    fleet.live((OWN, REGIONS[0]), "prod", TICK - 4 * HOUR, TICK + HOUR);
    let ran = fleet.once(TICK);
    ran.assert_code(1);
    assert!(ran.stderr.contains("finds no cluster: compare its regions, `include` and `exclude`"), "{}", ran.stderr);
}

#[test]
fn what_several_lists_lack_is_one_notice_in_one_line() {
    let fleet = Fleet::new("{regions: [eu-west-1, us-east-1]}");
    let mut command = fleet.world.command(&["once", "--at", &utc(TICK)]);
    // Nothing is listening there, and no other way leads to credentials.
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", "/nonexistent");
    let ran = Ran::of(command.output());
    ran.assert_code(1);
    let failed = vec![text(("discovery_failed", "eu-west-1 and 1 other place"))];
    assert_eq!(fleet.world.notices(), failed, "{}", ran.stderr);
    let told = fleet.world.sns.messages()[0].message.clone();
    assert!(told.contains("no credentials") && !told.contains("u{a}"), "{told}");
    let listed = fleet.run(&["sources", "-o", "json"]);
    let lines: Vec<Value> = listed.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines.iter().all(|line| line["status"] == "failing" && line["listed_at"].is_null()), "{lines:#?}");
}

#[test]
fn the_doctor_lists_what_is_found_and_names_the_missing_permission() {
    let fleet = Fleet::new("{regions: [eu-west-1]}");
    for cluster in ["blue", "green"] {
        fleet.live((OWN, REGIONS[0]), cluster, TICK - 4 * HOUR, TICK);
    }
    let doctor = || {
        let (code, checks) = World::doctor_with(&mut fleet.command(&["doctor", "-o", "json", "--at", &utc(TICK)]));
        let subjects = ["clusters", "permission"];
        let of_list = checks.concat().into_iter().filter(|[subject, ..]| subjects.contains(&subject.as_str()));
        (code, of_list.collect::<Vec<_>>())
    };
    let (code, checks) = doctor();
    assert_eq!((code, checks[0][2].as_str(), checks[1][1].as_str()), (Some(0), "2 clusters: blue, green", "good"));
    fleet.world.logs.deny("FilterLogEvents", true);
    let (code, checks) = doctor();
    assert_eq!((code, checks[1][1].as_str(), checks[2][1].as_str()), (Some(1), "good", "bad"));
    assert!(checks[2][2].starts_with("blue: ") && checks[2][2].contains("logs:FilterLogEvents"), "{checks:?}");
    fleet.world.logs.deny("FilterLogEvents", false);
    fleet.world.logs.deny("DescribeLogStreams", true);
    let (code, checks) = doctor();
    assert_eq!((code, checks[1][1].as_str()), (Some(1), "bad"));
    assert!(checks[1][2].contains("logs:DescribeLogStreams"), "{checks:?}");
    fleet.world.logs.deny("DescribeLogGroups", true);
    let (code, checks) = doctor();
    assert_eq!((code, checks[0][1].as_str()), (Some(1), "bad"));
    assert!(checks[0][3].contains("aws logs describe-log-groups --region eu-west-1"), "{checks:?}");
}

#[test]
fn a_daemon_adopts_what_it_finds_and_says_what_reading_takes() {
    let fleet = Fleet::new("{regions: [eu-west-1]}");
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    fleet.world.reconfigure("admin: {listen: \"off\"}", &format!("admin: {{listen: \"127.0.0.1:{port}\"}}"));
    #[expect(clippy::disallowed_methods, reason = "the daemon reads the clock, so its log must be of now")]
    let now = Timestamp::now().as_second();
    // The log reaches over the windows of this tick and of the next, should it come during the test.
    let attack = |cluster: &str, source: &str| {
        let from = (now - now.rem_euclid(HOUR)) - 65 * MINUTE;
        fleet.ingest((OWN, REGIONS[0]), cluster, &refused(source, from, 180, 60));
    };
    attack("first", "8.8.1.8");
    let daemon = World::begin(fleet.command(&["run"]), std::process::Stdio::null());
    fleet.world.wait_until("the first cluster is found", || fleet.world.found().contains_key("8.8.1.8"));
    attack("second", "8.8.2.8");
    let hung_up = Command::new("kill").args(["-HUP", &daemon.id().to_string()]).status();
    assert!(hung_up.is_ok_and(|status| status.success()));
    fleet.world.wait_until("the second cluster is found", || fleet.world.found().contains_key("8.8.2.8"));
    assert_eq!(fleet.world.found()["8.8.2.8"], BTreeSet::from(["second".to_owned()]));
    let ran = fleet.run(&["sources", "-o", "json"]);
    let lines: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let names: Vec<&str> = lines.iter().filter_map(|line| line["source"].as_str()).collect();
    assert_eq!(names, ["fleet/first", "fleet/second"], "{}", ran.stderr);
    assert_eq!((lines[0]["found_by"].as_str(), lines[2]["discovery"].as_str()), (Some("fleet"), Some("fleet")));
    assert_eq!(lines[2]["status"], "listed");
    assert!(lines.iter().take(2).all(|line| line["last_window"]["requests"].as_u64() > Some(0)), "{lines:#?}");
    let text = fleet.run(&["sources"]).stdout;
    assert!(text.starts_with("SOURCE ") && text.contains("\nfleet/first ") && text.contains("\nDISCOVERY "), "{text}");
    assert_eq!(terminate(daemon), Some(0));
}
