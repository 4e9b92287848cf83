//! Prints an explanation as a tree of lines that begin with `ok` or `no`. Its texts are already bounded and visible.

use std::io::{self, Write};

use stakeout_core::rule::{
    ChainEntry, ClientResult, Explanation, Name, Outcome, Role, RuleResult, SourceChoice, Step, Trace,
};

/// Most patterns of a condition that are shown. Those that fit come first.
const VALUES_MAX: usize = 8;

/// Writes an explanation, and an empty line.
pub(super) fn write(out: &mut impl Write, explanation: &Explanation) -> io::Result<()> {
    let status = if explanation.is_match { "MATCH" } else { "NO MATCH" };
    writeln!(out, "  {}: {status}", explanation.rule)?;
    let stage = &explanation.stage;
    let name = stage.stage.as_deref().unwrap_or("missing");
    writeln!(out, "  {}  stage {name}: {}", mark(stage.is_request), stage.reason)?;
    for client in &explanation.clients {
        write_client(out, client)?;
    }
    writeln!(out, "  a finding needs {}\n", explanation.needed)
}

fn write_client(out: &mut impl Write, client: &ClientResult) -> io::Result<()> {
    let SourceChoice { source_ip, reason, chain } = &client.source;
    match source_ip {
        Some(source_ip) => writeln!(out, "  source_ip {source_ip}: {reason}")?,
        None => writeln!(out, "  source_ip missing: {reason}")?,
    }
    if chain.len() > 1 || source_ip.is_none() && !chain.is_empty() {
        let entry = |ChainEntry { entry, role }: &ChainEntry| format!("{entry} ({})", role_words(*role));
        writeln!(out, "    sourceIPs: {}", chain.iter().map(entry).collect::<Vec<_>>().join(", "))?;
    }
    for rule in &client.rules {
        write_rule(out, rule)?;
    }
    Ok(())
}

fn write_rule(out: &mut impl Write, rule: &RuleResult) -> io::Result<()> {
    let depth = match (&rule.name, &rule.needed) {
        (Some(name), Some(needed)) => {
            writeln!(out, "  {}  rule {name} needs {needed}", mark(rule.outcome.is_match()))?;
            2
        }
        _ => 1,
    };
    if rule.selections.len() > 1 {
        writeln!(out, "{}one of", "  ".repeat(depth))?;
    }
    let depth = depth + usize::from(rule.selections.len() > 1);
    for selection in &rule.selections {
        write_trace(out, selection, depth)?;
    }
    writeln!(out, "  {} {}", if rule.outcome.is_match() { "->" } else { "--" }, outcome_words(&rule.outcome))
}

fn outcome_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Counts { group } if group.is_empty() => "counts with all requests together".to_owned(),
        Outcome::Counts { group } => {
            let fields: Vec<String> = group.iter().map(|(field, value)| format!("{field}={value}")).collect();
            format!("counts for {}", fields.join(" "))
        }
        Outcome::DoesNotFit { filters } if filters.is_empty() => "does not match".to_owned(),
        Outcome::DoesNotFit { filters } => format!("matches, but is excluded by the filter {}", filters.join(", ")),
        Outcome::NoAddress => "matches, but names no address to count it for".to_owned(),
        Outcome::NoValue { field } => format!("matches, but has no {field} to count"),
        Outcome::BelongsToFirst => "matches, but counts for the rules before the follow-up".to_owned(),
    }
}

fn write_trace(out: &mut impl Write, trace: &Trace, depth: usize) -> io::Result<()> {
    let indent = "  ".repeat(depth);
    let mark = mark(trace.holds);
    let name = trace.name.as_ref().map(name_words);
    match (&trace.step, name) {
        (Step::All { parts } | Step::Any { parts }, None) if parts.len() == 1 => write_trace(out, &parts[0], depth),
        (Step::All { parts } | Step::Any { parts }, name) => {
            let joined = match (&trace.step, parts.len()) {
                (_, 0) if trace.holds => "always matches",
                (_, 0) => "never matches",
                (_, 1) => "",
                (Step::All { .. }, _) => "all of",
                _ => "one of",
            };
            let words: Vec<&str> =
                name.iter().map(String::as_str).chain([joined]).filter(|word| !word.is_empty()).collect();
            writeln!(out, "{indent}{mark}  {}", words.join(": "))?;
            let parts = inlined(&trace.step);
            parts.into_iter().try_for_each(|part| write_trace(out, part, depth + 1))
        }
        (Step::Not { part }, name) => {
            let words = name.map_or_else(|| "not".to_owned(), |name| format!("{name}: not"));
            writeln!(out, "{indent}{mark}  {words}")?;
            write_trace(out, part, depth + 1)
        }
        (Step::Since { at, came }, _) => writeln!(out, "{indent}{mark}  it came at {came} (expected {at} or later)"),
        (Step::Field { .. }, name) => {
            let name = name.map(|name| format!("{name}: ")).unwrap_or_default();
            writeln!(out, "{indent}{mark}  {name}{}", field_words(&trace.step))
        }
    }
}

/// Returns the parts of a condition. An unnamed part of the same kind is replaced by its parts.
fn inlined<'t>(step: &'t Step) -> Vec<&'t Trace> {
    let (Step::All { parts } | Step::Any { parts }) = step else {
        return Vec::new();
    };
    let inline = |part: &'t Trace| match (step, part) {
        (Step::All { .. }, Trace { name: None, step: inner @ Step::All { .. }, .. })
        | (Step::Any { .. }, Trace { name: None, step: inner @ Step::Any { .. }, .. }) => inlined(inner),
        _ => vec![part],
    };
    parts.iter().flat_map(inline).collect()
}

fn field_words(step: &Step) -> String {
    let Step::Field { field, value, patterns, all, reason } = step else {
        return String::new();
    };
    let value = value.as_deref().unwrap_or("missing");
    let reason = reason.as_ref().map(|reason| format!(", because {reason}")).unwrap_or_default();
    let (fitting, others): (Vec<_>, Vec<_>) = patterns.iter().partition(|one| one.fits);
    let ordered: Vec<&str> = fitting.iter().chain(&others).map(|one| one.pattern.as_str()).collect();
    let mut shown: Vec<&str> = ordered.iter().copied().take(VALUES_MAX).collect();
    let more = format!("{} more", ordered.len().saturating_sub(VALUES_MAX));
    if ordered.len() > VALUES_MAX {
        shown.push(&more);
    }
    let joined = shown.join(if *all { " and " } else { " or " });
    format!("{field}: {value}{reason} (expected {joined})")
}

fn name_words(name: &Name) -> String {
    match name {
        Name::Rule(name) => format!("rule {name}"),
        Name::Selection(name) => name.clone(),
        Name::Filter { name, reason, owner, expires } => {
            let expires = expires.map(|at| format!(", until {at}")).unwrap_or_default();
            format!("filter {name} ({reason}; {owner}{expires})")
        }
    }
}

fn role_words(role: Role) -> &'static str {
    match role {
        Role::Source => "the source",
        Role::TrustedProxy => "a trusted proxy",
        Role::NoAddress => "not an address",
        Role::Untrusted => "not trusted",
    }
}

fn mark(holds: bool) -> &'static str {
    if holds { "ok" } else { "no" }
}
