//! From files to the fold: every record is decoded by its provider's own reading, and what cannot be read is counted.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};
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

use super::candidate_filter::Sieve;
use super::documents::documents;
use super::export::{self, Form, Layout};
use super::kind::Kind;
use super::parts::{self, LineRange, Part};
use super::passed::Passed;
use crate::input;
use crate::line_reader::Lines;

/// Unreadable records of a file that are named one by one; the rest is counted.
const UNREADABLE_NAMED_MAX: u64 = 5;
/// Clusters that are told apart; what other names a file brings share the name of `--cluster`.
const CLUSTERS_MAX: usize = 10_000;

/// What was read of the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    /// Records, or lines, also blank ones.
    pub(crate) records: u64,
    pub(super) bytes: u64,
    /// Records that were looked at, because a needle stood in them or every one is.
    pub(super) looked_at: u64,
    pub(super) truncated: u64,
    pub(crate) unreadable: u64,
    /// Records of other services, which exports may hold beside the audit log.
    pub(super) others: u64,
    pub(super) untimed: u64,
    /// The earliest time of any record that was looked at.
    pub(crate) earliest: Option<Second>,
    /// The time of the last record, and of the first, of any file.
    pub(crate) latest: Option<Second>,
}

impl Read {
    /// Adds what was read beside it.
    pub(super) fn add(&mut self, other: &Read) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.looked_at += other.looked_at;
        self.truncated += other.truncated;
        self.unreadable += other.unreadable;
        self.others += other.others;
        self.untimed += other.untimed;
        self.earliest = [self.earliest, other.earliest].into_iter().flatten().min();
        self.latest = self.latest.max(other.latest);
    }
}

/// What all parts are read with.
pub(super) struct Reading<'a> {
    /// What the files hold, where the caller knows.
    pub(super) kind: Option<Kind>,
    /// The cluster of records that bring none.
    pub(super) cluster: Arc<str>,
    /// Whose word about the address before them counts.
    pub(super) trusted: &'a TrustedProxies,
    /// What records must hold to be looked at.
    pub(super) sieve: &'a Sieve,
    /// Whether it matters how many lines there are.
    pub(super) counts_lines: bool,
}

impl Reading<'_> {
    fn lines<R: io::Read>(&self, kind: Kind, file: R, offset: u64) -> Lines<R> {
        let lines = kind.lines(file, offset);
        if self.counts_lines { lines } else { lines.uncounted() }
    }
}

/// The way of records into a fold.
pub(super) struct Feed<'a> {
    reading: &'a Reading<'a>,
    /// Where they go.
    pub(super) fold: Fold,
    /// What was read so far.
    pub(super) read: Read,
    /// Logs by provider and cluster.
    pub(super) sources: BTreeMap<(Provider, Arc<str>), Source>,
}

/// Where the reading of a file stands.
struct Place<'a> {
    path: &'a Path,
    kind: Kind,
    unreadable: u64,
}

