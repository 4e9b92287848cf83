//! How far each log is read, and its last days as a strip.

use std::cmp::Reverse;

use maud::{Markup, html};
use stakeout_core::progress::{Gap, Progress};
use stakeout_core::source::Source;
use stakeout_core::text::counted;
use stakeout_core::time::Second;
use stakeout_notify::text::period;

use super::incident_list::paging;
use super::strip::{self, Strip};
use super::text::{shown, since, time};
use crate::config::Schedule;

/// Logs of one page: a strip has up to two hundred parts.
const PAGE_LOGS: usize = 50;
/// Gaps that are named of each log, the latest ones.
const GAPS_NAMED: usize = 3;

/// A log of the config.
pub(super) struct LogState {
    pub(super) source: Source,
    /// How far it is read; `None` before its first commit.
    pub(super) progress: Option<Progress>,
    /// The host of the replica that reads it, where there are several.
    pub(super) host: Option<String>,
}

impl LogState {
    /// Returns whether somebody should look at it.
    fn is_troubled(&self) -> bool {
        self.progress.as_ref().is_none_or(|it| it.failing.is_some() || !it.gaps.is_empty() || it.is_silent())
    }

    fn cursor(&self) -> Option<Second> {
        self.progress.as_ref().map(|progress| progress.cursor)
    }
}

/// Returns the section with the logs of a page that is counted from 1, those first that somebody should look at.
pub(super) fn section(logs: &mut [LogState], schedule: &Schedule, page: usize, path: &str, now: Second) -> Markup {
    logs.sort_by_key(|log| (Reverse(log.is_troubled()), log.cursor()));
    let troubled = logs.iter().filter(|log| log.is_troubled()).count();
    let pages = logs.len().div_ceil(PAGE_LOGS).max(1);
    let begin = page.saturating_sub(1).saturating_mul(PAGE_LOGS);
    html! {
        section aria-labelledby="logs" {
            h2 #logs { "Logs" }
            p {
                (counted(logs.len() as u64, "log")) ", "
                @if troubled == 0 { "all of them read without a failure, a gap or silence." }
                @else { (troubled) " of them with a failure, a gap or silence." }
                " Each strip is the last " (strip::DAYS) " days, until now."
            }
            (strip::legend())
            ul.logs {
                @for log in logs.iter().skip(begin).take(PAGE_LOGS) { li { (entry(log, schedule, now)) } }
            }
            (paging(page, pages, path, "logs"))
        }
    }
}

fn entry(log: &LogState, schedule: &Schedule, now: Second) -> Markup {
    let Source { name, cluster, provider, .. } = &log.source;
    html! {
        article {
            h3 { (shown(cluster)) }
            p.note {
                "source " (shown(name)) ", " (provider)
                @if let Some(host) = &log.host { ", read by " (shown(host)) }
            }
            @match &log.progress {
                None => { p { "Not read yet." } }
                Some(progress) => {
                    @let strip = Strip::of(progress, schedule, now);
                    (strip.picture(&shown(name)))
                    p {
                        "Read until " (time(progress.cursor)) ", " (since(progress.cursor, now)) " ago. Of the last " (strip::DAYS)
                        " days: " (strip.words()) "."
                    }
                    (trouble(progress))
                }
            }
        }
    }
}

fn trouble(progress: &Progress) -> Markup {
    let latest = progress.gaps.iter().rev().take(GAPS_NAMED);
    let more = progress.gaps.len().saturating_sub(GAPS_NAMED);
    html! {
        @if progress.failing.is_some() || !progress.gaps.is_empty() || progress.silent_windows > 0 {
            ul.trouble {
                @if let Some(failing) = &progress.failing {
                    li { strong { "Failing" } " since " (time(failing.since)) ": " (shown(&failing.reason)) }
                }
                @if progress.silent_windows > 0 {
                    li { strong { "Silent" } ": no record in the last " (counted(progress.silent_windows, "window")) }
                }
                @for Gap { window, reason } in latest {
                    li { strong { "Gap" } " " (period(window.earliest(), window.latest())) ": " (shown(reason)) }
                }
                @if more > 0 { li { (counted(more as u64, "earlier gap")) } }
            }
        }
    }
}
