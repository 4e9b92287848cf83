//! Reads the logs of a config for `tune` as the daemon does, but stores and sends nothing and moves no cursor.

use std::sync::Arc;

use anyhow::anyhow;
use stakeout_core::fold::Limits;
use stakeout_core::rule::Rules;
use stakeout_core::time::Window;
use stakeout_notify::console::Consoles;
use stakeout_notify::notice;
use tracing::{info, warn};

use super::Counted;
use super::report::Span;
use crate::clock;
use crate::cloud::budget::Budgets;
use crate::config::Config;
use crate::outbound::Outbound;
use crate::replay::HASH_KEY;
use crate::scan::{Log, ScanOptions, WindowScan};

/// Length of the parts in which a log is read, in seconds. Only the part that fails is retried.
const PART_SECONDS: i64 = 3600;

/// Counts the requests of the logs in `window`, one log after another. An unreadable part ends it: figures without the part
/// would be misleading.
pub(super) async fn read(
    config: &Config,
    rules: Arc<Rules>,
    window: Window,
    limits: Limits,
) -> anyhow::Result<Counted> {
    let options = ScanOptions {
        prefilter: Arc::new(rules.prefilter()),
        follow_ups: None,
        largest: None,
        rules,
        trusted_proxies: Arc::new(config.trusted_proxies.clone()),
        hash_key: HASH_KEY,
        limits,
    };
    let span = Span { earliest: window.earliest(), latest: window.latest().plus(-1), records: 0 };
    let mut counted = Counted { minutes: Vec::new(), unreadable: 0, span };
    let outbound = Outbound::new(config.ca_file.as_deref())?;
    let mut budgets = Budgets::new(config.budget);
    if !config.discover.is_empty() {
        warn!("tune reads the logs in `sources`, and none that `discover` finds");
    }
    for source in &config.sources {
        let log = Log::open(source, &mut budgets, &outbound, &Consoles::default())?;
        let mut begin = window.earliest();
        while let Some(part) = Window::new(begin, begin.plus(PART_SECONDS).min(window.latest())) {
            begin = part.latest();
            let read = log.scan(part, false, &options).await;
            let WindowScan { counted: found, cost, lost, .. } =
                read.map_err(|unread| anyhow!("cannot read {} in {part}: {}", log.source.name, unread.reason))?;
            if let Some(lost) = lost.first() {
                return Err(anyhow!("cannot read all of {} in {part}: {lost}", log.source.name));
            }
            info!(source = log.source.name, window = %part, pages = cost.pages, records = cost.records, "part read");
            for file in lost {
                warn!(source = log.source.name, window = %part, file, "cannot read a file of the log: its requests are not counted");
            }
            counted.span.records += cost.records;
            counted.unreadable += cost.undecodable;
            let closed = found.close_alone(&log.source, part.latest(), clock::now());
            for notice in closed.notices() {
                warn!(explanation = notice::explanation(notice), "{}", notice::title(notice));
            }
            counted.minutes.extend(closed.commit.logs.into_iter().flat_map(|log| log.minutes));
        }
    }
    Ok(counted)
}
