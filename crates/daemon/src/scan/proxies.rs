//! Looks for a proxy that hides the clients of a log, for `doctor`. A daemon finds out from the windows that it reads.

use std::sync::Arc;

use stakeout_core::address::TrustedProxies;
use stakeout_core::check::{Check, Status};
use stakeout_core::observation::Observation;
use stakeout_core::prefilter::Prefilter;
use stakeout_core::proxy_watch::ProxyWatch;
use stakeout_core::record::PageToken;
use stakeout_core::time::{Second, Window};

use super::Log;
use crate::cloud::{Client, Connection};
use crate::file_log::{FileFilter, FileLog};

/// Records of a page: enough to see what nearly all of them are.
const RECORDS_MAX: u32 = 200;
/// Pages at most: the first ones may be empty although more follow.
const PAGES_MAX: usize = 10;

impl Log {
    /// Returns a check that names the proxies that hide the clients of a window, or `None` where there seem to be none.
    pub(crate) async fn proxy_check(
        &self,
        window: Window,
        prefilter: &Prefilter,
        trusted: &TrustedProxies,
    ) -> Option<Check> {
        let trusted = trusted.and(&self.control_plane_proxies);
        let watch = match &self.connection {
            Connection::Service { client, .. } => self.watch_pages(client, window, prefilter, &trusted).await,
            Connection::File(file) => self.watch_file(file.clone(), window, prefilter, trusted).await,
        };
        let proxies: Vec<String> = watch.hidden_proxies().iter().map(ToString::to_string).collect();
        let proxies = (!proxies.is_empty()).then(|| proxies.join(", "))?;
        Some(Check::of(
            "proxies",
            Status::Doubtful,
            format!("nearly all requests seem to come from {proxies}, and name public addresses before"),
            format!("if these are your load balancers or proxies, add `trusted_proxies: [{proxies}]`"),
        ))
    }

    async fn watch_pages(
        &self,
        client: &Client,
        window: Window,
        prefilter: &Prefilter,
        trusted: &TrustedProxies,
    ) -> ProxyWatch {
        let mut watch = ProxyWatch::default();
        let mut token: Option<PageToken> = None;
        for _ in 0..PAGES_MAX {
            // Other checks report what keeps the log from being read.
            let Ok(page) = client.first_records(window, prefilter, token.as_ref(), RECORDS_MAX).await else { break };
            for record in &page.records {
                let Ok((decoded, _)) = client.decode(record) else { continue };
                let at = Second::of_millis(record.time_ms);
                let id = || record.record_id.clone();
                let observation = Observation::of_event(&self.source, trusted, decoded.event, at, id);
                observation.iter().for_each(|observation| watch.observe(observation));
            }
            token = page.next;
            if token.is_none() || !page.records.is_empty() {
                break;
            }
        }
        watch
    }

    async fn watch_file(
        &self,
        file: Arc<FileLog>,
        window: Window,
        prefilter: &Prefilter,
        trusted: TrustedProxies,
    ) -> ProxyWatch {
        let (source, filter) = (self.source.clone(), FileFilter::skipping_others(prefilter));
        let task = tokio::task::spawn_blocking(move || {
            let mut watch = ProxyWatch::default();
            let read = file.read(window, &filter, |event, at, record_id| {
                let observation = Observation::of_event(&source, &trusted, event, at, record_id);
                observation.iter().for_each(|observation| watch.observe(observation));
            });
            read.map(|_| watch)
        });
        task.await.ok().and_then(Result::ok).unwrap_or_default()
    }
}
