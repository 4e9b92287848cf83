//! The records of a text, each as the event in it or why there is none. Lines as the API server writes them are taken the
//! short way, all other text through the finder.

use std::io::{self, Read};

use stakeout_core::decode::BorrowedEvent;
use stakeout_core::finder::{Finder, FoundEvent, Outer, Unusable};
use stakeout_core::time::Second;

use super::candidate_filter::CandidateFilter;
use super::documents::Documents;
use crate::cloud;
use crate::input;
use crate::line_reader::{Lines, Next};

/// Lines at the beginning of a file that are decoded in any case: they show whether its lines are readable.
const FIRST_LINES: u32 = 16;

/// A record of a text.
pub(super) enum Record<'a> {
    /// A line as the API server writes it. The event, its own time, and that or the time of a line before it.
    Line(BorrowedEvent<'a>, Option<Second>, Option<Second>),
    /// An event that was found in something else, and its time or that of a record before it.
    Found(FoundEvent, Option<Second>),
    /// An event that was found in something else and is no candidate, and its time.
    Skipped(Second),
    /// No event.
    Unusable(Unusable),
}

/// Reads the records of `lines`, which begin at the byte `begin` of their file, and calls `observe` with each and its
/// offset. Lines that are no candidates are passed over. `time_before` returns the time of the line before `begin`.
pub(super) fn read<R: Read>(
    lines: &mut Lines<R>,
    begin: u64,
    candidate_filter: &CandidateFilter,
    time_before: impl Fn() -> io::Result<Option<Second>>,
    observe: &mut dyn FnMut(u64, Record<'_>),
) -> io::Result<()> {
    let envelopes = cloud::envelopes();
    let finder = Finder { envelopes: &envelopes, unpack: input::unpack, needles: candidate_filter.wrapped() };
    let mut documents = Documents::new(&finder);
    let mut before_begin = None;
    let mut first_lines = if begin == 0 { FIRST_LINES } else { 0 };
    let mut time_before_begin = |time: Option<Second>| match time {
        // The time before the range is read once.
        None if begin > 0 => match before_begin {
            Some(time) => Ok(time),
            None => Ok(*before_begin.insert(time_before()?)),
        },
        time => io::Result::Ok(time),
    };
    loop {
        let needles = candidate_filter.needles().filter(|_| first_lines == 0);
        first_lines = first_lines.saturating_sub(1);
        match lines.next_or_other(needles)? {
            Next::End => {
                let (at, mut time) = (lines.position(), lines.time());
                documents.finish(&mut |found| time = pass_on(at, found, time, observe));
                return Ok(());
            }
            Next::Line(line) if line.is_blank() => {}
            Next::Line(line) => {
                let event = line.borrowed_event();
                let own = line.stage_time(&event);
                let time = time_before_begin(own.or_else(|| line.time_before()))?;
                match event {
                    Ok(event) if !event.is_truncated() || line.is_long() => {
                        observe(line.offset, Record::Line(event, own, time));
                        lines.set_time(time);
                    }
                    // Several events without line ends between them, or a damaged one.
                    _ => {
                        let (at, found) = (line.offset, finder.find(&line.text(), &Outer::default()));
                        let mut time = time_before_begin(line.time_before())?;
                        for (ordinal, found) in (0..).zip(found) {
                            time = pass_on(at + ordinal, found, time, observe);
                        }
                        lines.set_time(time);
                        lines.uncount_line();
                    }
                }
            }
            Next::Other => {
                let mut time = time_before_begin(lines.time())?;
                lines.set_time(time);
                documents.read(lines, &mut |at, found| time = pass_on(at, found, time, observe))?;
                lines.set_time(time);
            }
        }
    }
}

/// Calls `observe` with a record, and returns its time or that of the record before it.
fn pass_on(
    at: u64,
    found: Result<FoundEvent, Unusable>,
    time_before: Option<Second>,
    observe: &mut dyn FnMut(u64, Record<'_>),
) -> Option<Second> {
    match found {
        Ok(event) => {
            let time = event.time_ms.map(Second::of_millis).or(time_before);
            observe(at, Record::Found(event, time));
            time
        }
        Err(Unusable::Skipped(time_ms)) => {
            let time = Second::of_millis(time_ms);
            observe(at, Record::Skipped(time));
            Some(time)
        }
        Err(unusable) => {
            observe(at, Record::Unusable(unusable));
            time_before
        }
    }
}
