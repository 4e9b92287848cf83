//! Several replicas on one database are killed, paused and lose their database, and what is found and reported is that of one
//! process.
//!
//! `STAKEOUT_TEST_REPLICAS` says how many kills, pauses and restarts of the database there are, and how many logs (`3,2,1,12` by
//! default; `200,60,20,60` is the long form), `STAKEOUT_TEST_SEED` which ones. The logs have more hours to catch up with the more
//! there is of that, so the replicas are at work all the time.

use std::collections::BTreeMap;
use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;

use super::audit::{HOUR, MINUTE, refused};
use super::world::{World, terminate};
use crate::support::dice::Dice;
use crate::support::postgres::Postgres;

const REPLICAS: usize = 4;
/// Hours to catch up with, for each thing that happens to the replicas, and at least.
const HOURS_FOR_EACH: i64 = 4;
const HOURS_MIN: i64 = 12;
/// How long anything may take; a replica takes over after two seconds.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long a busy machine may take for each window of a log, in milliseconds, when all is left alone.
const WINDOW_MS: u64 = 300;
const LEASE: &str = "2s";

/// What happens to the replicas.
#[derive(Clone, Copy, Debug)]
enum Blow {
    /// One is killed, and another one started.
    Kill,
    /// One stands still until others have its logs, and goes on then.
    Pause,
    /// The database crashes, and is started again.
    Restart,
}

/// What must be the same for one process and for several, by rule, source and first second.
type Found = BTreeMap<(String, String, String), Value>;

/// The replicas, in a world whose state is in a database.
struct Replicas<'w> {
    world: &'w World,
    running: Vec<Child>,
    /// How many were started; each has a file with what it says.
    started: usize,
}

impl Replicas<'_> {
    fn start(&mut self) {
        let said = File::create(self.world.path(&format!("replica-{}.log", self.started))).expect("a file");
        self.started += 1;
        let mut command = self.world.command(&["run"]);
        self.running.push(command.stdout(Stdio::null()).stderr(said).spawn().expect("the binary runs"));
    }

    /// Returns how often a replica found that another one had taken over.
    fn fenced(&self) -> usize {
        let said = (0..self.started)
            .map(|number| std::fs::read_to_string(self.world.path(&format!("replica-{number}.log"))).expect("a file"));
        said.map(|said| said.matches("another replica has taken").count()).sum()
    }
}

