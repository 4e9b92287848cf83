//! Exported logs for the other verbs: the content of their files, as one fold or event by event.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use clap::Args;
use indicatif::ProgressBar;
use ipnet::IpNet;
use serde::de::IgnoredAny;
use stakeout_core::address::TrustedProxies;
use stakeout_core::decode::{DecodeError, Enveloped};
use stakeout_core::event::AuditEvent;
use stakeout_core::finder::Unusable;
use stakeout_core::fold::{self, Closed, Limits};
use stakeout_core::observation::Observation;
use stakeout_core::prefilter::Prefilter;
use stakeout_core::rule::Rules;
use stakeout_core::source::{LogId, Provider, Source};
use stakeout_core::time::{Second, Window};

use super::candidate_filter::CandidateFilter;
use super::export::ExportKind;
use super::input_fold::{InputFold, fold_input};
use super::input_parts::{InputPart, parts_of};
use super::read_counts::ReadCounts;
use super::record_reader::{ReadOptions, unknown_source};
use super::records::{self, Record};
use super::{HASH_KEY, bar};
use crate::cloud::Cloud;
use crate::input::InputFile;
use crate::line_reader::Lines;
use crate::network;

/// Longest file whose events are read one by one, in bytes.
const EVENTS_BYTES_MAX: u64 = 64 << 20;

/// How files are read.
#[derive(Args, Debug)]
pub(crate) struct FilesArgs {
    /// What the files contain
    #[arg(long, value_parser = ExportKind::parser(), default_value = "auto")]
    kind: ExportKind,
    /// Name of the cluster, for records without one
    #[arg(long, value_name = "NAME", default_value = "local")]
    cluster: String,
    /// Network of a proxy or load balancer whose forwarded client address is trusted
    #[arg(long, value_name = "CIDR", value_parser = network::parse_trusted_argument)]
    trusted_proxy: Vec<IpNet>,
}

/// Files, folded as a replay folds them.
pub(crate) struct Folded {
    /// The rows, and the findings of the rules as they are.
    pub(crate) closed: Closed,
    /// How much was read.
    pub(crate) counts: ReadCounts,
    /// The parts of the input.
    pub(crate) parts: Vec<InputPart>,
}

/// One event of a file.
pub(crate) struct FileEvent {
    /// The file, and its number there.
    pub(crate) location: String,
    /// Its request, or why there is none.
    pub(crate) read: Result<Observation, Unusable>,
    /// Whether its record was cut off or damaged.
    pub(crate) is_truncated: bool,
}

impl FilesArgs {
    /// Returns the trusted proxies.
    pub(crate) fn trusted(&self) -> TrustedProxies {
        TrustedProxies::new(self.trusted_proxy.clone())
    }

