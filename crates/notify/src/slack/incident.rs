//! The text about incidents in Slack: a message for each, and lines of a digest.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use stakeout_core::context::FindingContext;
use stakeout_core::delivery::Activity;
use stakeout_core::evidence::Sample;
use stakeout_core::finding::Finding;
use stakeout_core::incident::{Actor, Incident, Step};
use stakeout_core::response_code::ResponseCodes;
use stakeout_core::rule::{Level, RuleHead};
use stakeout_core::text::counted;

use super::Rendering;
use super::addresses;
use super::blocks::{Blocks, payload};
use super::markup::{
    Markup, TEXT_UNITS_MAX, clusters, code, escaped, field, first_values, labelled_lines, name, shown_source,
};
use crate::console::Search;
use crate::notification::{DIGEST_TOP_MAX, IncidentReport};
use crate::ocsf::severity;
use crate::text::{self, by_code, frequency, network_of, period, span, utc};

/// Longest title in a line of a digest: some fifty of them fit.
const TITLE_UNITS_MAX: usize = 140;
/// Digits of the uid in a line of a digest: enough for `incidents show`.
const UID_DIGITS: usize = 8;
/// Reserved for the sums by level of the incidents that do not fit.
const SUMS_UNITS: usize = 600;
/// The lowest level at which every incident is named.
const NAMED_LEVEL_MIN: Level = Level::Medium;
/// Most requests that are shown of a step.
const REQUESTS_MAX: usize = 3;
/// Longest request URI or user agent that is shown.
const LONG_UNITS_MAX: usize = 120;
/// Most steps whose requests are shown in the message; the thread has those of later ones.
const EVIDENCE_STEPS_MAX: usize = 3;
/// Most false positives and next steps that are shown, of the most important rules.
const HINTS_MAX: usize = 4;
/// Longest runbook that is shown.
const RUNBOOK_UNITS_MAX: usize = 600;
/// Most logs that a message links to, and has a command for.
const CONSOLES_MAX: usize = 3;
/// Reserved for what follows the steps.
const BEHIND_STEPS_UNITS: usize = 6_000;
/// Longest command that is shown.
const COMMAND_UNITS_MAX: usize = 900;

