//! The overview: what goes on, how the watch is doing, and how it was on the last days. And the list of all incidents.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use maud::{Markup, html};
use stakeout_core::fold::Stored;
use stakeout_core::incident::Incident;
use stakeout_core::lease::Duty;
use stakeout_core::progress::Progress;
use stakeout_core::rule::Level;
use stakeout_core::source::LogId;
use stakeout_core::text::counted;
use stakeout_core::time::Second;

use super::days::{self, swatch};
use super::destinations::{self, DestinationState};
use super::incident_list::list;
use super::logs::{self, LogState};
use super::{document, text};
use crate::config::{Config, Schedule};
use crate::incident_page::{FoundIncidents, Status};
use crate::sends::SendLog;

/// Which pages of the lists are shown, counted from 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pages {
    pub(crate) incidents: usize,
    pub(crate) logs: usize,
}

/// How the watch is doing.
pub(crate) struct WatchState {
    logs: Vec<LogState>,
    destinations: Vec<DestinationState>,
    schedule: Schedule,
    /// What the last tick left, or that it left nothing; `None` before the first.
    health: Option<Result<(), String>>,
}

impl WatchState {
    /// Returns the state of the logs and destinations of a config. `hosts` says which replica has which duty.
    pub(crate) fn new(
        config: &Config,
        (progresses, stored): (Vec<Progress>, Stored),
        sends: &SendLog,
        hosts: &BTreeMap<String, String>,
        health: Option<Result<(), String>>,
    ) -> WatchState {
        let mut progresses: BTreeMap<LogId, Progress> =
            progresses.into_iter().map(|progress| (progress.log.clone(), progress)).collect();
        let logs = config.sources.iter().map(|it| LogState {
            source: it.source.clone(),
            progress: progresses.remove(&it.source.log),
            host: hosts.get(&Duty::Log(it.source.log.clone()).to_string()).cloned(),
        });
        let is_known = |name: &str| config.notify.iter().any(|destination| destination.name == name);
        let known = config.notify.iter().map(|destination| destination.name.as_str());
        let stranded = stored.pending.keys().map(String::as_str).filter(|name| !is_known(name));
        let destinations = known.chain(stranded).map(|name| {
            let held = stored.held.get(name).map_or(0, |held| held.len());
            let pending = stored.pending.get(name).copied().unwrap_or(0).saturating_sub(held);
            DestinationState { name: name.to_owned(), is_known: is_known(name), pending, held, sends: sends.of(name) }
        });
        WatchState {
            logs: logs.collect(),
            destinations: destinations.collect(),
            schedule: config.schedule.clone(),
            health,
        }
    }
}

/// Returns from when on the overview needs findings that are over.
pub(crate) fn read_from(now: Second) -> Second {
    days::first_day(now)
}

/// Returns the overview.
pub(crate) fn page(found: &FoundIncidents, mut watch: WatchState, pages: Pages, now: Second) -> String {
    let mut open: Vec<_> = found.incidents.iter().filter(|found| found.status == Status::Open).collect();
    open.sort_by_key(|found| {
        let Incident { level, last, key, .. } = found.incident;
        (Reverse(level), Reverse(last), key)
    });
    let main = html! {
        h1 { "Overview" }
        (health(&watch))
        (notes(found))
        section aria-labelledby="open" {
            h2 #open { (counted(open.len() as u64, "open incident")) }
            @if open.is_empty() { p { "Nobody is at it as far as the logs are read." } }
            @else {
                ul.marks {
                    @for level in Level::ALL.iter().rev() {
                        @let n = open.iter().filter(|found| found.incident.level == *level).count();
                        @if n > 0 { li { (swatch(*level)) (n) " " (level) } }
                    }
                }
                (list(&open, pages.incidents, &format!("/?logs={}&page=", pages.logs)))
            }
        }
        (logs::section(&mut watch.logs, &watch.schedule, pages.logs, &format!("/?page={}&logs=", pages.incidents), now))
        (days::section(found.incidents.iter().map(|found| &found.incident), now))
        (destinations::section(&watch.destinations))
    };
    document("Overview", now, &main)
}

/// Returns the page with the incidents of the last days, open or not, the latest first.
pub(crate) fn incidents(found: &FoundIncidents, page: usize, now: Second) -> String {
    let all: Vec<_> = found.incidents.iter().collect();
    let main = html! {
        h1 { "Incidents" }
        (notes(found))
        section aria-labelledby="latest" {
            h2 #latest { (counted(all.len() as u64, "incident")) ", the latest first" }
            p {
                "Those that are open, and those of the last " (days::DAYS) " days. " code { "stakeout incidents list" }
                " shows earlier ones."
            }
            (list(&all, page, "/incidents?page="))
        }
    };
    document("Incidents", now, &main)
}

fn notes(found: &FoundIncidents) -> Markup {
    html! {
        @for note in &found.notes { p.note { (text::shown(note)) } }
    }
}

fn health(watch: &WatchState) -> Markup {
    let (class, words) = match &watch.health {
        None => ("health waiting", "The first tick is not done yet.".to_owned()),
        Some(Ok(())) => ("health good", "The last tick read every log and sent every message.".to_owned()),
        Some(Err(reason)) => ("health bad", format!("Not all was done: {}", text::shown(reason))),
    };
    html! { p class=(class) { (words) } }
}
