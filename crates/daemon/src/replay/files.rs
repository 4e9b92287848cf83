//! Exported logs for verbs that are no replay: what their files hold, as one fold or event by event.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use clap::Args;
use indicatif::ProgressBar;
use ipnet::IpNet;
use serde::de::IgnoredAny;
use stakeout_core::address::TrustedProxies;
use stakeout_core::decode::{DecodeError, Decoded, Enveloped, decode};
use stakeout_core::fold::{self, CloseInput, Closed, Limits};
use stakeout_core::observation::Observation;
use stakeout_core::prefilter::Prefilter;
use stakeout_core::rule::Rules;
use stakeout_core::source::{LogId, Provider, Source};
use stakeout_core::time::{Second, Window};

use super::candidate_filter::Sieve;
use super::documents::documents;
use super::export::{self, Layout};
use super::feed::{Reading, unknown_source};
use super::kind::Kind;
use super::parts;
use super::pass::{Pass, pass};
use super::{Asked, HASH_KEY, Read, bar};
use crate::{input, network};

/// Longest input whose events are looked at one by one, in bytes.
const EVENTS_BYTES_MAX: u64 = 64 << 20;
/// Time that a record without one is given: nothing but filters that expire asks for it.
const TIME_LEFT_OUT: &str = "2026-01-01T00:00:00Z";

/// How files are read.
#[derive(Args, Debug)]
pub(crate) struct FilesArgs {
    /// What the files hold
    #[arg(long, value_enum, default_value_t = Asked::Auto)]
    kind: Asked,
    /// Name of the cluster, for records that bring none
    #[arg(long, value_name = "NAME", default_value = "local")]
    cluster: String,
    /// A proxy or balancer of your own, whose word about the address before it counts
    #[arg(long, value_name = "CIDR", value_parser = network::parse_argument)]
    trusted_proxy: Vec<IpNet>,
}

/// Files, folded as a replay folds them.
pub(crate) struct Folded {
    /// The rows, and the findings of the rules as they are.
    pub(crate) closed: Closed,
    /// What was read.
    pub(crate) read: Read,
}

/// One event of a file.
pub(crate) struct FileEvent {
    /// Where it stands: the file, and its number there.
    pub(crate) place: String,
    /// What it tells, or why it cannot be read.
    pub(crate) read: Result<Observation, DecodeError>,
    /// Whether its record was cut off or damaged.
    pub(crate) is_truncated: bool,
}

impl FilesArgs {
    /// Returns the trusted proxies.
    pub(crate) fn trusted(&self) -> TrustedProxies {
        TrustedProxies::new(self.trusted_proxy.clone())
    }

