//! A finding as plain text: the one-line form, times and durations. Without the markup of any destination.

use std::collections::BTreeSet;
use std::net::IpAddr;

use stakeout_core::address::{self, SourceIp};
use stakeout_core::episode::Episode;
use stakeout_core::finding::Finding;
use stakeout_core::incident::{Actor, Incident};
use stakeout_core::response_code::ResponseCodes;
use stakeout_core::text::{bounded, counted, visible};
use stakeout_core::time::Second;

use crate::console::is_plain;

/// Longest line that [`finding_line`] makes, in characters.
pub const LINE_CHARS_MAX: usize = 240;
/// Most response codes that are listed; the rest is a sum.
const CODES_MAX: usize = 8;
/// Longest rule name, group and list of clusters in it, so that each leaves room for the others.
const PART_CHARS_MAX: usize = 56;

/// The headings of [`finding_cells`].
pub const CELL_HEADINGS: [&str; 7] = ["LEVEL", "RULE", "SOURCE", "REQUESTS", "FIRST SEEN", "LAST SEEN", "CLUSTERS"];

/// Returns the finding as cells of a table. Each is bounded and holds no invisible character, like [`finding_line`].
#[must_use]
pub fn finding_cells(finding: &Finding) -> [String; CELL_HEADINGS.len()] {
    [
        finding.rule.level.to_string(),
        part(&finding.rule.name),
        part(&subject(finding)),
        finding.episode.count.to_string() + &part(&breadth(finding, str::to_owned)),
        finding.episode.first.to_string(),
        finding.episode.last.to_string(),
        part(&clusters(finding)),
    ]
}

/// Returns the finding on one line: level, rule, source or group, requests, first and last request (UTC), clusters.
///
/// It holds no control, bidirectional or zero-width character and at most [`LINE_CHARS_MAX`] characters.
#[must_use]
pub fn finding_line(finding: &Finding) -> String {
    let line = format!(
        "{} {} {} {} {}..{} {}",
        finding.rule.level,
        part(&finding.rule.name),
        part(&subject(finding)),
        counted(finding.episode.count, "request") + &part(&breadth(finding, str::to_owned)),
        finding.episode.first,
        finding.episode.last,
        part(&clusters(finding)),
    );
    bounded(&line, LINE_CHARS_MAX)
}

fn part(text: &str) -> String {
    bounded(&visible(text), PART_CHARS_MAX)
}

fn clusters(finding: &Finding) -> String {
    finding.clusters.iter().map(String::as_str).collect::<Vec<_>>().join(",")
}

/// The command that lists all findings.
pub(crate) const LIST_COMMAND: &str = "stakeout findings list";

/// What a destination hears with the last message about an incident that rose above its levels.
pub(crate) const LAST_MESSAGE: &str =
    "This is the last message about it here: its level is above the `max_severity` of this destination.";

/// Most silences in a command: more are not read before they are pasted.
const SILENCES_MAX: usize = 4;

/// Returns the command that shows all that is known of the finding.
pub(crate) fn details_command(finding: &Finding) -> String {
    format!("stakeout findings show {}", finding.key)
}

/// Returns the command that shows all that is known of the incident.
pub(crate) fn incident_command(incident: &Incident) -> String {
    format!("stakeout incidents show {}", incident.key)
}

