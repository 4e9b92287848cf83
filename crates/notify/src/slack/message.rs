//! The text of a message in Slack: the first lines for an analyst with ten seconds, the rest for ten minutes.

use std::collections::BTreeSet;

use serde_json::Value;
use stakeout_core::address::SourceIp;
use stakeout_core::context::{FindingContext, TopValues};
use stakeout_core::delivery::{Activity, Subject};
use stakeout_core::evidence::Sample;
use stakeout_core::finding::{Finding, FindingStatus};
use stakeout_core::notice::{Notice, NoticeKind};
use stakeout_core::text::counted;

use super::Rendering;
use super::addresses;
use super::blocks::{Blocks, payload};
use super::incident::{self, incident_message};
use super::markup::{
    Markup, TEXT_UNITS_MAX, VALUES_MAX, clusters, code, escaped, field, first_values, labelled_lines, link, name,
    shown_source,
};
use crate::address_book::AddressBook;
use crate::notification::{DIGEST_TOP_MAX, Digest, Message, MessageBody, counted_subjects, uid_of};
use crate::ocsf::{FORGOTTEN, severity};
use crate::text::{self, frequency, period, subject, utc};
use crate::{attack, notice};

/// Longest request URI or user agent that is shown.
const LONG_UNITS_MAX: usize = 240;
/// Longest runbook that is shown; the shipped ones are shorter.
const RUNBOOK_UNITS_MAX: usize = 800;
/// Most values of a ranking that are shown.
const RANKED_MAX: usize = 5;
/// Most related findings that are named.
const RELATED_MAX: usize = 3;
/// Reserved in a digest for what follows a list of incidents.
const BEHIND_UNITS: usize = 2_500;

/// Returns the payload for a message of any kind, from nothing but the message.
#[must_use]
pub fn message(message: &Message<'_>) -> Value {
    message_of(message, &Rendering::default())
}

/// Returns the payload for a message of any kind.
#[must_use]
pub fn message_of(message: &Message<'_>, rendering: &Rendering<'_>) -> Value {
    match &message.body {
        MessageBody::Finding { finding, activity } => finding_message(finding, *activity, rendering.book),
        MessageBody::Incident(report) => incident_message(report, rendering),
        MessageBody::Notice(notice) => notice_message(notice),
        MessageBody::Digest(digest) => digest_message(digest),
        MessageBody::Forgotten(uids) => forgotten_message(uids),
        MessageBody::Test { destination } => test_message(destination),
    }
}

/// Returns the payload for a finding: severity and title, a sentence, the evidence, the uid.
#[must_use]
pub fn finding_message(finding: &Finding, activity: Activity, book: &AddressBook) -> Value {
    let mut blocks = Blocks::new();
    let change = match activity {
        Activity::Create => "",
        Activity::Update => "Update: ",
        Activity::Close => "Closed: ",
    };
    blocks.header(&format!("{change}[{}] {}", severity(finding.rule.level), finding.rule.title));
    blocks.section(&[sentence(finding)]);
    blocks.fields(&fields(finding));
    blocks.section(&addresses::section(finding.source_ip().into_iter().chain(finding.sources.iter()), book));
    blocks.section(&requests(finding));
    blocks.section(&finding.context.as_ref().map_or_else(Vec::new, |around| finding_context(finding, around)));
    blocks.section(&hints(finding));
    payload(&format!("{change}{}", summary(finding)), &blocks.finish(&context(finding)))
}

