//! One world for one test: fakes, a folder with a config and a state, and the real binary.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use stakeout_fakes::cloudwatch_logs::LogGroupClass;
use stakeout_fakes::log_analytics::TablePlan;
use stakeout_fakes::pagerduty::{PagerDuty, ROUTING_KEY};
use stakeout_fakes::slack_api::{BOT_TOKEN, CHANNEL};
use stakeout_fakes::{
    Alertmanager, CloudLogging, CloudWatchLogs, LogAnalytics, Server, Slack, SlackApi, Sns, Teams, Webhook,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::audit::{Line, utc};
use super::counter::Episode;
use super::envelope;
use super::ocsf::Reported;
use super::ran::Ran;
use crate::support::seeds::seed_rules;

/// The cluster, and the log group that EKS would give it.
pub(crate) const CLUSTER: &str = "dev";
pub(crate) const GROUP: &str = "/aws/eks/dev/cluster";
const OTHER_GROUP: &str = "/aws/eks/prod/cluster";
const STREAM: &str = "kube-apiserver-audit-0a1b2c3d";

/// Where a test's cluster keeps its audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cloud {
    /// CloudWatch Logs; the cluster is `dev`.
    Eks,
    /// Cloud Logging.
    Gke,
    /// Log Analytics, a table of its own.
    Aks,
    /// Log Analytics, the older table of everything.
    AksDiagnostics,
    /// Log Analytics, a table of the Basic plan.
    AksBasic,
}

impl Cloud {
    /// The clouds that are not in the way of each other.
    pub(crate) const THREE: [Cloud; 3] = [Cloud::Eks, Cloud::Gke, Cloud::Aks];

    /// Returns the cluster that keeps its log there.
    pub(crate) fn cluster(self) -> &'static str {
        match self {
            Cloud::Eks => CLUSTER,
            Cloud::Gke => envelope::GKE_CLUSTER,
            Cloud::Aks | Cloud::AksDiagnostics | Cloud::AksBasic => envelope::AKS_CLUSTER,
        }
    }
}

/// How long a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fakes of CloudWatch Logs, Slack and SNS, and a config that names them.
pub(crate) struct World {
    pub(crate) logs: CloudWatchLogs,
    /// Another log, of a cluster called `prod`, which only [`World::with_two_logs`] reads.
    pub(crate) other_logs: CloudWatchLogs,
    /// What [`World::of`] reads beside or instead of CloudWatch Logs.
    pub(crate) cloud_logging: CloudLogging,
    pub(crate) log_analytics: LogAnalytics,
    pub(crate) slack: Slack,
    /// Only [`World::use_bot`] sends to it.
    pub(crate) slack_api: SlackApi,
    pub(crate) sns: Sns,
    /// Only [`World::use_pager`] sends to it.
    pub(crate) pager: PagerDuty,
    /// Only [`World::use_teams`] sends to it.
    pub(crate) teams: Teams,
    /// Only [`World::use_alertmanager`] sends to it.
    pub(crate) alertmanager: Alertmanager,
    /// Only [`World::of_files`] sends to it.
    pub(crate) webhook: Webhook,
    topic: String,
    folder: TempDir,
    /// Last, so that it ends after the fakes that live in it.
    _runtime: Runtime,
}

impl World {
    /// Starts with one log and the default schedule.
    pub(crate) fn new() -> World {
        World::with("")
    }

    /// Starts with one log, and with more lines of config.
    pub(crate) fn with(config: &str) -> World {
        let world = World::start();
        world.configure(config, &[eks("dev", &world.logs)]);
        world
    }

    /// Starts with one log at each of these clouds.
    pub(crate) fn of(clouds: &[Cloud]) -> World {
        let world = World::start();
        let sources: Vec<String> = clouds.iter().map(|cloud| world.source(*cloud)).collect();
        world.configure("", &sources);
        world
    }

    /// Starts with two logs.
    pub(crate) fn with_two_logs() -> World {
        let world = World::start();
        world.other_logs.create_group(OTHER_GROUP, LogGroupClass::Standard);
        world.configure("", &[eks("dev", &world.logs), eks("prod", &world.other_logs)]);
        world
    }

