//! From files to the fold: every record is decoded by its provider's own reading, and what cannot be read is counted.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use indicatif::ProgressBar;
use stakeout_core::address::TrustedProxies;
use stakeout_core::decode::{DecodeError, Decoded, Enveloped, decode};
use stakeout_core::event::AuditEvent;
use stakeout_core::fold::Fold;
use stakeout_core::observation::Observation;
use stakeout_core::source::{LogId, Provider, Source};
use stakeout_core::time::Second;
use tracing::warn;

use super::export::{self, Kind, Layout};
use crate::input;
use crate::lines::{Lines, time_of};

/// Unreadable records of a file that are named one by one; the rest is counted.
const UNREADABLE_NAMED_MAX: u64 = 5;
/// Longest line that holds an envelope, in bytes: an event of 1 MiB whose every character is escaped.
const ENVELOPE_BYTES_MAX: usize = 8 << 20;
/// Clusters that are told apart; what other names a file brings share the name of `--cluster`.
const CLUSTERS_MAX: usize = 10_000;

/// What was read of the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) records: u64,
    pub(super) bytes: u64,
    pub(super) truncated: u64,
    pub(crate) unreadable: u64,
    /// Records of other services, which exports may hold beside the audit log.
    pub(super) others: u64,
    pub(super) untimed: u64,
    pub(crate) earliest: Option<Second>,
    pub(crate) latest: Option<Second>,
}

/// The way of records into the fold.
pub(super) struct Feed<'a> {
    /// What the files hold, where the caller knows.
    pub(super) kind: Option<Kind>,
    /// The cluster of records that bring none.
    pub(super) cluster: Arc<str>,
    /// Whose word about the address before them counts.
    pub(super) trusted: &'a TrustedProxies,
    /// Where they go.
    pub(super) fold: Fold,
    /// What was read so far.
    pub(super) read: Read,
    /// Logs by provider and cluster.
    sources: HashMap<(Provider, Arc<str>), Source>,
}

/// Where the reading of a file stands.
struct Place<'a> {
    path: &'a Path,
    kind: Kind,
    unreadable: u64,
    /// The time of the record before.
    last: Option<Second>,
}

