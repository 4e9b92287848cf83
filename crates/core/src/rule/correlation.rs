//! The `correlation` of a Sigma document: which rules, what to count, by which groups, within which timespan.
//!
//! <https://github.com/SigmaHQ/sigma-specification/blob/main/specification/sigma-correlation-rules-specification.md>

use jiff::SpanRelativeTo;
use jiff::fmt::friendly::SpanParser;

use super::reference::{Reference, RuleNames};
use crate::diagnostic::{Diagnostic, suggestion};
use crate::field::Field;
use crate::group::REFERENCED_RULES_MAX;
use crate::yaml::{At, Map, Value};

/// The types that are read.
const TYPES: &[&str] = &["event_count", "value_count", "temporal", "temporal_ordered"];
/// Sigma's numeric types. Audit events hold no numbers but codes.
const NUMERIC_TYPES: &[&str] = &["value_avg", "value_median", "value_percentile", "value_sum"];
/// Longest timespan or dedup period, in seconds: minutes are kept that long.
const SPAN_SECONDS_MAX: i64 = 7 * 86_400;
const DAY_SECONDS: i64 = 86_400;
/// Most days in which a new group may have no request.
const DAYS_MAX: i64 = 30;
/// Units of a timespan. A week is read too; Sigma's months and years are longer than any span.
const TIMESPAN_UNITS: [char; 5] = ['s', 'm', 'h', 'd', 'w'];
/// Most requests or values that a condition can ask for.
const COUNT_MAX: i64 = 1_000_000;

/// A correlation whose references are not resolved yet.
pub(super) struct Correlation {
    pub(super) kind: CorrelationKind,
    pub(super) rules: Vec<Reference>,
    pub(super) group_by: Vec<Grouping>,
    /// An error at `group-by`.
    pub(super) group_by_at: Diagnostic,
    pub(super) timespan_seconds: i64,
    /// The threshold: requests or values; of a temporal correlation, rules.
    pub(super) count: u64,
    /// An error at the condition.
    pub(super) condition_at: Diagnostic,
    pub(super) generate: bool,
}

/// Its type.
pub(super) enum CorrelationKind {
    Events,
    Values { field: Grouping },
    Temporal { is_ordered: bool },
}

/// A field that is counted by: the same in all rules, or an alias for one field in each.
pub(super) enum Grouping {
    Field(Field),
    Alias { alias: Alias, error: Diagnostic },
}

/// A name for one field in each of the rules.
#[derive(Clone)]
pub(super) struct Alias {
    pub(super) name: String,
    /// The rule, as the correlation names it, and its field.
    fields: Vec<(String, Field)>,
}

impl Grouping {
    /// Returns the name that it is shown by.
    pub(super) fn name(&self) -> String {
        match self {
            Grouping::Field(field) => field.name(),
            Grouping::Alias { alias, .. } => alias.name.clone(),
        }
    }

    /// Returns the field that it names in the events of `rule`.
    pub(super) fn field_in(&self, rule: &RuleNames) -> Result<&Field, Diagnostic> {
        match self {
            Grouping::Field(field) => Ok(field),
            Grouping::Alias { alias, error } => {
                let found = alias.fields.iter().find(|(target, _)| rule.are_named(target));
                found.map(|(_, field)| field).ok_or_else(|| Diagnostic {
                    problem: format!("the alias `{}` has no field for the rule `{}`", alias.name, rule.shown()),
                    fix: format!("add `{}: FIELD` to it", rule.shown()),
                    ..error.clone()
                })
            }
        }
    }
}

