//! Whole configs: broken ones with the line that each prints, the shipped examples, every key, and secrets that
//! must not show.

#![cfg(all(feature = "aws", feature = "azure", feature = "gcp"))]

mod bot;
mod replicas;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use secrecy::ExposeSecret;
use stakeout_aws::{Access, AssumeRole};
use stakeout_azure_monitor::{Credential, Plan};
use stakeout_core::incident::RiskLevels;
use stakeout_core::route::{Route, Subjects};
use stakeout_core::rule::Level;
use stakeout_core::source::{LogId, Provider, Source};
use stakeout_http::Endpoint;

use super::notify::{DestinationKind, Slack, SlackMode, Sns, Webhook};
use super::*;
use crate::cloud::Cloud;

const SOURCES: &str = "sources: [{name: onprem, file: {path: /var/log/audit.log}}]\n";
const NOTIFY: &str = "notify: [{name: out, stdout: {}}]\n";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(text: &str) -> Result<Config, Vec<String>> {
    read_with(text, Path::new("/etc/stakeout"), &[])
}

fn read_with(text: &str, base: &Path, environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let environment: BTreeMap<&str, &str> = environment.iter().copied().collect();
    let look_up = |name: &str| environment.get(name).map(|value| (*value).to_owned());
    Config::read("f.yaml", base, text, &look_up, SecretScope::ALL)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn warnings(config: &Config) -> Vec<String> {
    config.warnings.iter().map(ToString::to_string).collect()
}

fn slack(config: &Config) -> &Slack {
    match &config.notify[0].kind {
        DestinationKind::Slack(slack) => slack,
        other => panic!("{other:?} is not Slack"),
    }
}

fn sns(config: &Config) -> &Sns {
    match &config.notify[0].kind {
        DestinationKind::Sns(sns) => sns,
        other => panic!("{other:?} is not SNS"),
    }
}

fn webhook(config: &Config) -> &Webhook {
    match &config.notify[0].kind {
        DestinationKind::Webhook(webhook) => webhook,
        other => panic!("{other:?} is not a webhook"),
    }
}

#[test]
fn the_shipped_examples_are_valid() {
    let environment = |name: &str| match name {
        "SLACK_WEBHOOK_URL" => Some("https://hooks.slack.com/services/T0/B0/example".to_owned()),
        "AZURE_CLIENT_SECRET" => Some("hush".to_owned()),
        _ => None,
    };
    for (file, sources, destinations) in [
        ("config/stakeout.yaml", 1, 1),
        ("config/examples/aks.yaml", 2, 1),
        ("config/examples/eks.yaml", 3, 2),
        ("config/examples/gke.yaml", 2, 1),
        ("config/examples/three-clouds.yaml", 3, 1),
        ("config/examples/self-managed.yaml", 1, 2),
    ] {
        let config = Config::load(&repository().join(file), &environment, SecretScope::ALL).expect(file);
        assert_eq!(warnings(&config), [""; 0], "{file}");
        assert_eq!(config.sources.len(), sources, "{file}");
        assert_eq!(config.notify.len(), destinations, "{file}");
    }
}

/// The commented-out keys of the example must be valid too, or they would mislead.
#[test]
fn the_commented_keys_of_the_example_are_valid() {
    let text = fs::read_to_string(repository().join("config/stakeout.yaml")).expect("the example");
    let uncommented: String = text.lines().map(|line| line.replacen("#~", "", 1) + "\n").collect();
    assert_ne!(uncommented, text);
    let home = tempfile::tempdir().expect("a directory");
    fs::create_dir(home.path().join("rules")).expect("a directory");
    for name in ["siem-token", "azure-secret"] {
        let secret = home.path().join(name);
        fs::write(&secret, "token\n").expect("a file");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("a mode");
    }
    fs::copy(repository().join("tests/data/tls/ca.pem"), home.path().join("ca.pem")).expect("a file");
    let slack = ("SLACK_WEBHOOK_URL", "https://hooks.slack.com/services/T0/B0/x");
    let config = read_with(&uncommented, home.path(), &[slack]).expect("a config");
    assert_eq!(warnings(&config), [""; 0]);
    assert_eq!((config.sources.len(), config.notify.len()), (4, 4));
    assert_eq!((config.budget, config.ca_file), (0.5, Some(home.path().join("ca.pem"))));
}

#[test]
fn a_share_of_the_quotas_and_a_file_of_certificates_are_checked() {
    let error = |section: &str| read(&format!("{SOURCES}{NOTIFY}{section}\n")).expect_err(section)[0].to_string();
    for section in ["budget: 0", "budget: 1.5", "budget: half", "budget: nan", "budget: -1"] {
        assert!(error(section).contains("is not a share of the clouds' quotas"), "{section}");
    }
    assert!(error("tls: {ca_file: /nowhere/ca.pem}").contains("`/nowhere/ca.pem` cannot be read"));
    assert!(error("tls: {ca: x}").contains("unknown key"));
    let config = read(&format!("{SOURCES}{NOTIFY}budget: 1\n")).expect("a config");
    assert_eq!(config.budget, 1.0);
}

#[test]
fn a_short_config_has_the_documented_defaults() {
    let config = read(&format!("{SOURCES}{NOTIFY}")).expect("a config");
    assert_eq!(config.schedule, Schedule::default());
    assert_eq!(config.schedule.reread_seconds, [3_600, 86_400]);
    assert_eq!(
        (
            config.schedule.earliest_seconds,
            config.schedule.latest_seconds,
            config.schedule.start_seconds,
            config.schedule.max_backfill_seconds
        ),
        (-4_200, -600, -4_200, 604_800)
    );
    assert_eq!(config.schedule.cron.as_str(), "0 * * * *");
    assert_eq!(config.state.directory(), Some(Path::new("/var/lib/stakeout")));
    assert_eq!((config.rules.len(), config.disabled_rules.len()), (0, 0));
    assert_eq!(config.trusted_proxies, TrustedProxies::default());
    assert_eq!(config.admin, AdminConfig { listen: "127.0.0.1:9403".parse().ok(), hosts: Vec::new() });
    assert_eq!(config.rows_max, 100_000);
    let [SourceConfig { source, settings: Cloud::File(file), reread_seconds, start_seconds, .. }] = &config.sources[..]
    else {
        panic!("one file");
    };
    assert_eq!(
        source,
        &Source {
            name: "onprem".to_owned(),
            provider: Provider::File,
            cluster: "onprem".into(),
            log: LogId("file//var/log/audit.log".to_owned()),
        }
    );
    assert_eq!(
        (file.path.as_path(), &reread_seconds[..], *start_seconds),
        (Path::new("/var/log/audit.log"), &[3_600, 86_400][..], -4_200)
    );
    assert_eq!(config.notify[0].name, "out");
    assert_eq!(config.notify[0].route, Route::from_level(Subjects::Both, Level::Informational));
    assert!(matches!(config.notify[0].kind, DestinationKind::Stdout));
    assert_eq!(config.incidents, IncidentOptions::default());
    assert_eq!(warnings(&config), [""; 0]);
}

#[test]
fn every_key_is_parsed() {
    let config = read(
        "schedule: {cron: '*/15 * * * *', earliest: -25m, latest: 0, reread: 2h, max_backfill: 3d, start: -24h}\n\
         state: {path: state}\n\
         trusted_proxies: [10.0.0.9/16, 192.0.2.1, '2001:db8::/32']\n\
         sources:\n\
         \x20 - name: prod-eks\n\
         \x20   cluster: prod\n\
         \x20   reread: [3h]\n\
         \x20   start: -2d\n\
         \x20   cloudwatch:\n\
         \x20     log_group: arn:aws:logs:eu-west-1:111122223333:log-group:/aws/eks/blue/cluster:*\n\
         \x20     stream_prefix: audit\n\
         \x20     assume_role: {arn: 'arn:aws:iam::444455556666:role/a/stakeout', external_id: x-1}\n\
         \x20     endpoint: http://127.0.0.1:4566\n\
         notify:\n\
         \x20 - {name: bus, min_severity: high, sns: {topic_arn: 'arn:aws-cn:sns:cn-north-1:111122223333:findings.fifo'}}\n\
         admin: {listen: off, hosts: [Stakeout.Example., node-1]}\n\
         limits: {rows_max: 500}\n",
    )
    .expect("a config");
    assert_eq!(
        config.schedule,
        Schedule {
            cron: "*/15 * * * *".parse().expect("a cron expression"),
            earliest_seconds: -1_500,
            latest_seconds: 0,
            reread_seconds: vec![7_200],
            max_backfill_seconds: 259_200,
            start_seconds: -86_400,
        }
    );
    assert_eq!(config.state.directory(), Some(Path::new("/etc/stakeout/state")));
    let networks = ["10.0.0.0/16", "192.0.2.1/32", "2001:db8::/32"];
    assert_eq!(
        config.trusted_proxies,
        TrustedProxies::new(networks.map(|net| net.parse().expect("a network")).to_vec())
    );
    assert_eq!((config.admin.listen, config.rows_max), (None, 500));
    assert_eq!(config.admin.hosts, ["stakeout.example", "node-1"]);
    let [SourceConfig { source, settings: Cloud::Eks(eks), .. }] = &config.sources[..] else {
        panic!("one CloudWatch source");
    };
    assert_eq!(source.log.0, "cloudwatch/111122223333/eu-west-1//aws/eks/blue/cluster");
    assert_eq!(&*source.cluster, "prod");
    assert_eq!(config.sources[0].reread_seconds, [10_800]);
    assert_eq!(config.sources[0].start_seconds, -172_800);
    let access = Access {
        assume_role: Some(AssumeRole {
            arn: "arn:aws:iam::444455556666:role/a/stakeout".to_owned(),
            external_id: Some("x-1".to_owned()),
        }),
        ..Access::fake("eu-west-1", Endpoint::parse_base("http://127.0.0.1:4566").expect("an address"))
    };
    assert_eq!(eks.access, access);
    assert_eq!(eks.log_group.name, "/aws/eks/blue/cluster");
    assert_eq!(
        eks.log_group.arn.as_deref(),
        Some("arn:aws:logs:eu-west-1:111122223333:log-group:/aws/eks/blue/cluster")
    );
    assert_eq!(eks.stream_prefix, "audit");
    assert_eq!(config.notify[0].route.level_min, Level::High);

    assert_eq!(
        sns(&config),
        &Sns {
            topic_arn: "arn:aws-cn:sns:cn-north-1:111122223333:findings.fifo".to_owned(),
            access: Access::new("cn-north-1"),
        }
    );
}

#[test]
fn a_destination_chooses_what_it_receives_and_slack_receives_incidents_by_default() {
    let url = "https://hooks.slack.com/services/T0/B0/x";
    let received = |keys: &str| {
        let config = read(&format!("{SOURCES}notify: [{{name: s, {keys}slack: {{webhook_url: '{url}'}}}}]\n"));
        let config = config.expect("a config");
        (config.notify[0].route.subjects, config.notify[0].route.level_min)
    };
    assert_eq!(received(""), (Subjects::Incidents, Level::Low));
    assert_eq!(received("send: both, "), (Subjects::Both, Level::Low));
    assert_eq!(received("send: findings, min_severity: informational, "), (Subjects::Findings, Level::Informational));
}

#[test]
fn the_quiet_time_and_the_risk_of_incidents_are_parsed() {
    let section = "incidents: {quiet: 48h, risk: {high: 300}}\n";
    let config = read(&format!("{SOURCES}{NOTIFY}{section}")).expect("a config");
    let risk = RiskLevels { high: 300, ..RiskLevels::default() };
    assert_eq!(config.incidents, IncidentOptions { quiet_seconds: 172_800, risk });
    for (section, key) in [("{quiet: 8d}", "quiet"), ("{risk: {high: 0}}", "high"), ("{risk: {low: 10}}", "low")] {
        let error = read(&format!("{SOURCES}{NOTIFY}incidents: {section}\n")).expect_err(section);
        assert!(error.len() == 1 && error[0].contains(key), "{error:?}");
    }
}

#[test]
fn a_log_id_contains_the_account_or_else_the_endpoint() {
    let log = |rest: &str| {
        let text = format!(
            "sources: [{{name: a, cloudwatch: {{region: eu-west-1, log_group: /aws/eks/prod/cluster{rest}}}}}]\n{NOTIFY}"
        );
        read(&text).expect("a config").sources[0].source.log.0.clone()
    };
    let role = ", assume_role: {arn: 'arn:aws:iam::444455556666:role/stakeout'}";
    let endpoint = ", endpoint: 'http://[::1]:4566/'";
    let group = "eu-west-1//aws/eks/prod/cluster";
    assert_eq!(log(""), format!("cloudwatch/own/{group}"));
    assert_eq!(log(role), format!("cloudwatch/444455556666/{group}"));
    assert_eq!(log(endpoint), format!("cloudwatch/[::1]:4566/{group}"));
    assert_eq!(log(&format!("{role}{endpoint}")), log(role));
}

#[test]
fn logs_of_the_other_clouds_are_parsed() {
    let text = format!(
        "sources:\n\
         \x20 - {{name: gke, cloud_logging: {{project: 'example.com:acme-prod', location: europe-west1, cluster: prod}}}}\n\
         \x20 - {{name: here, cloud_logging: {{project: acme-prod, cluster: prod, endpoint: 'http://127.0.0.1:1'}}}}\n\
         \x20 - name: aks\n\
         \x20   azure_monitor:\n\
         \x20     workspace_id: 0F3A5A1E-0000-4000-8000-AABBCCDDEEFF\n\
         \x20     table: azurediagnostics\n\
         \x20     plan: basic\n\
         \x20     cluster: /subscriptions/1/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/AKS-Prod\n\
         \x20     credential: client_secret\n\
         \x20     tenant_id: 11112222-3333-4444-5555-666677778888\n\
         \x20     client_id: 11112222-3333-4444-5555-666677778889\n\
         \x20     client_secret: hush\n\
         {NOTIFY}"
    );
    let config = read(&text).expect("a config");
    let logs: Vec<&str> = config.sources.iter().map(|source| source.source.log.0.as_str()).collect();
    assert_eq!(
        logs,
        [
            "cloud_logging/example.com:acme-prod/europe-west1/prod",
            "cloud_logging/acme-prod/-/prod",
            "azure_monitor/0f3a5a1e-0000-4000-8000-aabbccddeeff/AzureDiagnostics//subscriptions/1/resourcegroups/rg/providers/microsoft.containerservice/managedclusters/aks-prod",
        ]
    );
    let clusters: Vec<&str> = config.sources.iter().map(|source| &*source.source.cluster).collect();
    assert_eq!(clusters, ["prod", "prod", "AKS-Prod"]);
    let [Cloud::Gke(far), Cloud::Gke(here), Cloud::Aks(aks)] = [0, 1, 2].map(|n| &config.sources[n].settings) else {
        panic!("three logs");
    };
    assert_eq!(far.0.credential, stakeout_cloud_logging::Credential::Default);
    assert_eq!(here.0.credential, stakeout_cloud_logging::Credential::Anonymous);
    assert_eq!(aks.config.plan, Plan::Basic);
    let Credential::ClientSecret { secret, .. } = &aks.config.credential else { panic!("a secret") };
    assert_eq!(secret.expose_secret(), "hush");
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn errors_of_all_sections_come_in_the_order_of_lines() {
    let errors = read(
        "notfy: []\n\
         schedule: {latest: 1h}\n\
         sources:\n\
         \x20 - {name: a, file: {}}\n\
         \x20 - {name: b, cloudwatch: {log_group: /x}}\n\
         \x20 - {name: c, file: {path: '${NOPE}'}}\n\
         notify:\n\
         \x20 - {name: out, stdout: {}}\n\
         \x20 - {name: out, stdout: {}}\n\
         admin: {listen: here}\n",
    )
    .expect_err("errors");
    let keys: Vec<&str> = errors.iter().filter_map(|error| error.split(": ").nth(1)).collect();
    assert_eq!(
        keys,
        [
            "notfy",
            "schedule.latest",
            "sources[0].file.path",
            "sources[1].cloudwatch.region",
            "sources[2].file.path",
            "notify[1].name",
            "admin.listen"
        ]
    );
}

#[test]
fn a_probable_mistake_is_a_warning() {
    let text = "sources:\n\
         \x20 - {name: a, cloudwatch: {region: eu-west-1, log_group: /aws/eks/prod/cluster}}\n\
         \x20 - {name: b, cloudwatch: {region: us-east-1, log_group: /aws/eks/prod/cluster}}\n\
         schedule: {max_backfill: 30m}\n";
    let config = read(text).expect("a config");
    assert_eq!(
        warnings(&config),
        [
            "f.yaml: notify: findings have no destination (add a destination, such as - {name: out, stdout: {}})",
            "f.yaml:3: sources[1]: cluster prod is also that of a in line 2 (if they are two clusters, give one of them its own name with `cluster:`)",
            "f.yaml:4: schedule.max_backfill: 30m is shorter than earliest (-70m), so a part of the first window becomes a gap (write a longer duration, such as 7d)",
        ]
    );
}

#[test]
fn an_admin_page_that_other_machines_can_reach_is_a_warning() {
    let warnings = |listen: &str| {
        let text = format!(
            "sources:\n\
             \x20 - {{name: a, file: {{path: audit.log}}}}\n\
             notify:\n\
             \x20 - {{name: out, stdout: {{}}}}\n\
             admin: {{listen: '{listen}'}}\n"
        );
        warnings(&read(&text).expect("a config"))
    };
    for local in ["127.0.0.1:9403", "localhost:9403", "[::1]:9403", "127.9.9.9:1", "off"] {
        assert_eq!(warnings(local), [""; 0], "{local}");
    }
    for public in ["0.0.0.0:9403", "[::]:9403", "10.0.0.7:9403"] {
        assert_eq!(
            warnings(public),
            [format!(
                "f.yaml:5: admin.listen: the admin page listens on {public}, so other machines can read it without a \
                 password (write 127.0.0.1:9403, or let only your monitoring reach the port)"
            )]
        );
    }
}

#[test]
fn an_unreadable_config_is_one_error() {
    let home = tempfile::tempdir().expect("a directory");
    let load = |path: &Path| match Config::load(path, &|_| None, SecretScope::ALL) {
        Ok(_) => panic!("no config"),
        Err(errors) => errors.iter().map(|error| error.problem.clone()).collect(),
    };
    let missing = home.path().join("stakeout.yaml");
    let problems: Vec<String> = load(&missing);
    assert_eq!(problems, [format!("there is no `{}`", missing.display())]);
    let problems: Vec<String> = load(home.path());
    assert_eq!(problems, [format!("`{}` is a directory", home.path().display())]);
}

fn webhook_url(slack: &Slack) -> &str {
    match &slack.mode {
        SlackMode::Webhook { url } => url.expose_secret(),
        SlackMode::Bot { .. } => panic!("a bot"),
    }
}

#[test]
fn a_secret_file_is_not_empty_and_loses_what_is_around_the_secret() {
    let home = tempfile::tempdir().expect("a directory");
    let url = "https://hooks.slack.com/services/T0/B0/example";
    let config = |content: &[u8], mode: u32| {
        let file = home.path().join("slack");
        fs::write(&file, content).expect("a file");
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("a mode");
        let notify = "notify: [{name: s, slack: {webhook_url_file: slack}}]\n";
        read_with(&format!("{SOURCES}{notify}"), home.path(), &[])
    };
    for line_end in ["", "\n", "\r\n"] {
        let read = config(format!("{url}{line_end}").as_bytes(), 0o600).expect("a config");
        let slack = slack(&read);
        assert_eq!(webhook_url(slack), url);
        assert_eq!(slack.max_messages_per_run, 10);
        assert_eq!(warnings(&read), [""; 0]);
    }
    for around in ["\n\n", " \n", "\t"] {
        let read = config(format!("{around}{url}{around}").as_bytes(), 0o600).expect("a config");
        assert_eq!(webhook_url(slack(&read)), url);
        assert_eq!(
            warnings(&read),
            [
                "f.yaml:2: notify[0].slack.webhook_url_file: there are blanks or line breaks around the secret, which are left out (remove them)"
            ]
        );
    }
    let open = config(url.as_bytes(), 0o644).expect("a config");
    assert_eq!(
        warnings(&open),
        [
            "f.yaml:2: notify[0].slack.webhook_url_file: `slack` may be read by every user of this machine (take the right away: chmod o-r slack)"
        ]
    );
    for (content, problem) in [
        (&b"\n"[..], "`slack` is empty"),
        (&[b'x'; 65_537][..], "`slack` is larger than 65536 bytes"),
        (&b"\xff\xfe"[..], "`slack` is not UTF-8 text"),
        (&b"https://hooks.slack.com/services/x\ny\n"[..], "not the URL"),
    ] {
        let errors = config(content, 0o600).expect_err(problem);
        assert!(errors[0].contains(problem), "{errors:?}");
    }
}

#[test]
fn a_webhook_has_a_url_and_an_optional_token() {
    let config = |keys: &str| {
        let text = format!("{SOURCES}notify: [{{name: siem, webhook: {{{keys}}}}}]\n");
        read_with(&text, Path::new("/"), &[("TOKEN", "t0k")])
    };
    let bare = config("url: 'https://siem.example/?k=1'").expect("a config");
    assert_eq!(webhook(&bare).url.expose_secret(), "https://siem.example/?k=1");
    assert!(webhook(&bare).token.is_none());
    let with_token = config("url: 'https://siem.example/', token: '${TOKEN}'").expect("a config");
    let token = webhook(&with_token).token.as_ref();
    assert_eq!(token.map(ExposeSecret::expose_secret), Some("t0k"));
    assert!(config("token: t0k").is_err());
    assert!(config("url: 'https://siem.example/', token: 't0k t0k'").is_err());
}

#[test]
fn slack_and_webhooks_need_https_or_this_machine() {
    let is_valid = |kind: &str| read(&format!("{SOURCES}notify: [{{name: d, {kind}}}]\n")).is_ok();
    for (url, is_slack, is_webhook) in [
        ("https://hooks.slack.com/services/T/B/x", true, true),
        ("https://hooks.slack-gov.com/services/T/B/x", true, true),
        ("https://hooks.slack.com:443/services/T/B/x", true, true),
        ("http://127.0.0.1:9/services/T/B/x", true, true),
        ("http://hooks.slack.com/services/T/B/x", false, false),
        ("https://hooks.slack.com:8443/services/T/B/x", false, true),
        ("https://hooks.slack.com/", false, true),
        ("https://hooks.slack.com@evil.example/x", false, false),
        ("https://evil.example/hooks.slack.com/x", false, true),
        ("http://evil.example/", false, false),
    ] {
        assert_eq!(is_valid(&format!("slack: {{webhook_url: '{url}'}}")), is_slack, "{url}");
        assert_eq!(is_valid(&format!("webhook: {{url: '{url}'}}")), is_webhook, "{url}");
    }
}

#[test]
fn standard_output_needs_no_settings() {
    for kind in ["stdout: {}", "stdout:"] {
        assert!(read(&format!("{SOURCES}notify:\n  - name: out\n    {kind}\n")).is_ok());
    }
    assert!(read(&format!("{SOURCES}notify: [{{name: out, stdout: {{a: b}}}}]\n")).is_err());
}

/// The canary is wherever a secret could be, even by mistake. No output may repeat it.
#[test]
fn secrets_never_show() {
    const CANARY: &str = "xoxb-canary-7f3a";
    let url = format!("https://hooks.slack.com/services/{CANARY}");
    let slots = [
        format!("slack: {{webhook_url: '{url}'}}"),
        "slack: {webhook_url: '${SECRET}'}".to_owned(),
        format!("slack: {{webhook_url: {CANARY}}}"),
        format!("slack: {{webhook_url: 'https://{CANARY}/x'}}"),
        format!("slack: {{webhook_url: ['{url}']}}"),
        format!("slack: {{webhook_url: '${{{CANARY}'}}"),
        format!("slack: '{url}'"),
        format!("slack: ['{url}']"),
        format!("slack: {{'{url}': x}}"),
        format!("webhook: {{url: 'https://siem.example/?token={CANARY}', token: {CANARY}}}"),
        format!("webhook: {{url: 'http://siem.example/?token={CANARY}'}}"),
        format!("webhook: {{url: 'https://siem.example/', token: 'Bearer {CANARY}'}}"),
        format!("webhook: {{url: '{CANARY}'}}"),
        format!("stdout: '{url}'"),
        format!("stdout: {{}}, '{url}': x"),
    ];
    let secret = format!("https://hooks.slack.com/services/{CANARY}");
    let texts = slots.iter().map(|slot| format!("{SOURCES}notify: [{{name: d, {slot}}}]\n")).chain([
        format!("{SOURCES}notify: '{url}'\n"),
        format!("{SOURCES}notify: ['{url}']\n"),
        format!("{SOURCES}'{url}': x\n"),
        format!("{url}\n"),
    ]);
    let mut accepted = 0;
    for text in texts {
        let shown = match read_with(&text, Path::new("/"), &[("SECRET", &secret)]) {
            Ok(config) => {
                accepted += 1;
                format!("{config:?}")
            }
            Err(errors) => errors.join("\n"),
        };
        assert!(!shown.contains("canary"), "{text}\n{shown}");
    }
    assert_eq!(accepted, 3);
}

proptest! {
    /// A config with typing errors is parsed or refused, and its errors come in order.
    #[test]
    fn a_slip_of_the_keyboard_never_panics(
        at in 0_usize..6_000,
        removed in 0_usize..40,
        typed in "[-\\[\\]{}:#$ \t\n'\"a-z0-9*&!|>%@é\u{202e}]{0,6}",
    ) {
        let text = include_str!("../../../../config/stakeout.yaml");
        let kept = |from: usize| text.char_indices().map(|(i, _)| i).find(|i| *i >= from);
        let start = kept(at % text.len()).unwrap_or(text.len());
        let end = kept(start + removed).unwrap_or(text.len());
        let slipped = format!("{}{typed}{}", &text[..start], &text[end..]);
        let url = |_: &str| Some("https://hooks.slack.com/services/T0/B0/x".to_owned());
        if let Err(errors) = Config::read("f.yaml", Path::new("/etc/stakeout"), &slipped, &url, SecretScope::ALL) {
            prop_assert!(!errors.is_empty());
            prop_assert!(errors.is_sorted_by_key(|error| error.line));
        }
    }
}
