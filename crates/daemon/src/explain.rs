//! The verb `explain`: shows why a rule matches events or not, condition by condition.

mod tree;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use serde::Serialize;
use stakeout_core::finder::Unusable;
use stakeout_core::observation::Observation;
use stakeout_core::rule::Explanation;
use stakeout_core::text::{bounded, counted, visible};
use tracing::{error, warn};

use crate::bootstrap::warn_of;
use crate::config::RuleSource;
use crate::exit::{Exit, Failure, written};
use crate::printed::{Format, FormatArgs};
use crate::replay::files::{FileEvent, FilesArgs};
use crate::rule_files;

/// Most events that are explained. For whole logs there is `replay`.
const EVENTS_MAX: u64 = 100;
/// Longest text of an event in its heading, in characters.
const HEADING_CHARS_MAX: usize = 120;

/// The arguments of `stakeout explain`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  stakeout explain kubernetes-pod-scan-by-anonymous event.json
  grep 7f9d audit.log | stakeout explain kubernetes-cluster-scan-by-anonymous -
  stakeout explain my-rule --rules ./my-rules -o json events.json
  gcloud logging read 'insertId=\"abc\"' --format=json |
    stakeout explain kubernetes-cluster-scan-by-anonymous -

It explains at most 100 events. JSON has one object per line.
Exit codes: 0 done, 1 an event cannot be read, 2 usage, 65 no audit events,
78 rule error")]
pub(crate) struct ExplainArgs {
    /// Rules to use: `builtin`, a file or a directory; may be repeated [default: builtin]
    #[arg(long, value_name = "DIR")]
    rules: Vec<RuleSource>,
    #[command(flatten)]
    reading: FilesArgs,
    #[command(flatten)]
    output: FormatArgs,
    /// The rule's name
    #[arg(value_name = "RULE")]
    rule: String,
    /// Files with one or several events, in any form that `replay` reads; `-` is standard input
    #[arg(required = true, value_name = "EVENT")]
    events: Vec<PathBuf>,
}

/// An event with its explanation.
#[derive(Serialize)]
struct Explained<'a> {
    event: &'a str,
    time: String,
    #[serde(flatten)]
    explanation: &'a Explanation,
}

/// Explains the events.
pub(crate) fn run(args: &ExplainArgs) -> Result<Exit, Failure> {
    let rules = rule_files::load(&args.rules).map_err(Failure::Config)?;
    warn_of(&rules);
    let rule = rule_files::named(&rules, &args.rule)?;
    let (trusted, format) = (args.reading.trusted(), args.output.format());
    let mut out = BufWriter::new(io::stdout().lock());
    let (mut explained, mut unreadable, mut foreign) = (0_u64, 0_u64, 0_u64);
    let read = args.reading.events(&args.events, &mut |event| {
        if explained + unreadable + foreign >= EVENTS_MAX {
            warn!("there are more events: only the first {EVENTS_MAX} are explained");
            return Ok(false);
        }
        let output = match &event.read {
            Err(error) => {
                match error {
                    Unusable::Damaged(_) => unreadable += 1,
                    Unusable::Foreign(_) | Unusable::Skipped(_) => foreign += 1,
                }
                unread(&mut out, format, &event, error)
            }
            Ok(observation) => {
                explained += 1;
                let explanation = rules.explain(rule, observation, &trusted);
                write(&mut out, format, &event, observation, &explanation)
            }
        };
        match output {
            // The reader closed the pipe, as `head` does.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            result => written(result).map(|()| true),
        }
    });
    read?;
    written(out.flush())?;
    let records = counted(explained + unreadable + foreign, "record");
    if unreadable + foreign > 0 && (explained == 0 || unreadable > explained) {
        error!("{explained} of {records} can be explained as audit events");
        return Ok(Exit::Unusable);
    }
    if unreadable > 0 {
        return Err(anyhow!("{unreadable} of {records} cannot be read").into());
    }
    if explained == 0 {
        error!("the input is empty: check where it comes from");
        return Ok(Exit::Unusable);
    }
    Ok(Exit::Done)
}

fn write(
    out: &mut impl Write,
    format: Format,
    event: &FileEvent,
    observation: &Observation,
    explanation: &Explanation,
) -> io::Result<()> {
    let time = observation.first.to_string();
    match format {
        Format::Json => {
            let explained = Explained { event: &event.location, time, explanation };
            writeln!(out, "{}", serde_json::to_string(&explained)?)
        }
        Format::Text => {
            writeln!(out, "{}: {}", event.location, heading(observation))?;
            if event.is_truncated {
                writeln!(out, "  the record is truncated: its end is missing")?;
            }
            tree::write(out, explanation)
        }
    }
}

fn unread(out: &mut impl Write, format: Format, event: &FileEvent, error: &Unusable) -> io::Result<()> {
    let error = visible(&match error {
        Unusable::Damaged(_) | Unusable::Skipped(_) => error.to_string(),
        Unusable::Foreign(foreign) => format!("not an audit event: {}", foreign.what),
    });
    match format {
        Format::Json => writeln!(out, "{}", serde_json::json!({"event": event.location, "error": error})),
        Format::Text => writeln!(out, "{}: {error}\n", event.location),
    }
}

/// Returns a summary of an event in one line.
fn heading(observation: &Observation) -> String {
    let event = &observation.event;
    let part = |text: &Option<String>| visible(&bounded(text.as_deref().unwrap_or("-"), HEADING_CHARS_MAX));
    let code = event.response_code.map_or_else(|| "-".to_owned(), |code| code.to_string());
    let (verb, uri, username) = (part(&event.verb), part(&event.request_uri), part(&event.username));
    let cluster = visible(&bounded(&observation.cluster, HEADING_CHARS_MAX));
    format!("{} {verb} {uri} by {username}: {code} (cluster {cluster})", observation.first)
}
