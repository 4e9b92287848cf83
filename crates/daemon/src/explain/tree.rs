//! An explanation as a tree of lines, each with `ok` or `no` in front. Every text in it is bounded and visible already.

use std::io::{self, Write};

use stakeout_core::rule::{Explanation, Hop, Name, Outcome, Reading, Role, Step, Trace, Tried, TriedLeg};

/// Most values of a condition that are shown: those that fit come first.
const VALUES_MAX: usize = 8;

/// Writes an explanation, and an empty line behind it.
pub(super) fn write(out: &mut impl Write, explanation: &Explanation) -> io::Result<()> {
    let status = if explanation.is_match { "MATCH" } else { "NO MATCH" };
    writeln!(out, "  {}: {status}", explanation.rule)?;
    let stage = &explanation.stage;
    let name = stage.stage.as_deref().unwrap_or("missing");
    writeln!(out, "  {}  stage {name}: {}", mark(stage.is_request), stage.reason)?;
    for tried in &explanation.tried {
        write_tried(out, tried)?;
    }
    writeln!(out, "  a finding needs {}\n", explanation.needed)
}

fn write_tried(out: &mut impl Write, tried: &Tried) -> io::Result<()> {
    let Reading { source_ip, reason, chain } = &tried.reading;
    match source_ip {
        Some(source_ip) => writeln!(out, "  source_ip {source_ip}: {reason}")?,
        None => writeln!(out, "  source_ip missing: {reason}")?,
    }
    if chain.len() > 1 || source_ip.is_none() && !chain.is_empty() {
        let hops: Vec<String> =
            chain.iter().map(|Hop { entry, role }| format!("{entry} ({})", role_words(*role))).collect();
        writeln!(out, "    sourceIPs: {}", hops.join(", "))?;
    }
    for leg in &tried.legs {
        write_leg(out, leg)?;
    }
    Ok(())
}

fn write_leg(out: &mut impl Write, leg: &TriedLeg) -> io::Result<()> {
    let depth = match (&leg.name, &leg.needed) {
        (Some(name), Some(needed)) => {
            writeln!(out, "  {}  leg {name}, which needs {needed}", mark(leg.outcome.is_match()))?;
            2
        }
        _ => 1,
    };
    if leg.selections.len() > 1 {
        writeln!(out, "{}one of", "  ".repeat(depth))?;
    }
    let depth = depth + usize::from(leg.selections.len() > 1);
    for selection in &leg.selections {
        write_trace(out, selection, depth)?;
    }
    writeln!(out, "  {} {}", if leg.outcome.is_match() { "->" } else { "--" }, outcome_words(&leg.outcome))
}

fn outcome_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Counts { group } if group.is_empty() => "counts with all requests together".to_owned(),
        Outcome::Counts { group } => {
            let fields: Vec<String> = group.iter().map(|(field, value)| format!("{field}={value}")).collect();
            format!("counts for {}", fields.join(" "))
        }
        Outcome::DoesNotFit { filters } if filters.is_empty() => "does not fit".to_owned(),
        Outcome::DoesNotFit { filters } => format!("fits, but is left out by the filter {}", filters.join(", ")),
        Outcome::NoAddress => "fits, but names no address to count it for".to_owned(),
        Outcome::NoValue { field } => format!("fits, but has no {field}, which is what is counted"),
        Outcome::BelongsToFirst => "fits, but is counted with the legs that are looked for first".to_owned(),
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
                (_, 0) if trace.holds => "always fits",
                (_, 0) => "never fits",
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
        (Step::Since { at, came }, _) => writeln!(out, "{indent}{mark}  it came at {came} (wanted {at} or later)"),
        (Step::Field { .. }, name) => {
            let name = name.map(|name| format!("{name}: ")).unwrap_or_default();
            writeln!(out, "{indent}{mark}  {name}{}", field_words(&trace.step))
        }
    }
}

/// Returns the parts of a condition, and in place of a nameless one of the same kind the parts of that.
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
    let Step::Field { field, value, wanted, all, because } = step else {
        return String::new();
    };
    let value = value.as_deref().unwrap_or("missing");
    let because = because.as_ref().map(|because| format!(", since {because}")).unwrap_or_default();
    let (fitting, others): (Vec<_>, Vec<_>) = wanted.iter().partition(|one| one.fits);
    let ordered: Vec<&str> = fitting.iter().chain(&others).map(|one| one.spelled.as_str()).collect();
    let mut shown: Vec<&str> = ordered.iter().copied().take(VALUES_MAX).collect();
    let more = format!("{} more", ordered.len().saturating_sub(VALUES_MAX));
    if ordered.len() > VALUES_MAX {
        shown.push(&more);
    }
    let joined = shown.join(if *all { " and " } else { " or " });
    format!("{field}: {value}{because} (wanted {joined})")
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
        Role::NoAddress => "no address",
        Role::NotVouchedFor => "not vouched for",
    }
}

fn mark(holds: bool) -> &'static str {
    if holds { "ok" } else { "no" }
}
