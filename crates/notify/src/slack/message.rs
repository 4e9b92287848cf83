//! The words of a message in Slack: for an analyst who has ten seconds, and for one who then has ten minutes.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stakeout_core::address::SourceIp;
use stakeout_core::context::{FindingContext, TopValues};
use stakeout_core::delivery::Activity;
use stakeout_core::evidence::Sample;
use stakeout_core::finding::{Finding, FindingKey, Status};
use stakeout_core::notice::Notice;

use super::blocks::Blocks;
use super::markup::{Markup, code, escaped, link};
use crate::notification::{Body, DIGEST_TOP_MAX, Digest, Message, counted};
use crate::ocsf::{FORGOTTEN, severity};
use crate::text::{self, frequency, subject, utc};
use crate::{attack, notice};

/// Longest request URI or user agent that is shown.
const LONG_UNITS_MAX: usize = 240;
/// Longest name (cluster, user, namespace) that is shown.
const NAME_UNITS_MAX: usize = 120;
/// Longest words of a rule (title, false positive) that are shown.
const WORDS_UNITS_MAX: usize = 400;
/// Longest runbook that is shown; the shipped ones are shorter.
const RUNBOOK_UNITS_MAX: usize = 800;
/// Most values of a list that are shown.
const VALUES_MAX: usize = 10;
/// Most values of a ranking that are shown.
const RANKED_MAX: usize = 5;
/// Most related findings that are named.
const RELATED_MAX: usize = 3;

/// Returns the payload for a message of any kind.
#[must_use]
pub fn message(message: &Message<'_>) -> Value {
    match &message.body {
        Body::Finding { finding, activity } => finding_message(finding, *activity),
        Body::Notice(notice) => notice_message(notice),
        Body::Digest(digest) => digest_message(digest),
        Body::Forgotten(uids) => forgotten_message(uids),
        Body::Test { destination } => test_message(destination),
    }
}

/// Returns the payload for a finding: severity and title, a sentence, the evidence, the uid.
#[must_use]
pub fn finding_message(finding: &Finding, activity: Activity) -> Value {
    let mut blocks = Blocks::new();
    let change = match activity {
        Activity::Create => "",
        Activity::Update => "Update: ",
        Activity::Close => "Closed: ",
    };
    blocks.header(&format!("{change}[{}] {}", severity(finding.rule.level), finding.rule.title));
    blocks.section(&[sentence(finding)]);
    blocks.fields(&fields(finding));
    blocks.section(&requests(finding));
    blocks.section(&finding.context.as_ref().map_or_else(Vec::new, |around| finding_context(finding, around)));
    blocks.section(&hints(finding));
    payload(&format!("{change}{}", summary(finding)), &blocks.finish(&context(finding)))
}

/// Returns the payload for a digest: the top findings, numbers by severity and rule, and where the rest is.
#[must_use]
pub fn digest_message(digest: &Digest<'_>) -> Value {
    let mut blocks = Blocks::new();
    let headline = digest.headline();
    blocks.header(&headline);
    let by_level: Vec<String> = digest.by_level().iter().map(|(level, number)| format!("{number} {level}")).collect();
    let mut numbers = vec![Markup::ours(format!("*By severity:* {}", by_level.join(", ")))];
    numbers.extend(digest.by_rule().iter().map(|(rule, number)| Markup::ours(format!("{number} × {}", name(rule)))));
    if !digest.findings.is_empty() {
        blocks.section(&numbers);
        let top = digest.findings.iter().take(DIGEST_TOP_MAX).map(|(finding, _)| digest_line(finding));
        let mut lines = vec![Markup::ours(format!("*Top {}*", digest.findings.len().min(DIGEST_TOP_MAX)))];
        lines.extend(top);
        // Two sections, so that ten long lines fit.
        let (upper, lower) = lines.split_at(lines.len().div_ceil(2));
        blocks.section(upper);
        blocks.section(lower);
    }
    blocks.section(&digest.notices.iter().take(VALUES_MAX).map(|notice| notice_line(notice)).collect::<Vec<_>>());
    let rest = digest.findings.len().saturating_sub(DIGEST_TOP_MAX);
    let untold = digest.notices.len().saturating_sub(VALUES_MAX);
    let mut where_else = Vec::new();
    if rest > 0 {
        where_else.push(Markup::ours(format!("{} more.", counted(rest, "finding"))));
    }
    if untold > 0 {
        where_else.push(Markup::ours(format!("{} more.", counted(untold, "notice"))));
    }
    where_else.push(Markup::ours(
        "All of them: `stakeout state show`, and every SNS, webhook and stdout destination, one by one.",
    ));
    payload(&format!("Stakeout: {headline}"), &blocks.finish(&where_else))
}

