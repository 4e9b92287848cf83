//! Whose records a file holds, and by which crate's reading they become events.

use std::io::Read;

use stakeout_core::decode::{DecodeError, Enveloped, LINE_BYTES_MAX};
use stakeout_core::source::Provider;
use stakeout_core::time::Second;

use crate::line_reader::{Lines, TimeOf, stage_time_of};

/// Longest line that holds an envelope, in bytes: an event of 1 MiB whose every character is escaped.
const ENVELOPE_BYTES_MAX: usize = 8 << 20;

/// Whose records a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Events as the API server writes them.
    Audit,
    /// Events of CloudWatch Logs: FilterLogEvents answers, S3 exports, subscription data.
    Eks,
    /// Entries of Cloud Logging: gcloud logging read --format=json, entries.list answers, bucket exports.
    Gke,
    /// Rows of Log Analytics: az monitor log-analytics query, query answers, storage exports.
    Aks,
}

impl Kind {
    /// Returns the service that such records come from.
    pub(super) fn provider(self) -> Provider {
        match self {
            Kind::Audit => Provider::File,
            Kind::Eks => Provider::Cloudwatch,
            Kind::Gke => Provider::CloudLogging,
            Kind::Aks => Provider::AzureMonitor,
        }
    }

    /// Returns the cargo feature that the kind needs and this binary was built without.
    pub(super) fn missing_feature(self) -> Option<&'static str> {
        match self {
            Kind::Eks if cfg!(not(feature = "aws")) => Some("aws"),
            Kind::Gke if cfg!(not(feature = "gcp")) => Some("gcp"),
            Kind::Aks if cfg!(not(feature = "azure")) => Some("azure"),
            _ => None,
        }
    }

    /// Reads a record that is an event in an envelope.
    pub(super) fn read(self, record: &str) -> Result<Enveloped, DecodeError> {
        match self {
            #[cfg(feature = "aws")]
            Kind::Eks => stakeout_cloudwatch::decode::exported(record),
            #[cfg(feature = "gcp")]
            Kind::Gke => stakeout_cloud_logging::decode::entry(record),
            #[cfg(feature = "azure")]
            Kind::Aks => stakeout_azure_monitor::decode::row(record),
            kind => Err(DecodeError::OtherService(format!("{kind:?}"))),
        }
    }

    /// Returns a reader of records of this kind, one a line, of which the first begins at `offset` of its file.
    pub(super) fn lines<R: Read>(self, file: R, offset: u64) -> Lines<R> {
        let limit = if self == Kind::Audit { LINE_BYTES_MAX } else { ENVELOPE_BYTES_MAX };
        Lines::with_limit(file, limit, self.time_of()).beginning_at(offset)
    }

    /// Returns how the time is read of a record that nobody looked at.
    pub(super) fn time_of(self) -> TimeOf {
        fn of(kind: Kind, record: &[u8]) -> Option<Second> {
            let read = kind.read(&String::from_utf8_lossy(record)).ok()?;
            Some(Second::of_millis(read.time_ms))
        }
        match self {
            Kind::Audit => stage_time_of,
            Kind::Eks => |record| of(Kind::Eks, record),
            Kind::Gke => |record| of(Kind::Gke, record),
            Kind::Aks => |record| of(Kind::Aks, record),
        }
    }
}
