//! Context queries: one bounded read for each new finding, of what else its source asked for in the same log.
//!
//! A context query may fail or be cut short, because no count depends on it. So it reads few pages, keeps a partial
//! answer, and is not repeated by the next tick.

use std::io;
use std::sync::Arc;

use stakeout_core::context::{FindingContext, SourceActivity};
use stakeout_core::context_query::{ContextQuery, ContextReader, REQUESTS_MAX};
use stakeout_core::observation::Observation;
use stakeout_core::prefilter::Prefilter;
use stakeout_core::record::PageToken;
use stakeout_core::time::Window;
use tracing::warn;

use super::pages::with_retries;
use super::{Log, ScanCost, ScanError, ScanOptions};
use crate::cloud::budget::Budget;
use crate::cloud::{Client, Connection};
use crate::file_log::{FileFilter, FileLog};

/// Most pages of one context query. Where a service searches slowly, most pages of an hour are empty.
const PAGES_MAX: usize = 50;

impl Log {
    /// Runs context queries and returns their answers in the same order.
    pub(crate) async fn query_context(&self, queries: Vec<ContextQuery>, options: &ScanOptions) -> Vec<FindingContext> {
        let options = &options.with_proxies(&self.control_plane_proxies);
        let answers = match &self.connection {
            Connection::File(file) => self.query_files(file.clone(), queries, options.clone()).await,
            Connection::Service { client, budget } => {
                let mut answers = Vec::new();
                for query in queries {
                    // A service that did not answer for a minute is not asked again.
                    let failed = answers.iter().find_map(|answer: &Result<_, ScanError>| answer.as_ref().err());
                    answers.push(match failed {
                        Some(error) => Err(ScanError::later(error.reason.clone())),
                        None => self.query_pages(client, budget, query, options).await,
                    });
                }
                answers
            }
        };
        let contexts = answers.into_iter().map(|answer| match answer {
            Ok(activity) => FindingContext::Read(Box::new(activity)),
            Err(error) => {
                warn!(source = self.source.name, %error, "cannot query the context of a finding");
                FindingContext::unread(&error.reason)
            }
        });
        contexts.collect()
    }

    async fn query_pages(
        &self,
        client: &Client,
        budget: &Budget,
        query: ContextQuery,
        options: &ScanOptions,
    ) -> Result<SourceActivity, ScanError> {
        let (window, prefilter) = (query.window, query.prefilter());
        let mut reader = ContextReader::new(query);
        let mut token: Option<PageToken> = None;
        let mut cost = ScanCost::default();
        for _ in 0..PAGES_MAX {
            let ask = || client.first_records(window, &prefilter, token.as_ref(), REQUESTS_MAX);
            let page = with_retries(&self.source, budget, &mut cost, ask).await?;
            for record in &page.records {
                // The scan of the window already counted and reported undecodable records.
                let decoded = client.decode(record).ok();
                let observation =
                    decoded.and_then(|(decoded, cluster)| self.observation(record, decoded.event, cluster, options));
                observation.iter().for_each(|observation| reader.observe(observation));
            }
            let is_last = page.next.is_none();
            let is_whole = is_last && page.records.len() < REQUESTS_MAX as usize;
            if is_last || reader.is_full() {
                if !is_whole {
                    reader.note_more();
                }
                return Ok(reader.finish(&self.source.cluster));
            }
            token = page.next;
        }
        reader.note_more();
        Ok(reader.finish(&self.source.cluster))
    }

    /// Answers all queries with one read of the files, which begins at their start anyway.
    async fn query_files(
        &self,
        file: Arc<FileLog>,
        queries: Vec<ContextQuery>,
        options: ScanOptions,
    ) -> Vec<Result<SourceActivity, ScanError>> {
        let count = queries.len();
        let source = self.source.clone();
        let task = tokio::task::spawn_blocking(move || {
            let mut readers: Vec<ContextReader> = queries.into_iter().map(ContextReader::new).collect();
            let Some(window) = readers.iter().map(|reader| reader.query().window).reduce(Window::and) else {
                return Ok(Vec::new());
            };
            let prefilters = readers.iter().map(|reader| reader.query().prefilter()).collect();
            let filter = FileFilter::skipping_others(&Prefilter::Or(prefilters).simplified());
            let read = file.read(window, &filter, |event, at, record_id| {
                let proxies = &options.trusted_proxies;
                if let Some(observation) = Observation::of_event(&source, proxies, event, at, record_id) {
                    readers.iter_mut().for_each(|reader| reader.observe(&observation));
                }
            })?;
            if !read.lost.is_empty() {
                readers.iter_mut().for_each(ContextReader::note_more);
            }
            Ok(readers.into_iter().map(|reader| reader.finish(&source.cluster)).collect())
        });
        let outcome: Result<io::Result<Vec<SourceActivity>>, _> = task.await;
        let reason = match outcome {
            Ok(Ok(answers)) => return answers.into_iter().map(Ok).collect(),
            Ok(Err(error)) => format!("cannot read the log file: {error}"),
            Err(error) => error.to_string(),
        };
        (0..count).map(|_| Err(ScanError::later(reason.clone()))).collect()
    }
}
