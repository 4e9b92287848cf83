//! From files to the fold: reads and decodes each record, and counts the records that cannot be decoded.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use indicatif::ProgressBar;
use stakeout_core::address::TrustedProxies;
use stakeout_core::decode::{BorrowedEvent, DecodeError, Decoded, Enveloped, borrowed_event, stage_time_ms};
use stakeout_core::event::AuditEvent;
use stakeout_core::fold::Fold;
use stakeout_core::needle::Needles;
use stakeout_core::observation::Observation;
use stakeout_core::source::{LogId, Provider, Source};
use stakeout_core::time::Second;
use tracing::warn;

use super::candidate_filter::CandidateFilter;
use super::documents::documents;
use super::export::{self, ExportForm, RecordLayout};
use super::input_parts::{self, InputPart, LineRange};
use super::skipped_records::SkippedRecords;
use crate::cloud::Cloud;
use crate::input;
use crate::line_reader::Lines;

/// Unreadable records of a file that get a warning each. The others are counted.
const UNREADABLE_NAMED_MAX: u64 = 5;
/// Clusters with their own source. Records of further clusters get the name of `--cluster`.
const CLUSTERS_MAX: usize = 10_000;

/// How much of the files was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadCounts {
    /// Records, or lines with the blank ones.
    pub(crate) records: u64,
    pub(super) bytes: u64,
    /// Records that were decoded, because they contain a needle or all records are candidates.
    pub(super) decoded: u64,
    pub(super) truncated: u64,
    pub(crate) unreadable: u64,
    /// Records of other services, which exports may contain beside the audit log.
    pub(super) others: u64,
    pub(super) untimed: u64,
    /// The earliest time of a decoded record.
    pub(crate) earliest: Option<Second>,
    /// The latest time of the first and last records of the files.
    pub(crate) latest: Option<Second>,
}

impl ReadCounts {
    /// Adds the counts of another thread.
    pub(super) fn add(&mut self, other: &ReadCounts) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.decoded += other.decoded;
        self.truncated += other.truncated;
        self.unreadable += other.unreadable;
        self.others += other.others;
        self.untimed += other.untimed;
        self.earliest = [self.earliest, other.earliest].into_iter().flatten().min();
        self.latest = self.latest.max(other.latest);
    }
}

/// How all parts are read.
pub(super) struct ReadOptions<'a> {
    /// Whose records the files contain, where the caller knows.
    pub(super) cloud: Option<Cloud>,
    /// The cluster of records without a cluster's name.
    pub(super) cluster: Arc<str>,
    /// The proxies whose forwarded addresses are believed.
    pub(super) trusted: &'a TrustedProxies,
    /// Selects the records to decode.
    pub(super) candidate_filter: &'a CandidateFilter<'a>,
    /// Whether lines are counted.
    pub(super) counts_lines: bool,
}

impl ReadOptions<'_> {
    fn lines<R: io::Read>(&self, cloud: Cloud, file: R, offset: u64) -> Lines<R> {
        let lines = export::lines_of(cloud, file, offset);
        if self.counts_lines { lines } else { lines.uncounted() }
    }
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
}

/// The file that is read now.
struct CurrentFile<'a> {
    path: &'a Path,
    cloud: Cloud,
    unreadable: u64,
}

