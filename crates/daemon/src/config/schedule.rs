//! The schedule: the ticks, the span of a tick's window, and how far back a start reads.
//!
//! This module does not decide which windows are due at a tick.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::text::counted;
use stakeout_core::yaml::{At, Map};

use super::duration::{formatted, seconds};
use crate::section::{SectionReader, keys};

const CRON: &str = "0 * * * *";
const EARLIEST_SECONDS: i64 = -70 * 60;
const LATEST_SECONDS: i64 = -10 * 60;
const REREAD_SECONDS: [i64; 2] = [3_600, 86_400];
const MAX_BACKFILL_SECONDS: i64 = 7 * 86_400;
/// Minutes stay stored until their last reread, so these limits bound the state.
const REREADS_MAX: usize = 8;
const REREAD_SECONDS_MAX: i64 = 7 * 86_400;
const CRON_FIELDS: [&str; 5] = ["minute", "hour", "day of the month", "month", "day of the week"];
const CRON_FIX: &str = "write minute, hour, day of the month, month and day of the week in UTC, such as `0 * * * *`";

/// When windows are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// The ticks, in UTC; no two lie within one minute.
    pub(crate) cron: Cron,
    /// The start of a tick's window, relative to the tick; negative.
    pub(crate) earliest_seconds: i64,
    /// The end of a tick's window, relative to the tick; after the start, never after the tick.
    pub(crate) latest_seconds: i64,
    /// How long after its end a window is read again, ascending; a source may have its own.
    pub(crate) reread_seconds: Vec<i64>,
    /// How far back a start catches up.
    pub(crate) max_backfill_seconds: i64,
    /// The start of the very first window, relative to the tick; a source may have its own.
    pub(crate) start_seconds: i64,
}

/// At every full hour, the hour that ended ten minutes before.
impl Default for Schedule {
    fn default() -> Schedule {
        Schedule {
            cron: parser().parse(CRON).expect("the default is a cron expression"),
            earliest_seconds: EARLIEST_SECONDS,
            latest_seconds: LATEST_SECONDS,
            reread_seconds: REREAD_SECONDS.to_vec(),
            max_backfill_seconds: MAX_BACKFILL_SECONDS,
            start_seconds: EARLIEST_SECONDS,
        }
    }
}

/// Parses `schedule`.
pub(super) fn read(top: &Map<'_>, reader: &mut SectionReader<'_>) -> Result<Schedule, Diagnostic> {
    let mut schedule = Schedule::default();
    let Some(at) = top.get("schedule") else {
        return Ok(schedule);
    };
    let map = keys(&at, &["cron", "earliest", "latest", "reread", "max_backfill", "start"])?;
    if let Some(at) = map.get("cron") {
        schedule.cron = cron(&at)?;
    }
    span(&map, &mut schedule)?;
    if let Some(at) = map.get("reread") {
        schedule.reread_seconds = reread(&at)?;
    }
    if let Some(at) = map.get("max_backfill") {
        schedule.max_backfill_seconds = max_backfill(&at, &schedule, reader)?;
    }
    schedule.start_seconds = match map.get("start") {
        Some(at) => start(&at, &schedule)?,
        None => schedule.earliest_seconds,
    };
    Ok(schedule)
}

/// Parses how long after its end a window is read again.
pub(super) fn reread(at: &At<'_>) -> Result<Vec<i64>, Diagnostic> {
    let items = at.list_or_one()?;
    if items.len() > REREADS_MAX {
        return Err(at.error(format!("{} rereads of each window", items.len()), format!("keep at most {REREADS_MAX}")));
    }
    let mut rereads: Vec<i64> = Vec::with_capacity(items.len());
    for item in items {
        let reread = seconds(&item)?;
        if !(1..=REREAD_SECONDS_MAX).contains(&reread) {
            return Err(item.error(
                format!("a reread after {} is out of range", formatted(reread)),
                format!("write more than 0m and at most {}", formatted(REREAD_SECONDS_MAX)),
            ));
        }
        if let Some(before) = rereads.last().filter(|before| **before >= reread) {
            return Err(item.error(
                format!("{} does not come after {}", formatted(reread), formatted(*before)),
                "write each reread once, the shortest first",
            ));
        }
        rereads.push(reread);
    }
    Ok(rereads)
}

