//! Reads the records of the input into a fold, and counts those that cannot be used.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use indicatif::ProgressBar;
use stakeout_core::address::TrustedProxies;
use stakeout_core::decode::{BorrowedEvent, Decoded};
use stakeout_core::event::AuditEvent;
use stakeout_core::finder::{FoundEvent, Unusable};
use stakeout_core::fold::Fold;
use stakeout_core::observation::Observation;
use stakeout_core::source::{LogId, Provider, Source};
use stakeout_core::time::Second;
use tracing::warn;

use super::candidate_filter::CandidateFilter;
use super::input_parts::{self, InputPart};
use super::read_counts::ReadCounts;
use super::records::{self, Record};
use crate::cloud::{Cloud, control_plane_proxies};
use crate::input::InputFile;
use crate::line_reader::Lines;

/// Unusable records of a file that get a warning each. The others are counted.
const UNUSABLE_NAMED_MAX: u64 = 5;
/// Clusters with their own source. Records of further clusters get the name of `--cluster`.
const CLUSTERS_MAX: usize = 10_000;

/// How all parts are read.
pub(super) struct ReadOptions<'a> {
    /// Whose records the files contain, where the caller knows.
    pub(super) cloud: Option<Cloud>,
    /// The cluster of records without a cluster's name.
    pub(super) cluster: Arc<str>,
    /// The proxies whose forwarded addresses are believed.
    pub(super) trusted: &'a TrustedProxies,
    /// Selects the records to decode.
    pub(super) candidate_filter: &'a CandidateFilter,
    /// Whether each line is checked and counted. Where an earlier reading found nothing but lines of the API server, no
    /// check is necessary.
    pub(super) checks_lines: bool,
    /// Whether unusable records are named.
    pub(super) names_unusable: bool,
}

/// Reads records into a fold.
pub(super) struct RecordReader<'a> {
    options: &'a ReadOptions<'a>,
    /// Counts their requests.
    pub(super) fold: Fold,
    /// How much was read so far.
    pub(super) counts: ReadCounts,
    /// Logs by provider and cluster.
    pub(super) sources: BTreeMap<(Provider, Arc<str>), Source>,
    /// The trusted proxies of records from AKS, whose own are among them.
    trusted_of_aks: TrustedProxies,
}

/// The part of a file that is read now.
struct CurrentFile<'a> {
    path: &'a Path,
    /// The position of the part in the input.
    part: usize,
    unusable: u64,
}