impl<'a> Feed<'a> {
    /// Returns the way into `fold`.
    pub(super) fn new(reading: &'a Reading<'a>, fold: Fold) -> Feed<'a> {
        Feed { reading, fold, read: Read::default(), sources: BTreeMap::new() }
    }

    /// Feeds one part; `bar` follows its bytes.
    pub(super) fn part(&mut self, part: &Part, bar: &ProgressBar) -> anyhow::Result<()> {
        let context = || format!("cannot read {}", part.path.display());
        match &part.range {
            Some(range) => self.range(&part.path, range, bar).with_context(context),
            None => {
                let opened = input::open(&part.path, bar).with_context(context)?;
                let (form, file) = export::form_of(opened, self.reading.kind).with_context(context)?;
                self.file(&part.path, form, file).with_context(context)
            }
        }
    }

    fn file(&mut self, path: &Path, form: Form, file: impl io::Read) -> anyhow::Result<()> {
        if let Some(feature) = form.kind.missing_feature() {
            return Err(anyhow!(
                "it holds {:?} records, and this binary was built without the cargo feature {feature}",
                form.kind
            ));
        }
        let mut place = Place { path, kind: form.kind, unreadable: 0 };
        match form.layout {
            Layout::Lines => {
                let mut lines = self.reading.lines(form.kind, file, 0);
                self.lines(&mut lines, 0, &mut place)?;
                self.read.latest = self.read.latest.max(lines.time());
            }
            Layout::Documents => self.documents(file, &mut place),
        }
        Ok(())
    }

    fn range(&mut self, path: &Path, range: &LineRange, bar: &ProgressBar) -> io::Result<()> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(range.bytes.start))?;
        let file = bar.wrap_read(file.take(range.bytes.end - range.bytes.start));
        let mut place = Place { path, kind: range.form.kind, unreadable: 0 };
        let mut lines = self.reading.lines(place.kind, file, range.bytes.start);
        self.lines(&mut lines, range.bytes.start, &mut place)?;
        if range.is_last {
            let time = match lines.time() {
                None => parts::time_before(path, place.kind, range.bytes.start)?,
                time => time,
            };
            self.read.latest = self.read.latest.max(time);
        }
        Ok(())
    }

    fn lines<R: io::Read>(&mut self, lines: &mut Lines<R>, begin: u64, place: &mut Place<'_>) -> io::Result<()> {
        let needles = self.reading.sieve.needles(place.kind);
        let mut before_range = None;
        // The first record is looked at in any case: exports may begin with the latest.
        let mut is_first = begin == 0;
        while let Some(line) = lines.next(if is_first { None } else { needles })? {
            if line.is_blank() {
                continue;
            }
            let at = line.offset;
            if place.kind == Kind::Audit {
                let skimmed = line.borrowed_event();
                let own = line.stage_time(&skimmed);
                let time = match own.or_else(|| line.time_before()) {
                    // What the range before it ends with is looked up once.
                    None if begin > 0 => match before_range {
                        Some(time) => time,
                        None => *before_range.insert(parts::time_before(place.path, place.kind, begin)?),
                    },
                    time => time,
                };
                self.audit(skimmed, own, time, at, place);
                lines.tell(time);
            } else {
                let time = self.enveloped(place.kind.read(&line.text()), at, place);
                if time.is_some() {
                    lines.tell(time);
                }
                self.read.latest = self.read.latest.max(time.filter(|_| is_first));
            }
            is_first = false;
        }
        self.read.records += lines.lines();
        self.read.bytes += lines.bytes() - begin;
        Ok(())
    }

    fn documents(&mut self, file: impl io::Read, place: &mut Place<'_>) {
        let needles = self.reading.sieve.needles(place.kind);
        let mut passed = Passed::new(place.kind.time_of());
        let mut ordinal = 0;
        let read = documents(file, &mut |record| {
            self.read.bytes += record.len() as u64;
            let is_hit = |needles: &Needles| needles.stand_in(record.as_bytes());
            if ordinal > 0 && !needles.is_none_or(is_hit) {
                passed.add(record);
            } else if place.kind == Kind::Audit {
                let skimmed = borrowed_event(record.as_bytes());
                let own = stage_time_ms(record.as_bytes(), &skimmed).map(Second::of_millis);
                let time = own.or_else(|| passed.time());
                passed.tell(time);
                self.audit(skimmed, own, time, ordinal, place);
            } else if let Some(time) = self.enveloped(place.kind.read(record), ordinal, place) {
                passed.tell(Some(time));
                self.read.latest = self.read.latest.max(Some(time).filter(|_| ordinal == 0));
            }
            ordinal += 1;
        });
        self.read.records += ordinal;
        self.read.latest = self.read.latest.max(passed.time());
        if let Err(fault) = read {
            self.read.unreadable += 1;
            warn!(file = %place.path.display(), records = ordinal, %fault, "the file breaks off or is damaged; what stands before was read");
        }
    }

    /// Observes an event that has the time `own`, or at least `time` from those before it.
    fn audit(
        &mut self,
        skimmed: Result<BorrowedEvent<'_>, DecodeError>,
        own: Option<Second>,
        time: Option<Second>,
        at: u64,
        place: &mut Place<'_>,
    ) {
        self.read.looked_at += 1;
        let skimmed = match skimmed {
            Ok(skimmed) => skimmed,
            Err(fault) => return self.unreadable(&fault, at, place),
        };
        self.read.untimed += u64::from(own.is_none());
        let time = time.or_else(|| skimmed.received_time_ms().map(Second::of_millis)).unwrap_or(Second(0));
        if self.reading.sieve.screen().lets_through(&skimmed) {
            let decoded = skimmed.into_decoded();
            return self.observe(decoded, time, None, place, || format!("{}:{at}", place.path.display()));
        }
        self.note(skimmed.is_truncated(), time);
        if skimmed.is_request() {
            self.fold.pass_over();
        }
    }

    /// Observes an event that came in an envelope, and returns the envelope's time.
    fn enveloped(&mut self, read: Result<Enveloped, DecodeError>, at: u64, place: &mut Place<'_>) -> Option<Second> {
        self.read.looked_at += 1;
        let Enveloped { decoded, time_ms, record_id, cluster } = match read {
            Ok(enveloped) => enveloped,
            Err(fault) => {
                self.unreadable(&fault, at, place);
                return None;
            }
        };
        let time = Second::of_millis(time_ms);
        // A record without an id of its own is told from others by where it stands.
        let record_id = if record_id.is_empty() { format!("{}:{at}", place.path.display()) } else { record_id };
        self.observe(decoded, time, cluster, place, || record_id);
        Some(time)
    }

    fn observe(
        &mut self,
        decoded: Decoded,
        at: Second,
        cluster: Option<String>,
        place: &Place<'_>,
        record_id: impl FnOnce() -> String,
    ) {
        self.note(decoded.is_truncated, at);
        if let Some(observation) = self.observation(decoded.event, at, cluster, place.kind, record_id) {
            self.fold.observe(&observation);
        }
    }

    fn note(&mut self, is_truncated: bool, at: Second) {
        self.read.truncated += u64::from(is_truncated);
        self.read.earliest = Some(self.read.earliest.map_or(at, |earliest| earliest.min(at)));
    }

    fn observation(
        &mut self,
        event: AuditEvent,
        at: Second,
        cluster: Option<String>,
        kind: Kind,
        record_id: impl FnOnce() -> String,
    ) -> Option<Observation> {
        let is_full = self.sources.len() >= CLUSTERS_MAX;
        let cluster = cluster.map_or_else(|| self.reading.cluster.clone(), Arc::from);
        let key = (kind.provider(), cluster);
        let key = if is_full && !self.sources.contains_key(&key) { (key.0, self.reading.cluster.clone()) } else { key };
        let source = self.sources.entry(key).or_insert_with_key(|(provider, cluster)| Source {
            name: cluster.to_string(),
            provider: *provider,
            cluster: cluster.clone(),
            log: LogId(format!("replay/{provider}/{cluster}")),
        });
        Observation::of_event(source, self.reading.trusted, event, at, record_id)
    }

    fn unreadable(&mut self, fault: &DecodeError, at: u64, place: &mut Place<'_>) {
        if matches!(fault, DecodeError::OtherService(_)) {
            self.read.others += 1;
            return;
        }
        self.read.unreadable += 1;
        place.unreadable += 1;
        if place.unreadable <= UNREADABLE_NAMED_MAX {
            warn!(file = %place.path.display(), at, %fault, "record is no audit event");
        }
    }
}

/// Returns the log that a fold closes for in which nothing was found.
pub(super) fn unknown_source(cluster: &str) -> Source {
    Source {
        name: cluster.to_owned(),
        provider: Provider::File,
        cluster: cluster.into(),
        log: LogId("replay".to_owned()),
    }
}
