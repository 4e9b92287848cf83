//! One look at all of the input, on several threads: each has a fold of its own, and what they saw becomes one.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use indicatif::ProgressBar;
use stakeout_core::fold::Fold;
use stakeout_core::source::Source;

use super::feed::{Feed, Read, Reading};
use super::parts::Part;

/// What one look at the input found.
pub(super) struct Pass {
    /// The requests that matched.
    pub(super) fold: Fold,
    /// What was read.
    pub(super) read: Read,
    /// One of the logs that the input is of.
    pub(super) source: Option<Source>,
}

/// Reads all parts into folds that `open` makes; whoever is done with a part takes the next.
pub(super) fn pass(
    parts: &[Part],
    threads: usize,
    reading: &Reading<'_>,
    open: impl Fn() -> Fold + Sync,
    bar: &ProgressBar,
) -> anyhow::Result<Pass> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut feed = Feed::new(reading, open());
        while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
            feed.part(part, bar)?;
        }
        anyhow::Ok(feed)
    };
    let feeds: Vec<Feed<'_>> = thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(parts.len())).map(|_| scope.spawn(work)).collect();
        let first = work();
        let others = others.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        std::iter::once(first).chain(others).collect::<anyhow::Result<_>>()
    })?;
    let mut feeds = feeds.into_iter();
    let first = feeds.next().expect("this thread has one");
    let mut pass = Pass { fold: first.fold, read: first.read, source: first.sources.into_values().next() };
    for feed in feeds {
        pass.read.add(&feed.read);
        pass.fold.merge(feed.fold);
        let sources = pass.source.take().into_iter().chain(feed.sources.into_values());
        pass.source = sources.min_by_key(|source| (source.provider, source.cluster.clone()));
    }
    Ok(pass)
}
