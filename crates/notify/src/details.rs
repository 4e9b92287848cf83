//! A finding as plain text with all that is stored of it, for a terminal. Every text is escaped.

use std::fmt::Write;

use stakeout_core::context::{FindingContext, TopValues};
use stakeout_core::evidence::Sample;
use stakeout_core::finding::{Finding, FindingStatus};
use stakeout_core::text::visible;

use crate::text::{breadth, by_code, frequency, network_of, period, subject};

/// Returns the finding in lines, a heading for each part.
#[must_use]
pub fn details(finding: &Finding) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{name:<14} {}", visible(value));
        }
    };
    line("uid", &finding.key.to_string());
    line("rule", &format!("{} ({})", finding.rule.name, finding.rule.level));
    line("title", &finding.rule.title);
    let status = match finding.status {
        FindingStatus::Open => "open".to_owned(),
        FindingStatus::Quiet => "closed".to_owned(),
        FindingStatus::MergedInto(key) => format!("closed: merged into {key}"),
    };
    line("status", &status);
    line("source", &subject(finding));
    line("network", finding.source_ip().map_or("", |source| network_of(&source)));
    line("seen", &period(finding.episode.first, finding.episode.last));
    line("requests", &(frequency(&finding.episode) + &breadth(finding, str::to_owned)));
    line("by code", &by_code(&finding.codes));
    line("clusters", &joined(finding.clusters.iter()));
    line("providers", &joined(finding.providers.iter().map(ToString::to_string)));
    line("late", if finding.late { "a reread found some of its requests" } else { "" });
    line("reported", &finding.created_at.to_string());
    line("changed", &finding.updated_at.to_string());
    line("related", &joined(finding.related.iter().map(ToString::to_string)));
    line("same source", &joined(finding.related_activity.rules.iter()));
    line("its clusters", &joined(finding.related_activity.clusters.iter()));
    line("sources", &joined(finding.sources.iter().map(|source| source.to_string())));
    line("more sources", if finding.sources.is_cut() { "there were more than are kept" } else { "" });
    if let Some(context) = &finding.context {
        text.push_str(&context_lines(context));
    }
    let samples = finding.evidence.samples();
    let more = if finding.evidence.is_cut() { ", of more" } else { "" };
    let _ = writeln!(text, "\n{} distinct requests{more}", samples.len());
    for sample in samples {
        text.push_str(&sample_lines(sample));
    }
    text
}

fn context_lines(context: &FindingContext) -> String {
    let mut text = String::from("\nwhat else the source did\n");
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "  {name:<12} {}", visible(value));
        }
    };
    match context {
        FindingContext::Unread { reason } => line("not read", reason),
        FindingContext::Read(activity) => {
            line("cluster", &activity.cluster);
            line("span", &activity.window.to_string());
            line("requests", &format!("{}{}", activity.requests, if activity.is_cut { " and more" } else { "" }));
            line("by code", &by_code(&activity.codes));
            for (name, values) in [
                ("allowed", &activity.allowed),
                ("refused", &activity.refused),
                ("namespaces", &activity.namespaces),
                ("users", &activity.users),
                ("agents", &activity.agents),
                ("proxies", &activity.proxies),
            ] {
                line(name, &top(values));
            }
        }
    }
    text
}

fn sample_lines(sample: &Sample) -> String {
    let code = sample.code.map_or_else(|| "no code".to_owned(), |code| code.to_string());
    let mut text = format!("  {} {code} {} {}\n", sample.at, visible(&sample.verb), visible(&sample.request_uri));
    let mut line = |name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let _ = writeln!(text, "    {name:<12} {}", visible(value));
        }
    };
    line("user", sample.username.as_deref());
    line("user agent", sample.user_agent.as_deref());
    line("resource", sample.resource.as_deref());
    line("namespace", sample.namespace.as_deref());
    line("cluster", Some(&sample.cluster));
    line("source", sample.source_ip.map(|source| source.to_string()).as_deref());
    line("sourceIPs", Some(&sample.source_ips.join(", ")));
    line("auditID", Some(&sample.audit_id));
    text
}

fn top(values: &TopValues) -> String {
    let mut parts: Vec<String> = values.top.iter().map(|(value, n)| format!("{value} ({n})")).collect();
    if values.others > 0 {
        parts.push(format!("{} others", values.others));
    }
    parts.join(", ")
}

fn joined(values: impl Iterator<Item = impl AsRef<str>>) -> String {
    values.map(|value| value.as_ref().to_owned()).collect::<Vec<_>>().join(", ")
}
