//! The verb `demo`: the whole pipeline against fakes on this machine, with recorded audit logs.
//!
//! Every step is real: it reads a config, fetches the logs over the wire, writes the state to a temporary directory, and
//! shows the messages that the fake of Slack received.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use indicatif::ProgressBar;
use stakeout_core::text::counted;
use stakeout_core::time::Second;
use stakeout_fakes::{Slack, Sns, render};
use stakeout_ledger::Stay;

use crate::address_files::AddressFiles;
use crate::bootstrap;
use crate::clock;
use crate::cloud::{Fake, Served, start_fakes};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::in_flight::InFlight;
use crate::rule_files;
use crate::schedule::TickTime;
use crate::section::secret::SecretScope;
use crate::shutdown::shutdown;
use crate::silence_book::SilenceBook;
use crate::watch::Watch;
use crate::writer::Writer;

/// Columns of a rendered message.
const WIDTH: usize = 100;

/// Seconds from the start of a window to its recordings.
const RECORDINGS_START_SECONDS: i64 = 600;

/// Audit logs of the first and the second window, beside kube-hunter's. They were recorded from a real API server under
/// scans by nmap, ffuf, gobuster and kubectl.
const RECORDINGS: [&[(&str, &[u8])]; 2] = [
    &[
        ("a stolen service account", include_bytes!("../../../tests/data/audit/rbac-enumeration.audit.log.gz")),
        ("controllers, kubelets, probes", include_bytes!("../../../tests/data/audit/benign.audit.log.gz")),
    ],
    &[("nmap, ffuf, gobuster and a botnet", include_bytes!("../../../tests/data/audit/anonymous-scan.audit.log.gz"))],
];

/// The arguments of `stakeout demo`.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Keep the fakes running after the demo, and print their addresses and a config for them
    #[arg(long)]
    keep: bool,
}

/// Runs the daemon over two windows and shows the messages that it sent.
pub(crate) fn run(args: &DemoArgs) -> Result<Exit, Failure> {
    bootstrap::runtime()?.block_on(show(args))?;
    Ok(Exit::Done)
}

async fn show(args: &DemoArgs) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot create a directory for the demo's state")?;
    let clouds = start_fakes().await?;
    let slack = Slack::start().await.context("cannot start the fake of Slack")?;
    let sns = Sns::start().await.context("cannot start the fake of SNS")?;
    let topic = sns.create_topic("eu-west-1", "stakeout-demo");
    let config_path = folder.path().join("stakeout.yaml");
    std::fs::write(&config_path, config_text(&clouds, &slack, &sns, &topic))
        .context("cannot write the demo's config")?;
    let config = Config::load(&config_path, &|_| None, SecretScope::ALL)
        .map_err(|faults| anyhow!("the demo's config is wrong: {faults:?}"))?;
    let rules = rule_files::load(&[]).map_err(|faults| anyhow!("the shipped rules are wrong: {faults:?}"))?;
    let last = config.schedule.tick_before(Second::from(clock::now())).context("the schedule has no tick")?;
    let ticks = [last.plus(-3600), last];
    let writer = Writer::start(config.state.path.clone(), Stay::Brief).context("cannot open the demo's state")?;
    let watch = Arc::new(Watch::new(
        config,
        rules,
        writer,
        InFlight::default(),
        SilenceBook::default(),
        AddressFiles::default(),
    )?);
    let mut out = io::stdout();
    let names: Vec<&str> = clouds.iter().map(|cloud| cloud.name()).collect();
    writeln!(out, "Stakeout demo, on this machine only: audit logs from fakes of {}.", names.join(", "))?;
    let (_switch, asked) = shutdown();
    let mut sent = 0;
    for (number, tick) in ticks.into_iter().enumerate() {
        let schedule = &watch.config().schedule;
        let (earliest, latest) = (tick.plus(schedule.earliest_seconds), tick.plus(schedule.latest_seconds));
        writeln!(out, "\nAt {tick}, Stakeout reads the window [{earliest}, {latest}).")?;
        let added = add_records(&mut out, &clouds, number, earliest.plus(RECORDINGS_START_SECONDS))?;
        let before: Vec<Served> = clouds.iter().map(|cloud| cloud.served()).collect();
        let ticked = watch.tick(TickTime::chosen(tick), &asked, &ProgressBar::hidden()).await?;
        for ((cloud, before), added) in clouds.iter().zip(&before).zip(added) {
            let served = cloud.served();
            writeln!(
                out,
                "  fetched from {}: {} for {added} new ones, {} in {}",
                cloud.name(),
                counted(served.records - before.records, "record"),
                counted(served.bytes - before.bytes, "byte"),
                counted(served.answers - before.answers, "answer"),
            )?;
        }
        writeln!(out, "  windows read: {}, messages sent: {}", ticked.windows, ticked.messages)?;
        let messages = slack.messages();
        for message in &messages[sent..] {
            writeln!(out, "\n{}", render::render(message, WIDTH))?;
        }
        sent = messages.len();
    }
    writeln!(out, "\nSlack received {}, and SNS received {}.", counted(sent, "message"), sns.messages().len())?;
    writeln!(out, "{}", watch.writer().summary().await?)?;
    if args.keep {
        keep(&mut out, &config_path, &clouds, &slack, &sns).await?;
    }
    Ok(())
}

fn config_text(clouds: &[Box<dyn Fake>], slack: &Slack, sns: &Sns, topic: &str) -> String {
    let sources: String = clouds.iter().map(|cloud| format!("  - {}\n", cloud.source())).collect();
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

/// Puts the records of a window into the logs, and returns how many each log got. In the first window one attacker scans
/// all clouds.
fn add_records(out: &mut impl Write, clouds: &[Box<dyn Fake>], number: usize, begin: Second) -> Result<Vec<usize>> {
    let mut added = vec![0; clouds.len()];
    for (cloud, added) in clouds.iter().zip(&mut added) {
        if number == 0 {
            let n = cloud.add_kube_hunter(begin).context("cannot add the recording of kube-hunter")?;
            writeln!(out, "  in the log of {}: {n:>5} records of kube-hunter", cloud.name())?;
            *added += n;
        }
        for (title, recording) in RECORDINGS[number] {
            let n = cloud
                .add_audit_log(recording, begin)
                .with_context(|| format!("cannot add the recording of {title}"))?;
            if n > 0 {
                writeln!(out, "  in the log of {}: {n:>5} records of {title}", cloud.name())?;
            }
            *added += n;
        }
    }
    Ok(added)
}

async fn keep(out: &mut impl Write, config: &Path, clouds: &[Box<dyn Fake>], slack: &Slack, sns: &Sns) -> Result<()> {
    for cloud in clouds {
        writeln!(out, "{:<22} {}", cloud.name(), cloud.endpoint())?;
    }
    writeln!(out, "{:<22} {}\n{:<22} {}", "Slack", slack.url(), "SNS", sns.endpoint())?;
    writeln!(out, "{:<22} {}\nPress Ctrl-C to end.", "config", config.display())?;
    tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")
}