/// Returns the payload for a digest: the incidents, counts of findings by severity and rule, the top findings, and where to
/// find the rest.
#[must_use]
pub fn digest_message(digest: &Digest<'_>) -> Value {
    let mut blocks = Blocks::new();
    let mut headline = digest.headline();
    if digest.is_of_the_day() {
        headline = format!("Digest of the day: {headline}");
    }
    blocks.header(&headline);
    let findings_follow = !digest.findings.is_empty() || !digest.notices.is_empty();
    let behind = |follows: bool| if follows { BEHIND_UNITS } else { 0 };
    let reserved = behind(findings_follow || !digest.grown.is_empty());
    incident::listing(&mut blocks, "Incidents", &digest.incidents, reserved);
    let grown = "Incidents that grew during the day";
    incident::listing(&mut blocks, grown, &digest.grown, behind(findings_follow) / 2);
    let by_level: Vec<String> = digest.by_level().iter().map(|(level, number)| format!("{number} {level}")).collect();
    let mut counts = vec![Markup::trusted(format!("*By severity:* {}", by_level.join(", ")))];
    counts.extend(digest.by_rule().iter().map(|(rule, number)| Markup::trusted(format!("{number} × {}", name(rule)))));
    if !digest.findings.is_empty() {
        blocks.section(&counts);
        let top = digest.findings.iter().take(DIGEST_TOP_MAX).map(|(finding, _)| digest_line(finding));
        let mut lines = vec![Markup::trusted(format!("*Top {}*", digest.findings.len().min(DIGEST_TOP_MAX)))];
        lines.extend(top);
        // Two sections, so that ten long lines fit.
        let (upper, lower) = lines.split_at(lines.len().div_ceil(2));
        blocks.section(upper);
        blocks.section(lower);
    }
    blocks.section(&digest.notices.iter().take(VALUES_MAX).map(|notice| notice_line(notice)).collect::<Vec<_>>());
    let rest = digest.findings.len().saturating_sub(DIGEST_TOP_MAX);
    let notices_left = digest.notices.len().saturating_sub(VALUES_MAX);
    let mut footer = Vec::new();
    if rest > 0 {
        footer.push(Markup::trusted(format!("{}.", counted(rest, "more finding"))));
    }
    if notices_left > 0 {
        footer.push(Markup::trusted(format!("{}.", counted(notices_left, "more notice"))));
    }
    if !digest.incidents.is_empty() || !digest.grown.is_empty() {
        footer.push(Markup::trusted(
            "`stakeout incidents list` lists all incidents, and `stakeout incidents show` prints one.",
        ));
    }
    if !digest.findings.is_empty() || !digest.notices.is_empty() {
        footer.push(Markup::trusted(
            "`stakeout findings list` lists all findings. SNS, webhook and stdout destinations receive each of them.",
        ));
    }
    payload(&format!("Stakeout: {headline}"), &blocks.finish(&footer))
}

/// Returns the payload for a notice.
#[must_use]
pub fn notice_message(shown: &Notice) -> Value {
    let mut blocks = Blocks::new();
    // A day is one line.
    if !is_day(shown) {
        blocks.header(notice::title(shown));
    }
    let mut lines = vec![paragraph(&notice::explanation(shown))];
    if let Some(reason) = notice::reason(shown) {
        lines.push(Markup::trusted(format!("*Reason:* {}", code(reason, TEXT_UNITS_MAX))));
    }
    blocks.section(&lines);
    let top = notice::top(shown).iter().take(VALUES_MAX);
    blocks
        .section(&top.map(|(source, count)| Markup::trusted(format!("{} {count}", name(source)))).collect::<Vec<_>>());
    let fallback: Vec<&str> = lines.iter().map(Markup::as_str).collect();
    payload(
        &format!("{}. {}", notice::title(shown), fallback.join(" ")),
        &blocks.finish(&[Markup::trusted("Stakeout monitoring notice")]),
    )
}

/// Returns the same message without blocks, in case Slack refuses them.
#[must_use]
pub fn plain_text(payload: &Value) -> Value {
    let mut plain = payload.clone();
    if let Some(fields) = plain.as_object_mut() {
        fields.remove("blocks");
    }
    plain
}

fn forgotten_message(subjects: &[Subject]) -> Value {
    let mut blocks = Blocks::new();
    let headline = format!("{} no longer stored", counted_subjects(subjects));
    blocks.header(&headline);
    blocks.section(&[Markup::trusted(FORGOTTEN)]);
    blocks.section(
        &subjects.iter().map(|subject| Markup::trusted(format!("`{}`", uid_of(*subject)))).collect::<Vec<_>>(),
    );
    payload(&format!("{headline}. {FORGOTTEN}"), &blocks.finish(&[]))
}

fn test_message(destination: &str) -> Value {
    let mut blocks = Blocks::new();
    blocks.header("Stakeout test message");
    blocks.section(&[Markup::trusted(format!("Destination {} works. This is not a finding.", name(destination)))]);
    payload(&format!("Stakeout test message for {}", name(destination)), &blocks.finish(&[]))
}

/// Returns who sent how many requests, where and when.
fn sentence(finding: &Finding) -> Markup {
    let target = format!("the Kubernetes API of {}", clusters(&finding.clusters));
    let requests = format!("*{}*", counted(finding.episode.count, "request"));
    let breadth = text::breadth(finding, name);
    let period = period(finding.episode.first, finding.episode.last);
    Markup::trusted(match finding.source_ip() {
        Some(source) => {
            format!("`{source}` ({}) sent {requests}{breadth} to {target} {period}.", text::network_of(&source))
        }
        None if finding.group_fields().next().is_none() => format!("{requests}{breadth} reached {target} {period}."),
        None => {
            let group = code(&subject(finding), TEXT_UNITS_MAX);
            format!("{requests}{breadth} matching {group} reached {target} {period}.")
        }
    })
}

