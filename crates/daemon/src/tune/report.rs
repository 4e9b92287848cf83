//! The report of `tune` about one rule: thresholds, callers and suggested filters.

use std::collections::BTreeSet;
use std::io::{self, Write};

use serde::Serialize;
use stakeout_core::rule::Rule;
use stakeout_core::text::{bounded, counted, visible};
use stakeout_core::time::Second;
use stakeout_core::tuning::{Caller, Exclusion, ThresholdOutcome, Tuning};

const DAY_SECONDS: i64 = 86_400;
/// Values of a caller that are named; the rest is a number.
const NAMED_MAX: usize = 2;
/// Longest value of a caller that is shown, in characters.
const VALUE_CHARS_MAX: usize = 60;

/// The time that the records cover.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Span {
    pub(super) earliest: Second,
    pub(super) latest: Second,
    pub(super) records: u64,
}

/// The report about a rule.
pub(super) struct Report<'a> {
    rule: &'a Rule,
    tuning: Tuning,
    span: Span,
}

#[derive(Serialize)]
struct Json<'a> {
    earliest: String,
    latest: String,
    records: u64,
    #[serde(flatten)]
    tuning: &'a Tuning,
    exclusions: Vec<JsonExclusion<'a>>,
}

/// A filter that excludes a caller, or why there is none.
#[derive(Serialize)]
struct JsonExclusion<'a> {
    caller: &'a str,
    filter: Option<String>,
    reason: Option<String>,
}

impl Span {
    /// Returns the days, at least one.
    #[expect(clippy::cast_precision_loss, reason = "so many seconds are no length of a log")]
    fn days(self) -> f64 {
        let seconds = self.latest.0.saturating_sub(self.earliest.0).max(DAY_SECONDS);
        seconds as f64 / DAY_SECONDS as f64
    }
}

impl<'a> Report<'a> {
    /// Returns the report about `rule`.
    pub(super) fn of(rule: &'a Rule, tuning: Tuning, span: Span) -> Report<'a> {
        Report { rule, tuning, span }
    }

    /// Writes the report as one line of JSON.
    pub(super) fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        let exclusions = self.exclusions().map(|(caller, exclusion)| JsonExclusion {
            caller: &caller.shown,
            filter: exclusion.as_ref().ok().map(Exclusion::to_string),
            reason: exclusion.err(),
        });
        let json = Json {
            earliest: self.span.earliest.to_string(),
            latest: self.span.latest.to_string(),
            records: self.span.records,
            tuning: &self.tuning,
            exclusions: exclusions.collect(),
        };
        writeln!(out, "{}", serde_json::to_string(&json)?)
    }

    /// Writes the report for people.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Tuning { rule, needed, requests, groups, .. } = &self.tuning;
        let Span { earliest, latest, records } = self.span;
        writeln!(out, "{rule}: {needed}")?;
        let [requests_fit, groups_fit] = [counted(*requests, "request"), counted(*groups, "group")];
        let records = counted(records, "record");
        writeln!(out, "  {requests_fit} of {groups_fit} match, of {records} from {earliest} to {latest}")?;
        if self.tuning.is_without_follow_ups {
            writeln!(out, "  tune does not read follow-ups, so there are no findings: see `stakeout replay`")?;
        }
        if *requests == 0 {
            return writeln!(out);
        }
        self.write_outcomes(out)?;
        self.write_callers(out)?;
        self.write_exclusions(out)?;
        writeln!(out)
    }

    fn write_outcomes(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "  {:>11} {:>10} {:>10} {:>8} {:>10}", "THRESHOLD", "FINDINGS", "PER DAY", "GROUPS", "REQUESTS")?;
        for outcome in &self.tuning.outcomes {
            let ThresholdOutcome { threshold, is_current, findings, groups, requests } = *outcome;
            let threshold = format!("{}{threshold}", if is_current { "now " } else { "" });
            let a_day = self.a_day(findings);
            let share = format!("{}%", requests.saturating_mul(100) / self.tuning.requests.max(1));
            writeln!(out, "  {threshold:>11} {findings:>10} {a_day:>10} {groups:>8} {share:>10}")?;
        }
        if !self.rule.referenced_rules().is_empty() {
            writeln!(out, "  the threshold of a sequence is always all of its rules")?;
        }
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "so many findings are a number to be shown")]
    fn a_day(&self, findings: u64) -> String {
        format!("{:.1}", findings as f64 / self.span.days())
    }

    fn write_callers(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "  callers with most requests (user agents, users and namespaces are from samples)")?;
        for caller in &self.tuning.callers {
            let looks = if caller.is_one() { "one caller" } else { "several" };
            let Caller { requests, findings, .. } = caller;
            writeln!(
                out,
                "    {}: {}, {}, {looks}",
                part(&caller.shown),
                counted(*requests, "request"),
                counted(*findings, "finding")
            )?;
            writeln!(
                out,
                "      agents {}; users {}; namespaces {}",
                values(&caller.agents),
                values(&caller.users),
                values(&caller.namespaces)
            )?;
        }
        match self.tuning.callers_left_out {
            0 => Ok(()),
            more => writeln!(out, "    and {more} more"),
        }
    }

    fn write_exclusions(&self, out: &mut impl Write) -> io::Result<()> {
        for (caller, exclusion) in self.exclusions().filter(|(caller, _)| caller.findings > 0) {
            match exclusion {
                Ok(filter) => write!(out, "{filter}")?,
                Err(reason) => writeln!(out, "  no filter for {}: {reason}", part(&caller.shown))?,
            }
        }
        Ok(())
    }

    /// Returns for each caller a filter, or why there is none.
    fn exclusions(&self) -> impl Iterator<Item = (&Caller, Result<Exclusion, String>)> {
        let of = |caller| Exclusion::of(self.rule, caller, self.span.latest).map_err(|reason| reason.to_string());
        self.tuning.callers.iter().map(move |caller| (caller, of(caller)))
    }
}

fn part(text: &str) -> String {
    visible(&bounded(text, VALUE_CHARS_MAX))
}

fn values(values: &BTreeSet<Option<String>>) -> String {
    let mut shown: Vec<String> =
        values.iter().take(NAMED_MAX).map(|value| value.as_deref().map_or_else(|| "none".to_owned(), part)).collect();
    if values.len() > NAMED_MAX {
        shown.push(format!("{} more", values.len() - NAMED_MAX));
    }
    if shown.is_empty() { "unknown".to_owned() } else { shown.join(", ") }
}