impl<'a> RecordReader<'a> {
    /// Returns a reader into `fold`.
    pub(super) fn new(options: &'a ReadOptions<'a>, fold: Fold) -> RecordReader<'a> {
        let trusted_of_aks = options.trusted.and(&control_plane_proxies(Provider::AzureMonitor));
        RecordReader { options, fold, counts: ReadCounts::default(), sources: BTreeMap::new(), trusted_of_aks }
    }

    /// Reads the part at a position in the input. `bar` shows its bytes.
    pub(super) fn read(&mut self, position: usize, part: &InputPart, bar: &ProgressBar) -> anyhow::Result<()> {
        let InputPart { file, range } = part;
        let mut current = CurrentFile { path: file.path(), part: position, unusable: 0 };
        let read = match range {
            Some(range) => file.open_at(range.bytes.start).and_then(|bytes| {
                let text = bar.wrap_read(bytes.take(range.bytes.end - range.bytes.start));
                self.text(text, range.bytes.start, range.is_last, file, &mut current)
            }),
            None => file.text(bar).and_then(|text| self.text(text, 0, true, file, &mut current)),
        };
        read.with_context(|| format!("cannot read {}", file.path().display()))
    }

    fn text(
        &mut self,
        text: impl Read,
        begin: u64,
        is_last: bool,
        input: &InputFile,
        file: &mut CurrentFile<'_>,
    ) -> io::Result<()> {
        let lines = Lines::new(text, begin);
        let mut lines = if self.options.checks_lines { lines.checked() } else { lines };
        let time_before = || input_parts::time_before(input, begin);
        records::read(&mut lines, begin, self.options.candidate_filter, time_before, &mut |at, record| match record {
            Record::Line(event, own, time) => self.line(event, own, time, at, file),
            Record::Found(event, time) => self.found(event, time, at, file),
            Record::Skipped(time) => {
                self.counts.records += 1;
                self.counts.others_than_lines += 1;
                self.counts.latest = self.counts.latest.max(Some(time));
            }
            Record::Unusable(unusable) => self.unusable(&unusable, at, file),
        })?;
        self.counts.records += lines.lines();
        self.counts.cut_lines += lines.cut_lines();
        self.counts.bytes += lines.bytes() - begin;
        if is_last {
            let time = match lines.time() {
                None if begin > 0 => time_before()?,
                time => time,
            };
            self.counts.latest = self.counts.latest.max(time);
        }
        Ok(())
    }

    /// Observes the event of a line. `own` is its own time, `time` is that or the time of a line before it.
    fn line(
        &mut self,
        event: BorrowedEvent<'_>,
        own: Option<Second>,
        time: Option<Second>,
        at: u64,
        file: &CurrentFile<'_>,
    ) {
        self.counts.decoded += 1;
        self.counts.untimed += u64::from(own.is_none());
        let time = time.or_else(|| event.received_time_ms().map(Second::of_millis)).unwrap_or(Second(0));
        self.counts.bare += u64::from(event.is_request() && event.is_bare());
        if self.options.candidate_filter.event_filter().may_match(&event) {
            let provider = self.options.cloud.map_or(Provider::File, |cloud| cloud.provider());
            let decoded = event.into_decoded();
            return self.observe(decoded, time, None, provider, || format!("{}:{at}", file.path.display()));
        }
        self.note(event.is_truncated(), time);
        if event.is_request() {
            self.fold.pass_over();
        }
    }

    fn found(&mut self, found: FoundEvent, time: Option<Second>, at: u64, file: &CurrentFile<'_>) {
        self.counts.records += 1;
        self.counts.decoded += 1;
        self.counts.others_than_lines += 1;
        self.counts.untimed += u64::from(found.time_ms.is_none());
        let FoundEvent { decoded, record_id, cluster, provider, .. } = found;
        let event = &decoded.event;
        self.counts.bare +=
            u64::from(event.is_request() && event.source_ips.is_empty() && event.response_code.is_none());
        let time = time.or_else(|| event.received_time_ms().map(Second::of_millis)).unwrap_or(Second(0));
        self.counts.latest = self.counts.latest.max(Some(time));
        let provider = self.options.cloud.map_or(provider, |cloud| cloud.provider());
        // A record without an id has its position as its id.
        let record_id = record_id.unwrap_or_else(|| format!("{}:{at}", file.path.display()));
        self.observe(decoded, time, cluster, provider, || record_id);
    }

    fn observe(
        &mut self,
        decoded: Decoded,
        at: Second,
        cluster: Option<String>,
        provider: Provider,
        record_id: impl FnOnce() -> String,
    ) {
        self.note(decoded.is_truncated, at);
        if let Some(observation) = self.observation(decoded.event, at, cluster, provider, record_id) {
            self.fold.observe(&observation);
        }
    }

    fn note(&mut self, is_truncated: bool, at: Second) {
        self.counts.truncated += u64::from(is_truncated);
        self.counts.earliest = Some(self.counts.earliest.map_or(at, |earliest| earliest.min(at)));
        self.counts.latest_decoded = self.counts.latest_decoded.max(Some(at));
    }

    fn observation(
        &mut self,
        event: AuditEvent,
        at: Second,
        cluster: Option<String>,
        provider: Provider,
        record_id: impl FnOnce() -> String,
    ) -> Option<Observation> {
        let is_full = self.sources.len() >= CLUSTERS_MAX;
        let cluster = cluster.map_or_else(|| self.options.cluster.clone(), Arc::from);
        let key = (provider, cluster);
        let key = if is_full && !self.sources.contains_key(&key) { (key.0, self.options.cluster.clone()) } else { key };
        let source = self.sources.entry(key).or_insert_with_key(|(provider, cluster)| Source {
            name: cluster.to_string(),
            provider: *provider,
            cluster: cluster.clone(),
            log: LogId(format!("replay/{provider}/{cluster}")),
        });
        let trusted = if provider == Provider::AzureMonitor { &self.trusted_of_aks } else { self.options.trusted };
        Observation::of_event(source, trusted, event, at, record_id)
    }

    fn unusable(&mut self, unusable: &Unusable, at: u64, file: &mut CurrentFile<'_>) {
        self.counts.records += 1;
        self.counts.others_than_lines += 1;
        let count = match unusable {
            Unusable::Damaged(_) => &mut self.counts.unreadable,
            Unusable::Foreign(_) => &mut self.counts.foreign,
            Unusable::Skipped(_) => return,
        };
        *count += 1;
        self.counts.note_unusable(file.part, at, unusable);
        file.unusable += 1;
        if self.options.names_unusable && file.unusable <= UNUSABLE_NAMED_MAX {
            let (error, shown) = match unusable {
                Unusable::Damaged(error) => (error.to_string(), ""),
                Unusable::Foreign(foreign) => (foreign.to_string(), foreign.shown.as_str()),
                Unusable::Skipped(_) => return,
            };
            warn!(file = %file.path.display(), at, %error, shown, "record is not an audit event");
        }
    }
}

/// Returns the log of a fold in which nothing matched.
pub(super) fn unknown_source(cluster: &str) -> Source {
    Source {
        name: cluster.to_owned(),
        provider: Provider::File,
        cluster: cluster.into(),
        log: LogId("replay".to_owned()),
    }
}
