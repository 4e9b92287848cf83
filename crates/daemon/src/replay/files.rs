//! Exported logs for the other verbs: the content of their files, as one fold or event by event.

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
use stakeout_core::fold::{self, Closed, Limits};
use stakeout_core::observation::Observation;
use stakeout_core::prefilter::Prefilter;
use stakeout_core::rule::Rules;
use stakeout_core::source::{LogId, Provider, Source};
use stakeout_core::time::{Second, Window};

use super::candidate_filter::CandidateFilter;
use super::documents::documents;
use super::export::{self, ExportKind, RecordLayout};
use super::input_fold::{InputFold, fold_input};
use super::input_parts::parts_of;
use super::record_reader::{ReadCounts, ReadOptions, unknown_source};
use super::{HASH_KEY, bar};
use crate::cloud::Cloud;
use crate::{input, network};

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
}

/// One event of a file.
pub(crate) struct FileEvent {
    /// The file, and its number there.
    pub(crate) location: String,
    /// Its request, or why it cannot be read.
    pub(crate) read: Result<Observation, DecodeError>,
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
            counts_lines: true,
        };
        let bar = bar(files);
        let open = || fold::open(rules.clone(), window, false, HASH_KEY, limits);
        let parts = parts_of(files, self.kind.0, 1);
        let InputFold { fold, counts, source } = fold_input(&parts, 1, &options, open, &bar)?;
        bar.finish_and_clear();
        let source = source.unwrap_or_else(|| unknown_source(&self.cluster));
        let read_until = counts.latest.unwrap_or(Second(0));
        let now = jiff::Timestamp::from_second(read_until.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let closed = fold.close_alone(&source, read_until, now);
        Ok(Folded { closed, counts })
    }

    /// Calls `observe` with each event of the files, including events without a request, until it returns `false`.
    pub(crate) fn events(
        &self,
        files: &[PathBuf],
        observe: &mut dyn FnMut(FileEvent) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let trusted = self.trusted();
        for path in files {
            let (cloud, records) = self.records(path)?;
            let mut last = None;
            for (index, record) in records.iter().enumerate() {
                let event = self.event(path, cloud, index + 1, record, &trusted, &mut last);
                if !observe(event)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Returns the text of every record in a file.
    fn records(&self, path: &Path) -> anyhow::Result<(Cloud, Vec<String>)> {
        let context = || format!("cannot read {}", path.display());
        let opened = input::open(path, &ProgressBar::hidden()).with_context(context)?;
        let (form, file) = export::form_of(opened, self.kind.0).with_context(context)?;
        form.check_built_in().with_context(context)?;
        let mut bytes = Vec::new();
        file.take(EVENTS_BYTES_MAX + 1).read_to_end(&mut bytes).with_context(context)?;
        if bytes.len() as u64 > EVENTS_BYTES_MAX {
            return Err(anyhow!("more than {EVENTS_BYTES_MAX} bytes: name a file with the events in question"))
                .with_context(context);
        }
        let mut records = Vec::new();
        match form.layout {
            RecordLayout::Lines => {
                let text = String::from_utf8_lossy(&bytes);
                records.extend(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned));
            }
            RecordLayout::Documents => {
                documents(bytes.as_slice(), &mut |record| records.push(record.to_owned())).with_context(context)?;
            }
        }
        Ok((form.cloud, records))
    }

    fn event(
        &self,
        path: &Path,
        cloud: Cloud,
        number: usize,
        record: &str,
        trusted: &TrustedProxies,
        last: &mut Option<Second>,
    ) -> FileEvent {
        let location = format!("{}:{number}", path.display());
        let read = if let Some(read) = cloud.export().envelope {
            let read = read(&completed(cloud, record));
            read.map(|Enveloped { decoded, time_ms, cluster, .. }| (decoded, Some(Second::of_millis(time_ms)), cluster))
        } else {
            decode(record.as_bytes()).map(|decoded| {
                let stage = decoded.event.stage_time_ms().map(Second::of_millis);
                *last = stage.or(*last).or_else(|| decoded.event.received_time_ms().map(Second::of_millis));
                (decoded, *last, None)
            })
        };
        let mut is_truncated = false;
        let read = read.map(|(decoded, at, cluster)| {
            is_truncated = decoded.is_truncated;
            let Decoded { event, .. } = decoded;
            let source = source(cloud.provider(), cluster.as_deref().unwrap_or(&self.cluster));
            Observation::of_stage(&source, trusted, event, at.unwrap_or(Second(0)), || location.clone())
        });
        FileEvent { location, read, is_truncated }
    }
}

fn source(provider: Provider, cluster: &str) -> Source {
    Source { name: cluster.to_owned(), provider, cluster: cluster.into(), log: LogId(format!("{provider}/{cluster}")) }
}

/// Reads the event of a rule's case in the form of a cloud. The members of the record show which cloud it is. A case may
/// leave out times and record ids.
pub(crate) fn read_case(json: &str) -> Result<(Provider, Enveloped), DecodeError> {
    let (form, _) = export::form_of(json.as_bytes(), None).map_err(|error| DecodeError::NotJson(error.to_string()))?;
    form.check_built_in().map_err(|error| DecodeError::NotJson(error.to_string()))?;
    let Some(read) = form.cloud.export().envelope else {
        return Err(DecodeError::OtherService("an audit event without an envelope".to_owned()));
    };
    Ok((form.cloud.provider(), read(&completed(form.cloud, json))?))
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