impl<'a> Feed<'a> {
    /// Returns the way into `fold`.
    pub(super) fn new(kind: Option<Kind>, cluster: &str, trusted: &'a TrustedProxies, fold: Fold) -> Feed<'a> {
        Feed { kind, cluster: cluster.into(), trusted, fold, read: Read::default(), sources: HashMap::new() }
    }

    /// Feeds one file; `bar` follows its bytes.
    pub(super) fn file(&mut self, path: &Path, bar: &ProgressBar) -> anyhow::Result<()> {
        let context = || format!("cannot read {}", path.display());
        let opened = input::open(path, bar).with_context(context)?;
        let (form, file) = export::form_of(opened, self.kind).with_context(context)?;
        if let Some(feature) = missing_feature(form.kind) {
            return Err(anyhow!(
                "{} holds {:?} records, and this binary was built without the cargo feature {feature}",
                path.display(),
                form.kind
            ));
        }
        let mut place = Place { path, kind: form.kind, unreadable: 0, last: None };
        match form.layout {
            Layout::Lines => self.lines(file, &mut place).with_context(context),
            Layout::Documents => {
                self.documents(file, &mut place);
                Ok(())
            }
        }
    }

    fn lines(&mut self, file: impl std::io::Read, place: &mut Place<'_>) -> std::io::Result<()> {
        let mut lines = match place.kind {
            Kind::Audit => Lines::new(file, 0),
            Kind::Eks | Kind::Gke | Kind::Aks => Lines::with_limit(file, ENVELOPE_BYTES_MAX),
        };
        while let Some(line) = lines.next()? {
            self.read.bytes += line.bytes;
            if line.is_blank() {
                continue;
            }
            match place.kind {
                Kind::Audit => self.audit(line.decode(), line.offset, place),
                kind => self.enveloped(enveloped(kind, &line.text()), line.offset, place),
            }
        }
        Ok(())
    }

    fn documents(&mut self, file: impl std::io::Read, place: &mut Place<'_>) {
        let mut ordinal = 0;
        let read = export::documents(file, &mut |record| {
            self.read.bytes += record.len() as u64;
            match place.kind {
                Kind::Audit => self.audit(decode(record.as_bytes()), ordinal, place),
                kind => self.enveloped(enveloped(kind, record), ordinal, place),
            }
            ordinal += 1;
        });
        if let Err(fault) = read {
            self.read.unreadable += 1;
            warn!(file = %place.path.display(), records = ordinal, %fault, "the file breaks off or is damaged; what stands before was read");
        }
    }

    fn audit(&mut self, decoded: Result<Decoded, DecodeError>, at: u64, place: &mut Place<'_>) {
        self.read.records += 1;
        let decoded = match decoded {
            Ok(decoded) => decoded,
            Err(fault) => return self.unreadable(&fault, at, place),
        };
        self.read.untimed += u64::from(decoded.event.stage_time_ms().is_none());
        place.last = time_of(&decoded.event, place.last);
        self.observe(decoded, place.last, None, place, || format!("{}:{at}", place.path.display()));
    }

    fn enveloped(&mut self, read: Result<Enveloped, DecodeError>, at: u64, place: &mut Place<'_>) {
        self.read.records += 1;
        let Enveloped { decoded, time_ms, record_id, cluster } = match read {
            Ok(enveloped) => enveloped,
            Err(fault) => return self.unreadable(&fault, at, place),
        };
        place.last = Some(Second::of_millis(time_ms));
        // A record without an id of its own is told from others by where it stands.
        let record_id = if record_id.is_empty() { format!("{}:{at}", place.path.display()) } else { record_id };
        self.observe(decoded, place.last, cluster, place, || record_id);
    }

    fn observe(
        &mut self,
        decoded: Decoded,
        at: Option<Second>,
        cluster: Option<String>,
        place: &Place<'_>,
        record_id: impl FnOnce() -> String,
    ) {
        self.read.truncated += u64::from(decoded.is_truncated);
        self.read.latest = self.read.latest.max(at);
        self.read.earliest = [self.read.earliest, at].into_iter().flatten().min();
        let at = at.unwrap_or(Second(0));
        let Decoded { event, .. } = decoded;
        let observation = self.observation(event, at, cluster, place.kind, record_id);
        if let Some(observation) = observation {
            self.fold.observe(&observation);
        }
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
        let cluster = cluster.map_or_else(|| self.cluster.clone(), Arc::from);
        let key = (provider(kind), cluster);
        let key = if is_full && !self.sources.contains_key(&key) { (key.0, self.cluster.clone()) } else { key };
        let source = self.sources.entry(key).or_insert_with_key(|(provider, cluster)| Source {
            name: cluster.to_string(),
            provider: *provider,
            cluster: cluster.clone(),
            log: LogId(format!("replay/{provider}/{cluster}")),
        });
        Observation::of_event(source, self.trusted, event, at, record_id)
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

    /// Returns the log that the fold closes for: that of the last file's provider.
    pub(super) fn source(&self) -> Source {
        self.sources.values().next().cloned().unwrap_or_else(|| Source {
            name: self.cluster.to_string(),
            provider: Provider::File,
            cluster: self.cluster.clone(),
            log: LogId("replay".to_owned()),
        })
    }
}

pub(super) fn provider(kind: Kind) -> Provider {
    match kind {
        Kind::Audit => Provider::File,
        Kind::Eks => Provider::Cloudwatch,
        Kind::Gke => Provider::CloudLogging,
        Kind::Aks => Provider::AzureMonitor,
    }
}

/// Returns the cargo feature that a kind needs and this binary was built without.
pub(super) fn missing_feature(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Eks if cfg!(not(feature = "aws")) => Some("aws"),
        Kind::Gke if cfg!(not(feature = "gcp")) => Some("gcp"),
        Kind::Aks if cfg!(not(feature = "azure")) => Some("azure"),
        _ => None,
    }
}

pub(super) fn enveloped(kind: Kind, record: &str) -> Result<Enveloped, DecodeError> {
    match kind {
        #[cfg(feature = "aws")]
        Kind::Eks => stakeout_cloudwatch::decode::exported(record),
        #[cfg(feature = "gcp")]
        Kind::Gke => stakeout_cloud_logging::decode::entry(record),
        #[cfg(feature = "azure")]
        Kind::Aks => stakeout_azure_monitor::decode::row(record),
        kind => Err(DecodeError::OtherService(format!("{kind:?}"))),
    }
}
