//! Links and commands to search a log by hand: each is read back into the query that it means, and no text of a client
//! leaves its place.

use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use stakeout_core::finding::Finding;
use stakeout_core::group::{GroupKey, GroupValue};
use stakeout_core::incident::{Incident, IncidentOptions, incidents};
use stakeout_core::rule::Level;
use stakeout_fakes::{FilterPattern, LoggingFilter};
use stakeout_notify::console::{LogConsole, Search, Service};

use crate::strategy;

const RESOURCE: &str =
    "/subscriptions/0b1f/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/prod";

fn consoles() -> [LogConsole; 3] {
    let of = |service| LogConsole { cluster: "prod".to_owned(), service };
    [
        of(Service::CloudWatch {
            region: "eu-west-1".to_owned(),
            log_group: "/aws/eks/prod/cluster".to_owned(),
            stream_prefix: "kube-apiserver-audit".to_owned(),
        }),
        of(Service::CloudLogging {
            project: "acme-prod".to_owned(),
            location: Some("europe-west1".to_owned()),
            cluster: "prod".to_owned(),
        }),
        of(Service::LogAnalytics {
            workspace_id: "11111111-2222-3333-4444-555555555555".to_owned(),
            table: "AKSAudit".to_owned(),
            cluster: RESOURCE.to_owned(),
        }),
    ]
}

fn of_user(name: &str) -> Incident {
    let mut finding: Finding = strategy::plain_finding(7, Level::High, 12);
    finding.group = GroupKey(vec![GroupValue::Text(name.to_owned())]);
    std::sync::Arc::make_mut(&mut finding.rule).group_by = vec!["user.username".to_owned()];
    finding.sources.add(stakeout_core::address::SourceIp::of([198, 51, 100, 7].into()));
    incidents([&finding], &IncidentOptions::default()).into_iter().next().expect("an incident")
}

fn of_address() -> Incident {
    let finding = strategy::plain_finding(7, Level::High, 12);
    incidents([&finding], &IncidentOptions::default()).into_iter().next().expect("an incident")
}

fn unescaped(text: &str, mark: char) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c == mark {
            let digits: String = rest.by_ref().take(2).collect();
            bytes.push(u8::from_str_radix(&digits, 16).expect("two digits"));
        } else {
            bytes.extend(c.to_string().bytes());
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}

fn between<'t>(text: &'t str, begin: &str, end: &str) -> &'t str {
    let (_, rest) = text.split_once(begin).unwrap_or_else(|| panic!("{begin} is not in {text}"));
    rest.split_once(end).map_or(rest, |(found, _)| found)
}

/// Reads the query, the log and the span out of an address, as the console does.
fn read_back(url: &str) -> (String, String, String) {
    if url.contains(".console.aws.amazon.com/") {
        let detail = unescaped(between(url, "#logsV2:logs-insights", "\0"), '$');
        let part = |name: &str| unescaped(between(&detail, &format!("~{name}~'"), "~"), '*');
        let source = unescaped(between(&detail, "~source~(~'", "))"), '*');
        let end = unescaped(between(&detail, "~(end~'", "~"), '*');
        return (part("editorString"), source, format!("{}/{end}", part("start")));
    }
    if url.starts_with("https://console.cloud.google.com/logs/query;") {
        let query = unescaped(between(url, ";query=", ";"), '%');
        return (query, between(url, "?project=", "\0").to_owned(), unescaped(between(url, ";timeRange=", "?"), '%'));
    }
    let zipped = STANDARD.decode(unescaped(between(url, "/q/", "/"), '%')).expect("base64");
    let query = std::io::read_to_string(GzDecoder::new(&zipped[..])).expect("gzip");
    let resource = unescaped(between(url, "/resourceId/", "/"), '%');
    (query, resource, unescaped(between(url, "/timespan/", "\0"), '%'))
}