impl<'a> RecordReader<'a> {
    /// Returns a reader into `fold`.
    pub(super) fn new(options: &'a ReadOptions<'a>, fold: Fold) -> RecordReader<'a> {
        RecordReader { options, fold, counts: ReadCounts::default(), sources: BTreeMap::new() }
    }

    /// Reads one part. `bar` shows its bytes.
    pub(super) fn read(&mut self, part: &InputPart, bar: &ProgressBar) -> anyhow::Result<()> {
        let context = || format!("cannot read {}", part.path.display());
        match &part.range {
            Some(range) => self.range(&part.path, range, bar).with_context(context),
            None => {
                let opened = input::open(&part.path, bar).with_context(context)?;
                let (form, file) = export::form_of(opened, self.options.cloud).with_context(context)?;
                self.file(&part.path, form, file).with_context(context)
            }
        }
    }

    fn file(&mut self, path: &Path, form: ExportForm, text: impl io::Read) -> anyhow::Result<()> {
        form.check_built_in()?;
        let mut file = CurrentFile { path, cloud: form.cloud, unreadable: 0 };
        match form.layout {
            RecordLayout::Lines => {
                let mut lines = self.options.lines(form.cloud, text, 0);
                self.lines(&mut lines, 0, &mut file)?;
                self.counts.latest = self.counts.latest.max(lines.time());
            }
            RecordLayout::Documents => self.documents(text, &mut file),
        }
        Ok(())
    }

    fn range(&mut self, path: &Path, range: &LineRange, bar: &ProgressBar) -> io::Result<()> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(range.bytes.start))?;
        let text = bar.wrap_read(file.take(range.bytes.end - range.bytes.start));
        let mut file = CurrentFile { path, cloud: range.form.cloud, unreadable: 0 };
        let mut lines = self.options.lines(file.cloud, text, range.bytes.start);
        self.lines(&mut lines, range.bytes.start, &mut file)?;
        if range.is_last {
            let time = match lines.time() {
                None => input_parts::time_before(path, file.cloud, range.bytes.start)?,
                time => time,
            };
            self.counts.latest = self.counts.latest.max(time);
        }
        Ok(())
    }

    fn lines<R: io::Read>(&mut self, lines: &mut Lines<R>, begin: u64, file: &mut CurrentFile<'_>) -> io::Result<()> {
        let needles = self.options.candidate_filter.needles(file.cloud);
        let mut before_range = None;
        // The first record is always decoded: exports may start with the latest record.
        let mut is_first = begin == 0;
        while let Some(line) = lines.next(if is_first { None } else { needles })? {
            if line.is_blank() {
                continue;
            }
            let at = line.offset;
            if let Some(read) = file.cloud.export().envelope {
                let time = self.enveloped(read(&line.text()), at, file);
                if time.is_some() {
                    lines.set_time(time);
                }
                self.counts.latest = self.counts.latest.max(time.filter(|_| is_first));
            } else {
                let event = line.borrowed_event();
                let own = line.stage_time(&event);
                let time = match own.or_else(|| line.time_before()) {
                    // The time before the range is read once.
                    None if begin > 0 => match before_range {
                        Some(time) => time,
                        None => *before_range.insert(input_parts::time_before(file.path, file.cloud, begin)?),
                    },
                    time => time,
                };
                self.audit_event(event, own, time, at, file);
                lines.set_time(time);
            }
            is_first = false;
        }
        self.counts.records += lines.lines();
        self.counts.bytes += lines.bytes() - begin;
        Ok(())
    }

    fn documents(&mut self, text: impl io::Read, file: &mut CurrentFile<'_>) {
        let needles = self.options.candidate_filter.needles(file.cloud);
        let export = file.cloud.export();
        let mut skipped = SkippedRecords::new(export.time_of);
        let mut ordinal = 0;
        let read = documents(text, &mut |record| {
            self.counts.bytes += record.len() as u64;
            let is_candidate = |needles: &Needles| needles.occur_in(record.as_bytes());
            if ordinal > 0 && !needles.is_none_or(is_candidate) {
                skipped.add(record);
            } else if let Some(read) = export.envelope {
                if let Some(time) = self.enveloped(read(record), ordinal, file) {
                    skipped.set_time(Some(time));
                    self.counts.latest = self.counts.latest.max(Some(time).filter(|_| ordinal == 0));
                }
            } else {
                let event = borrowed_event(record.as_bytes());
                let own = stage_time_ms(record.as_bytes(), &event).map(Second::of_millis);
                let time = own.or_else(|| skipped.time());
                skipped.set_time(time);
                self.audit_event(event, own, time, ordinal, file);
            }
            ordinal += 1;
        });
        self.counts.records += ordinal;
        self.counts.latest = self.counts.latest.max(skipped.time());
        if let Err(error) = read {
            self.counts.unreadable += 1;
            warn!(file = %file.path.display(), records = ordinal, %error, "file is cut off or damaged; only the records before the damage were read");
        }
    }

    /// Observes an event. `own` is its own time, `time` is that or the time of an event before it.
    fn audit_event(
        &mut self,
        event: Result<BorrowedEvent<'_>, DecodeError>,
        own: Option<Second>,
        time: Option<Second>,
        at: u64,
        file: &mut CurrentFile<'_>,
    ) {
        self.counts.decoded += 1;
        let event = match event {
            Ok(event) => event,
            Err(error) => return self.unreadable(&error, at, file),
        };
        self.counts.untimed += u64::from(own.is_none());
        let time = time.or_else(|| event.received_time_ms().map(Second::of_millis)).unwrap_or(Second(0));
        if self.options.candidate_filter.event_filter().may_match(&event) {
            let decoded = event.into_decoded();
            return self.observe(decoded, time, None, file, || format!("{}:{at}", file.path.display()));
        }
        self.note(event.is_truncated(), time);
        if event.is_request() {
            self.fold.pass_over();
        }
    }

    /// Observes an event from an envelope, and returns the envelope's time.
    fn enveloped(
        &mut self,
        read: Result<Enveloped, DecodeError>,
        at: u64,
        file: &mut CurrentFile<'_>,
    ) -> Option<Second> {
        self.counts.decoded += 1;
        let Enveloped { decoded, time_ms, record_id, cluster } = match read {
            Ok(enveloped) => enveloped,
            Err(error) => {
                self.unreadable(&error, at, file);
                return None;
            }
        };
        let time = Second::of_millis(time_ms);
        // A record without an id has its position as its id.
        let record_id = if record_id.is_empty() { format!("{}:{at}", file.path.display()) } else { record_id };
        self.observe(decoded, time, cluster, file, || record_id);
        Some(time)
    }

    fn observe(
        &mut self,
        decoded: Decoded,
        at: Second,
        cluster: Option<String>,
        file: &CurrentFile<'_>,
        record_id: impl FnOnce() -> String,
    ) {
        self.note(decoded.is_truncated, at);
        if let Some(observation) = self.observation(decoded.event, at, cluster, file.cloud, record_id) {
            self.fold.observe(&observation);
        }
    }

    fn note(&mut self, is_truncated: bool, at: Second) {
        self.counts.truncated += u64::from(is_truncated);
        self.counts.earliest = Some(self.counts.earliest.map_or(at, |earliest| earliest.min(at)));
    }

    fn observation(
        &mut self,
        event: AuditEvent,
        at: Second,
        cluster: Option<String>,
        cloud: Cloud,
        record_id: impl FnOnce() -> String,
    ) -> Option<Observation> {
        let is_full = self.sources.len() >= CLUSTERS_MAX;
        let cluster = cluster.map_or_else(|| self.options.cluster.clone(), Arc::from);
        let key = (cloud.provider(), cluster);
        let key = if is_full && !self.sources.contains_key(&key) { (key.0, self.options.cluster.clone()) } else { key };
        let source = self.sources.entry(key).or_insert_with_key(|(provider, cluster)| Source {
            name: cluster.to_string(),
            provider: *provider,
            cluster: cluster.clone(),
            log: LogId(format!("replay/{provider}/{cluster}")),
        });
        Observation::of_event(source, self.options.trusted, event, at, record_id)
    }

    fn unreadable(&mut self, error: &DecodeError, at: u64, file: &mut CurrentFile<'_>) {
        if matches!(error, DecodeError::OtherService(_)) {
            self.counts.others += 1;
            return;
        }
        self.counts.unreadable += 1;
        file.unreadable += 1;
        if file.unreadable <= UNREADABLE_NAMED_MAX {
            warn!(file = %file.path.display(), at, %error, "record is not an audit event");
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