    /// Starts with so many logs of CloudWatch Logs, each of a cluster of its own, and with more lines of config.
    pub(crate) fn of_clusters(clusters: usize, config: &str) -> World {
        let world = World::start();
        // Each in a region of its own, because a quota is of a region.
        let source = |n| eks(&format!("c{n}"), &world.logs).replace("eu-west-1", &format!("eu-test-{n}"));
        let sources: Vec<String> = (0..clusters).map(source).collect();
        (0..clusters).for_each(|n| world.logs.create_group(&group_of(n), LogGroupClass::Standard));
        world.configure(config, &sources);
        world
    }

    /// Puts lines into the log of the cluster with this number.
    pub(crate) fn ingest_cluster(&self, cluster: usize, lines: &[Line]) {
        lines.iter().for_each(|line| drop(self.logs.ingest(&group_of(cluster), STREAM, line.ms, &line.text)));
    }

    /// Starts with an audit log file that holds these lines.
    pub(crate) fn of_file(lines: &[Line]) -> World {
        let world = World::start();
        let path = world.file_of(lines);
        world.configure("", &[format!("  - {{name: onprem, file: {{path: {path:?}}}}}\n")]);
        world
    }

    /// Starts with an empty audit log file for each of so many clusters, and with the webhook as a third destination.
    pub(crate) fn of_files(clusters: usize) -> World {
        let world = World::start();
        let source = |n| format!("  - {{name: cluster-{n}, file: {{path: cluster-{n}.log}}}}\n");
        world.configure("", &(0..clusters).map(source).collect::<Vec<_>>());
        world.reconfigure(
            "notify:\n",
            &format!("notify:\n  - {{name: hook, send: findings, webhook: {{url: {:?}}}}}\n", world.webhook.url()),
        );
        (0..clusters).for_each(|n| world.append_to_file(n, &[]));
        world
    }

    fn start() -> World {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let started = runtime.block_on(async {
            (
                (CloudWatchLogs::start().await, CloudWatchLogs::start().await),
                (CloudLogging::start().await, LogAnalytics::start().await),
                (Slack::start().await, Sns::start().await, Webhook::start().await),
                (SlackApi::start().await, PagerDuty::start().await, Teams::start().await, Alertmanager::start().await),
            )
        });
        let (logs, other_logs) = (started.0.0.expect("a port"), started.0.1.expect("a port"));
        let (cloud_logging, log_analytics) = (started.1.0.expect("a port"), started.1.1.expect("a port"));
        let (slack, sns) = (started.2.0.expect("a port"), started.2.1.expect("a port"));
        let webhook = started.2.2.expect("a port");
        let (slack_api, pager) = (started.3.0.expect("a port"), started.3.1.expect("a port"));
        let (teams, alertmanager) = (started.3.2.expect("a port"), started.3.3.expect("a port"));
        logs.create_group(GROUP, LogGroupClass::Standard);
        let topic = sns.create_topic("eu-west-1", "findings");
        let folder = tempfile::tempdir().expect("a folder");
        World {
            logs,
            other_logs,
            cloud_logging,
            log_analytics,
            slack,
            slack_api,
            sns,
            pager,
            teams,
            alertmanager,
            webhook,
            topic,
            folder,
            _runtime: runtime,
        }
    }

    /// Returns the config's lines for the log of a cloud, which is made where the cloud wants that.
    fn source(&self, cloud: Cloud) -> String {
        let table = envelope::table(cloud);
        match cloud {
            Cloud::Eks => eks(CLUSTER, &self.logs),
            Cloud::Gke => {
                self.cloud_logging.create_project(envelope::PROJECT);
                let (endpoint, project) = (self.cloud_logging.endpoint(), envelope::PROJECT);
                let cluster = cloud.cluster();
                format!(
                    "  - {{name: {cluster}, cloud_logging: {{project: {project}, location: europe-west1, cluster: {cluster}, endpoint: \"{endpoint}\"}}}}\n"
                )
            }
            Cloud::Aks | Cloud::AksDiagnostics | Cloud::AksBasic => {
                let plan = if cloud == Cloud::AksBasic { TablePlan::Basic } else { TablePlan::Analytics };
                self.log_analytics.set_plan(envelope::WORKSPACE, table, plan).expect("a workspace");
                let plan = if cloud == Cloud::AksBasic { "basic" } else { "analytics" };
                let (endpoint, workspace) = (self.log_analytics.endpoint(), envelope::WORKSPACE);
                let cluster = cloud.cluster();
                format!(
                    "  - {{name: {cluster}, azure_monitor: {{workspace_id: {workspace}, table: {table}, plan: {plan}, cluster: {cluster}, endpoint: \"{endpoint}\"}}}}\n"
                )
            }
        }
    }