/// Returns the payload for an incident: level and title, who did it, the steps with what they are reported for, what to do,
/// links, what else is known, when it would be harmless, commands, the uid.
#[must_use]
pub fn incident_message(report: &IncidentReport<'_>, rendering: &Rendering<'_>) -> Value {
    let incident = report.incident;
    let change = match report.activity {
        Activity::Close => "Closed: ",
        Activity::Update if !rendering.is_edited => "Update: ",
        Activity::Create | Activity::Update => "",
    };
    let mut blocks = Blocks::new();
    blocks.header(&format!("{} {change}[{}] {}", mark(incident.level), severity(incident.level), incident.title));
    blocks.section(&[sentence(incident)]);
    if report.is_last {
        blocks.section(&[Markup::trusted(text::LAST_MESSAGE)]);
    }
    let mut steps: Vec<Markup> = incident.steps.iter().flat_map(|step| step_lines(step, rendering.findings)).collect();
    if let Some(first) = steps.first_mut() {
        *first = Markup::labelled("Steps", first.as_str());
    }
    blocks.listing(&steps, BEHIND_STEPS_UNITS);
    let important = by_importance(incident);
    for step in important.iter().take(EVIDENCE_STEPS_MAX) {
        blocks.section(&step_evidence(step, rendering.findings));
    }
    let rules: Vec<&RuleHead> = important.iter().filter_map(|step| rule_of(incident, step)).collect();
    blocks.section(&next(&rules));
    let (links, commands) = consoles(incident, rendering);
    blocks.buttons(&links);
    blocks.fields(&fields(incident, rendering.findings));
    blocks.section(&addresses::section(incident.sources.iter().copied(), rendering.book));
    blocks.section(&harmless(&rules));
    blocks.section(&labelled_lines("Commands", commands));
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
pub(super) fn mark(level: Level) -> &'static str {
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

/// Returns when the step began, what the actor did, how many requests it took and how they were answered, and why that is
/// reported: what the rule needs, and what came.
pub(super) fn step_lines(step: &Step, findings: &[Finding]) -> Vec<Markup> {
    let let_in = if step.is_let_in { "*LET IN* " } else { "" };
    let requests = counted(step.count, "request");
    let answers = by_code(&step.codes);
    let answers = if answers.is_empty() { answers } else { format!(" ({answers})") };
    let head = format!("• {} {let_in}{}: {requests}{answers}", utc(step.first), code(&step.phrase, TEXT_UNITS_MAX));
    let largest = of_step(step, findings).max_by_key(|finding| finding.episode.count);
    let why = largest.filter(|finding| !finding.rule.needed.is_empty()).map(|finding| {
        let here = frequency(&finding.episode) + &text::breadth(finding, name);
        Markup::trusted(format!("     why: {}; here {here}", name(&finding.rule.needed)))
    });
    [Markup::trusted(head)].into_iter().chain(why).collect()
}

/// Returns some requests of a step: what was asked, how it was answered, and by which program.
pub(super) fn step_evidence(step: &Step, findings: &[Finding]) -> Vec<Markup> {
    // Those that were let in say most.
    let rank = |sample: &&Sample| (sample.code.is_none_or(|code| code >= 300), sample.at, sample.rank);
    let mut samples: Vec<&Sample> = of_step(step, findings).flat_map(samples_of).collect();
    samples.sort_by_key(rank);
    let mut seen = BTreeSet::new();
    samples.retain(|sample| seen.insert((&sample.verb, &sample.request_uri, sample.code)));
    let shown = samples.iter().map(|sample| {
        let agent =
            sample.user_agent.as_deref().map_or_else(|| "(none)".to_owned(), |agent| code(agent, LONG_UNITS_MAX));
        let answer = sample.code.map_or_else(|| "no answer".to_owned(), |code| code.to_string());
        format!("{} {} → {answer}, by {agent}", code(&sample.verb, 32), code(&sample.request_uri, LONG_UNITS_MAX))
    });
    let mut lines: Vec<String> = shown.take(REQUESTS_MAX).collect();
    if let Some(first) = lines.first_mut() {
        *first = format!("*Requests: {}*\n{first}", code(&step.phrase, LONG_UNITS_MAX));
    }
    lines.into_iter().map(Markup::trusted).collect()
}

fn samples_of(finding: &Finding) -> impl Iterator<Item = &Sample> {
    finding.evidence.samples().iter().map(|sample| &**sample)
}

fn of_step<'f>(step: &Step, findings: &'f [Finding]) -> impl Iterator<Item = &'f Finding> {
    findings.iter().filter(move |finding| finding.rule.name == step.rule)
}

/// Returns the steps, the most important first.
fn by_importance(incident: &Incident) -> Vec<&Step> {
    let mut steps: Vec<&Step> = incident.steps.iter().collect();
    steps.sort_by_key(|step| std::cmp::Reverse((step.is_let_in, step.level, step.risk_score, step.count)));
    steps
}

fn rule_of<'i>(incident: &'i Incident, step: &Step) -> Option<&'i RuleHead> {
    incident.findings.iter().map(|(_, rule)| &**rule).find(|rule| rule.name == step.rule)
}

/// Returns what to do, as the most important rule says it.
fn next(rules: &[&RuleHead]) -> Vec<Markup> {
    let runbook = rules.iter().map(|rule| &rule.runbook).find(|runbook| !runbook.is_empty());
    runbook.map(|runbook| Markup::labelled("Next step", &escaped(runbook, RUNBOOK_UNITS_MAX))).into_iter().collect()
}

/// Returns what it may be if it is harmless, as the most important rules say it.
fn harmless(rules: &[&RuleHead]) -> Vec<Markup> {
    let mut seen = BTreeSet::new();
    let hints = rules.iter().flat_map(|rule| &rule.falsepositives).filter(|hint| seen.insert(hint.as_str()));
    let lines = hints.take(HINTS_MAX).map(|hint| format!("• {}", escaped(hint, TEXT_UNITS_MAX)));
    labelled_lines("Harmless if", lines.collect())
}