#[test]
fn a_link_is_read_back_into_the_query_that_it_means() {
    let span = "2026-11-22T00:59:52Z/2026-11-22T01:31:10Z";
    let search = Search::of(&of_address()).expect("an address");
    let read: Vec<_> = consoles().iter().map(|console| read_back(&console.url(&search).expect("a link"))).collect();
    let expected = [
        (
            "fields @timestamp, verb, requestURI, responseStatus.code, user.username, userAgent\n\
             | filter @logStream like \"kube-apiserver-audit\"\n| filter @message like \"198.51.100.7\"\n\
             | sort @timestamp asc\n| limit 1000",
            "/aws/eks/prod/cluster",
        ),
        (
            "resource.type=\"k8s_cluster\"\nAND resource.labels.cluster_name=\"prod\"\n\
             AND resource.labels.location=\"europe-west1\"\nAND protoPayload.serviceName=\"k8s.io\"\n\
             AND protoPayload.requestMetadata.callerIp=\"198.51.100.7\"",
            "acme-prod",
        ),
        (
            "AKSAudit\n| where _ResourceId endswith \"/prod\"\n| where tostring(SourceIps) contains \"198.51.100.7\"\n\
             | sort by TimeGenerated asc\n| take 1000",
            RESOURCE,
        ),
    ];
    for ((query, log, time), (expected, of)) in read.iter().zip(expected) {
        assert_eq!((query.as_str(), log.as_str(), time.as_str()), (expected, of, span));
    }
    LoggingFilter::parse(&read[1].0).expect("a filter of Cloud Logging");
}

/// Returns the words of a command as a shell reads them.
fn words(command: &str) -> Vec<String> {
    let script = format!("set -f; for word in {command}; do printf '%s\\0' \"$word\"; done");
    let output = Command::new("sh").args(["-c", &script]).output().expect("a shell");
    assert!(output.status.success(), "{command}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.split_terminator('\0').map(str::to_owned).collect()
}

fn word_after<'w>(words: &'w [String], flag: &str) -> &'w str {
    let at = words.iter().position(|word| word == flag).unwrap_or_else(|| panic!("{flag} is not in {words:?}"));
    &words[at + 1]
}

#[test]
fn a_command_is_read_by_a_shell_into_the_same_query() {
    for search in [&of_address(), &of_user("system:serviceaccount:default:ci")].map(|it| Search::of(it).expect("known"))
    {
        let [aws, gcloud, az] = consoles().map(|console| words(&console.command(&search).expect("a command")));
        let tools = [&aws[..3], &gcloud[..3], &az[..4]].map(|words| words.join(" "));
        assert_eq!(tools, ["aws logs filter-log-events", "gcloud logging read", "az monitor log-analytics query"]);
        FilterPattern::parse(word_after(&aws, "--filter-pattern")).expect("a filter pattern");
        LoggingFilter::parse(&gcloud[3]).expect("a filter of Cloud Logging");
        assert_eq!(word_after(&gcloud, "--project"), "acme-prod");
        assert!(word_after(&az, "--analytics-query").starts_with("AKSAudit | where _ResourceId endswith \"/prod\" | "));
    }
}

/// Whoever calls himself something hostile is searched for by his addresses.
#[test]
fn hostile_names_leave_no_place() {
    let mut runner = TestRunner::deterministic();
    let text = strategy::text(128);
    let quotes = ["'; rm -rf ~ #", "$(id)", "`id`", "a\" or \"b", "a\nb", "--config=x", "~(x)", "*2f", "%27", "{}"];
    let drawn = (0..200).map(|_| text.new_tree(&mut runner).expect("drawn").current());
    for name in drawn.chain(quotes.map(str::to_owned)) {
        let incident = of_user(&name);
        let Some(search) = Search::of(&incident) else { continue };
        let plain = Search::of(&of_user("jane")).expect("a name");
        for console in consoles() {
            let (query, log, time) = read_back(&console.url(&search).expect("a link"));
            let (_, same_log, same_time) = read_back(&console.url(&plain).expect("a link"));
            assert_eq!((query.as_str(), log, time), (console.query(&search).as_str(), same_log, same_time), "{name:?}");
            let url = console.url(&search).expect("a link");
            let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.~%$*:;/?#=()'".contains(c);
            assert!(url.chars().all(is_allowed), "{url}");
            let of_hostile = words(&console.command(&search).expect("a command"));
            let of_plain = words(&console.command(&plain).expect("a command"));
            assert_eq!(of_hostile.len(), of_plain.len(), "{of_hostile:?}");
        }
    }
}
