//! A list of incidents with their stories, in pages of a bounded length.

use maud::{Markup, html};
use stakeout_core::incident::{Incident, Step};
use stakeout_core::text::counted;
use stakeout_notify::text::{by_code, period};

use super::days::swatch;
use super::text::{shown, some, time};
use crate::incident_page::FoundIncident;

/// Incidents of one page.
pub(super) const PAGE_INCIDENTS: usize = 100;
/// Clusters that the list names of each incident.
const CLUSTERS_NAMED: usize = 8;

/// Returns the incidents of a page that is counted from 1, and the links to the others. `path` leads to a page if its
/// number follows.
pub(super) fn list(incidents: &[&FoundIncident], page: usize, path: &str) -> Markup {
    let pages = incidents.len().div_ceil(PAGE_INCIDENTS).max(1);
    let begin = page.saturating_sub(1).saturating_mul(PAGE_INCIDENTS);
    let some: Vec<_> = incidents.iter().skip(begin).take(PAGE_INCIDENTS).collect();
    html! {
        @if some.is_empty() && begin > 0 { p { "There is no page " (page) ". " a href=(format!("{path}1")) { "Page 1" } } }
        ol.incidents start=(begin.saturating_add(1)) {
            @for found in some { li { (entry(found)) } }
        }
        (paging(page, pages, path, "incidents"))
    }
}

/// Returns the links to the pages before and after this one.
pub(super) fn paging(page: usize, pages: usize, path: &str, of: &str) -> Markup {
    html! {
        @if pages > 1 {
            nav.paging aria-label=(format!("Pages of {of}")) {
                @if page > 1 { a rel="prev" href=(format!("{path}{}", (page - 1).min(pages))) { "Previous" } }
                span aria-current="page" { "Page " (page) " of " (pages) }
                @if page < pages { a rel="next" href=(format!("{path}{}", page + 1)) { "Next" } }
            }
        }
    }
}

fn entry(found: &FoundIncident) -> Markup {
    let incident = &found.incident;
    html! {
        article {
            h3 { a href=(format!("/incidents/{}", incident.key)) { (shown(&incident.title)) } }
            (marks(found))
            dl {
                div { dt { "Actor" } dd { (actor(incident)) } }
                div { dt { "Clusters" } dd { (some(incident.clusters.iter(), CLUSTERS_NAMED)) } }
                div { dt { "Seen" } dd { (period(incident.first, incident.last)) } }
                div { dt { "Requests" } dd { (incident.count) } }
            }
            @if incident.steps.len() > 1 {
                details {
                    summary { (counted(incident.steps.len() as u64, "step")) }
                    (steps(&incident.steps))
                }
            }
        }
    }
}

/// Returns the level and the status, and who silenced it until when and why.
pub(super) fn marks(FoundIncident { incident, status, silenced }: &FoundIncident) -> Markup {
    html! {
        ul.marks {
            li { (swatch(incident.level)) strong { (incident.level) } }
            li { (status.as_str()) }
            @if let Some(silenced) = silenced { li { (shown(&silenced.to_string())) } }
            @if incident.is_let_in() { li.let-in { strong { "let in" } } }
        }
    }
}

/// Returns who did it.
pub(super) fn actor(incident: &Incident) -> Markup {
    html! {
        (incident.actor.kind()) " " (shown(&incident.actor_name))
        @if let Some(cluster) = incident.actor.cluster() { " of cluster " (shown(cluster)) }
    }
}

/// Returns what the actor did, in the order of time.
pub(super) fn steps(steps: &[Step]) -> Markup {
    html! {
        ol.steps {
            @for step in steps {
                li {
                    (time(step.first)) " "
                    @if step.is_let_in { strong { "let in: " } }
                    (shown(&step.phrase)) ": " (counted(step.count, "request"))
                    @let codes = by_code(&step.codes);
                    @if !codes.is_empty() { " (" (codes) ")" }
                }
            }
        }
    }
}