/// Returns the command that silences the incident, which means each of its findings: by its address, or by its account and the
/// addresses that have findings of their own, or else by its rules. `None` where that would take too many silences, or the rules
/// of an address.
///
/// It holds no text of a client that a shell would interpret.
pub(crate) fn silence_command(incident: &Incident) -> Option<String> {
    let source = |source: &SourceIp| format!("--source {}", cidr(source));
    let in_cluster = |what: String, cluster: Option<&str>| match cluster.filter(|cluster| is_plain(cluster)) {
        Some(cluster) => format!("{what} --cluster {cluster}"),
        None => what,
    };
    let has_all_sources = !incident.sources_are_more && !incident.sources.is_empty();
    let whats: Vec<String> = match &incident.actor {
        // A finding that names other addresses too would be heard, and its rule is not to be silenced for everybody.
        Actor::Address(_) if !is_alone(incident) => Vec::new(),
        Actor::Address(address) => vec![source(address)],
        Actor::Account { name, cluster } if is_plain(name) => {
            let account = in_cluster(format!("--user {name}"), cluster.as_deref());
            // The others are findings of its addresses.
            let is_all_own = incident.findings.len() == incident.own.len();
            match is_all_own || has_all_sources {
                true if is_all_own => vec![account],
                true => [account].into_iter().chain(incident.sources.iter().map(source)).collect(),
                false => by_rule(incident, in_cluster),
            }
        }
        Actor::Account { .. } if has_all_sources && incident.sources.len() == 1 => {
            incident.sources.iter().map(source).collect()
        }
        Actor::Account { .. } | Actor::Crowd { .. } => by_rule(incident, in_cluster),
    };
    let command = |what: &String| {
        format!("stakeout silence add {what} --for 7d --owner \"YOUR NAME\" --reason \"WHY IT IS HARMLESS\"")
    };
    let commands: Vec<String> = whats.iter().map(command).collect();
    (1..=SILENCES_MAX).contains(&commands.len()).then(|| commands.join(" && "))
}

/// Returns whether the findings of the incident name one source only: others would be its own, or those of related incidents.
fn is_alone(incident: &Incident) -> bool {
    !incident.sources_are_more && incident.sources.len() <= 1 && incident.related.is_empty()
}

/// Returns what silences each rule with a finding of the incident.
fn by_rule(incident: &Incident, in_cluster: impl Fn(String, Option<&str>) -> String) -> Vec<String> {
    // A silence of a cluster fits no finding of several.
    let cluster = incident.clusters.first().filter(|_| incident.clusters.len() == 1);
    let rules: BTreeSet<&str> = incident.findings.iter().map(|(_, rule)| rule.name.as_str()).collect();
    if !rules.iter().all(|rule| is_plain(rule)) {
        return Vec::new();
    }
    rules.iter().map(|rule| in_cluster(format!("--rule {rule}"), cluster.map(String::as_str))).collect()
}

fn cidr(source: &SourceIp) -> String {
    match source {
        SourceIp::V4(address) => format!("{address}/32"),
        SourceIp::V6Net(_) => format!("{}/64", source.network_address()),
    }
}

/// Returns the subject of the finding as raw text: its source, or the values of its group.
pub(crate) fn subject(finding: &Finding) -> String {
    match finding.source_ip() {
        Some(source) => source.to_string(),
        None => {
            let fields: Vec<String> = finding.group_fields().map(|(field, value)| format!("{field}={value}")).collect();
            if fields.is_empty() { "all requests".to_owned() } else { fields.join(" ") }
        }
    }
}

/// Returns how many sources or other values the requests had, such as ` from 213 sources`. Empty if the finding has one
/// source and counts no values. `shown` escapes the name of a field for the destination.
pub(crate) fn breadth(finding: &Finding, shown: impl Fn(&str) -> String) -> String {
    let at_least = |number: usize, is_cut: bool, noun: &str| {
        format!("{}{}", if is_cut { "at least " } else { "" }, counted(number, noun))
    };
    match finding.distinct_values() {
        Some((field, number, is_cut)) if field != "source_ip" => {
            format!(" with {} of {}", at_least(number, is_cut, "value"), shown(field))
        }
        _ if finding.sources.is_empty() => String::new(),
        _ => format!(" from {}", at_least(finding.sources.len(), finding.sources.is_cut(), "source")),
    }
}

/// Returns the kind of network of a source: `public`, or the name of its special range.
pub(crate) fn network_of(source: &SourceIp) -> &'static str {
    // The lower half of an IPv6 source is not kept. Loopback and unspecified differ from the rest of ::/64 in it alone.
    match source.network_address() {
        IpAddr::V6(network) if network.is_unspecified() => "loopback or unspecified",
        network => address::special_range(network).unwrap_or("public"),
    }
}

