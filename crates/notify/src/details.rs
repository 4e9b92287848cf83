//! A finding as plain text with all that is stored of it, for a terminal of 80 columns. Every text is escaped.

use stakeout_core::address::SourceIp;
use stakeout_core::context::{FindingContext, TopValues};
use stakeout_core::evidence::Sample;
use stakeout_core::finding::{Finding, FindingStatus};
use stakeout_core::group::GroupValue;
use stakeout_core::incident::Incident;
use stakeout_core::response_code::ResponseCodes;
use stakeout_core::text::{counted, visible};
use textwrap::{Options, WordSplitter, WrapAlgorithm};

use crate::address_book::AddressBook;
use crate::attack;
use crate::incident::step_line;
use crate::text::{breadth, frequency, network_of, period, span, utc};

/// Width of the text in columns.
const WIDTH: usize = 80;
/// Most addresses of which the text says what is known.
const ADDRESSES_MAX: usize = 20;
/// The column of all values. The names of the fields are left of it.
const VALUES_AT: usize = 16;

/// Returns the finding in lines: what was found, the rule, what else the source did, and the samples of the requests.
///
/// No text of an attacker begins at the left edge, so none can pretend to be another field.
#[must_use]
pub fn details(finding: &Finding) -> String {
    let mut lines = Lines::default();
    lines.found(finding);
    lines.rule(finding);
    if let Some(context) = &finding.context {
        lines.context(context);
    }
    let samples = finding.evidence.samples();
    let more = if finding.evidence.is_cut() { ", of more" } else { "" };
    lines.heading(&(counted(samples.len() as u64, "distinct request") + more));
    samples.iter().for_each(|sample| lines.sample(sample));
    lines.0
}

/// Returns the incident in lines: who did what, its steps, and its findings. `status` says whether it goes on.
#[must_use]
pub fn incident_details(incident: &Incident, status: &str) -> String {
    let mut lines = Lines::default();
    lines.field(0, "uid", &incident.key.to_string());
    lines.field(0, "title", &incident.title);
    lines.field(0, "level", incident.level.as_str());
    lines.field(0, "risk score", &incident.risk_score.to_string());
    lines.field(0, "status", status);
    lines.field(0, "actor", &format!("{} {}", incident.actor.kind(), incident.actor_name));
    lines.field(0, "of cluster", incident.actor.cluster().unwrap_or_default());
    lines.field(0, "part of", &incident.parent.map(|parent| parent.to_string()).unwrap_or_default());
    lines.field(0, "seen", &period(incident.first, incident.last));
    lines.field(0, "requests", &incident.count.to_string());
    lines.field(0, "clusters", &joined(incident.clusters.iter()));
    lines.field(0, "tactics", &joined(incident.tactics.iter()));
    lines.field(0, "sources", &joined(incident.sources.iter().map(ToString::to_string)));
    lines.field(0, "more sources", if incident.sources_are_more { "there were more than are kept" } else { "" });
    lines.list(0, "related", incident.related.iter().map(ToString::to_string));
    lines.heading(&counted(incident.steps.len() as u64, "step"));
    incident.steps.iter().for_each(|step| lines.wrapped("  ", 4, &step_line(step)));
    lines.heading(&counted(incident.findings.len() as u64, "finding"));
    for (key, rule) in &incident.findings {
        lines.wrapped("  ", 4, &format!("{key} {}", rule.name));
    }
    lines.0
}

/// Returns a paragraph with a line for each of the first sources of which something is known; empty if there is none.
#[must_use]
pub fn address_details(sources: impl IntoIterator<Item = SourceIp>, book: &AddressBook) -> String {
    let mut lines = Lines::default();
    for (source, context) in book.known(sources, ADDRESSES_MAX) {
        if lines.0.is_empty() {
            lines.heading("known addresses");
        }
        lines.wrapped("  ", 4, &format!("{source}  {context}"));
    }
    lines.0
}

/// Returns all sources of a finding.
pub fn sources_of(finding: &Finding) -> impl Iterator<Item = SourceIp> {
    finding.source_ip().into_iter().chain(finding.sources.iter())
}

