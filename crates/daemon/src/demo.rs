//! The verb `demo`: the whole pipeline against fakes on this machine, with recorded audit logs.
//!
//! Every step is real: it reads a config, fetches the logs over the wire, writes the state to a temporary directory, and
//! shows the messages that the fake of Slack received.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use stakeout_core::text::counted;
use stakeout_core::time::Second;
use stakeout_fakes::slack_api::{BOT_TOKEN, CHANNEL, PostedMessage};
use stakeout_fakes::{SlackApi, render};
use stakeout_ledger::Stay;

use crate::bootstrap;
use crate::clock;
use crate::cloud::{Fake, Served, start_fakes};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::rule_files;
use crate::schedule::TickTime;
use crate::section::secret::SecretScope;
use crate::shutdown::{Shutdown, shutdown, stop_signal};
use crate::watch::Watch;

/// Columns of everything that is printed.
const WIDTH: usize = 80;
/// Digits of a uid that are printed.
const UID_DIGITS: usize = 8;
/// Lines of the steps that are printed of a message.
const STEP_LINES_MAX: usize = 4;

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
    let slack = SlackApi::start().await.context("cannot start the fake of Slack")?;
    let config_path = folder.path().join("stakeout.yaml");
    std::fs::write(&config_path, config_text(&clouds, &slack)).context("cannot write the demo's config")?;
    let (switch, asked) = shutdown();
    let mut stop = pin!(stop_signal());
    // Whoever stops it in the middle leaves no directory behind either.
    tokio::select! {
        stopped = &mut stop => {
            switch.request();
            return stopped.context("cannot wait for a signal");
        }
        watched = watch(&config_path, &clouds, &slack, &asked) => watched?,
    }
    let mut out = io::stdout();
    print_next(&mut out, args.keep.then_some(&config_path), &slack)?;
    if args.keep {
        print_fakes(&mut out, &config_path, &clouds, &slack)?;
        stop.await.context("cannot wait for a signal")?;
    }
    Ok(())
}

/// Reads two windows as the daemon does, and prints what Slack shows after each.
async fn watch(config_path: &Path, clouds: &[Box<dyn Fake>], slack: &SlackApi, asked: &Shutdown) -> Result<()> {
    let config = Config::load(config_path, &|_| None, SecretScope::ALL)
        .map_err(|faults| anyhow!("the demo's config is wrong: {faults:?}"))?;
    let rules = rule_files::load(&[]).map_err(|faults| anyhow!("the shipped rules are wrong: {faults:?}"))?;
    let last = config.schedule.tick_before(Second::from(clock::now())).context("the schedule has no tick")?;
    let process = bootstrap::process(&config, Stay::Brief)?;
    let watch = Arc::new(Watch::new(config, rules, process)?);
    let mut out = io::stdout();
    let names: Vec<&str> = clouds.iter().map(|cloud| cloud.name()).collect();
    writeln!(out, "Stakeout demo: recorded attacks in the audit logs of {},", counted(clouds.len(), "cluster"))?;
    writeln!(out, "read from fakes of these services. Nothing leaves this machine.")?;
    names.iter().try_for_each(|name| writeln!(out, "  {name}"))?;
    let mut shown = Vec::new();
    for (number, tick) in [last.plus(-3600), last].into_iter().enumerate() {
        let schedule = &watch.config().schedule;
        let (earliest, latest) = (tick.plus(schedule.earliest_seconds), tick.plus(schedule.latest_seconds));
        let added = add_records(clouds, number, earliest.plus(RECORDINGS_START_SECONDS))?;
        let before = served(clouds);
        watch.tick(TickTime::chosen(tick), asked, &ProgressBar::hidden()).await?;
        let fetched = served(clouds);
        writeln!(out, "\n{} to {}: {added} audit records.", hour(earliest), hour(latest))?;
        writeln!(
            out,
            "Stakeout fetched {} ({}) in {}.",
            counted(fetched.records - before.records, "record"),
            counted(fetched.bytes - before.bytes, "byte"),
            counted(fetched.answers - before.answers, "answer"),
        )?;
        let now = slack.messages();
        print_changes(&mut out, &shown, &now)?;
        shown = now;
    }
    let in_channel = shown.iter().filter(|message| message.thread_ts.is_none()).count();
    let lines = shown.len() - in_channel;
    writeln!(out, "\nSlack has {}, and {} in their threads.", counted(in_channel, "message"), counted(lines, "line"))?;
    Ok(())
}

/// Returns what the fakes have served so far.
fn served(clouds: &[Box<dyn Fake>]) -> Served {
    clouds.iter().map(|cloud| cloud.served()).fold(Served::default(), |sum, more| Served {
        records: sum.records + more.records,
        bytes: sum.bytes + more.bytes,
        answers: sum.answers + more.answers,
    })
}

