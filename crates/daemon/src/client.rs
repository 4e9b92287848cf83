//! A provider's client: the closed set of them, asked by one set of words. What an answer means is the provider
//! crate's, and waiting and asking again is `paging`'s.

use stakeout_core::check::Check;
use stakeout_core::decode::{DecodeError, Decoded};
use stakeout_core::prefilter::Prefilter;
use stakeout_core::record::{FetchError, Page, PageToken, RawRecord};
use stakeout_core::time::Window;

#[cfg(feature = "azure")]
use stakeout_azure_monitor::AzureMonitor;
#[cfg(feature = "gcp")]
use stakeout_cloud_logging::CloudLogging;
#[cfg(feature = "aws")]
use stakeout_cloudwatch::CloudWatch;

/// A client of the service that keeps a log.
pub(crate) enum Client {
    #[cfg(feature = "aws")]
    Cloudwatch(Box<CloudWatch>),
    #[cfg(feature = "gcp")]
    CloudLogging(Box<CloudLogging>),
    #[cfg(feature = "azure")]
    AzureMonitor(Box<AzureMonitor>),
}

impl Client {
    /// Reads one page of a window; see each provider's `page`.
    pub(crate) async fn page(
        &self,
        window: Window,
        prefilter: &Prefilter,
        token: Option<&PageToken>,
    ) -> Result<Page, FetchError> {
        match *self {
            #[cfg(feature = "aws")]
            Client::Cloudwatch(ref client) => client.page(window, prefilter, token).await,
            #[cfg(feature = "gcp")]
            Client::CloudLogging(ref client) => client.page(window, prefilter, token).await,
            #[cfg(feature = "azure")]
            Client::AzureMonitor(ref client) => client.page(window, prefilter, token).await,
        }
    }

    /// Reads one page as [`Client::page`] does, of at most `records_max` records; see each provider's `first_records`.
    pub(crate) async fn first_records(
        &self,
        window: Window,
        prefilter: &Prefilter,
        token: Option<&PageToken>,
        records_max: u32,
    ) -> Result<Page, FetchError> {
        match *self {
            #[cfg(feature = "aws")]
            Client::Cloudwatch(ref client) => client.first_records(window, prefilter, token, records_max).await,
            #[cfg(feature = "gcp")]
            Client::CloudLogging(ref client) => client.first_records(window, prefilter, token, records_max).await,
            #[cfg(feature = "azure")]
            Client::AzureMonitor(ref client) => client.first_records(window, prefilter, token, records_max).await,
        }
    }

    /// Tells whether the log holds any record in the window at all.
    pub(crate) async fn has_records(&self, window: Window) -> Result<bool, FetchError> {
        match *self {
            #[cfg(feature = "aws")]
            Client::Cloudwatch(ref client) => client.has_records(window).await,
            #[cfg(feature = "gcp")]
            Client::CloudLogging(ref client) => client.has_records(window).await,
            #[cfg(feature = "azure")]
            Client::AzureMonitor(ref client) => client.has_records(window).await,
        }
    }

    /// Asks what a doctor asks; `now_ms` tells how old the newest event is.
    pub(crate) async fn checks(&self, window: Window, prefilter: &Prefilter, now_ms: i64) -> Vec<Check> {
        match *self {
            #[cfg(feature = "aws")]
            Client::Cloudwatch(ref client) => client.checks(window, prefilter, now_ms).await,
            #[cfg(feature = "gcp")]
            Client::CloudLogging(ref client) => client.checks(window, prefilter, now_ms).await,
            #[cfg(feature = "azure")]
            Client::AzureMonitor(ref client) => client.checks(window, prefilter, now_ms).await,
        }
    }

    /// Returns the event in one of its records.
    pub(crate) fn decode(&self, record: &RawRecord) -> Result<Decoded, DecodeError> {
        match *self {
            #[cfg(feature = "aws")]
            Client::Cloudwatch(_) => stakeout_core::decode::decode(record.body.as_bytes()),
            #[cfg(feature = "gcp")]
            Client::CloudLogging(_) => {
                stakeout_cloud_logging::decode::entry(&record.body).map(|enveloped| enveloped.decoded)
            }
            #[cfg(feature = "azure")]
            Client::AzureMonitor(_) => {
                stakeout_azure_monitor::decode::row(&record.body).map(|enveloped| enveloped.decoded)
            }
        }
    }
}