/// Reads the correlation of a document.
pub(super) fn correlation(document: &Map<'_>) -> Result<Correlation, Diagnostic> {
    let at = document.need("correlation", "add it")?;
    let map = at.map(&["type", "rules", "group-by", "timespan", "condition", "aliases", "generate"])?;
    let type_at = map.need("type", "write `type: event_count`")?;
    let word = type_at.text()?;
    if NUMERIC_TYPES.contains(&word) {
        return Err(type_at.error(
            format!("the type `{word}` is not supported: audit events have no fields with amounts"),
            "count requests with `event_count`, or distinct values with `value_count`",
        ));
    }
    if !TYPES.contains(&word) {
        return Err(type_at.error(format!("Sigma has no correlation of type `{word}`"), suggestion(word, TYPES)));
    }
    let rules = Reference::list(&map.need("rules", "list the rules whose matches are counted")?)?;
    let aliases = aliases(&map, &rules)?;
    let group_by: Vec<Grouping> = match map.get("group-by") {
        Some(at) => at.list_or_one()?.iter().map(|item| grouping(item, &aliases)).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    let timespan = map.need("timespan", "add a timespan, such as `30m`")?;
    let (kind, count) = if word.starts_with("temporal") {
        (CorrelationKind::Temporal { is_ordered: word == "temporal_ordered" }, rule_count(&map, &rules)?)
    } else {
        counted(&map.need("condition", "add a threshold, such as `gte: 10`")?, word, &aliases)?
    };
    check_use(&map, &group_by, &kind)?;
    let generate = match (map.get("generate"), document.get("generate")) {
        (Some(at), _) | (None, Some(at)) => at.boolean()?,
        (None, None) => false,
    };
    let error_at = |key| map.get(key).as_ref().unwrap_or(&at).error("", "");
    Ok(Correlation {
        kind,
        rules,
        group_by,
        group_by_at: error_at("group-by"),
        timespan_seconds: seconds(&timespan)?,
        count,
        condition_at: error_at("condition"),
        generate,
    })
}

/// Reads `aliases`: for each, the field that it names in each rule.
fn aliases(map: &Map<'_>, rules: &[Reference]) -> Result<Vec<Alias>, Diagnostic> {
    let Some(at) = map.get("aliases") else {
        return Ok(Vec::new());
    };
    let mut aliases = Vec::new();
    for (name, at) in at.any_map()?.entries() {
        if name.parse::<Field>().is_ok() {
            return Err(at.error(format!("the alias `{name}` has the name of a field"), "rename the alias"));
        }
        let mut fields = Vec::new();
        for (rule, at) in at.any_map()?.entries() {
            if !rules.iter().any(|reference| reference.target == rule) {
                let known: Vec<&str> = rules.iter().map(|reference| reference.target.as_str()).collect();
                return Err(at.error(format!("`{rule}` is not one of the `rules`"), suggestion(rule, &known)));
            }
            fields.push((rule.to_owned(), field(&at)?));
        }
        aliases.push(Alias { name: name.to_owned(), fields });
    }
    Ok(aliases)
}

fn grouping(at: &At<'_>, aliases: &[Alias]) -> Result<Grouping, Diagnostic> {
    let name = at.text()?;
    match aliases.iter().find(|alias| alias.name == name) {
        Some(alias) => Ok(Grouping::Alias { alias: alias.clone(), error: at.error("", "") }),
        None => field(at).map(Grouping::Field),
    }
}

/// Reads the name of a field that holds one value.
fn field(at: &At<'_>) -> Result<Field, Diagnostic> {
    let name = at.text()?;
    let field: Field =
        name.parse().map_err(|()| at.error(format!("audit events have no field `{name}`"), Field::suggestion(name)))?;
    if field.is_array() {
        return Err(at.error(
            format!("`{name}` is a list, and a group needs one value"),
            "use `source_ip` or `user.username` instead",
        ));
    }
    Ok(field)
}

/// Checks that every alias is used.
fn check_use(map: &Map<'_>, group_by: &[Grouping], kind: &CorrelationKind) -> Result<(), Diagnostic> {
    let Some(at) = map.get("aliases") else {
        return Ok(());
    };
    let is_used = |alias: &str| {
        let counted = if let CorrelationKind::Values { field } = kind { Some(field) } else { None };
        group_by.iter().chain(counted).any(|grouping| grouping.name() == alias)
    };
    match at.any_map()?.entries().find(|(name, _)| !is_used(name)) {
        Some((name, at)) => {
            Err(at.error(format!("the alias `{name}` is never used"), "use it in `group-by`, or remove it"))
        }
        None => Ok(()),
    }
}

/// Reads the condition of a correlation that counts requests or values.
fn counted(at: &At<'_>, word: &str, aliases: &[Alias]) -> Result<(CorrelationKind, u64), Diagnostic> {
    let map = at.map(&["gte", "gt", "lte", "lt", "eq", "neq", "field"])?;
    let kind = if word == "value_count" {
        let field = map.need("field", "name the field whose values are counted")?;
        match field.list_or_one()?.as_slice() {
            [one] => CorrelationKind::Values { field: grouping(one, aliases)? },
            _ => return Err(field.error("a value count of several fields is not supported", "name one field")),
        }
    } else if let Some(field) = map.get("field") {
        return Err(field.error("an event count has no field", "write `type: value_count`, or remove `field`"));
    } else {
        CorrelationKind::Events
    };
    let mut least = None;
    for (operator, value) in map.entries().filter(|(operator, _)| *operator != "field") {
        let extra = match operator {
            "gte" => 0,
            "gt" => 1,
            _ => {
                return Err(value.error(
                    format!("`{operator}` is not supported for {word}"),
                    format!(
                        "use `gte` or `gt`: a finding opens when there are enough {}",
                        if word == "value_count" { "values" } else { "requests" }
                    ),
                ));
            }
        };
        let number = value.integer()?.saturating_add(extra);
        if !(1..=COUNT_MAX).contains(&number) {
            return Err(value.error("count out of range", format!("use a number from 1 to {COUNT_MAX}")));
        }
        least = least.max(u64::try_from(number).ok());
    }
    let count = least.ok_or_else(|| at.error("the threshold is missing", "write `gte: 10`"))?;
    Ok((kind, count))
}

/// Returns the number of rules of a temporal correlation. Its condition may only require all of them.
fn rule_count(map: &Map<'_>, rules: &[Reference]) -> Result<u64, Diagnostic> {
    if rules.len() < 2 {
        return Err(map
            .need("rules", "name two rules")?
            .error("a temporal correlation needs at least two rules", "name another rule, or use `event_count`"));
    }
    if let Some(extra) = rules.get(REFERENCED_RULES_MAX) {
        return Err(Diagnostic {
            problem: format!("a temporal correlation has more than {REFERENCED_RULES_MAX} rules"),
            fix: "name fewer rules, or combine some of them in one detection".to_owned(),
            ..extra.error.clone()
        });
    }
    let count = rules.len() as u64;
    let Some(at) = map.get("condition") else {
        return Ok(count);
    };
    if let Value::Scalar { .. } = at.node.value {
        return Err(at.error(
            "a condition with `and`, `or` and `not` is not supported",
            "remove it: all named rules must match",
        ));
    }
    for (operator, value) in at.map(&["gte", "gt", "lte", "lt", "eq", "neq"])?.entries() {
        let number = value.integer()?.saturating_add(i64::from(operator == "gt"));
        let is_all = matches!(operator, "gte" | "gt" | "eq") && u64::try_from(number) == Ok(count);
        if !is_all {
            return Err(value.error(
                "all rules of a temporal correlation must match",
                format!("remove the condition, or write `gte: {count}`"),
            ));
        }
    }
    Ok(count)
}

/// Reads a length of time, such as `30m`, in seconds.
pub(super) fn seconds(at: &At<'_>) -> Result<i64, Diagnostic> {
    let text = at.text()?;
    match parsed_seconds(text) {
        Some(seconds) if seconds > SPAN_SECONDS_MAX => {
            Err(at.error(format!("`{text}` is too long"), "use at most `7d`"))
        }
        Some(seconds) if seconds > 0 => Ok(seconds),
        _ => {
            Err(at.error(format!("`{text}` is not a timespan"), "write a whole number and s, m, h or d, such as `30m`"))
        }
    }
}

/// Reads a number of days, such as `14d`.
pub(super) fn days(at: &At<'_>) -> Result<i64, Diagnostic> {
    let seconds = parsed_seconds(at.text()?);
    let days = seconds.filter(|seconds| seconds % DAY_SECONDS == 0).map(|seconds| seconds / DAY_SECONDS);
    days.filter(|days| (1..=DAYS_MAX).contains(days))
        .ok_or_else(|| at.error("not a number of days", format!("write a whole number of days up to `{DAYS_MAX}d`")))
}

/// Returns the seconds that `text` spells: a whole number and one unit.
fn parsed_seconds(text: &str) -> Option<i64> {
    let number = text.strip_suffix(TIMESPAN_UNITS)?;
    // The parser also reads fractions, words and several units, which Sigma does not have.
    let is_whole = number.bytes().all(|byte| byte.is_ascii_digit());
    let span = SpanParser::new().parse_span(text).ok().filter(|_| is_whole)?;
    Some(span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?.as_secs())
}

#[cfg(test)]
mod tests {
    use super::parsed_seconds;

    #[test]
    fn a_timespan_is_a_whole_number_and_a_unit() {
        for (text, expected) in
            [("30s", 30), ("70m", 4_200), ("24h", 86_400), ("7d", 604_800), ("2w", 1_209_600), ("007m", 420), ("0m", 0)]
        {
            assert_eq!(parsed_seconds(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "-",
            "m",
            "-1m",
            "7",
            "1.5h",
            "+1m",
            "1 h",
            "1M",
            "1mo",
            "1y",
            "1h30m",
            "1h 30m",
            "1m ago",
            "P1D",
            "\u{661}m",
            "1\u{b5}",
            "99999999999999999999d",
            "9223372036854775807d",
        ] {
            assert_eq!(parsed_seconds(text), None, "{text}");
        }
    }
}
