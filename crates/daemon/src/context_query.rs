//! Looking around new findings: one bounded read each of what else a source asked of the log that it was found in.
//!
//! Unlike a window, such a read may fail or be cut: nothing is counted from it. So its pages are few, a part is taken
//! for what it is, and it is not tried again with the next tick.

use std::io;
use std::sync::Arc;

use stakeout_core::context::{FindingContext, SourceActivity};
use stakeout_core::context_query::{ContextQuery, ContextReader, REQUESTS_MAX};
use stakeout_core::decode::EventFilter;
use stakeout_core::observation::Observation;
use stakeout_core::prefilter::Prefilter;
use stakeout_core::record::PageToken;
use stakeout_core::time::Window;
use tracing::warn;

use crate::budget::Budget;
use crate::cloud::{Client, Connection};
use crate::file_log::FileLog;
use crate::pages::asking;
use crate::scan::{Cost, Log, Reader, Unread};

/// Pages of one context query: most of an hour's are empty where a service searches long for little.
const PAGES_MAX: usize = 50;

impl Log {
    /// Reads what is around findings, and returns an answer for each, in their order.
    pub(crate) async fn context_query(&self, looks: Vec<ContextQuery>, reader: &Reader) -> Vec<FindingContext> {
        let arounds = match &self.connection {
            Connection::File(file) => self.look_into_files(file.clone(), looks, reader.clone()).await,
            Connection::Service { client, budget } => {
                let mut arounds = Vec::new();
                for look in looks {
                    // Whoever did not answer for a minute is not asked ten times.
                    let failed = arounds.iter().find_map(|around: &Result<_, Unread>| around.as_ref().err());
                    arounds.push(match failed {
                        Some(unread) => Err(Unread::of(unread.reason.clone())),
                        None => self.look_into_pages(client, budget, look, reader).await,
                    });
                }
                arounds
            }
        };
        let context = arounds.into_iter().map(|around| match around {
            Ok(around) => FindingContext::Read(Box::new(around)),
            Err(unread) => {
                warn!(source = self.source.name, reason = unread.reason, "could not look around a finding");
                FindingContext::unread(&unread.reason)
            }
        });
        context.collect()
    }

    async fn look_into_pages(
        &self,
        client: &Client,
        budget: &Budget,
        look: ContextQuery,
        reader: &Reader,
    ) -> Result<SourceActivity, Unread> {
        let (window, prefilter) = (look.window, look.prefilter());
        let mut looking = ContextReader::new(look);
        let mut token: Option<PageToken> = None;
        let mut cost = Cost::default();
        for _ in 0..PAGES_MAX {
            let ask = || client.first_records(window, &prefilter, token.as_ref(), REQUESTS_MAX);
            let page = asking(budget, &mut cost, ask).await?;
            for record in &page.records {
                // What is no audit event was counted, and told, where the window was read.
                let event = client.decode(record).ok().map(|decoded| decoded.event);
                let observation = event.and_then(|event| self.observation(record, event, reader));
                observation.iter().for_each(|observation| looking.observe(observation));
            }
            let is_last = page.next.is_none();
            let is_whole = is_last && page.records.len() < REQUESTS_MAX as usize;
            if is_last || looking.is_full() {
                if !is_whole {
                    looking.note_more();
                }
                return Ok(looking.finish(&self.source.cluster));
            }
            token = page.next;
        }
        looking.note_more();
        Ok(looking.finish(&self.source.cluster))
    }

    /// Reads the files once for all: they are read from their beginning.
    async fn look_into_files(
        &self,
        file: Arc<FileLog>,
        looks: Vec<ContextQuery>,
        reader: Reader,
    ) -> Vec<Result<SourceActivity, Unread>> {
        let number = looks.len();
        let source = self.source.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut lookings: Vec<ContextReader> = looks.into_iter().map(ContextReader::new).collect();
            let Some(window) = lookings.iter().map(|looking| looking.query().window).reduce(Window::and) else {
                return Ok(Vec::new());
            };
            let prefilters = lookings.iter().map(|looking| looking.query().prefilter()).collect();
            let screen = EventFilter::new(&Prefilter::Or(prefilters));
            file.read(window, &screen, |event, at, record_id| {
                if let Some(observation) = Observation::of_event(&source, &reader.trusted, event, at, record_id) {
                    lookings.iter_mut().for_each(|looking| looking.observe(&observation));
                }
            })?;
            Ok(lookings.into_iter().map(|looking| looking.finish(&source.cluster)).collect())
        });
        let read: Result<io::Result<Vec<SourceActivity>>, _> = read.await;
        let reason = match read {
            Ok(Ok(arounds)) => return arounds.into_iter().map(Ok).collect(),
            Ok(Err(fault)) => format!("cannot read the log file: {fault}"),
            Err(fault) => fault.to_string(),
        };
        (0..number).map(|_| Err(Unread::of(reason.clone()))).collect()
    }
}