    /// Folds what the files hold of `window`.
    pub(crate) fn fold(
        &self,
        files: &[PathBuf],
        rules: &Arc<Rules>,
        window: Window,
        limits: Limits,
    ) -> anyhow::Result<Folded> {
        let trusted = self.trusted();
        let (kind, cluster) = (self.kind.known(), self.cluster.as_str().into());
        let reading =
            Reading { kind, cluster, trusted: &trusted, sieve: &Sieve::strict(&Prefilter::Any), counts_lines: true };
        let bar = bar(files);
        let open = || fold::open(rules.clone(), window, false, HASH_KEY, limits);
        let Pass { fold, read, source } = pass(&parts::parts(files, kind, 1), 1, &reading, open, &bar)?;
        bar.finish_and_clear();
        let source = source.unwrap_or_else(|| unknown_source(&self.cluster));
        let read_until = read.latest.unwrap_or(Second(0));
        let now = jiff::Timestamp::from_second(read_until.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let closed = fold.close(&source, CloseInput::nothing(source.log.clone(), read_until), now);
        Ok(Folded { closed, read })
    }

    /// Hands each event of the files to `observe`, also those that tell no request, until it says that this is enough.
    pub(crate) fn events(
        &self,
        files: &[PathBuf],
        observe: &mut dyn FnMut(FileEvent) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let trusted = self.trusted();
        for path in files {
            let (kind, records) = self.records(path)?;
            let mut last = None;
            for (place, record) in records.iter().enumerate() {
                let event = self.event(path, kind, place + 1, record, &trusted, &mut last);
                if !observe(event)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Returns the text of every record in a file.
    fn records(&self, path: &Path) -> anyhow::Result<(Kind, Vec<String>)> {
        let context = || format!("cannot read {}", path.display());
        let opened = input::open(path, &ProgressBar::hidden()).with_context(context)?;
        let (form, file) = export::form_of(opened, self.kind.known()).with_context(context)?;
        if let Some(feature) = form.kind.missing_feature() {
            return Err(anyhow!("this binary was built without the cargo feature {feature}")).with_context(context);
        }
        let mut bytes = Vec::new();
        file.take(EVENTS_BYTES_MAX + 1).read_to_end(&mut bytes).with_context(context)?;
        if bytes.len() as u64 > EVENTS_BYTES_MAX {
            return Err(anyhow!("more than {EVENTS_BYTES_MAX} bytes: name a file with the events in question"))
                .with_context(context);
        }
        let mut records = Vec::new();
        match form.layout {
            Layout::Lines => {
                let text = String::from_utf8_lossy(&bytes);
                records.extend(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned));
            }
            Layout::Documents => {
                documents(bytes.as_slice(), &mut |record| records.push(record.to_owned())).with_context(context)?;
            }
        }
        Ok((form.kind, records))
    }

    fn event(
        &self,
        path: &Path,
        kind: Kind,
        number: usize,
        record: &str,
        trusted: &TrustedProxies,
        last: &mut Option<Second>,
    ) -> FileEvent {
        let place = format!("{}:{number}", path.display());
        let read = if kind == Kind::Audit {
            decode(record.as_bytes()).map(|decoded| {
                let stage = decoded.event.stage_time_ms().map(Second::of_millis);
                *last = stage.or(*last).or_else(|| decoded.event.received_time_ms().map(Second::of_millis));
                (decoded, *last, None)
            })
        } else {
            let read = kind.read(&completed(kind, record));
            read.map(|Enveloped { decoded, time_ms, cluster, .. }| (decoded, Some(Second::of_millis(time_ms)), cluster))
        };
        let mut is_truncated = false;
        let read = read.map(|(decoded, at, cluster)| {
            is_truncated = decoded.is_truncated;
            let Decoded { event, .. } = decoded;
            let source = source(kind.provider(), cluster.as_deref().unwrap_or(&self.cluster));
            Observation::of_stage(&source, trusted, event, at.unwrap_or(Second(0)), || place.clone())
        });
        FileEvent { place, read, is_truncated }
    }
}

fn source(provider: Provider, cluster: &str) -> Source {
    Source { name: cluster.to_owned(), provider, cluster: cluster.into(), log: LogId(format!("{provider}/{cluster}")) }
}

/// Reads the event of a rule's case that is written as a cloud keeps it. Which cloud's it is shows in its members, and
/// what a case has no use for may be left out: times, and ids of records.
pub(crate) fn read_case(json: &str) -> Result<(Provider, Enveloped), DecodeError> {
    let fault = |fault: std::io::Error| DecodeError::NotJson(fault.to_string());
    let (form, _) = export::form_of(json.as_bytes(), None).map_err(fault)?;
    if let Some(feature) = form.kind.missing_feature() {
        let kind = form.kind;
        return Err(DecodeError::NotJson(format!(
            "{kind:?}, and this binary was built without the cargo feature {feature}"
        )));
    }
    Ok((form.kind.provider(), form.kind.read(&completed(form.kind, json))?))
}

/// Returns a record with what its envelope must have and a person may have left out. It is the same text otherwise: what
/// is no object, or has all, stays as it is.
fn completed(kind: Kind, record: &str) -> String {
    let time = format!("\"{TIME_LEFT_OUT}\"");
    let needed: &[(&str, &str, &str)] = match kind {
        Kind::Audit => &[],
        Kind::Eks => &[("timestamp", "timestamp", "0")],
        Kind::Gke => &[
            ("logName", "logName", "\"unknown\""),
            ("timestamp", "timestamp", &time),
            ("insertId", "insertId", "\"unknown\""),
        ],
        Kind::Aks => &[("time", "TimeGenerated", &time)],
    };
    let Ok(members) = serde_json::from_str::<BTreeMap<String, IgnoredAny>>(record) else {
        return record.to_owned();
    };
    let missing = needed.iter().filter(|(one, other, _)| !members.contains_key(*one) && !members.contains_key(*other));
    let added: Vec<String> = missing.map(|(member, _, value)| format!("\"{member}\":{value}")).collect();
    match record.trim_start().strip_prefix('{') {
        Some(rest) if !added.is_empty() => {
            let comma = if members.is_empty() { "" } else { "," };
            format!("{{{}{comma}{rest}", added.join(","))
        }
        _ => record.to_owned(),
    }
}
