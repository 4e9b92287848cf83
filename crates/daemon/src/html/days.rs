//! The incidents of the last days by level, as bars and as a table.

use maud::{Markup, html};
use stakeout_core::incident::Incident;
use stakeout_core::rule::Level;
use stakeout_core::text::counted;
use stakeout_core::time::Second;

/// How many days have a bar.
pub(super) const DAYS: usize = 14;
const DAY_SECONDS: i64 = 24 * 3_600;
/// The size of the picture, and of its parts, in its own units.
const WIDTH: usize = 420;
const BARS_HEIGHT: usize = 70;
const TOP: usize = 18;
const STEP: usize = WIDTH / DAYS;

/// How many incidents of each level began on a day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Day {
    /// In the order of [`Level::ALL`].
    by_level: [usize; Level::ALL.len()],
}

impl Day {
    fn total(&self) -> usize {
        self.by_level.iter().sum()
    }

    fn words(&self) -> String {
        let parts = Level::ALL.iter().zip(self.by_level).rev().filter(|(_, n)| *n > 0);
        let parts: Vec<String> = parts.map(|(level, n)| format!("{n} {level}")).collect();
        if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
    }
}

/// Returns the first second of the first day that has a bar.
pub(super) fn first_day(now: Second) -> Second {
    Second(day_of(now) * DAY_SECONDS).plus(-(DAYS as i64 - 1) * DAY_SECONDS)
}

/// Returns the section.
pub(super) fn section<'i>(incidents: impl Iterator<Item = &'i Incident>, now: Second) -> Markup {
    let days = days(incidents, now);
    let total: usize = days.iter().map(|(_, day)| day.total()).sum();
    html! {
        section aria-labelledby="days" {
            h2 #days { "New incidents by day" }
            p { (counted(total as u64, "incident")) " began in the last " (DAYS) " days (UTC)." }
            (bars(&days))
            ul.legend aria-hidden="true" {
                @for level in Level::ALL.iter().rev() { li { (swatch(*level)) (level) } }
            }
            details {
                summary { "The same as a table" }
                table {
                    caption { "Incidents by the day on which they began, and by level" }
                    thead { tr {
                        th scope="col" { "Day" }
                        @for level in Level::ALL.iter().rev() { th.number scope="col" { (level) } }
                    } }
                    tbody {
                        @for (date, day) in days.iter().rev() {
                            tr {
                                th scope="row" { (date) }
                                @for n in day.by_level.iter().rev() { td.number { (n) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Returns the mark of a level.
pub(super) fn swatch(level: Level) -> Markup {
    html! { span class=(format!("swatch {level}")) {} }
}

fn day_of(at: Second) -> i64 {
    at.0.div_euclid(DAY_SECONDS)
}

/// Returns each day with its date, the earliest first.
fn days<'i>(incidents: impl Iterator<Item = &'i Incident>, now: Second) -> Vec<(String, Day)> {
    let first = day_of(first_day(now));
    let mut days = vec![Day::default(); DAYS];
    for incident in incidents {
        let day = usize::try_from(day_of(incident.opening) - first).ok().and_then(|index| days.get_mut(index));
        let level = Level::ALL.iter().position(|level| *level == incident.level);
        if let (Some(day), Some(level)) = (day, level) {
            day.by_level[level] += 1;
        }
    }
    let date = |index: usize| {
        let written = Second((first + index as i64) * DAY_SECONDS).to_string();
        written.get(..10).unwrap_or(&written).to_owned()
    };
    days.into_iter().enumerate().map(|(index, day)| (date(index), day)).collect()
}

fn bars(days: &[(String, Day)]) -> Markup {
    let most = days.iter().map(|(_, day)| day.total()).max().unwrap_or(0).max(1);
    let words: Vec<String> =
        days.iter().filter(|(_, day)| day.total() > 0).map(|(date, day)| format!("{date}: {}", day.words())).collect();
    let label = if words.is_empty() { "No incident began".to_owned() } else { words.join("; ") };
    html! {
        svg.bars viewBox=(format!("0 0 {WIDTH} {}", TOP + BARS_HEIGHT + 20)) role="img" aria-label=(label) {
            @for (index, (date, day)) in days.iter().enumerate() {
                g {
                    title { (date) ": " (day.words()) }
                    (bar(index, day, most))
                    text x=(index * STEP + STEP / 2) y=(TOP + BARS_HEIGHT + 15) { (date.get(8..).unwrap_or_default()) }
                }
            }
            line x1="0" x2=(WIDTH) y1=(TOP + BARS_HEIGHT) y2=(TOP + BARS_HEIGHT) {}
        }
    }
}

/// Returns the bar of a day: the levels on top of each other, the highest at the bottom.
fn bar(index: usize, day: &Day, most: usize) -> Markup {
    let height = |n: usize| n * BARS_HEIGHT / most;
    let mut below = 0;
    let parts: Vec<(Level, usize, usize)> = Level::ALL
        .iter()
        .zip(day.by_level)
        .rev()
        .filter(|(_, n)| *n > 0)
        .map(|(level, n)| {
            let bottom = below;
            below += n;
            // A single incident among thousands is still to be seen.
            (*level, TOP + BARS_HEIGHT - height(below), (height(below) - height(bottom)).max(2))
        })
        .collect();
    html! {
        @for (level, y, height) in &parts {
            rect class=(level) x=(index * STEP + 4) y=(y) width=(STEP - 8) height=(height) {}
        }
        @if day.total() > 0 {
            text x=(index * STEP + STEP / 2) y=(TOP + BARS_HEIGHT - height(day.total()) - 5) { (day.total()) }
        }
    }
}