    /// Returns the fake of a cloud, for its faults and requests.
    pub(crate) fn server(&self, cloud: Cloud) -> &Server {
        match cloud {
            Cloud::Eks => &self.logs,
            Cloud::Gke => &self.cloud_logging,
            Cloud::Aks | Cloud::AksDiagnostics | Cloud::AksBasic => &self.log_analytics,
        }
    }

    /// Puts lines into the log of a cloud, in its envelope.
    pub(crate) fn ingest_into(&self, cloud: Cloud, lines: &[Line]) {
        for line in lines {
            match cloud {
                Cloud::Eks => drop(self.logs.ingest(GROUP, STREAM, line.ms, &line.text)),
                Cloud::Gke => self.cloud_logging.ingest(&envelope::entry(line).to_string()),
                Cloud::Aks | Cloud::AksDiagnostics | Cloud::AksBasic => {
                    let row = envelope::row(cloud, line);
                    self.log_analytics.ingest(envelope::WORKSPACE, envelope::table(cloud), row).expect("a row");
                }
            }
        }
    }

    /// Replaces a piece of the config.
    pub(crate) fn reconfigure(&self, old: &str, new: &str) {
        let text = std::fs::read_to_string(self.config()).expect("the config is there");
        assert!(text.contains(old), "{text}");
        std::fs::write(self.config(), text.replace(old, new)).expect("the config is written");
    }

    /// Uses these rules in place of the seeds.
    pub(crate) fn use_rules(&self, rules: &str) {
        std::fs::write(self.folder.path().join("own.yml"), rules).expect("the rules are written");
        self.reconfigure(&format!("rules: {:?}\n", seed_rules()), "rules: [own.yml]\n");
    }

    /// Uses the shipped rules in place of the seeds.
    pub(crate) fn use_shipped_rules(&self) {
        self.reconfigure(&format!("rules: {:?}\n", seed_rules()), "rules: [builtin]\n");
    }

    /// Sends to Slack with a bot in place of the webhook.
    pub(crate) fn use_bot(&self) {
        let (endpoint, channel) = (self.slack_api.endpoint(), CHANNEL.1);
        let bot = format!("bot_token: {BOT_TOKEN}, channel: {channel}, endpoint: {endpoint:?}");
        self.reconfigure(&format!("webhook_url: {:?}", self.slack.webhook_url()), &bot);
    }

    /// Adds PagerDuty as a destination, with these keys of its route.
    pub(crate) fn use_pager(&self, route: &str) {
        let pager = format!("{{routing_key: {ROUTING_KEY}, endpoint: {:?}}}", self.pager.endpoint());
        self.reconfigure("notify:\n", &format!("notify:\n  - {{name: on-call, {route} pagerduty: {pager}}}\n"));
    }

    /// Adds Teams as a destination, with these keys of its route.
    pub(crate) fn use_teams(&self, route: &str) {
        let teams = format!("{{webhook_url: {:?}}}", self.teams.webhook_url());
        self.reconfigure("notify:\n", &format!("notify:\n  - {{name: channel, {route} teams: {teams}}}\n"));
    }

    /// Adds an Alertmanager at this address as a destination, with these keys of its route.
    pub(crate) fn use_alertmanager(&self, route: &str, endpoint: &str) {
        let alertmanager = format!("{{endpoint: {endpoint:?}, labels: {{team: payments}}}}");
        self.reconfigure(
            "notify:\n",
            &format!("notify:\n  - {{name: alerts, {route} alertmanager: {alertmanager}}}\n"),
        );
    }