/// The lines so far.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn found(&mut self, finding: &Finding) {
        self.field(0, "uid", &finding.key.to_string());
        self.field(0, "title", &finding.rule.title);
        self.field(0, "level", finding.rule.level.as_str());
        self.field(0, "risk score", &finding.rule.risk_score.to_string());
        self.field(0, "status", &status(finding));
        self.field(0, "quiet time", &quiet_time(finding));
        if let Some(source) = finding.source_ip() {
            self.field(0, "source", &format!("{source} ({})", network_of(&source)));
        }
        let is_source = |value: &GroupValue| Some(value) == finding.source_ip().map(GroupValue::Address).as_ref();
        let others = finding.group_fields().filter(|(_, value)| !is_source(value));
        self.list(0, "group", others.map(|(field, value)| format!("{field} = {value}")));
        self.field(0, "seen", &period(finding.episode.first, finding.episode.last));
        self.field(0, "requests", &(frequency(&finding.episode) + &breadth(finding, str::to_owned)));
        self.field(0, "by code", &by_code(&finding.codes));
        self.field(0, "distinct values", &distinct_values(finding));
        self.field(0, "clusters", &joined(finding.clusters.iter()));
        self.field(0, "providers", &joined(finding.providers.iter().map(ToString::to_string)));
        self.field(0, "late", if finding.late { "a reread found some of its requests" } else { "" });
        self.field(0, "reported", &utc(finding.created_at.into()));
        self.field(0, "changed", &utc(finding.updated_at.into()));
        self.list(0, "builds upon", finding.related.iter().map(ToString::to_string));
        self.list(0, "related rules", &finding.related_activity.rules);
        self.field(0, "in clusters", &joined(finding.related_activity.clusters.iter()));
        self.field(0, "sources", &joined(finding.sources.iter().map(|source| source.to_string())));
        self.field(0, "more sources", if finding.sources.is_cut() { "there were more than are kept" } else { "" });
    }

    fn rule(&mut self, finding: &Finding) {
        let rule = &finding.rule;
        self.heading("rule");
        self.field(2, "name", &rule.name);
        self.field(2, "id", &rule.id);
        self.list(2, "description", rule.description.lines());
        let technique = |id: &String| format!("{id} {}", attack::name(id).unwrap_or_default());
        self.list(2, "ATT&CK", rule.techniques.iter().map(technique));
        self.list(2, "false alarms", rule.falsepositives.iter().flat_map(|cause| cause.lines()));
        self.list(2, "runbook", rule.runbook.lines());
    }

    fn context(&mut self, context: &FindingContext) {
        self.heading("what else the source did");
        let activity = match context {
            FindingContext::Unread { reason } => return self.field(2, "not read", reason),
            FindingContext::Read(activity) => activity,
        };
        let more = if activity.is_cut { " and more" } else { "" };
        self.field(2, "cluster", &activity.cluster);
        self.field(2, "span", &period(activity.window.earliest(), activity.window.latest()));
        self.field(2, "requests", &format!("{}{more}", activity.requests));
        self.field(2, "by code", &by_code(&activity.codes));
        self.list(2, "allowed", top(&activity.allowed));
        self.list(2, "refused", top(&activity.refused));
        self.list(2, "namespaces", top(&activity.namespaces));
        self.list(2, "users", top(&activity.users));
        self.list(2, "agents", top(&activity.agents));
        self.list(2, "proxies", top(&activity.proxies));
    }

    fn sample(&mut self, sample: &Sample) {
        let code = sample.code.map_or_else(|| "no code".to_owned(), |code| code.to_string());
        self.wrapped("  ", 4, &format!("{} {code} {} {}", sample.at, sample.verb, sample.request_uri));
        self.field(4, "user", sample.username.as_deref().unwrap_or_default());
        self.field(4, "user agent", sample.user_agent.as_deref().unwrap_or_default());
        self.field(4, "resource", sample.resource.as_deref().unwrap_or_default());
        self.field(4, "namespace", sample.namespace.as_deref().unwrap_or_default());
        self.field(4, "cluster", &sample.cluster);
        self.field(4, "source", &sample.source_ip.map(|source| source.to_string()).unwrap_or_default());
        self.field(4, "sourceIPs", &sample.source_ips.join(", "));
        self.field(4, "auditID", &sample.audit_id);
    }

    fn heading(&mut self, heading: &str) {
        self.0.push('\n');
        self.0.push_str(heading);
        self.0.push('\n');
    }

    /// Adds a field; an empty one is left out.
    fn field(&mut self, indent: usize, name: &str, value: &str) {
        self.list(indent, name, [value]);
    }

    /// Adds a field with a line for each value, but for empty ones.
    fn list(&mut self, indent: usize, name: &str, values: impl IntoIterator<Item = impl AsRef<str>>) {
        let mut name = name;
        for value in values {
            if !value.as_ref().is_empty() {
                let head = format!("{:indent$}{name:<width$}", "", width = VALUES_AT - indent);
                self.wrapped(&head, VALUES_AT, value.as_ref());
                name = "";
            }
        }
    }

    /// Adds `text` after `head`. What does not fit into the line goes on below it, `indent` columns from the left.
    fn wrapped(&mut self, head: &str, indent: usize, text: &str) {
        let below = " ".repeat(indent);
        let options = Options::new(WIDTH)
            .initial_indent(head)
            .subsequent_indent(&below)
            .wrap_algorithm(WrapAlgorithm::FirstFit)
            .word_splitter(WordSplitter::NoHyphenation);
        for line in textwrap::wrap(&visible(text), options) {
            self.0.push_str(line.trim_end());
            self.0.push('\n');
        }
    }
}

fn status(finding: &Finding) -> String {
    match finding.status {
        FindingStatus::Open => "open".to_owned(),
        FindingStatus::Quiet => "closed".to_owned(),
        FindingStatus::MergedInto(key) => format!("closed: merged into {key}"),
    }
}

/// Returns how long the finding must be quiet, and until when if it is open.
fn quiet_time(finding: &Finding) -> String {
    let quiet = span(finding.quiet_seconds);
    let until = utc(finding.episode.last.plus(finding.quiet_seconds));
    if finding.is_open() { format!("{quiet}: closes when all logs are read past {until}") } else { quiet }
}

/// Returns all codes with their requests, the most frequent first.
fn by_code(codes: &ResponseCodes) -> String {
    joined(codes.most_first().iter().map(|(code, n)| format!("{n} × {code}")))
}

fn distinct_values(finding: &Finding) -> String {
    let Some((field, number, is_cut)) = finding.distinct_values() else { return String::new() };
    format!("{}{number} of {field}", if is_cut { "at least " } else { "" })
}

fn top(values: &TopValues) -> Vec<String> {
    let others = (values.others > 0).then(|| counted(values.others, "other"));
    values.top.iter().map(|(value, n)| format!("{value} ({n})")).chain(others).collect()
}

fn joined(values: impl Iterator<Item = impl AsRef<str>>) -> String {
    values.map(|value| value.as_ref().to_owned()).collect::<Vec<_>>().join(", ")
}