/// Returns the facts that an analyst checks first. Leaves out those without data.
fn fields(finding: &Finding) -> Vec<Vec<Markup>> {
    let evidence = &finding.evidence;
    let users = evidence.distinct(|sample| Some(sample.username.as_deref().unwrap_or("")));
    let mut fields = vec![vec![Markup::labelled("Frequency", &frequency(&finding.episode))], addresses(finding)];
    let agents = evidence.distinct(|sample| Some(sample.user_agent.as_deref()));
    fields.push(field(
        "User agents",
        agents.into_iter().map(|agent| agent.map_or_else(|| "(none)".to_owned(), |agent| code(agent, LONG_UNITS_MAX))),
    ));
    fields.push(field(
        "Users",
        users.into_iter().map(|user| if user.is_empty() { "(unauthenticated)".to_owned() } else { name(user) }),
    ));
    let by_code = text::by_code(&finding.codes);
    fields.push(field("Response codes", Some(by_code).filter(|codes| !codes.is_empty()).into_iter()));
    fields.push(field("Namespaces", evidence.distinct(|sample| sample.namespace.as_deref()).into_iter().map(name)));
    fields.push(field("Resources", evidence.distinct(|sample| sample.resource.as_deref()).into_iter().map(name)));
    fields.push(related_activity(finding));
    fields.retain(|lines| !lines.is_empty());
    fields
}

/// Shows the other rules and clusters with findings of the same source.
fn related_activity(finding: &Finding) -> Vec<Markup> {
    let other = &finding.related_activity;
    let rules = field("Same source within 24 h", other.rules.iter().map(|rule| name(rule)));
    let clusters: Vec<String> = other.clusters.difference(&finding.clusters).map(|cluster| name(cluster)).collect();
    let clusters =
        clusters.into_iter().take(VALUES_MAX).map(|cluster| Markup::trusted(format!("also in cluster {cluster}")));
    rules.into_iter().chain(clusters).collect()
}

/// Shows the source addresses, and the forwarding chains that clients claim.
fn addresses(finding: &Finding) -> Vec<Markup> {
    let mut values = match finding.source_ip() {
        Some(source) => vec![shown_source(source)],
        None => first_values(finding.sources.iter().map(shown_source)),
    };
    let chains: BTreeSet<&[String]> =
        finding.evidence.distinct(|sample| (sample.source_ips.len() > 1).then_some(sample.source_ips.as_slice()));
    let chains_more = chains.len().saturating_sub(VALUES_MAX);
    values.extend(chains.iter().take(VALUES_MAX).map(|chain| {
        let hops: Vec<String> = chain.iter().map(|hop| code(hop, 48)).collect();
        format!("forwarded for: {}", hops.join(" → "))
    }));
    if chains_more > 0 {
        values.push(format!("… and {}", counted(chains_more, "more chain")));
    }
    labelled_lines("Source IPs", values)
}

/// Shows the requests by verb and URI.
fn requests(finding: &Finding) -> Vec<Markup> {
    let distinct: BTreeSet<(&str, &str)> =
        finding.evidence.distinct(|sample: &Sample| Some((sample.verb.as_str(), sample.request_uri.as_str())));
    let label = if finding.evidence.is_cut() { "Sample requests" } else { "Requests" };
    field(label, distinct.into_iter().map(|(verb, uri)| format!("{} {}", code(verb, 32), code(uri, LONG_UNITS_MAX))))
}

/// Shows what else the source did around the finding.
fn finding_context(finding: &Finding, context: &FindingContext) -> Vec<Markup> {
    let around = match context {
        FindingContext::Read(around) => around,
        FindingContext::Unread { reason } => {
            let reason = code(reason, TEXT_UNITS_MAX);
            return vec![Markup::labelled("Context", &format!("not available: {reason}"))];
        }
    };
    let span = format!(
        "to cluster {} {}",
        name(&around.cluster),
        period(around.window.earliest(), around.window.latest().plus(-1))
    );
    // The query covers only the observed addresses of an IPv6 network.
    let is_network = !matches!(finding.source_ip(), Some(SourceIp::V4(_)));
    let is_cut = around.is_cut || is_network;
    let is_all = around.requests <= finding.episode.count && !is_cut && around.allowed.top.is_empty();
    if is_all && finding.clusters.len() == 1 {
        return vec![Markup::labelled("Context", &format!("The source sent no other requests {span}."))];
    }
    let more = if is_cut { "at least " } else { "" };
    let requests = counted(around.requests, "request");
    let by_code = text::by_code(&around.codes);
    let mut lines = vec![Markup::labelled("Context", &format!("The source sent {more}{requests} {span}: {by_code}"))];
    let rankings = [
        ("allowed", &around.allowed),
        ("denied", &around.refused),
        ("namespaces", &around.namespaces),
        ("users", &around.users),
        ("user agents", &around.agents),
        ("via proxies", &around.proxies),
    ];
    let shown = rankings.iter().filter(|(_, ranking)| !ranking.top.is_empty());
    lines.extend(shown.map(|(label, values)| Markup::trusted(format!("{label}: {}", ranking(values)))));
    if around.proxies.top.is_empty() {
        lines.push(Markup::trusted("direct: not through a trusted proxy"));
    }
    lines
}