/// Returns a time for people: `2026-11-22 01:00:52 UTC`.
#[must_use]
pub fn utc(at: Second) -> String {
    let written = at.to_string();
    match written.strip_suffix('Z') {
        Some(written) => format!("{} UTC", written.replacen('T', " ", 1)),
        None => written,
    }
}

/// Returns a period for people: `at` one time, or `from` one `to` another, with the date once if it is the same.
#[must_use]
pub fn period(first: Second, last: Second) -> String {
    let (first, last) = (utc(first), utc(last));
    if first == last {
        return format!("at {first}");
    }
    match (first.split_once(' '), last.split_once(' ')) {
        (Some((date, time)), Some((last_date, last_time))) if date == last_date => {
            format!("from {date} {} to {last_time}", time.trim_end_matches(" UTC"))
        }
        _ => format!("from {first} to {last}"),
    }
}

/// Returns a duration for people: its two largest units, such as `29 min 18 s`.
#[must_use]
pub fn span(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Returns the requests, their duration and, above a minute, their rate.
pub(crate) fn frequency(episode: &Episode) -> String {
    let seconds = episode.last.0.saturating_sub(episode.first.0);
    let requests = counted(episode.count, "request");
    match seconds {
        ..=0 => format!("{requests} in one second"),
        1..60 => format!("{requests} in {}", span(seconds)),
        _ => {
            let seconds_spent = u128::from(seconds.unsigned_abs());
            let tenths = (u128::from(episode.count) * 600 + seconds_spent / 2) / seconds_spent;
            format!("{requests} in {} ({}.{}/min)", span(seconds), tenths / 10, tenths % 10)
        }
    }
}

/// Returns the requests by response code, the most frequent first, such as `120 × 403, 3 × 401`. Empty if none was
/// counted.
#[must_use]
pub fn by_code(codes: &ResponseCodes) -> String {
    let all = codes.most_first();
    let mut parts: Vec<String> = all.iter().take(CODES_MAX).map(|(code, n)| format!("{n} × {code}")).collect();
    let rest = all.iter().skip(CODES_MAX).fold(0, |rest: u64, (_, n)| rest.saturating_add(*n));
    if rest > 0 {
        parts.push(format!("{rest} × other"));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_rates_are_readable() {
        assert_eq!(span(0), "0 s");
        assert_eq!(span(1758), "29 min 18 s");
        assert_eq!(span(7265), "2 h 1 min");
        assert_eq!(span(90_000), "1 d 1 h");
        let episode = |last, count| Episode { first: Second(0), last: Second(last), count };
        assert_eq!(frequency(&episode(0, 1)), "1 request in one second");
        assert_eq!(frequency(&episode(12, 7)), "7 requests in 12 s");
        assert_eq!(frequency(&episode(120, 7)), "7 requests in 2 min 0 s (3.5/min)");
        assert_eq!(
            frequency(&Episode { first: Second(i64::MIN), last: Second(i64::MAX), count: u64::MAX }).lines().count(),
            1
        );
        assert_eq!(utc(Second(0)), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(Second(i64::MIN)), i64::MIN.to_string());
        assert_eq!(period(Second(0), Second(0)), "at 1970-01-01 00:00:00 UTC");
        assert_eq!(period(Second(0), Second(60)), "from 1970-01-01 00:00:00 to 00:01:00 UTC");
        assert_eq!(period(Second(0), Second(86_400)), "from 1970-01-01 00:00:00 UTC to 1970-01-02 00:00:00 UTC");
    }

    #[test]
    fn a_source_is_public_or_has_a_named_range() {
        let network = |text: &str| network_of(&SourceIp::of(address::parse(text).expect("an address")));
        assert_eq!(network("8.8.8.8"), "public");
        assert_eq!(network("10.1.2.3"), "private");
        assert_eq!(network("2a00:1450::1"), "public");
        assert_eq!(network("::1"), "loopback or unspecified");
    }
}