/// Returns the payload for a notice.
#[must_use]
pub fn notice_message(told: &Notice) -> Value {
    let mut blocks = Blocks::new();
    blocks.header(notice::title(told));
    let mut lines = vec![words(&notice::explanation(told))];
    if let Some(reason) = notice::reason(told) {
        lines.push(Markup::ours(format!("Reason: {}", code(reason, WORDS_UNITS_MAX))));
    }
    blocks.section(&lines);
    let top = notice::top(told).iter().take(VALUES_MAX);
    blocks.section(&top.map(|(source, count)| Markup::ours(format!("{} {count}", name(source)))).collect::<Vec<_>>());
    let fallback: Vec<&str> = lines.iter().map(Markup::as_str).collect();
    payload(
        &format!("{}. {}", notice::title(told), fallback.join(" ")),
        &blocks.finish(&[Markup::ours("stakeout: about the watch itself")]),
    )
}

/// Returns the same message without blocks, for a Slack that refused them.
#[must_use]
pub fn plain_text(payload: &Value) -> Value {
    let mut plain = payload.clone();
    if let Some(fields) = plain.as_object_mut() {
        fields.remove("blocks");
    }
    plain
}

fn forgotten_message(uids: &[FindingKey]) -> Value {
    let mut blocks = Blocks::new();
    let headline = format!("{} no longer stored", counted(uids.len(), "finding"));
    blocks.header(&headline);
    blocks.section(&[Markup::ours(FORGOTTEN)]);
    blocks.section(&uids.iter().map(|uid| Markup::ours(format!("`{uid}`"))).collect::<Vec<_>>());
    payload(&format!("{headline}. {FORGOTTEN}"), &blocks.finish(&[]))
}

fn test_message(destination: &str) -> Value {
    let mut blocks = Blocks::new();
    blocks.header("Test message of Stakeout");
    blocks.section(&[Markup::ours(format!("The destination {} works. Nothing was found.", name(destination)))]);
    payload(&format!("Test message of Stakeout for {}", name(destination)), &blocks.finish(&[]))
}

/// Returns the payload; `fallback` is markup as well, for notifications and for a Slack that refuses the blocks.
fn payload(fallback: &str, blocks: &[Value]) -> Value {
    json!({"text": fallback, "blocks": blocks, "unfurl_links": false, "unfurl_media": false})
}

