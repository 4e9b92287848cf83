//! The verb `demo`: the whole pipeline against fakes on this machine, with recorded audit logs.
//!
//! Nothing in it is pretended: the config is read, the logs are fetched over the wire, the state is written to a
//! temporary directory, and what is shown is what the fake of Slack received.

mod clouds;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use indicatif::ProgressBar;
use stakeout_core::time::Second;
use stakeout_fakes::{Slack, Sns, render};

use crate::bootstrap;
use crate::clock;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::in_flight::InFlight;
use crate::rule_files;
use crate::shutdown::shutdown;
use crate::tick::WaitPolicy;
use crate::watch::Watch;
use crate::writer::Writer;
use clouds::{Cloud, Served};

/// Columns of a rendered message.
const WIDTH: usize = 100;

/// How long after its window's begin a scene begins, in seconds.
const SCENE_BEGINS_SECONDS: i64 = 600;

/// What the EKS cluster sees beside kube-hunter in the first window, and in the second. Recorded from a real API server
/// that kube-hunter, nmap, ffuf, gobuster and kubectl scanned.
#[cfg(feature = "aws")]
const SCENES: [&[(&str, &[u8])]; 2] = [
    &[
        ("a stolen service account", include_bytes!("../../../tests/data/audit/rbac-enumeration.audit.log.gz")),
        ("controllers, kubelets, probes", include_bytes!("../../../tests/data/audit/benign.audit.log.gz")),
    ],
    &[("nmap, ffuf, gobuster and a botnet", include_bytes!("../../../tests/data/audit/anonymous-scan.audit.log.gz"))],
];

/// What `stakeout demo` is told.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Keep the fakes running, and print their addresses and a config for them
    #[arg(long)]
    keep: bool,
}

/// Runs the daemon through two windows and shows what it told.
pub(crate) fn run(args: &DemoArgs) -> Result<Exit, Failure> {
    bootstrap::runtime()?.block_on(show(args))?;
    Ok(Exit::Done)
}

async fn show(args: &DemoArgs) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot make a folder for the demo's state")?;
    let clouds = Cloud::start_all().await?;
    let slack = Slack::start().await.context("cannot start a fake")?;
    let sns = Sns::start().await.context("cannot start a fake")?;
    let topic = sns.create_topic("eu-west-1", "stakeout-demo");
    let config_path = folder.path().join("stakeout.yaml");
    std::fs::write(&config_path, config_text(&clouds, &slack, &sns, &topic))
        .context("cannot write the demo's config")?;
    let config =
        Config::load(&config_path, &|_| None).map_err(|faults| anyhow!("the demo's config is wrong: {faults:?}"))?;
    let rules = rule_files::load(&[]).map_err(|faults| anyhow!("the shipped rules are wrong: {faults:?}"))?;
    let last = config.schedule.tick_before(Second::from(clock::now())).context("the schedule has no tick")?;
    let ticks = [last.plus(-3600), last];
    let writer = Writer::start(config.state_path.clone()).context("cannot open the demo's state")?;
    let watch = Arc::new(Watch::new(config, rules, writer, InFlight::default()).await?);
    let mut out = io::stdout();
    let names: Vec<&str> = clouds.iter().map(Cloud::name).collect();
    writeln!(out, "Stakeout demo, on this machine only: audit logs from fakes of {}.", names.join(", "))?;
    let (_switch, asked) = shutdown();
    let mut told = 0;
    for (scene, tick) in ticks.into_iter().enumerate() {
        let schedule = &watch.config().schedule;
        let (earliest, latest) = (tick.plus(schedule.earliest_seconds), tick.plus(schedule.latest_seconds));
        writeln!(out, "\nAt {tick} the window [{earliest}, {latest}) is read.")?;
        let fed = feed(&mut out, &clouds, scene, earliest.plus(SCENE_BEGINS_SECONDS))?;
        let before: Vec<Served> = clouds.iter().map(Cloud::served).collect();
        let ticked = watch.tick(tick, WaitPolicy::UntilDone, &asked, &ProgressBar::hidden()).await?;
        for ((cloud, before), fed) in clouds.iter().zip(&before).zip(fed) {
            let served = cloud.served();
            writeln!(
                out,
                "  fetched from {}: {} records for {fed} new ones, {} bytes in {} answers",
                cloud.name(),
                served.records - before.records,
                served.bytes - before.bytes,
                served.answers - before.answers,
            )?;
        }
        writeln!(out, "  windows read: {}, messages told: {}", ticked.windows, ticked.messages)?;
        let messages = slack.messages();
        for message in &messages[told..] {
            writeln!(out, "\n{}", render::render(message, WIDTH))?;
        }
        told = messages.len();
    }
    writeln!(out, "\nSlack received {told} messages, SNS {} findings.", sns.messages().len())?;
    writeln!(out, "{}", watch.writer().summary().await?)?;
    if args.keep {
        keep(&mut out, &config_path, &clouds, &slack, &sns).await?;
    }
    Ok(())
}

fn config_text(clouds: &[Cloud], slack: &Slack, sns: &Sns, topic: &str) -> String {
    let sources: String = clouds.iter().map(Cloud::source).collect();
    format!(
        "state: {{path: state}}
sources:
{sources}notify:
  - {{name: secops, slack: {{webhook_url: \"{}\"}}}}
  - {{name: bus, sns: {{topic_arn: \"{topic}\", endpoint: \"{}\"}}}}
",
        slack.webhook_url(),
        sns.endpoint()
    )
}

/// Puts a scene's records into the logs; returns how many each log got. One attacker visits all clouds in the first.
fn feed(out: &mut impl Write, clouds: &[Cloud], scene: usize, begin: Second) -> Result<Vec<usize>> {
    let mut fed = vec![0; clouds.len()];
    for (cloud, fed) in clouds.iter().zip(&mut fed) {
        if scene == 0 {
            let n = cloud.feed_kube_hunter(begin).context("cannot feed kube-hunter")?;
            writeln!(out, "  in the log of {}: {n:>5} records of kube-hunter", cloud.name())?;
            *fed += n;
        }
        #[cfg(feature = "aws")]
        for (title, recording) in SCENES[scene] {
            let n = cloud.feed_lines(recording, begin).with_context(|| format!("cannot feed {title}"))?;
            if n > 0 {
                writeln!(out, "  in the log of {}: {n:>5} records of {title}", cloud.name())?;
            }
            *fed += n;
        }
    }
    Ok(fed)
}

async fn keep(out: &mut impl Write, config: &Path, clouds: &[Cloud], slack: &Slack, sns: &Sns) -> Result<()> {
    for cloud in clouds {
        writeln!(out, "{:<22} {}", cloud.name(), cloud.endpoint())?;
    }
    writeln!(out, "{:<22} {}\n{:<22} {}", "Slack", slack.url(), "SNS", sns.endpoint())?;
    writeln!(out, "{:<22} {}\nPress Ctrl-C to end.", "config", config.display())?;
    tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")
}