    /// Folds the records of the files in `window`.
    pub(crate) fn fold(
        &self,
        files: &[PathBuf],
        rules: &Arc<Rules>,
        window: Window,
        limits: Limits,
    ) -> anyhow::Result<Folded> {
        let trusted = self.trusted();
        let options = ReadOptions {
            cloud: self.kind.0,
            cluster: self.cluster.as_str().into(),
            trusted: &trusted,
            candidate_filter: &CandidateFilter::strict(&Prefilter::Any),
            checks_lines: true,
            names_unusable: true,
        };
        let bar = bar(files);
        let open = || fold::open(rules.clone(), window, false, HASH_KEY, limits);
        let parts = parts_of(&InputFile::all(files)?, 1);
        let InputFold { fold, counts, source } = fold_input(&parts, 1, &options, open, &bar)?;
        bar.finish_and_clear();
        let source = source.unwrap_or_else(|| unknown_source(&self.cluster));
        let read_until = counts.latest.unwrap_or(Second(0));
        let now = jiff::Timestamp::from_second(read_until.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let closed = fold.close_alone(&source, read_until, now);
        Ok(Folded { closed, counts, parts })
    }

    /// Calls `observe` with each event of the files, including events without a request, until it returns `false`.
    pub(crate) fn events(
        &self,
        files: &[PathBuf],
        observe: &mut dyn FnMut(FileEvent) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let trusted = self.trusted();
        let every_record = CandidateFilter::strict(&Prefilter::Any);
        for file in InputFile::all(files)? {
            let shown = file.path().display().to_string();
            let context = || format!("cannot read {shown}");
            let text = file.text(&ProgressBar::hidden()).with_context(context)?;
            let mut lines = Lines::new(text.take(EVENTS_BYTES_MAX + 1), 0).checked();
            let (mut number, mut result, mut is_wanted) = (0_u64, Ok(()), true);
            records::read(&mut lines, 0, &every_record, || Ok(None), &mut |_, record| {
                number += 1;
                if is_wanted && result.is_ok() {
                    let event = self.event(format!("{shown}:{number}"), record, &trusted);
                    match observe(event) {
                        Ok(wants_more) => is_wanted = wants_more,
                        Err(error) => result = Err(error),
                    }
                }
            })
            .with_context(context)?;
            result?;
            if !is_wanted {
                return Ok(());
            }
            if lines.bytes() > EVENTS_BYTES_MAX {
                return Err(anyhow!("more than {EVENTS_BYTES_MAX} bytes: name a file with the events in question"))
                    .with_context(context);
            }
        }
        Ok(())
    }

    fn event(&self, location: String, record: Record<'_>, trusted: &TrustedProxies) -> FileEvent {
        let (decoded, time, provider, cluster) = match record {
            Record::Line(event, _, time) => (event.into_decoded(), time, Provider::File, None),
            Record::Found(found, time) => (found.decoded, time, found.provider, found.cluster),
            Record::Skipped(time) => {
                let unusable = Unusable::Skipped(time.millis());
                return FileEvent { location, read: Err(unusable), is_truncated: false };
            }
            Record::Unusable(unusable) => return FileEvent { location, read: Err(unusable), is_truncated: false },
        };
        let event: AuditEvent = decoded.event;
        let at = time.or_else(|| event.received_time_ms().map(Second::of_millis)).unwrap_or(Second(0));
        let provider = self.kind.0.map_or(provider, |cloud| cloud.provider());
        let source = source(provider, cluster.as_deref().unwrap_or(&self.cluster));
        let read = Observation::of_stage(&source, trusted, event, at, || location.clone());
        FileEvent { location, read: Ok(read), is_truncated: decoded.is_truncated }
    }
}

fn source(provider: Provider, cluster: &str) -> Source {
    Source { name: cluster.to_owned(), provider, cluster: cluster.into(), log: LogId(format!("{provider}/{cluster}")) }
}

/// Reads the event of a rule's case in the form of a cloud. The members of the record show which cloud it is. A case may
/// leave out times and record ids.
pub(crate) fn read_case(json: &str) -> Result<(Provider, Enveloped), DecodeError> {
    let members: BTreeMap<String, IgnoredAny> =
        serde_json::from_str(json).map_err(|error| DecodeError::NotJson(error.to_string()))?;
    let cloud = Cloud::of_members(|name| members.contains_key(name)).unwrap_or(Cloud::File(()));
    let Some(read) = cloud.export().envelope else {
        return Err(DecodeError::OtherService("an audit event without an envelope".to_owned()));
    };
    Ok((cloud.provider(), read(&completed(cloud, json))?))
}

/// Returns a record with the members that its envelope needs and a person may leave out. Text that is not an object, and
/// a complete record, stay as they are.
fn completed(cloud: Cloud, record: &str) -> String {
    let Ok(members) = serde_json::from_str::<BTreeMap<String, IgnoredAny>>(record) else {
        return record.to_owned();
    };
    let has = |name: &str| members.contains_key(name);
    let missing = cloud.export().optional_members.iter().filter(|it| !has(it.name) && !it.alias.is_some_and(has));
    let added: Vec<String> = missing.map(|member| format!("\"{}\":{}", member.name, member.value)).collect();
    match record.trim_start().strip_prefix('{') {
        Some(rest) if !added.is_empty() => {
            let comma = if members.is_empty() { "" } else { "," };
            format!("{{{}{comma}{rest}", added.join(","))
        }
        _ => record.to_owned(),
    }
}