/// Parses the start of the very first window.
pub(super) fn start(at: &At<'_>, schedule: &Schedule) -> Result<i64, Diagnostic> {
    let start = seconds(at)?;
    if start > schedule.earliest_seconds {
        let earliest = formatted(schedule.earliest_seconds);
        return Err(at.error(
            format!("{} is later than earliest ({earliest})", formatted(start)),
            format!("write {earliest} or earlier, such as -24h, or remove the key"),
        ));
    }
    let backfill = schedule.max_backfill_seconds;
    if -start > backfill && start < schedule.earliest_seconds {
        return Err(at.error(
            format!("{} is earlier than max_backfill ({}) allows", formatted(start), formatted(backfill)),
            format!("write at most -{}, or raise max_backfill", formatted(backfill)),
        ));
    }
    Ok(start)
}

fn span(map: &Map<'_>, schedule: &mut Schedule) -> Result<(), Diagnostic> {
    let earliest = map.get("earliest");
    let latest = map.get("latest");
    if let Some(at) = &latest {
        schedule.latest_seconds = seconds(at)?;
        if schedule.latest_seconds > 0 {
            return Err(at.error(
                format!("{} is after the tick", formatted(schedule.latest_seconds)),
                "write a time before the tick, such as -10m",
            ));
        }
    }
    if let Some(at) = &earliest {
        schedule.earliest_seconds = seconds(at)?;
    }
    if schedule.earliest_seconds < schedule.latest_seconds {
        return Ok(());
    }
    let at = earliest.or(latest).unwrap_or_else(|| map.at().clone());
    Err(at.error(
        format!(
            "earliest ({}) is not before latest ({})",
            formatted(schedule.earliest_seconds),
            formatted(schedule.latest_seconds)
        ),
        "set earliest before latest, such as earliest -70m and latest -10m",
    ))
}

/// A backfill that is shorter than a window is allowed but probably a mistake: the rest of the window is reported as a gap.
fn max_backfill(at: &At<'_>, schedule: &Schedule, reader: &mut SectionReader<'_>) -> Result<i64, Diagnostic> {
    let backfill = seconds(at)?;
    if backfill <= 0 {
        return Err(at.error(format!("{} is too short", formatted(backfill)), "write a duration, such as 7d"));
    }
    if backfill < -schedule.earliest_seconds {
        let earliest = formatted(schedule.earliest_seconds);
        reader.warn(at.error(
            format!(
                "{} is shorter than earliest ({earliest}), so a part of the first window becomes a gap",
                formatted(backfill)
            ),
            "write a longer duration, such as 7d",
        ));
    }
    Ok(backfill)
}

fn parser() -> CronParser {
    CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build()
}

fn cron(at: &At<'_>) -> Result<Cron, Diagnostic> {
    let text = at.text()?;
    let cron = parser().parse(text).map_err(|_| at.error(cron_problem(text), CRON_FIX))?;
    // The calendar repeats with the leap years, so the search may begin at any day.
    let any_day = DateTime::constant(2026, 1, 1, 0, 0, 0, 0);
    if cron.find_next_occurrence(&any_day, true).is_err() {
        return Err(at.error(format!("`{text}` never occurs"), "name a day that exists in that month"));
    }
    Ok(cron)
}

/// Names the first invalid field, found by parsing each field alone among stars.
fn cron_problem(text: &str) -> String {
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != CRON_FIELDS.len() {
        return format!("`{text}` has {} instead of 5", counted(fields.len(), "field"));
    }
    let is_invalid = |index: usize| {
        let mut alone = ["*"; 5];
        alone[index] = fields[index];
        parser().parse(&alone.join(" ")).is_err()
    };
    (0..CRON_FIELDS.len()).find(|index| is_invalid(*index)).map_or_else(
        || format!("`{text}` is not a cron expression"),
        |index| format!("`{}` is not a valid {}", fields[index], CRON_FIELDS[index]),
    )
}
