//! The page of one incident: its story, and where it comes from.

use maud::{Markup, html};
use stakeout_core::incident::Incident;
use stakeout_core::text::counted;
use stakeout_core::time::Second;
use stakeout_notify::AddressBook;
use stakeout_notify::text::{period, span};

use super::document;
use super::incident_list::{actor, marks, steps};
use super::text::{shown, some, time};
use crate::incident_page::FoundIncident;

/// Sources, clusters and findings that the page names; `incidents show` names all.
const SOURCES_NAMED: usize = 100;
/// Sources of which the page says what is known.
const KNOWN_SOURCES_NAMED: usize = 20;
const CLUSTERS_NAMED: usize = 100;
const FINDINGS_NAMED: usize = 200;

/// Returns the page of an incident, with what `addresses` knows of its sources.
pub(crate) fn page(found: &FoundIncident, addresses: &AddressBook, now: Second) -> String {
    let incident = &found.incident;
    let title = shown(&incident.title);
    let main = html! {
        h1 { (title) }
        (marks(found))
        (facts(incident))
        section aria-labelledby="steps" {
            h2 #steps { (counted(incident.steps.len() as u64, "step")) }
            (steps(&incident.steps))
        }
        (sources(incident, addresses))
        (findings(incident))
        section aria-labelledby="command" {
            h2 #command { "On the command line" }
            pre tabindex="0" { code { "stakeout incidents show " (incident.key) } }
        }
    };
    document(&title, now, &main)
}

fn facts(incident: &Incident) -> Markup {
    html! {
        dl.facts {
            div { dt { "Actor" } dd { (actor(incident)) } }
            div { dt { "Clusters" } dd { (some(incident.clusters.iter(), CLUSTERS_NAMED)) } }
            div { dt { "First request" } dd { (time(incident.first)) } }
            div { dt { "Last request" } dd { (time(incident.last)) " (" (span(incident.last.0 - incident.first.0)) " later)" } }
            div { dt { "Requests" } dd { (incident.count) } }
            div { dt { "Risk score" } dd { (incident.risk_score) } }
            @if !incident.tactics.is_empty() {
                div { dt { "Tactics" } dd { (some(incident.tactics.iter(), CLUSTERS_NAMED)) } }
            }
            div { dt { "Uid" } dd { code { (incident.key) } } }
            @if let Some(parent) = incident.parent {
                div { dt { "Part of" } dd { a href=(format!("/incidents/{parent}")) { code { (parent) } } } }
            }
            @if !incident.related.is_empty() {
                div { dt { "Related" } dd { ul.plain {
                    @for related in &incident.related { li { a href=(format!("/incidents/{related}")) { code { (related) } } } }
                } } }
            }
        }
    }
}

fn sources(incident: &Incident, addresses: &AddressBook) -> Markup {
    let at_least = if incident.sources_are_more { "at least " } else { "" };
    html! {
        section aria-labelledby="sources" {
            h2 #sources { (at_least) (counted(incident.sources.len() as u64, "source")) }
            p { (some(incident.sources.iter().map(ToString::to_string), SOURCES_NAMED)) }
            @for (source, context) in addresses.known(incident.sources.iter().copied(), KNOWN_SOURCES_NAMED) {
                p { (source) ": " (shown(&context.to_string())) }
            }
        }
    }
}

fn findings(incident: &Incident) -> Markup {
    let more = incident.findings.len().saturating_sub(FINDINGS_NAMED);
    html! {
        section aria-labelledby="findings" {
            h2 #findings { (counted(incident.findings.len() as u64, "finding")) }
            p { "What one rule found " (period(incident.first, incident.last)) ", with samples of the requests." }
            table {
                thead { tr { th scope="col" { "Finding" } th scope="col" { "Level" } th scope="col" { "Rule" } } }
                tbody {
                    @for (key, rule) in incident.findings.iter().take(FINDINGS_NAMED) {
                        tr {
                            @let uid = key.to_string();
                            td { a href=(format!("/findings/{uid}?format=text")) { code { (uid.get(..8).unwrap_or(&uid)) } } }
                            td { (rule.level) }
                            td { (shown(&rule.name)) }
                        }
                    }
                }
            }
            @if more > 0 { p { "And " (counted(more as u64, "more finding")) "." } }
        }
    }
}
