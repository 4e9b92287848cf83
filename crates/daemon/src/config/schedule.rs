//! When windows are read: the ticks, the span that a tick reads, and how far back a start goes.
//!
//! Which windows are owed at a tick is not decided here.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::yaml::{At, Map};

use super::duration::{seconds, spelled};
use crate::section::{SectionReader, keys};

const CRON: &str = "0 * * * *";
const EARLIEST_SECONDS: i64 = -70 * 60;
const LATEST_SECONDS: i64 = -10 * 60;
const REREAD_SECONDS: [i64; 2] = [3_600, 86_400];
const MAX_BACKFILL_SECONDS: i64 = 7 * 86_400;
/// Minutes stay stored until their last re-read, so these bound the state.
const REREADS_MAX: usize = 8;
const REREAD_SECONDS_MAX: i64 = 7 * 86_400;
const CRON_FIELDS: [&str; 5] = ["minute", "hour", "day of the month", "month", "day of the week"];
const CRON_MEND: &str = "write minute, hour, day of the month, month and day of the week in UTC, such as `0 * * * *`";

/// When windows are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// The ticks, in UTC; no two lie within one minute.
    pub(crate) cron: Cron,
    /// The start of a tick's window, counted from the tick; negative.
    pub(crate) earliest_seconds: i64,
    /// The end of a tick's window, counted from the tick; after the start, never after the tick.
    pub(crate) latest_seconds: i64,
    /// How long after its end a window is read again, ascending; a source may have its own.
    pub(crate) reread_seconds: Vec<i64>,
    /// How far back a start catches up.
    pub(crate) max_backfill_seconds: i64,
    /// Where the very first window begins, counted from the tick; a source may have its own.
    pub(crate) start_seconds: i64,
}

/// Every full hour the hour that ended ten minutes before.
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

/// Reads `schedule`.
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

/// Reads how long after its end a window is read again.
pub(super) fn reread(at: &At<'_>) -> Result<Vec<i64>, Diagnostic> {
    let items = at.list_or_one()?;
    if items.len() > REREADS_MAX {
        return Err(at.fault(format!("{} re-reads of each window", items.len()), format!("keep at most {REREADS_MAX}")));
    }
    let mut rereads: Vec<i64> = Vec::with_capacity(items.len());
    for item in items {
        let reread = seconds(&item)?;
        if !(1..=REREAD_SECONDS_MAX).contains(&reread) {
            return Err(item.fault(
                format!("a re-read after {}", spelled(reread)),
                format!("write more than 0m and at most {}", spelled(REREAD_SECONDS_MAX)),
            ));
        }
        if let Some(before) = rereads.last().filter(|before| **before >= reread) {
            return Err(item.fault(
                format!("{} does not come after {}", spelled(reread), spelled(*before)),
                "write each re-read once, the shortest first",
            ));
        }
        rereads.push(reread);
    }
    Ok(rereads)
}

/// Reads where the very first window begins.
pub(super) fn start(at: &At<'_>, schedule: &Schedule) -> Result<i64, Diagnostic> {
    let start = seconds(at)?;
    if start > schedule.earliest_seconds {
        let earliest = spelled(schedule.earliest_seconds);
        return Err(at.fault(
            format!("{} is later than earliest ({earliest})", spelled(start)),
            format!("write {earliest} or further back, such as -24h, or leave it out"),
        ));
    }
    let backfill = schedule.max_backfill_seconds;
    if -start > backfill && start < schedule.earliest_seconds {
        return Err(at.fault(
            format!("{} reaches further back than max_backfill ({})", spelled(start), spelled(backfill)),
            format!("write at most -{}, or raise max_backfill", spelled(backfill)),
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
            return Err(at.fault(
                format!("{} lies after the tick", spelled(schedule.latest_seconds)),
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
    Err(at.fault(
        format!(
            "earliest ({}) is not before latest ({})",
            spelled(schedule.earliest_seconds),
            spelled(schedule.latest_seconds)
        ),
        "let earliest reach further back than latest, such as earliest -70m and latest -10m",
    ))
}

/// A backfill shorter than a window is obeyed, but hardly meant: what it cuts off is reported as a gap.
fn max_backfill(at: &At<'_>, schedule: &Schedule, reader: &mut SectionReader<'_>) -> Result<i64, Diagnostic> {
    let backfill = seconds(at)?;
    if backfill <= 0 {
        return Err(at.fault(format!("{} catches nothing up", spelled(backfill)), "write a length of time, such as 7d"));
    }
    if backfill < -schedule.earliest_seconds {
        let earliest = spelled(schedule.earliest_seconds);
        reader.warn(at.fault(
            format!(
                "{} reaches less far back than earliest ({earliest}), so a part of the first window is a gap",
                spelled(backfill)
            ),
            "write a longer time, such as 7d",
        ));
    }
    Ok(backfill)
}

fn parser() -> CronParser {
    CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build()
}

fn cron(at: &At<'_>) -> Result<Cron, Diagnostic> {
    let text = at.text()?;
    let cron = parser().parse(text).map_err(|_| at.fault(cron_problem(text), CRON_MEND))?;
    // Which days exist repeats with the leap years, so any day serves to find out.
    let any_day = DateTime::constant(2026, 1, 1, 0, 0, 0, 0);
    if cron.find_next_occurrence(&any_day, true).is_err() {
        return Err(at.fault(format!("`{text}` never comes"), "name a day that exists in that month"));
    }
    Ok(cron)
}

/// Names the first field that is wrong, found by putting it alone among stars.
fn cron_problem(text: &str) -> String {
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != CRON_FIELDS.len() {
        return format!("`{text}` has {} fields where 5 are needed", fields.len());
    }
    let is_wrong = |place: usize| {
        let mut alone = ["*"; 5];
        alone[place] = fields[place];
        parser().parse(&alone.join(" ")).is_err()
    };
    (0..CRON_FIELDS.len()).find(|place| is_wrong(*place)).map_or_else(
        || format!("`{text}` is no cron expression"),
        |place| format!("`{}` is no {}", fields[place], CRON_FIELDS[place]),
    )
}
