//! The text about incidents in Slack: a message for each, and lines of a digest.

use std::collections::BTreeMap;

use serde_json::Value;
use stakeout_core::delivery::Activity;
use stakeout_core::incident::{Actor, Incident, Step};
use stakeout_core::rule::Level;
use stakeout_core::text::counted;

use super::addresses;
use super::blocks::{Blocks, payload};
use super::markup::{Markup, TEXT_UNITS_MAX, clusters, code, field, labelled_lines, name, shown_source};
use crate::address_book::AddressBook;
use crate::notification::{DIGEST_TOP_MAX, IncidentReport};
use crate::ocsf::severity;
use crate::text::{self, by_code, network_of, period, utc};

/// Longest title in a line of a digest: some fifty of them fit.
const TITLE_UNITS_MAX: usize = 140;
/// Digits of the uid in a line of a digest: enough for `incidents show`.
const UID_DIGITS: usize = 8;
/// Reserved for the sums by level of the incidents that do not fit.
const SUMS_UNITS: usize = 600;
/// The lowest level at which every incident is named.
const NAMED_LEVEL_MIN: Level = Level::Medium;

/// Returns the payload for an incident: level and title, who did it, the steps, the sources, the uid.
#[must_use]
pub fn incident_message(report: &IncidentReport<'_>, book: &AddressBook) -> Value {
    let incident = report.incident;
    let change = match report.activity {
        Activity::Create => "",
        Activity::Update => "Update: ",
        Activity::Close => "Closed: ",
    };
    let mut blocks = Blocks::new();
    blocks.header(&format!("{} {change}[{}] {}", mark(incident.level), severity(incident.level), incident.title));
    blocks.section(&[sentence(incident)]);
    if report.is_last {
        blocks.section(&[Markup::trusted(text::LAST_MESSAGE)]);
    }
    let steps = labelled_lines("Steps", incident.steps.iter().map(step).collect());
    // Two sections, so that all of them fit.
    let (upper, lower) = steps.split_at(steps.len().div_ceil(2));
    blocks.section(upper);
    blocks.section(lower);
    blocks.fields(&fields(incident));
    blocks.section(&addresses::section(incident.sources.iter().copied(), book));
    let fallback =
        format!("{} {change}{} {}", mark(incident.level), incident.level, code(&incident.title, TEXT_UNITS_MAX));
    payload(&fallback, &blocks.finish(&context(report)))
}

/// Adds incidents to a digest, the most important first: those of level medium and above by name, as many as fit beside
/// `reserved` units, and at least ten of all. Of the others, the numbers by level.
pub(super) fn listing(blocks: &mut Blocks, label: &str, reports: &[IncidentReport<'_>], reserved: usize) {
    if reports.is_empty() {
        return;
    }
    let is_named =
        |(at, report): &(usize, &IncidentReport<'_>)| *at < DIGEST_TOP_MAX || report.incident.level >= NAMED_LEVEL_MIN;
    let named = reports.iter().enumerate().take_while(is_named).map(|(_, report)| line(report));
    let heading = Markup::trusted(format!("*{label}*"));
    let lines: Vec<Markup> = [heading].into_iter().chain(named).collect();
    let shown = blocks.listing(&lines, reserved + SUMS_UNITS).saturating_sub(1);
    let mut others: BTreeMap<Level, usize> = BTreeMap::new();
    for report in &reports[shown..] {
        *others.entry(report.incident.level).or_default() += 1;
    }
    let sum = |(level, number): (&Level, &usize)| {
        Markup::trusted(format!("… and {number} more of level {level}: `stakeout incidents list --level {level}`"))
    };
    blocks.section(&others.iter().rev().map(sum).collect::<Vec<_>>());
}

/// Returns the incident on one line of markup.
fn line(report: &IncidentReport<'_>) -> Markup {
    let incident = report.incident;
    let let_in = if incident.is_let_in() { "*LET IN* " } else { "" };
    let mut uid = report.uid.to_string();
    uid.truncate(UID_DIGITS);
    Markup::trusted(format!(
        "• {} {} {let_in}{}, {}, last {}, `{uid}`",
        mark(incident.level),
        incident.level,
        code(&incident.title, TITLE_UNITS_MAX),
        counted(incident.count, "request"),
        utc(incident.last),
    ))
}

/// Returns the colour of a level.
fn mark(level: Level) -> &'static str {
    match level {
        Level::Informational => "⚪",
        Level::Low => "🔵",
        Level::Medium => "🟡",
        Level::High => "🟠",
        Level::Critical => "🔴",
    }
}

/// Returns who sent how many requests, where and when.
fn sentence(incident: &Incident) -> Markup {
    let who = match &incident.actor {
        Actor::Account { cluster, .. } => {
            let of = cluster.as_ref().map_or_else(String::new, |cluster| format!(" of cluster {}", name(cluster)));
            format!("Account {}{of}", name(&incident.actor_name))
        }
        Actor::Address(source) => format!("`{source}` ({})", network_of(source)),
        Actor::Crowd { .. } => format!("{} together", name(&incident.actor_name)),
    };
    Markup::trusted(format!(
        "{who} sent at least *{}* to the Kubernetes API of {} {}.",
        counted(incident.count, "request"),
        clusters(&incident.clusters),
        period(incident.first, incident.last),
    ))
}

/// Returns when the step began, what the actor did, how many requests it took and how they were answered.
fn step(step: &Step) -> String {
    let let_in = if step.is_let_in { "*LET IN* " } else { "" };
    let requests = counted(step.count, "request");
    let answers = by_code(&step.codes);
    let answers = if answers.is_empty() { answers } else { format!(" ({answers})") };
    format!("• {} {let_in}{}: {requests}{answers}", utc(step.first), code(&step.phrase, TEXT_UNITS_MAX))
}

/// Returns the facts beside the steps. Leaves out those without data.
fn fields(incident: &Incident) -> Vec<Vec<Markup>> {
    let more = incident.sources_are_more.then(|| Markup::trusted("There were more than are kept."));
    let sources =
        field(&format!("Sources: {}", incident.sources.len()), incident.sources.iter().copied().map(shown_source));
    let mut fields = vec![
        sources.into_iter().chain(more).collect(),
        field("Risk score", [incident.risk_score].iter().filter(|score| **score > 0).map(u32::to_string)),
        field("Tactics", incident.tactics.iter().map(|tactic| name(tactic))),
        field("Rules", incident.rules.iter().map(|rule| name(rule))),
        field("Related incidents", incident.related.iter().map(|uid| format!("`{uid}`"))),
    ];
    fields.retain(|lines: &Vec<Markup>| !lines.is_empty());
    fields
}

fn context(report: &IncidentReport<'_>) -> Vec<Markup> {
    let command = text::incident_command(report.incident);
    let mut parts = vec![counted(report.incident.findings.len(), "finding")];
    parts.extend(report.merged_into().map(|other| format!("merged into `{other}`")));
    vec![Markup::trusted(format!("uid `{}` · `{command}`", report.uid)), Markup::trusted(parts.join(" · "))]
}