/// Returns the time of a day in UTC.
fn hour(at: Second) -> String {
    let written = at.to_string();
    written.get(11..16).unwrap_or(&written).to_owned()
}

/// Prints the messages that were posted or edited since `before`, each with what matters first.
fn print_changes(out: &mut impl Write, before: &[PostedMessage], now: &[PostedMessage]) -> Result<()> {
    for message in now {
        let known = before.iter().find(|known| known.ts == message.ts);
        let what = match (known, &message.thread_ts) {
            (Some(known), _) if known.edits == message.edits => continue,
            (Some(_), _) => "Slack: the message is edited",
            (None, None) => "Slack: a message",
            (None, Some(_)) if message.is_broadcast => "Slack: a line in its thread, shown in the channel too",
            (None, Some(_)) => "Slack: a line in its thread",
        };
        writeln!(out, "\n{what}\n{}", render::render(&abridged(&message.payload), WIDTH).trim_end())?;
    }
    Ok(())
}

/// Returns the message with its title, the sentence, the first steps, and what to do next.
fn abridged(payload: &Value) -> Value {
    let blocks = payload["blocks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |block: &Value| block["text"]["text"].as_str().unwrap_or_default().to_owned();
    let is_kept = |(at, block): &(usize, &Value)| {
        let text = text(block);
        *at < 2 || text.starts_with("*Steps*") || text.starts_with("*Next step*")
    };
    let shortened = |(_, block): (usize, &Value)| {
        let mut block = block.clone();
        let lines: Vec<String> = text(&block).lines().take(1 + STEP_LINES_MAX).map(str::to_owned).collect();
        if block["type"] == "section" {
            block["text"]["text"] = Value::from(lines.join("\n"));
        }
        block
    };
    let kept: Vec<Value> = blocks.iter().enumerate().filter(is_kept).map(shortened).collect();
    json!({"text": payload["text"], "blocks": kept})
}

/// Prints three commands that go on from here.
fn print_next(out: &mut impl Write, config: Option<&PathBuf>, slack: &SlackApi) -> Result<()> {
    writeln!(out, "\nNext:")?;
    match config {
        None => {
            writeln!(out, "  stakeout demo --keep    # the same, to try every command on")?;
            writeln!(out, "  stakeout rules list     # what it looks for")?;
            writeln!(out, "  stakeout doctor --help  # then your own clusters: docs/quick-start-*.md")?;
        }
        Some(config) => {
            let config = config.display();
            writeln!(out, "  stakeout incidents list -c {config}")?;
            let uid = slack.messages().iter().find_map(|message| uid_in(&message.payload));
            writeln!(out, "  stakeout incidents show {} -c {config}", uid.unwrap_or_default())?;
            writeln!(out, "  stakeout doctor -c {config}")?;
        }
    }
    Ok(())
}

/// Returns the first digits of the uid of the incident that a message is about, which are enough to find it.
fn uid_in(payload: &Value) -> Option<String> {
    let text = payload.to_string();
    let (_, rest) = text.split_once("stakeout incidents show ")?;
    Some(rest.chars().take_while(char::is_ascii_hexdigit).take(UID_DIGITS).collect())
}

fn config_text(clouds: &[Box<dyn Fake>], slack: &SlackApi) -> String {
    let sources: String = clouds.iter().map(|cloud| format!("  - {}\n", cloud.source())).collect();
    let (endpoint, (channel, _)) = (slack.endpoint(), CHANNEL);
    format!(
        "state: {{path: state}}
sources:
{sources}notify:
  - name: secops
    slack: {{bot_token: {BOT_TOKEN}, channel: {channel}, endpoint: \"{endpoint}\"}}
"
    )
}

/// Puts the records of a window into the logs, and returns how many. In the first window one attacker scans all clouds.
fn add_records(clouds: &[Box<dyn Fake>], number: usize, begin: Second) -> Result<usize> {
    let mut added = 0;
    for cloud in clouds {
        if number == 0 {
            added += cloud.add_kube_hunter(begin).context("cannot add the recording of kube-hunter")?;
        }
        for (title, recording) in RECORDINGS[number] {
            let records = cloud.add_audit_log(recording, begin);
            added += records.with_context(|| format!("cannot add the recording of {title}"))?;
        }
    }
    Ok(added)
}

fn print_fakes(out: &mut impl Write, config: &Path, clouds: &[Box<dyn Fake>], slack: &SlackApi) -> Result<()> {
    writeln!(out, "\nThe fakes go on until Ctrl-C:")?;
    for cloud in clouds {
        writeln!(out, "  {:<22} {}", cloud.name(), cloud.endpoint())?;
    }
    writeln!(out, "  {:<22} {}\n  {:<22} {}", "Slack", slack.endpoint(), "config", config.display())?;
    Ok(out.flush()?)
}