/// Shows the most frequent values with their requests.
fn ranking(ranking: &TopValues) -> String {
    let shown = ranking.top.iter().take(RANKED_MAX);
    let mut values: Vec<String> = shown.map(|(value, requests)| format!("{} × {requests}", name(value))).collect();
    let more = ranking.top.len().saturating_sub(RANKED_MAX) as u64 + ranking.others;
    if more > 0 {
        values.push(format!("… and {more} more"));
    }
    values.join(", ")
}

/// Shows the techniques, possible false positives and the runbook of the rule.
fn hints(finding: &Finding) -> Vec<Markup> {
    let techniques: Vec<String> = finding.rule.techniques.iter().take(VALUES_MAX).map(|id| technique(id)).collect();
    let mut lines = Vec::new();
    if !techniques.is_empty() {
        lines.push(Markup::trusted(format!("*MITRE ATT&amp;CK:* {}", techniques.join(", "))));
    }
    for hint in finding.rule.falsepositives.iter().take(VALUES_MAX) {
        lines.push(Markup::trusted(format!("*Possible false positive:* {}", escaped(hint, TEXT_UNITS_MAX))));
    }
    if !finding.rule.runbook.is_empty() {
        lines.push(Markup::trusted(format!("*What to do:* {}", escaped(&finding.rule.runbook, RUNBOOK_UNITS_MAX))));
    }
    lines
}

fn technique(id: &str) -> String {
    let Some(url) = attack::url(id) else { return name(id) };
    match attack::name(id) {
        Some(name) => format!("{} {name}", link(&url, id)),
        None => link(&url, id),
    }
}

fn context(finding: &Finding) -> Vec<Markup> {
    let mut parts = vec![format!("rule {}", name(&finding.rule.name))];
    if finding.rule.risk_score > 0 {
        parts.push(format!("risk {}", finding.rule.risk_score));
    }
    if finding.late {
        parts.push("includes late records".to_owned());
    }
    match finding.status {
        FindingStatus::Open => {}
        FindingStatus::Quiet => parts.push("ended".to_owned()),
        FindingStatus::MergedInto(uid) => parts.push(format!("merged into `{uid}`")),
    }
    if !finding.related.is_empty() {
        parts.push(format!("follows {}", related(finding)));
    }
    // The uid has its own line, so that a long rule name cannot push it out.
    let uid = format!("uid `{}` · `{}`", finding.key, text::details_command(finding));
    vec![Markup::trusted(uid), Markup::trusted(parts.join(" · "))]
}

/// Returns the uids of the findings that this one followed.
fn related(finding: &Finding) -> String {
    let more = finding.related.len().saturating_sub(RELATED_MAX);
    let uids: Vec<String> = finding.related.iter().take(RELATED_MAX).map(|uid| format!("`{uid}`")).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", uids.join(", "))
}

fn digest_line(finding: &Finding) -> Markup {
    Markup::trusted(format!("• {}", summary(finding)))
}

/// Returns the finding on one line of markup.
fn summary(finding: &Finding) -> String {
    let clusters: Vec<&str> = finding.clusters.iter().map(String::as_str).collect();
    format!(
        "{} {} {}, {}, last {}, {}",
        finding.rule.level,
        name(&finding.rule.name),
        name(&subject(finding)),
        counted(finding.episode.count, "request") + &text::breadth(finding, name),
        utc(finding.episode.last),
        name(&clusters.join(", ")),
    )
}

fn is_day(shown: &Notice) -> bool {
    matches!(shown.kind, NoticeKind::Day(_))
}

fn notice_line(shown: &Notice) -> Markup {
    if is_day(shown) {
        let day = format!("{}: {}", notice::title(shown), notice::explanation(shown));
        return Markup::trusted(format!("• {}", escaped(&day, TEXT_UNITS_MAX)));
    }
    Markup::trusted(format!(
        "• {}: {} {}",
        notice::title(shown),
        name(&shown.source),
        period(shown.window.earliest(), shown.window.latest()),
    ))
}

fn paragraph(text: &str) -> Markup {
    Markup::trusted(escaped(text, TEXT_UNITS_MAX * 2))
}
