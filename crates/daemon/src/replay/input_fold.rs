//! One reading of all input on several threads. Each thread has its own fold, and all folds are merged into one.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use indicatif::ProgressBar;
use stakeout_core::fold::Fold;
use stakeout_core::source::Source;

use super::input_parts::InputPart;
use super::read_counts::ReadCounts;
use super::record_reader::{ReadOptions, RecordReader};

/// The result of one reading of the input.
pub(super) struct InputFold {
    /// The requests that matched.
    pub(super) fold: Fold,
    /// How much was read.
    pub(super) counts: ReadCounts,
    /// The first of the logs in the input.
    pub(super) source: Option<Source>,
}

/// Reads all parts into folds that `open` makes. A thread that has finished a part takes the next one.
pub(super) fn fold_input(
    parts: &[InputPart],
    threads: usize,
    options: &ReadOptions<'_>,
    open: impl Fn() -> Fold + Sync,
    bar: &ProgressBar,
) -> anyhow::Result<InputFold> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut reader = RecordReader::new(options, open());
        loop {
            let position = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = parts.get(position) else { break };
            reader.read(position, part, bar)?;
        }
        anyhow::Ok(reader)
    };
    let readers: Vec<RecordReader<'_>> = thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(parts.len())).map(|_| scope.spawn(work)).collect();
        let first = work();
        let others = others.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        std::iter::once(first).chain(others).collect::<anyhow::Result<_>>()
    })?;
    let mut readers = readers.into_iter();
    let first = readers.next().expect("this thread has one");
    let mut input = InputFold { fold: first.fold, counts: first.counts, source: first.sources.into_values().next() };
    for reader in readers {
        input.counts.add(reader.counts);
        input.fold.merge(reader.fold);
        let sources = input.source.take().into_iter().chain(reader.sources.into_values());
        input.source = sources.min_by_key(|source| (source.provider, source.cluster.clone()));
    }
    Ok(input)
}
