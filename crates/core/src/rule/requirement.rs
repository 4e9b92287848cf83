//! What a rule needs for a finding, in words: type, count, timespan and group.

use super::{CountCondition, Counting, ReferencedRule, RepeatLimit, Rule, Rules};
use crate::text::counted;

impl Rule {
    /// Returns the Sigma type of its correlation. A rule without a correlation counts requests as well.
    #[must_use]
    pub fn counting_type(&self) -> &'static str {
        match &self.counting {
            Counting::Events => "event_count",
            Counting::Values { .. } => "value_count",
            Counting::Sequence { is_ordered: false, .. } => "temporal",
            Counting::Sequence { is_ordered: true, .. } => "temporal_ordered",
        }
    }

    /// Returns its threshold, such as `10 in 30m`.
    #[must_use]
    pub fn fires_at(&self) -> String {
        let (count, timespan) = (self.threshold.count, span(self.threshold.timespan_seconds));
        match &self.counting {
            Counting::Events => format!("{count} in {timespan}"),
            Counting::Values { field } => format!("{count} {field} in {timespan}"),
            Counting::Sequence { rules, .. } => format!("all {} rules in {timespan}", rules.len()),
        }
    }

    /// Returns what is needed for a finding, such as `10 requests in 30m per source_ip`.
    #[must_use]
    pub fn needed(&self) -> String {
        let threshold = &self.threshold;
        let per = if self.head.group_by.is_empty() {
            "over all requests".to_owned()
        } else {
            format!("per {}", self.head.group_by.join(", "))
        };
        let timespan = span(threshold.timespan_seconds);
        let needed = match &self.counting {
            Counting::Events if threshold.count == 1 => format!("1 request {per}"),
            Counting::Events => format!("{} in {timespan} {per}", counted(threshold.count, "request")),
            Counting::Values { field } => format!("{} distinct {field} in {timespan} {per}", threshold.count),
            Counting::Sequence { rules, is_ordered } => {
                let names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
                let order = if *is_ordered { ", in this order," } else { "" };
                format!("each of {} in {timespan}{order} {per}", names.join(", "))
            }
        };
        needed + &self.repeat_needed() + &self.novelty_needed()
    }

    /// Returns the upper bound in words, such as `, at most 4 requests for each within 1h`.
    fn repeat_needed(&self) -> String {
        let Some(RepeatLimit { max, within_seconds }) = self.threshold.repeat else { return String::new() };
        let requests = counted(max, "request");
        let of = if let Counting::Sequence { .. } = self.counting { "of each detection" } else { "for each" };
        format!(", at most {requests} {of} within {}", span(within_seconds))
    }

    /// Returns in words that the group must be new, such as `, none in the 14 days before`.
    fn novelty_needed(&self) -> String {
        let days = self.threshold.new_for_days;
        days.map_or_else(String::new, |days| format!(", none in the {} before", counted(days.unsigned_abs(), "day")))
    }
}

impl ReferencedRule {
    /// Returns what the rule needs, such as `10 requests in 10m`.
    #[must_use]
    pub fn needed(&self) -> String {
        match &self.count_condition {
            Some(CountCondition { count, timespan_seconds }) => {
                format!("{} in {}", counted(*count, "request"), span(*timespan_seconds))
            }
            None => "1 request".to_owned(),
        }
    }
}

impl Rules {
    /// Returns the names of the detections that `rule` counts, its own among them where it is one.
    #[must_use]
    pub fn detections_of(&self, rule: &Rule) -> Vec<&str> {
        let is_counted = |detection: &&super::Detection| {
            rule.selections.iter().chain(rule.referenced_rules().iter().flat_map(|rule| &rule.selections)).any(
                |selection| {
                    let mut part = selection;
                    // A filter of a correlation is joined behind the detection.
                    loop {
                        match part {
                            part if *part == detection.expression => return true,
                            super::Expression::And(parts) if parts.len() == 2 => part = &parts[0],
                            _ => return false,
                        }
                    }
                },
            )
        };
        self.detections.iter().filter(is_counted).map(|detection| detection.name.as_str()).collect()
    }
}

/// Returns a length of time in the largest unit that it is a multiple of.
fn span(seconds: i64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let unit = units.into_iter().find(|(length, _)| seconds % length == 0);
    unit.map_or_else(|| format!("{seconds}s"), |(length, letter)| format!("{}{letter}", seconds / length))
}