/// Returns the buttons to the consoles of the logs that were read, and the commands.
fn consoles(incident: &Incident, rendering: &Rendering<'_>) -> (Vec<(String, String)>, Vec<String>) {
    let mut commands = vec![text::incident_command(incident)];
    commands.extend(text::silence_command(incident));
    let mut links = Vec::new();
    if let Some(search) = Search::of(incident) {
        let asked = rendering.consoles.iter().filter(|console| incident.clusters.contains(&console.cluster));
        for console in asked.take(CONSOLES_MAX) {
            let text = format!("{}: {}", console.name(), console.cluster);
            links.extend(console.url(&search).map(|url| (text, url)));
            commands.extend(console.command(&search));
        }
    }
    let commands = commands.into_iter().filter(|command| command.chars().count() <= COMMAND_UNITS_MAX);
    (links, commands.map(|command| code(&command, COMMAND_UNITS_MAX + 300)).collect())
}

/// Returns the facts beside the steps: how often, how it was answered, with which programs, as whom, from where, and by which
/// way. Leaves out those without data.
fn fields(incident: &Incident, findings: &[Finding]) -> Vec<Vec<Markup>> {
    let more = incident.sources_are_more.then(|| Markup::trusted("There were more than are kept."));
    let sources =
        field(&format!("Sources: {}", incident.sources.len()), incident.sources.iter().copied().map(shown_source));
    let samples = || findings.iter().flat_map(samples_of);
    let agents: BTreeSet<Option<&str>> = samples().map(|sample| sample.user_agent.as_deref()).collect();
    let users: BTreeSet<&str> = samples().map(|sample| sample.username.as_deref().unwrap_or("")).collect();
    let agent = |agent: Option<&str>| agent.map_or_else(|| "(none)".to_owned(), |agent| code(agent, LONG_UNITS_MAX));
    let user = |user: &str| if user.is_empty() { "(unauthenticated)".to_owned() } else { name(user) };
    let codes = by_code(&codes_of(incident));
    let mut fields = vec![
        sources.into_iter().chain(more).collect(),
        field("How often", std::iter::once(how_often(incident))),
        field("Answered", Some(codes).filter(|codes| !codes.is_empty()).into_iter()),
        field("User agents", agents.into_iter().map(agent)),
        field("Users", users.into_iter().map(user)),
        route(findings),
        field("Risk score", [incident.risk_score].iter().filter(|score| **score > 0).map(u32::to_string)),
        field("Tactics", incident.tactics.iter().map(|tactic| name(tactic))),
        field("Rules", incident.rules.iter().map(|rule| name(rule))),
        field("Related incidents", incident.related.iter().map(|uid| format!("`{uid}`"))),
    ];
    fields.retain(|lines: &Vec<Markup>| !lines.is_empty());
    fields
}

fn how_often(incident: &Incident) -> String {
    let seconds = incident.last.0.saturating_sub(incident.first.0);
    format!("at least {} in {}", counted(incident.count, "request"), span(seconds))
}

/// Returns the answers to the step that counted most; several rules may count one request.
fn codes_of(incident: &Incident) -> ResponseCodes {
    let largest = incident.steps.iter().max_by_key(|step| step.count);
    largest.map(|step| step.codes.clone()).unwrap_or_default()
}

/// Returns whether the requests came straight to the API server, as far as the samples show it.
fn route(findings: &[Finding]) -> Vec<Markup> {
    let samples = || findings.iter().flat_map(samples_of);
    let contexts = findings.iter().filter_map(|finding| match finding.context.as_ref()? {
        FindingContext::Read(activity) => Some(&activity.proxies.top),
        FindingContext::Unread { .. } => None,
    });
    let hops = samples().flat_map(|sample| sample.source_ips.iter().skip(1).map(String::as_str));
    let hops: BTreeSet<&str> = hops.chain(contexts.flatten().map(|(proxy, _)| proxy.as_str())).collect();
    match (samples().next(), hops.is_empty()) {
        (None, true) => Vec::new(),
        (Some(_), true) => field("Way", std::iter::once("straight to the API server".to_owned())),
        (_, false) => labelled_lines("Way: forwarded by", first_values(hops.into_iter().map(|hop| code(hop, 48)))),
    }
}

fn context(report: &IncidentReport<'_>) -> Vec<Markup> {
    let mut parts = vec![counted(report.incident.findings.len(), "finding")];
    parts.extend(report.merged_into().map(|other| format!("merged into `{other}`")));
    vec![Markup::trusted(format!("uid `{}` · {}", report.uid, parts.join(" · ")))]
}
