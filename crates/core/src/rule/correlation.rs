//! The `correlation` of a Sigma document: what is counted of which rules, by what, and within which time.
//!
//! <https://github.com/SigmaHQ/sigma-specification/blob/main/specification/sigma-correlation-rules-specification.md>

use super::sigma::{Document, Reference};
use crate::diagnostic::{Diagnostic, suggestion};
use crate::field::Field;
use crate::group::REFERENCED_RULES_MAX;
use crate::yaml::{At, Map, Value};

/// The types that are read.
const TYPES: &[&str] = &["event_count", "value_count", "temporal", "temporal_ordered"];
/// Sigma's types that calculate with numbers: audit events hold none but codes.
const NUMERIC_TYPES: &[&str] = &["value_avg", "value_median", "value_percentile", "value_sum"];
/// Longest timespan or dedup period, in seconds: minutes are kept that long.
const SPAN_SECONDS_MAX: i64 = 7 * 86_400;
/// Most requests or values that a condition can ask for.
const COUNT_MAX: i64 = 1_000_000;

/// A correlation, before its references are looked up.
pub(super) struct Correlation {
    pub(super) kind: Kind,
    pub(super) rules: Vec<Reference>,
    pub(super) group_by: Vec<Grouping>,
    /// The place of `group-by`, for faults.
    pub(super) group_by_fault: Diagnostic,
    pub(super) timespan_seconds: i64,
    /// Requests or values that are needed; of a temporal correlation, rules.
    pub(super) count: u64,
    /// The place of the condition, for faults.
    pub(super) count_fault: Diagnostic,
    pub(super) generate: bool,
}

/// Its type.
pub(super) enum Kind {
    Events,
    Values { field: Grouping },
    Temporal { is_ordered: bool },
}

/// A field that is counted by: the same in all rules, or an alias for one field in each.
pub(super) enum Grouping {
    Field(Field),
    Alias { alias: Alias, fault: Diagnostic },
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