impl Drop for Replicas<'_> {
    fn drop(&mut self) {
        for child in &mut self.running {
            // It may have ended, which is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().expect("kill runs");
    assert!(status.success(), "{name}: the replica is gone");
}

#[expect(clippy::disallowed_methods, reason = "the deadline bounds the test itself, and asking is a process")]
fn wait_at_most(patience: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < patience, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn wait_until(what: &str, is_so: impl FnMut() -> bool) {
    wait_at_most(PATIENCE, what, is_so);
}

#[expect(clippy::disallowed_methods, reason = "how long they work undisturbed is a matter of chance")]
fn let_them_work(dice: &mut Dice) {
    std::thread::sleep(Duration::from_millis(dice.below(1_500)));
}

/// Returns how many replicas the database has heard of within a span.
fn alive(server: &Postgres, span: &str) -> usize {
    let count = server.sql(&format!("SELECT count(*) FROM stakeout.replica WHERE seen > now() - interval '{span}'"));
    count.trim().parse().expect("a number")
}

/// Fills the logs: somebody who asks all clusters again and again, and one for each cluster.
fn fill(world: &World, logs: usize, begin: i64, hours: i64) {
    for hour in (0..hours).step_by(3) {
        let at = begin + hour * HOUR;
        for log in 0..logs {
            let offset = i64::try_from(log).expect("few");
            let mut lines = refused("198.51.100.7", at + 5 * MINUTE + offset, 2, 60);
            if hour % 12 == 0 {
                lines.extend(refused(&format!("203.0.113.{log}"), at + 20 * MINUTE, 12, 30));
            }
            world.ingest_cluster(log, &lines);
        }
    }
}

fn objects(world: &World, what: &str) -> Vec<Value> {
    let ran = world.run(&[what, "list", "-o", "json", "--number", "1000"]);
    ran.assert_code(0);
    ran.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn found(world: &World) -> Found {
    let of = |object: Value| {
        let text = |spot: &str| object.pointer(spot).map(Value::to_string).unwrap_or_default();
        let key =
            (text("/finding_info/analytic/name"), text("/unmapped/source_ip"), text("/finding_info/first_seen_time"));
        (key, serde_json::json!([object["count"], object["finding_info"]["last_seen_time"], object["status"]]))
    };
    objects(world, "findings").into_iter().map(of).collect()
}

/// Returns the incidents: who, when, what was found, and in how many findings.
fn incidents(world: &World) -> Vec<String> {
    let of = |object: Value| {
        let incident = &object["unmapped"]["incident"];
        let info = &object["finding_info"];
        format!(
            "{} {} {} {}",
            object["message"], info["first_seen_time"], info["last_seen_time"], incident["findings_total"]
        )
    };
    let mut all: Vec<String> = objects(world, "incidents").into_iter().map(of).collect();
    all.sort();
    all
}

/// Returns what was sent to SNS: how often each message came, by its number.
fn sent(world: &World) -> BTreeMap<String, usize> {
    let mut sent = BTreeMap::new();
    for reported in world.reported() {
        *sent.entry(reported.delivery).or_default() += 1;
    }
    sent
}

/// Returns how far each log is read, and how many messages are pending.
fn progress(world: &World) -> (BTreeMap<String, String>, usize) {
    let state = world.state();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let logs = state["logs"].as_array().expect("logs").iter().map(|log| (text(&log["log"]), text(&log["cursor"])));
    let pending = state["pending"].as_array().expect("a list").iter().map(|one| one["messages"].as_u64().unwrap_or(0));
    (logs.collect(), usize::try_from(pending.sum::<u64>()).expect("few"))
}

/// Returns what happens to the replicas, in an order of chance, and how many logs there are.
fn blows(dice: &mut Dice) -> (Vec<Blow>, usize) {
    let counts = std::env::var("STAKEOUT_TEST_REPLICAS").unwrap_or_else(|_| "3,2,1,12".to_owned());
    let mut counts: Vec<usize> = counts.split(',').map(|n| n.parse().expect("a number")).collect();
    let logs = counts.pop().expect("the number of logs");
    let kinds = [Blow::Kill, Blow::Pause, Blow::Restart];
    let mut blows: Vec<Blow> = kinds.iter().zip(counts).flat_map(|(kind, n)| vec![*kind; n]).collect();
    for index in (1..blows.len()).rev() {
        blows.swap(index, usize::try_from(dice.below(index as u64 + 1)).expect("few"));
    }
    (blows, logs)
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the daemons ask the clock too")]
fn what_replicas_find_and_report_is_that_of_one_process_whatever_happens_to_them() {
    let Some(mut server) = Postgres::start() else { return };
    let mut dice = Dice::of_environment("replicas");
    let (blows, logs) = blows(&mut dice);
    let hours = (HOURS_FOR_EACH * i64::try_from(blows.len()).expect("few")).max(HOURS_MIN);
    // The last tick of the daemons, so that all read the same windows.
    let now = Timestamp::now().as_second().div_euclid(HOUR) * HOUR;
    // All that is found is over and closed when the logs are read.
    let begin = now - (hours + 6) * HOUR;
    let schedule = format!("schedule: {{start: -{}h, max_backfill: 60d, reread: [1h]}}", hours + 8);
    let alone = World::of_clusters(logs, &schedule);
    fill(&alone, logs, begin, hours);
    alone.once_done(now);
    let (expected, expected_incidents) = (found(&alone), incidents(&alone));
    assert!(expected.len() > logs, "{} findings", expected.len());
    let messages = sent(&alone).len();

    let world = World::of_clusters(logs, &schedule);
    fill(&world, logs, begin, hours);
    let url = server.url();
    let postgres = format!("state: {{postgres: {{url: {url:?}, tls: disable, lease: {LEASE}}}}}");
    world.reconfigure("state: {path: state}", &postgres);
    let mut replicas = Replicas { world: &world, running: Vec::new(), started: 0 };
    // The first makes the tables.
    replicas.start();
    wait_until("there is a table", || server.sql("SELECT count(*) FROM pg_tables WHERE tablename = 'lease'") != "0");
    (1..REPLICAS).for_each(|_| replicas.start());
    let mut before = BTreeMap::new();
    for blow in &blows {
        let_them_work(&mut dice);
        let index = usize::try_from(dice.below(REPLICAS as u64)).expect("few");
        match blow {
            Blow::Kill => {
                let mut child = replicas.running.swap_remove(index);
                child.kill().expect("it runs");
                child.wait().expect("it ends");
                replicas.start();
            }
            Blow::Pause => {
                // One that has just started would not be missed.
                wait_until("all replicas are alive", || alive(&server, "2 seconds") == REPLICAS);
                signal(&replicas.running[index], "-STOP");
                // Longer than the lease and a beat of the others.
                wait_until("the others have taken over", || alive(&server, "4 seconds") < REPLICAS);
                signal(&replicas.running[index], "-CONT");
            }
            Blow::Restart => {
                server.crash();
                server.start_again();
            }
        }
        let (after, _) = progress(&world);
        let is_back = |(log, cursor): (&String, &String)| before.get(log).is_some_and(|earlier| cursor < earlier);
        assert!(!after.iter().any(is_back), "a log went back after {blow:?}: {before:?}, {after:?}");
        before = after;
    }
    let (end, _) = progress(&alone);
    let windows = u64::try_from(hours).expect("few") * logs as u64;
    wait_at_most(PATIENCE + Duration::from_millis(windows * WINDOW_MS), "all is read and sent", || {
        let (logs, pending) = progress(&world);
        pending == 0 && logs.len() == end.len() && logs.values().min() >= end.values().min()
    });
    for child in replicas.running.drain(..) {
        assert_eq!(terminate(child), Some(0));
    }
    world.once_done(now);

    let differing: Vec<_> = expected.iter().filter(|(key, value)| found(&world).get(*key) != Some(*value)).collect();
    assert!(differing.is_empty(), "{} differ, such as {:?}", differing.len(), differing.first());
    assert_eq!(found(&world).len(), expected.len());
    assert_eq!(incidents(&world), expected_incidents);
    let sent = sent(&world);
    let doubled: usize = sent.values().map(|times| times - 1).sum();
    // A message is in flight for each of two destinations; of a kill or a crash at most one of SNS.
    assert!(doubled <= blows.len(), "{doubled} messages came again after {blows:?}");
    eprintln!(
        "{} findings, {} incidents, {} messages ({messages} of one process), {doubled} again, {} fenced",
        expected.len(),
        expected_incidents.len(),
        sent.len(),
        replicas.fenced()
    );
}