/// Says who did what, how often, where and when.
fn sentence(finding: &Finding) -> Markup {
    let who = match finding.source_ip() {
        Some(source) => format!("`{source}` ({}) sent", text::network_of(&source)),
        None => format!("{}:", code(&subject(finding), WORDS_UNITS_MAX)),
    };
    let clusters: Vec<String> = finding.clusters.iter().take(VALUES_MAX).map(|cluster| name(cluster)).collect();
    let more = finding.clusters.len().saturating_sub(VALUES_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let noun = if finding.clusters.len() == 1 { "cluster" } else { "clusters" };
    Markup::ours(format!(
        "{who} *{}*{} to the Kubernetes API of {noun} {}{more}, from {} to {}.",
        text::counted_requests(finding.episode.count),
        text::breadth(finding, name),
        clusters.join(", "),
        utc(finding.episode.first),
        utc(finding.episode.last),
    ))
}

/// Returns what an analyst asks first; a question that the samples do not answer is left out.
fn fields(finding: &Finding) -> Vec<Vec<Markup>> {
    let evidence = &finding.evidence;
    let users = evidence.distinct(|sample| Some(sample.username.as_deref().unwrap_or("")));
    let by_code = text::by_code(&finding.codes);
    let how_often = match by_code.as_str() {
        "" => frequency(&finding.episode),
        _ => format!("{}: {by_code}", frequency(&finding.episode)),
    };
    let mut fields = vec![vec![Markup::labelled("How often", &how_often)], addresses(finding)];
    let agents = evidence.distinct(|sample| Some(sample.user_agent.as_deref()));
    fields.push(field(
        "User agents",
        agents
            .into_iter()
            .map(|agent| agent.map_or_else(|| "(none sent)".to_owned(), |agent| code(agent, LONG_UNITS_MAX))),
    ));
    fields.push(field(
        "Users",
        users.into_iter().map(|user| if user.is_empty() { "(not logged in)".to_owned() } else { name(user) }),
    ));
    fields.push(field("Namespaces", evidence.distinct(|sample| sample.namespace.as_deref()).into_iter().map(name)));
    fields.push(field("Resources", evidence.distinct(|sample| sample.resource.as_deref()).into_iter().map(name)));
    fields.push(elsewhere(finding));
    fields.retain(|lines| !lines.is_empty());
    fields
}

/// Shows what else the source was found at: rules, and clusters that are not the finding's own.
fn elsewhere(finding: &Finding) -> Vec<Markup> {
    let other = &finding.elsewhere;
    let rules = field("Same source, within a day", other.rules.iter().map(|rule| name(rule)));
    let clusters: Vec<String> = other.clusters.difference(&finding.clusters).map(|cluster| name(cluster)).collect();
    let clusters = clusters.into_iter().take(VALUES_MAX).map(|cluster| Markup::ours(format!("also in {cluster}")));
    rules.into_iter().chain(clusters).collect()
}

/// Shows a label and values that are markup already, at most [`VALUES_MAX`] of them.
fn field(label: &str, values: impl ExactSizeIterator<Item = String>) -> Vec<Markup> {
    let more = values.len().saturating_sub(VALUES_MAX);
    let mut lines: Vec<Markup> = values.take(VALUES_MAX).map(Markup::ours).collect();
    if let Some(first) = lines.first_mut() {
        *first = Markup::labelled(label, first.as_str());
    }
    if more > 0 {
        lines.push(Markup::ours(format!("… and {more} more")));
    }
    lines
}

/// Shows the addresses: the source or the sources, and the chains that clients claim to have come through.
fn addresses(finding: &Finding) -> Vec<Markup> {
    let shown = |source: SourceIp| format!("`{source}` ({})", text::network_of(&source));
    let (mut values, more): (Vec<String>, usize) = match finding.source_ip() {
        Some(source) => (vec![shown(source)], 0),
        None => {
            let more = finding.sources.len().saturating_sub(VALUES_MAX);
            (finding.sources.iter().take(VALUES_MAX).map(shown).collect(), more)
        }
    };
    if more > 0 {
        values.push(format!("… and {more} more"));
    }
    let chains: BTreeSet<&[String]> =
        finding.evidence.distinct(|sample| (sample.source_ips.len() > 1).then_some(sample.source_ips.as_slice()));
    let chains_more = chains.len().saturating_sub(VALUES_MAX);
    values.extend(chains.iter().take(VALUES_MAX).map(|chain| {
        let hops: Vec<String> = chain.iter().map(|hop| code(hop, 48)).collect();
        format!("forwarded for: {}", hops.join(" → "))
    }));
    if chains_more > 0 {
        values.push(format!("… and {chains_more} more chains"));
    }
    let mut lines: Vec<Markup> = values.into_iter().map(Markup::ours).collect();
    if let Some(first) = lines.first_mut() {
        *first = Markup::labelled("Source addresses", first.as_str());
    }
    lines
}

/// Shows the direct requests to the API, by verb and URI, with where they went if there are several clusters.
fn requests(finding: &Finding) -> Vec<Markup> {
    let distinct: BTreeSet<(&str, &str)> =
        finding.evidence.distinct(|sample: &Sample| Some((sample.verb.as_str(), sample.request_uri.as_str())));
    let label = if finding.evidence.is_cut() { "Requests to the API (samples)" } else { "Requests to the API" };
    field(label, distinct.into_iter().map(|(verb, uri)| format!("{} {}", code(verb, 32), code(uri, LONG_UNITS_MAX))))
}

/// Shows what else the source did around the finding.
fn finding_context(finding: &Finding, context: &FindingContext) -> Vec<Markup> {
    let around = match context {
        FindingContext::Read(around) => around,
        FindingContext::Unread { reason } => {
            let reason = code(reason, WORDS_UNITS_MAX);
            return vec![Markup::labelled("Around it", &format!("could not be read: {reason}"))];
        }
    };
    let span = format!(
        "to cluster {}, from {} to {}",
        name(&around.cluster),
        utc(around.window.earliest()),
        utc(around.window.latest().plus(-1))
    );
    // Of an IPv6 network only the addresses that were seen are asked for.
    let is_network = !matches!(finding.source_ip(), Some(SourceIp::V4(_)));
    let is_cut = around.is_cut || is_network;
    let is_all = around.requests <= finding.episode.count && !is_cut && around.allowed.top.is_empty();
    if is_all && finding.clusters.len() == 1 {
        return vec![Markup::labelled("Around it", &format!("the source sent nothing else {span}"))];
    }
    let more = if is_cut { "at least " } else { "" };
    let requests = text::counted_requests(around.requests);
    let by_code = text::by_code(&around.codes);
    let mut lines = vec![Markup::labelled("Around it", &format!("the source sent {more}{requests} {span}: {by_code}"))];
    let rankings = [
        ("let in", &around.allowed),
        ("refused", &around.refused),
        ("namespaces", &around.namespaces),
        ("users", &around.users),
        ("user agents", &around.agents),
        ("through", &around.proxies),
    ];
    let shown = rankings.iter().filter(|(_, ranking)| !ranking.top.is_empty());
    lines.extend(shown.map(|(label, values)| Markup::ours(format!("{label}: {}", ranking(values)))));
    if around.proxies.top.is_empty() {
        lines.push(Markup::ours("straight to the API, through no proxy that is trusted".to_owned()));
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

/// Shows what is known of such findings: techniques, and what else it might be.
fn hints(finding: &Finding) -> Vec<Markup> {
    let techniques: Vec<String> = finding.rule.techniques.iter().take(VALUES_MAX).map(|id| technique(id)).collect();
    let mut lines = Vec::new();
    if !techniques.is_empty() {
        lines.push(Markup::ours(format!("*MITRE ATT&amp;CK:* {}", techniques.join(", "))));
    }
    for hint in finding.rule.falsepositives.iter().take(VALUES_MAX) {
        lines.push(Markup::ours(format!("*May be harmless:* {}", escaped(hint, WORDS_UNITS_MAX))));
    }
    if !finding.rule.runbook.is_empty() {
        lines.push(Markup::ours(format!("*What to do:* {}", escaped(&finding.rule.runbook, RUNBOOK_UNITS_MAX))));
    }
    lines
}

fn technique(id: &str) -> String {
    let Some(url) = attack::url(id) else { return code(id, NAME_UNITS_MAX) };
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
        parts.push("partly from late records".to_owned());
    }
    match finding.status {
        Status::Open => {}
        Status::Quiet => parts.push("over".to_owned()),
        Status::MergedInto(uid) => parts.push(format!("merged into `{uid}`")),
    }
    if !finding.related.is_empty() {
        parts.push(format!("after {}", related(finding)));
    }
    // The uid stands on a line of its own: a long rule name cannot push it out.
    vec![Markup::ours(format!("uid `{}`", finding.key)), Markup::ours(parts.join(" · "))]
}

/// Names the findings that this one followed.
fn related(finding: &Finding) -> String {
    let more = finding.related.len().saturating_sub(RELATED_MAX);
    let uids: Vec<String> = finding.related.iter().take(RELATED_MAX).map(|uid| format!("`{uid}`")).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", uids.join(", "))
}

fn digest_line(finding: &Finding) -> Markup {
    Markup::ours(format!("• {}", summary(finding)))
}

/// Returns the finding on one line of markup.
fn summary(finding: &Finding) -> String {
    let clusters: Vec<&str> = finding.clusters.iter().map(String::as_str).collect();
    format!(
        "{} {} {}, {}, last {}, {}",
        finding.rule.level,
        name(&finding.rule.name),
        name(&subject(finding)),
        text::counted_requests(finding.episode.count) + &text::breadth(finding, name),
        utc(finding.episode.last),
        name(&clusters.join(", ")),
    )
}

fn notice_line(told: &Notice) -> Markup {
    Markup::ours(format!(
        "• {}: {} from {} to {}",
        notice::title(told),
        name(&told.source),
        utc(told.window.earliest()),
        utc(told.window.latest()),
    ))
}

fn name(text: &str) -> String {
    code(text, NAME_UNITS_MAX)
}

fn words(text: &str) -> Markup {
    Markup::ours(escaped(text, WORDS_UNITS_MAX * 2))
}
