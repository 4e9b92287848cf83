//! The line that destinations get once a day: gathers what was read and found on a day, and has it committed as pending.

use std::collections::BTreeMap;

use stakeout_core::day_report::{Day, DayReport};
use stakeout_core::progress::Progress;
use stakeout_core::rule::Level;
use stakeout_core::time::Second;
use stakeout_core::watched_day::{WatchedLog, next_day, report};
use tracing::info;

use crate::config::{Config, SourceConfig};
use crate::finding_page::FindingRequest;
use crate::incident_page::{FoundIncidents, IncidentSearch};
use crate::silence_book::SilenceBook;
use crate::writer::{DayLine, StateError, Writer};

/// Commits the lines of all days that can be reported at the tick `at`, if a destination gets them.
pub(crate) async fn report_days(
    config: &Config,
    silences: &SilenceBook,
    writer: &Writer,
    at: Second,
) -> Result<(), StateError> {
    if config.daily.is_empty() {
        return Ok(());
    }
    let (stored, _) = writer.progresses().await?;
    let logs = watched(config, &stored);
    let mut reported = writer.day_reported().await?;
    while let Some(day) = next_day(reported, &logs, at) {
        let mut report = report(day, &logs, &config.schedule.window_ends(day.window()));
        reported = Some(day);
        // The first window of a log may begin shortly before a day does, and ends after that.
        if report.windows_due == 0 {
            continue;
        }
        let silences = silences.current();
        let search = IncidentSearch::new(FindingRequest::default(), config.incidents, silences, at);
        let (search, archive) = writer.search_incidents(search.with_archive_from(day.begin())).await?;
        let found = tokio::task::spawn_blocking(move || search.found(archive)).await;
        add_incidents(&mut report, day, &found.map_err(|_| StateError::Closed)?);
        let line = DayLine { day, report, destinations: config.daily.clone() };
        if writer.report_day(line).await? {
            info!(day = %day.begin(), "the line of a day is pending");
        }
    }
    Ok(())
}

fn watched<'a>(config: &'a Config, stored: &'a [Progress]) -> Vec<WatchedLog<'a>> {
    let by_log: BTreeMap<_, &Progress> = stored.iter().map(|progress| (&progress.log, progress)).collect();
    let log = |source: &'a SourceConfig| WatchedLog {
        source: &source.source.name,
        cluster: &source.source.cluster,
        progress: by_log.get(&source.source.log).copied(),
    };
    config.sources.iter().map(log).collect()
}

fn add_incidents(report: &mut DayReport, day: Day, found: &FoundIncidents) {
    let mut by_level: BTreeMap<Level, usize> = BTreeMap::new();
    let begun = found.incidents.iter().filter(|found| Day::of(found.incident.first) == day);
    for found in begun {
        *by_level.entry(found.incident.level).or_default() += 1;
        report.incidents_silenced += usize::from(found.silenced.is_some());
    }
    report.incidents = by_level.into_iter().rev().collect();
}