    /// Returns the field that it stands for in the events of `rule`.
    pub(super) fn field_in(&self, rule: &Document) -> Result<&Field, Diagnostic> {
        match self {
            Grouping::Field(field) => Ok(field),
            Grouping::Alias { alias, fault } => {
                let found = alias.fields.iter().find(|(target, _)| rule.is_named(target));
                found.map(|(_, field)| field).ok_or_else(|| Diagnostic {
                    problem: format!("the alias `{}` names no field of the rule `{}`", alias.name, rule.shown_name()),
                    fix: format!("add `{}: FIELD` to it", rule.shown_name()),
                    ..fault.clone()
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
        return Err(type_at.fault(
            format!("the type `{word}` is not read: no field that rules can name holds an amount"),
            "count requests with `event_count`, or distinct values with `value_count`",
        ));
    }
    if !TYPES.contains(&word) {
        return Err(type_at.fault(format!("Sigma has no correlation of type `{word}`"), suggestion(word, TYPES)));
    }
    let rules = Reference::list(&map.need("rules", "name the rules whose matches are counted")?)?;
    let aliases = aliases(&map, &rules)?;
    let group_by: Vec<Grouping> = match map.get("group-by") {
        Some(at) => at.list_or_one()?.iter().map(|item| grouping(item, &aliases)).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    let timespan = map.need("timespan", "say how long a span is, such as `30m`")?;
    let (kind, count) = if word.starts_with("temporal") {
        (Kind::Temporal { is_ordered: word == "temporal_ordered" }, legs(&map, &rules)?)
    } else {
        counted(&map.need("condition", "say how many, such as `gte: 10`")?, word, &aliases)?
    };
    check_use(&map, &group_by, &kind)?;
    let generate = match (map.get("generate"), document.get("generate")) {
        (Some(at), _) | (None, Some(at)) => at.boolean()?,
        (None, None) => false,
    };
    let place_of = |key| map.get(key).as_ref().unwrap_or(&at).fault("", "");
    Ok(Correlation {
        kind,
        rules,
        group_by,
        group_by_fault: place_of("group-by"),
        timespan_seconds: seconds(&timespan)?,
        count,
        count_fault: place_of("condition"),
        generate,
    })
}

/// Reads `aliases`: for each, the field that it stands for in each rule.
fn aliases(map: &Map<'_>, rules: &[Reference]) -> Result<Vec<Alias>, Diagnostic> {
    let Some(at) = map.get("aliases") else {
        return Ok(Vec::new());
    };
    let mut aliases = Vec::new();
    for (name, at) in at.any_map()?.entries() {
        if name.parse::<Field>().is_ok() {
            return Err(at.fault(format!("the alias `{name}` hides a field"), "give it a name that no field has"));
        }
        let mut fields = Vec::new();
        for (rule, at) in at.any_map()?.entries() {
            if !rules.iter().any(|reference| reference.target == rule) {
                let known: Vec<&str> = rules.iter().map(|reference| reference.target.as_str()).collect();
                return Err(at.fault(format!("`{rule}` is none of the `rules` here"), suggestion(rule, &known)));
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
        Some(alias) => Ok(Grouping::Alias { alias: alias.clone(), fault: at.fault("", "") }),
        None => field(at).map(Grouping::Field),
    }
}

/// Reads the name of a field that holds one value.
fn field(at: &At<'_>) -> Result<Field, Diagnostic> {
    let name = at.text()?;
    let field: Field =
        name.parse().map_err(|()| at.fault(format!("audit events have no field `{name}`"), Field::suggestion(name)))?;
    if field.is_array() {
        return Err(at.fault(
            format!("`{name}` is a list, and a group needs one value"),
            "group by `source_ip` or `user.username` instead",
        ));
    }
    Ok(field)
}

/// Checks that every alias is used: one that is not was meant for something.
fn check_use(map: &Map<'_>, group_by: &[Grouping], kind: &Kind) -> Result<(), Diagnostic> {
    let Some(at) = map.get("aliases") else {
        return Ok(());
    };
    let is_used = |alias: &str| {
        let counted = if let Kind::Values { field } = kind { Some(field) } else { None };
        group_by.iter().chain(counted).any(|grouping| grouping.name() == alias)
    };
    match at.any_map()?.entries().find(|(name, _)| !is_used(name)) {
        Some((name, at)) => {
            Err(at.fault(format!("the alias `{name}` is never used"), "name it in `group-by`, or take it out"))
        }
        None => Ok(()),
    }
}

/// Reads the condition of a correlation that counts requests or values.
fn counted(at: &At<'_>, word: &str, aliases: &[Alias]) -> Result<(Kind, u64), Diagnostic> {
    let map = at.map(&["gte", "gt", "lte", "lt", "eq", "neq", "field"])?;
    let kind = if word == "value_count" {
        let field = map.need("field", "name the field whose values are counted")?;
        match field.list_or_one()?.as_slice() {
            [one] => Kind::Values { field: grouping(one, aliases)? },
            _ => return Err(field.fault("values of several fields at once are not counted", "name one field")),
        }
    } else if let Some(field) = map.get("field") {
        return Err(field.fault("requests are counted, whatever their fields hold", "write `type: value_count`"));
    } else {
        Kind::Events
    };
    let mut least = None;
    for (operator, value) in map.entries().filter(|(operator, _)| *operator != "field") {
        let extra = match operator {
            "gte" => 0,
            "gt" => 1,
            _ => {
                return Err(value.fault(
                    format!("`{operator}` is not supported for {word}"),
                    format!(
                        "a finding opens when there are enough {}: use `gte` or `gt`",
                        if word == "value_count" { "values" } else { "requests" }
                    ),
                ));
            }
        };
        let number = value.integer()?.saturating_add(extra);
        if !(1..=COUNT_MAX).contains(&number) {
            return Err(
                value.fault("this count can never be, or always is", format!("use a number from 1 to {COUNT_MAX}"))
            );
        }
        least = least.max(u64::try_from(number).ok());
    }
    let count = least.ok_or_else(|| at.fault("no count", "write `gte: 10`"))?;
    Ok((kind, count))
}

/// Returns how many rules a temporal correlation joins; its condition may only say that all of them are needed.
fn legs(map: &Map<'_>, rules: &[Reference]) -> Result<u64, Diagnostic> {
    if rules.len() < 2 {
        return Err(map.need("rules", "name two rules")?.fault(
            "one rule alone has nothing to come together with",
            "name at least two rules, or use `event_count`",
        ));
    }
    if let Some(beyond) = rules.get(REFERENCED_RULES_MAX) {
        return Err(Diagnostic {
            problem: format!("a temporal correlation of more than {REFERENCED_RULES_MAX} rules"),
            fix: "name fewer rules, or join some of them in one detection".to_owned(),
            ..beyond.fault.clone()
        });
    }
    let count = rules.len() as u64;
    let Some(at) = map.get("condition") else {
        return Ok(count);
    };
    if let Value::Scalar { .. } = at.node.value {
        return Err(at.fault(
            "a condition that joins rules with `and`, `or` and `not` is not read",
            "take it out: every rule that is named must come",
        ));
    }
    for (operator, value) in at.map(&["gte", "gt", "lte", "lt", "eq", "neq"])?.entries() {
        let number = value.integer()?.saturating_add(i64::from(operator == "gt"));
        let is_all = matches!(operator, "gte" | "gt" | "eq") && u64::try_from(number) == Ok(count);
        if !is_all {
            return Err(value.fault(
                "every rule that a temporal correlation names must come",
                format!("take the condition out, or write `gte: {count}`"),
            ));
        }
    }
    Ok(count)
}

/// Reads a length of time, such as `30m`, in seconds.
pub(super) fn seconds(at: &At<'_>) -> Result<i64, Diagnostic> {
    let text = at.text()?;
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        Some('w') => 7 * 86_400,
        _ => 0,
    };
    let number = text.get(..text.len().saturating_sub(1)).and_then(|digits| digits.parse::<i64>().ok()).unwrap_or(0);
    match number.checked_mul(unit) {
        Some(seconds) if (1..=SPAN_SECONDS_MAX).contains(&seconds) => Ok(seconds),
        Some(seconds) if seconds > SPAN_SECONDS_MAX => {
            Err(at.fault(format!("`{text}` is too long"), "use at most `7d`"))
        }
        _ => Err(at.fault(format!("`{text}` is no time"), "write a whole number and s, m, h or d, such as `30m`")),
    }
}
