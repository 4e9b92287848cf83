//! The selections of a Sigma rule, and the condition that joins them, read into an expression.

use super::condition;
use super::detection::Expression;
use super::modifier::Modifiers;
use super::pattern::Pattern;
use crate::diagnostic::Diagnostic;
use crate::field::Field;
use crate::yaml::{At, Map, Value};

/// Reads the selections in `map`, all but the keys in `others`, and joins them as its `condition` says.
///
/// What is allowed but probably a mistake goes to `warnings`.
pub(super) fn detection(
    map: &Map<'_>,
    others: &[&str],
    warnings: &mut Vec<Diagnostic>,
) -> Result<Expression, Diagnostic> {
    let mut selections = Vec::new();
    for (name, at) in map.entries().filter(|(name, _)| !others.contains(name) && *name != "condition") {
        if name == "timeframe" {
            return Err(at.error("`timeframe` is not supported", "write a correlation with `timespan`"));
        }
        selections.push((name, selection(&at, warnings)?));
    }
    let condition = map.need("condition", "write which selections must match, such as `condition: selection`")?;
    let conditions = condition.list_or_one()?;
    if conditions.is_empty() {
        return Err(condition
            .error("the condition is empty", "write which selections must match, such as `condition: selection`"));
    }
    let mut joined = Vec::new();
    let mut texts = Vec::new();
    for at in &conditions {
        let text = at.text()?;
        joined.push(condition::parse(text, &selections).map_err(|(problem, fix)| at.error(problem, fix))?);
        texts.push(text);
    }
    let is_named = |name: &str| texts.iter().any(|text| condition::names(text, name));
    let is_unused = |name: &str| !others.contains(&name) && name != "condition" && !is_named(name);
    if let Some((name, unused)) = map.entries().find(|(name, _)| is_unused(name)) {
        return Err(unused.error(
            format!("the condition does not use the selection `{name}`"),
            "use it in the condition, or remove it",
        ));
    }
    Ok(if joined.len() == 1 { joined.remove(0) } else { Expression::Or(joined) })
}

/// Returns the selections of a valid detection by name.
pub(super) fn named(map: &Map<'_>) -> Vec<(String, Expression)> {
    let selections = map.entries().filter(|(name, _)| *name != "condition");
    // The warnings were already given when the detection was read.
    selections.filter_map(|(name, at)| Some((name.to_owned(), selection(&at, &mut Vec::new()).ok()?))).collect()
}

/// Reads one selection: a mapping whose lines must all hold, or a list of mappings of which one must.
fn selection(at: &At<'_>, warnings: &mut Vec<Diagnostic>) -> Result<Expression, Diagnostic> {
    match &at.node.value {
        Value::Map(_) => {
            let lines: Vec<Expression> =
                at.any_map()?.entries().map(|(name, at)| line(name, &at, warnings)).collect::<Result<_, _>>()?;
            if lines.is_empty() {
                return Err(at.error("an empty selection", "name a field and its value"));
            }
            Ok(Expression::And(lines))
        }
        Value::List(items) if !items.is_empty() => {
            let items = at.list()?;
            Ok(Expression::Or(items.iter().map(|item| selection(item, warnings)).collect::<Result<_, _>>()?))
        }
        Value::Scalar { .. } => Err(keyword(at)),
        _ => Err(at.error("an empty selection", "name a field and its value")),
    }
}

fn keyword(at: &At<'_>) -> Diagnostic {
    at.error("keywords without a field are not supported", "name the field, such as `requestURI|contains: ...`")
}

/// Reads one line of a selection. A line with an unknown field always or never matches.
fn line(name: &str, at: &At<'_>, warnings: &mut Vec<Diagnostic>) -> Result<Expression, Diagnostic> {
    let mut words = name.split('|');
    let field_name = words.next().unwrap_or("");
    if field_name.is_empty() {
        return Err(keyword(at));
    }
    let words: Vec<&str> = words.collect();
    let modifiers = Modifiers::read(&words, at)?;
    let field = field_name.parse::<Field>().ok();
    if let Some(field) = field.as_ref().filter(|field| modifiers.is_network() && !field.is_address()) {
        return Err(at.error(
            format!("`{field}` is not an address, so `cidr` never matches"),
            "use `|cidr` with source_ip or sourceIPs",
        ));
    }
    if let Value::Map(_) = at.node.value {
        return Err(at.error("fields do not nest", format!("write the full name, as in `{field_name}.NAME: value`")));
    }
    let values = at.list_or_one()?;
    if values.is_empty() {
        return Err(at.error("an empty list matches nothing", "add a value, or remove the line"));
    }
    if modifiers.is_all() && values.len() < 2 {
        return Err(at.error("`all` needs several values", "write a list of values, or remove `|all`"));
    }
    let mut patterns = patterns(&values, modifiers, warnings)?;
    let Some(field) = field else {
        let fits = !modifiers.is_negated() && fits_missing(&patterns, modifiers.is_all());
        warnings.push(unread(at, field_name, if fits { "always matches" } else { "never matches" }));
        return Ok(constant(fits));
    };
    for pattern in patterns.iter_mut().filter(|pattern| pattern.is_of_another_kind_than(&field)) {
        warnings.push(of_another_kind(at, &field));
        *pattern = Pattern::Never;
    }
    let is = Expression::Is { field: field.clone(), patterns, all: modifiers.is_all() };
    if !modifiers.is_negated() {
        return Ok(is);
    }
    // A missing value is not another value: `neq` wants one that differs.
    let exists = Expression::Is { field, patterns: vec![Pattern::Exists(true)], all: false };
    Ok(Expression::And(vec![exists, Expression::Not(Box::new(is))]))
}

fn patterns(
    values: &[At<'_>],
    modifiers: Modifiers<'_>,
    warnings: &mut Vec<Diagnostic>,
) -> Result<Vec<Pattern>, Diagnostic> {
    let mut patterns = Vec::new();
    for value in values {
        if !modifiers.is_field_reference() {
            patterns.extend(modifiers.patterns(value)?);
            continue;
        }
        let name = value.text()?;
        match name.parse() {
            Ok(field) => patterns.push(modifiers.reference(field)),
            Err(()) => {
                warnings.push(unread(value, name, "never matches"));
                patterns.push(Pattern::Never);
            }
        }
    }
    Ok(patterns)
}

fn fits_missing(patterns: &[Pattern], all: bool) -> bool {
    if all { patterns.iter().all(Pattern::fits_missing) } else { patterns.iter().any(Pattern::fits_missing) }
}

fn constant(holds: bool) -> Expression {
    if holds { Expression::And(Vec::new()) } else { Expression::Or(Vec::new()) }
}

/// Warns of a field that no event has.
fn unread(at: &At<'_>, name: &str, effect: &str) -> Diagnostic {
    let fix = match Field::meant(name) {
        Some(known) => format!("did you mean `{known}`?"),
        None => "remove the line".to_owned(),
    };
    at.error(format!("audit events have no field `{name}`, so this line {effect}"), fix)
}

/// Warns of a text where a field only has numbers or booleans.
fn of_another_kind(at: &At<'_>, field: &Field) -> Diagnostic {
    let (kind, fix) = if field.is_number() {
        ("a number", "write a number, such as 403; the decision is in annotations.authorization.k8s.io/decision")
    } else {
        ("true or false", "write `true` or `false`")
    };
    at.error(format!("`{field}` is {kind}, so this value never matches"), fix)
}