    fn configure(&self, config: &str, sources: &[String]) {
        let (sources, rules) = (sources.concat(), seed_rules());
        let (slack, topic, sns) = (self.slack.webhook_url(), &self.topic, self.sns.endpoint());
        let text = format!(
            "state: {{path: state}}
admin: {{listen: \"off\"}}
rules: {rules:?}
budget: 1
{config}
sources:
{sources}notify:
  - {{name: secops, send: findings, min_severity: informational, slack: {{webhook_url: \"{slack}\"}}}}
  - {{name: bus, send: findings, sns: {{topic_arn: \"{topic}\", endpoint: \"{sns}\"}}}}
"
        );
        std::fs::write(self.config(), text).expect("the config is written");
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("stakeout.yaml")
    }

    /// Puts lines into the log.
    pub(crate) fn ingest(&self, lines: &[Line]) {
        for line in lines {
            self.logs.ingest(GROUP, STREAM, line.ms, &line.text);
        }
    }

    /// Puts lines into the other log.
    pub(crate) fn ingest_other(&self, lines: &[Line]) {
        for line in lines {
            self.other_logs.ingest(OTHER_GROUP, STREAM, line.ms, &line.text);
        }
    }

    /// Appends lines to the audit log file of the cluster with this number.
    pub(crate) fn append_to_file(&self, cluster: usize, lines: &[Line]) {
        let path = self.folder.path().join(format!("cluster-{cluster}.log"));
        let mut file = File::options().create(true).append(true).open(path).expect("the file opens");
        lines.iter().for_each(|line| writeln!(file, "{}", line.text).expect("the line is written"));
    }

    /// Returns the path of a file in the folder of the config, where [`World::of_file`] has `lines.log`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `once --at`, to its end.
    pub(crate) fn once(&self, at: i64) -> Ran {
        Ran::of(self.command(&["once", "--at", &utc(at)]).output())
    }

    /// Runs `once --at`, and asserts that nothing stays pending.
    pub(crate) fn once_done(&self, at: i64) -> Ran {
        let ran = self.once(at);
        ran.assert_code(0);
        ran
    }

    /// Runs a verb, to its end.
    pub(crate) fn run(&self, verb: &[&str]) -> Ran {
        Ran::of(self.command(verb).output())
    }

    /// Runs `replay` on a file in the folder of the config.
    pub(crate) fn replay_file(&self, file: &str, options: &[&str]) -> Ran {
        Ran::of(bare().arg("replay").args(options).arg(self.path(file)).output())
    }

    /// Begins `once --at`, for a test that does not let it end.
    pub(crate) fn begin_once(&self, at: i64) -> Child {
        let mut command = self.command(&["once", "--at", &utc(at)]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs")
    }

    /// Begins `once --at`, for a test that listens to what it says.
    pub(crate) fn begin_once_heard(&self, at: i64) -> Child {
        let mut command = self.command(&["once", "--at", &utc(at)]);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary runs")
    }

    /// Begins `run`, and returns when it has started.
    pub(crate) fn begin_run(&self) -> Child {
        self.begin_run_to(Stdio::null())
    }

    /// Begins `run` with a standard output.
    pub(crate) fn begin_run_to(&self, stdout: Stdio) -> Child {
        World::begin(self.command(&["run"]), stdout)
    }

    /// Begins a daemon, and returns when it has started.
    pub(crate) fn begin(mut command: Command, stdout: Stdio) -> Child {
        let mut child = command.stdout(stdout).stderr(Stdio::piped()).spawn().expect("the binary runs");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let is_started = lines.by_ref().any(|line| line.is_ok_and(|line| line.contains("started")));
        assert!(is_started, "the daemon ended before it had started");
        // What it says later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        child
    }

    /// Runs `doctor`, as though it were `at`; returns its exit code, and for each source (subject, status, finding, fix).
    pub(crate) fn doctor(&self, at: i64) -> (Option<i32>, Vec<Vec<[String; 4]>>) {
        World::doctor_with(&mut self.command(&["doctor", "-o", "json", "--at", &utc(at)]))
    }

    /// Runs a command of `doctor`, and returns the same.
    pub(crate) fn doctor_with(doctor: &mut Command) -> (Option<i32>, Vec<Vec<[String; 4]>>) {
        let ran = Ran::of(doctor.output());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let sources = ran.stdout.lines().map(|line| {
            let source: Value = serde_json::from_str(line).expect("a JSON object a line");
            let checks = source["checks"].as_array().expect("checks").iter();
            checks.map(|check| ["subject", "status", "finding", "fix"].map(|key| text(&check[key]))).collect()
        });
        (ran.code, sources.collect())
    }

    /// Runs `doctor` as people do, and returns what it prints.
    pub(crate) fn doctor_text(&self, at: i64) -> String {
        Ran::of(self.command(&["doctor", "--at", &utc(at)]).output()).stdout
    }

    /// Returns what `state show` shows.
    pub(crate) fn state(&self) -> Value {
        let ran = Ran::of(self.command(&["state", "show", "--json"]).output());
        ran.assert_code(0);
        serde_json::from_str(&ran.stdout).expect("JSON")
    }

    /// Returns how far the log of a cluster was read, as `state show` shows it; without its name, which holds a port.
    pub(crate) fn log(&self, cluster: &str) -> Value {
        let mut state = self.state();
        let logs = state["logs"].as_array_mut().expect("logs");
        let ends = [format!("/aws/eks/{cluster}/cluster"), format!("/{cluster}")];
        let is_it = |name: &str| ends.iter().any(|end| name.ends_with(end));
        let found = logs.iter_mut().find(|log| log["log"].as_str().is_some_and(is_it));
        let mut log = found.expect("the log is known").take();
        log.as_object_mut().expect("an object").remove("log");
        log
    }

    /// Returns what `replay` finds in the lines, as a file.
    pub(crate) fn replay(&self, lines: &[Line]) -> Vec<Episode> {
        let path = self.file_of(lines);
        let mut command = bare();
        command.args(["replay", "-o", "json", "--cluster", CLUSTER]);
        command.args(seed_rules().iter().flat_map(|rules| ["--rules", rules]));
        let ran = Ran::of(command.arg(&path).output());
        ran.assert_code(0);
        let mut episodes: Vec<Episode> = ran.stdout.lines().map(|line| Reported::read(line).episode).collect();
        episodes.sort();
        episodes
    }

    /// Runs `tune` on the config's logs, or on `lines` as a file, and returns what it says of each rule.
    pub(crate) fn tune(&self, lines: Option<&[Line]>, from: i64, to: i64) -> (Ran, Vec<Value>) {
        let verb = ["tune", "-o", "json", "--from", &utc(from), "--to", &utc(to)];
        let ran = match lines {
            None => Ran::of(self.command(&verb).output()),
            Some(lines) => {
                let mut command = bare();
                command.args(verb).args(["--cluster", CLUSTER]);
                command.args(seed_rules().iter().flat_map(|rules| ["--rules", rules]));
                Ran::of(command.arg(self.file_of(lines)).output())
            }
        };
        let tuned = ran.stdout.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect();
        (ran, tuned)
    }

    /// Returns whether there is a state.
    pub(crate) fn has_state(&self) -> bool {
        self.folder.path().join("state").exists()
    }

    fn file_of(&self, lines: &[Line]) -> PathBuf {
        let path = self.folder.path().join("lines.log");
        let text: String = lines.iter().map(|line| format!("{}\n", line.text)).collect();
        std::fs::write(&path, text).expect("the file is written");
        path
    }

    /// Returns what SNS took so far of findings and notices, in order.
    pub(crate) fn reported(&self) -> Vec<Reported> {
        let messages = self.sns.messages();
        let of_findings = messages.iter().filter(|published| !is_about_an_incident(&published.message));
        of_findings.map(|published| Reported::read(&published.message)).collect()
    }

    /// Returns what SNS took so far of incidents, in order.
    pub(crate) fn reported_incidents(&self) -> Vec<Value> {
        let messages = self.sns.messages();
        let of_incidents = messages.iter().filter(|published| is_about_an_incident(&published.message));
        of_incidents.map(|published| serde_json::from_str(&published.message).expect("JSON")).collect()
    }

    /// Returns the clusters of each finding that was opened, by its source.
    pub(crate) fn found(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for object in self.objects(2004) {
            let Some(source) = object["unmapped"]["source_ip"].as_str() else { continue };
            let clusters = object["resources"].as_array().into_iter().flatten();
            let clusters = clusters.filter_map(|resource| resource["name"].as_str()).map(str::to_owned);
            found.entry(source.to_owned()).or_default().extend(clusters);
        }
        found
    }

    /// Returns the kind of each notice so far, with its cluster.
    pub(crate) fn notices(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let of = |object: &Value| (text(&object["unmapped"]["kind"]), text(&object["resources"][0]["name"]));
        let notices: Vec<(String, String)> = self.objects(2004).iter().map(of).collect();
        notices.into_iter().filter(|(kind, _)| !kind.is_empty()).collect()
    }

    pub(crate) fn objects(&self, class: i64) -> Vec<Value> {
        let messages = self.sns.messages();
        let objects = messages.iter().map(|published| serde_json::from_str(&published.message).expect("JSON"));
        objects.filter(|object: &Value| object["class_uid"].as_i64() == Some(class)).collect()
    }

    /// Returns how many requests of a source its findings counted.
    pub(crate) fn requests_counted(&self, source: &str) -> BTreeSet<i64> {
        let of_source = |object: &Value| object["unmapped"]["source_ip"].as_str() == Some(source);
        self.objects(2004).iter().filter(|it| of_source(it)).filter_map(|it| it["count"].as_i64()).collect()
    }

    /// Returns the windows that CloudWatch Logs was asked for, in order; one that is asked for page after page once.
    pub(crate) fn windows_read(&self) -> Vec<(i64, i64)> {
        let mut windows = Vec::new();
        for request in self.logs.requests() {
            let body: Value = serde_json::from_str(&request.body).expect("JSON");
            let second = |key: &str| body[key].as_i64().expect("a time").div_euclid(1000);
            windows.push((second("startTime"), second("endTime") + 1));
        }
        windows.dedup();
        windows
    }

    /// Returns how many requests all fakes saw so far.
    pub(crate) fn requests_seen(&self) -> usize {
        let servers: [&Server; 5] = [&self.logs, &self.cloud_logging, &self.log_analytics, &self.slack, &self.sns];
        servers.iter().map(|server| server.requests().len()).sum()
    }

    /// Looks again and again until something is so; a minute is far longer than anything here takes.
    #[expect(clippy::disallowed_methods, reason = "the deadline bounds the test itself")]
    pub(crate) fn wait_until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}; {} requests", self.requests_seen());
            std::thread::yield_now();
        }
    }

    /// Returns a verb with the config, to be run.
    pub(crate) fn command(&self, verb: &[&str]) -> Command {
        let mut command = bare();
        command.args(verb).arg("-c").arg(self.config());
        command
    }
}

fn is_about_an_incident(message: &str) -> bool {
    let object: Value = serde_json::from_str(message).expect("JSON");
    object["class_uid"].as_i64() == Some(2005)
}

/// Returns the log group of the cluster with this number.
fn group_of(cluster: usize) -> String {
    format!("/aws/eks/c{cluster}/cluster")
}

fn eks(cluster: &str, logs: &CloudWatchLogs) -> String {
    let endpoint = logs.endpoint();
    format!(
        "  - {{name: {cluster}-eks, cloudwatch: {{region: eu-west-1, log_group: /aws/eks/{cluster}/cluster, endpoint: \"{endpoint}\"}}}}\n"
    )
}

/// The binary, with nothing of this process's environment.
fn bare() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stakeout"));
    command.env_clear().stdin(Stdio::null());
    command
}

/// Ends a daemon as a service manager would, and returns its exit code.
pub(crate) fn terminate(mut child: Child) -> Option<i32> {
    let reported = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(reported.is_ok_and(|status| status.success()), "the daemon is gone already");
    child.wait().expect("a child can be waited for").code()
}
