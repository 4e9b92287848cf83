//! The verb `demo`: the whole pipeline against stand-ins on this machine, with recorded audit logs.
//!
//! Nothing in it is pretended: the config is read, the logs are fetched over the wire, the state is written to a
//! temporary directory, and what is shown is what the stand-in of Slack received.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use flate2::read::GzDecoder;
use indicatif::ProgressBar;
use stakeout_core::decode::decode;
use stakeout_core::time::Second;
use stakeout_standin::cloudwatch_logs::LogGroupClass;
use stakeout_standin::{CloudWatchLogs, Slack, Sns, render};

use crate::busy::Busy;
use crate::clock;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::loading;
use crate::rule_files;
use crate::shutdown::shutdown;
use crate::watch::{Patience, Watch};
use crate::writer::Writer;

/// The log group that the stand-in keeps.
const LOG_GROUP: &str = "/aws/eks/demo/cluster";
/// The stream that the recorded API server writes to.
const STREAM: &str = "kube-apiserver-audit-0a1b2c3d4e5f60718293a4b5c6d7e8f9";
/// Columns of a rendered message.
const WIDTH: usize = 100;

/// How long after its window's begin a scene begins, in seconds.
const SCENE_BEGINS_SECONDS: i64 = 600;

/// What happens in the first and in the second window. Recorded from a real API server that kube-hunter, nmap, ffuf,
/// gobuster and kubectl scanned.
const SCENES: [&[(&str, &[u8])]; 2] = [
    &[
        ("kube-hunter, active and passive", include_bytes!("../../../tests/data/audit/kube-hunter.audit.log.gz")),
        ("a stolen service account", include_bytes!("../../../tests/data/audit/rbac-enumeration.audit.log.gz")),
        ("controllers, kubelets, probes", include_bytes!("../../../tests/data/audit/benign.audit.log.gz")),
    ],
    &[("nmap, ffuf, gobuster and a botnet", include_bytes!("../../../tests/data/audit/anonymous-scan.audit.log.gz"))],
];

/// What `stakeout demo` is told.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Keep the stand-ins running, and print their addresses and a config for them
    #[arg(long)]
    keep: bool,
}

/// Runs the daemon through two windows and shows what it told.
pub(crate) fn run(args: &DemoArgs) -> Result<Exit, Failure> {
    loading::runtime()?.block_on(show(args))?;
    Ok(Exit::Done)
}

async fn show(args: &DemoArgs) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot make a folder for the demo's state")?;
    let logs = CloudWatchLogs::start().await.context("cannot start a stand-in")?;
    let slack = Slack::start().await.context("cannot start a stand-in")?;
    let sns = Sns::start().await.context("cannot start a stand-in")?;
    let topic = sns.create_topic("eu-west-1", "stakeout-demo");
    let config_path = folder.path().join("stakeout.yaml");
    std::fs::write(&config_path, config_text(&logs, &slack, &sns, &topic)).context("cannot write the demo's config")?;
    let config =
        Config::load(&config_path, &|_| None).map_err(|faults| anyhow!("the demo's config is wrong: {faults:?}"))?;
    let rules = rule_files::load(&[]).map_err(|faults| anyhow!("the shipped rules are wrong: {faults:?}"))?;
    let last = config.schedule.tick_before(Second::from(clock::now())).context("the schedule has no tick")?;
    let ticks = [last.plus(-3600), last];
    let writer = Writer::start(config.state_path.clone()).context("cannot open the demo's state")?;
    let watch = Arc::new(Watch::new(config, rules, writer, Busy::default()).await?);
    let mut out = io::stdout();
    writeln!(out, "Stakeout demo: EKS audit logs from a stand-in of CloudWatch Logs, on this machine only.")?;
    let (_switch, asked) = shutdown();
    let (mut stored, mut told) = (0, 0);
    for (tick, scene) in ticks.into_iter().zip(SCENES) {
        let schedule = &watch.config().schedule;
        let (earliest, latest) = (tick.plus(schedule.earliest_seconds), tick.plus(schedule.latest_seconds));
        writeln!(out, "\nAt {tick} the window [{earliest}, {latest}) is read.")?;
        let begin = earliest.plus(SCENE_BEGINS_SECONDS);
        for (title, recording) in scene {
            let n = ingest(&logs, recording, begin).with_context(|| format!("cannot feed {title}"))?;
            writeln!(out, "  in the log: {n:>5} audit events of {title}")?;
            stored += n;
        }
        let before = logs.served();
        let ticked = watch.tick(tick, Patience::UntilDone, &asked, &ProgressBar::hidden()).await?;
        let served = logs.served();
        writeln!(
            out,
            "  fetched: {} of {stored} events, {} bytes in {} pages, for {}; told: {} messages",
            served.events - before.events,
            served.bytes - before.bytes,
            served.pages - before.pages,
            if ticked.windows > 1 { "this window and another look at the one before" } else { "this window" },
            ticked.messages
        )?;
        let messages = slack.messages();
        for message in &messages[told..] {
            writeln!(out, "\n{}", render::render(message, WIDTH))?;
        }
        told = messages.len();
    }
    writeln!(out, "\nSlack received {told} messages, SNS {} findings.", sns.messages().len())?;
    writeln!(out, "{}", watch.writer().summary().await?)?;
    if args.keep {
        keep(&mut out, &config_path, &logs, &slack, &sns).await?;
    }
    Ok(())
}

fn config_text(logs: &CloudWatchLogs, slack: &Slack, sns: &Sns, topic: &str) -> String {
    format!(
        "state: {{path: state}}
sources:
  - {{name: demo-eks, cloudwatch: {{region: eu-west-1, log_group: {LOG_GROUP}, endpoint: \"{}\"}}}}
notify:
  - {{name: secops, slack: {{webhook_url: \"{}\"}}}}
  - {{name: bus, sns: {{topic_arn: \"{topic}\", endpoint: \"{}\"}}}}
",
        logs.endpoint(),
        slack.webhook_url(),
        sns.endpoint()
    )
}

/// Puts a recording into the log, moved in time so that it begins at `begin`; returns its events.
fn ingest(logs: &CloudWatchLogs, recording: &[u8], begin: Second) -> Result<usize> {
    let mut text = String::new();
    GzDecoder::new(recording).read_to_string(&mut text).context("the recording is damaged")?;
    let timed: Vec<(i64, &str)> =
        text.lines().filter_map(|line| Some((decode(line.as_bytes()).ok()?.event.stage_time_ms()?, line))).collect();
    let first = timed.iter().map(|(at, _)| *at).min().context("the recording is empty")?;
    logs.create_group(LOG_GROUP, LogGroupClass::Standard);
    for (at, line) in &timed {
        logs.ingest(LOG_GROUP, STREAM, begin.millis() + at - first, line);
    }
    Ok(timed.len())
}

async fn keep(out: &mut impl Write, config: &Path, logs: &CloudWatchLogs, slack: &Slack, sns: &Sns) -> Result<()> {
    writeln!(
        out,
        "CloudWatch Logs {}\nSlack           {}\nSNS             {}",
        logs.endpoint(),
        slack.url(),
        sns.endpoint()
    )?;
    writeln!(out, "config          {}\nPress Ctrl-C to end.", config.display())?;
    tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")
}
