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
/// What is allowed but hardly meant goes to `warnings`.
pub(super) fn detection(
    map: &Map<'_>,
    others: &[&str],
    warnings: &mut Vec<Diagnostic>,
) -> Result<Expression, Diagnostic> {
    let mut selections = Vec::new();
    for (name, at) in map.entries().filter(|(name, _)| !others.contains(name) && *name != "condition") {
        if name == "timeframe" {
            return Err(at.fault("`timeframe` is not read", "write a correlation with `timespan`"));
        }
        selections.push((name, selection(&at, warnings)?));
    }
    let condition = map.need("condition", "say which selections must fit, such as `condition: selection`")?;
    let conditions = condition.list_or_one()?;
    if conditions.is_empty() {
        return Err(condition.fault("no condition", "say which selections must fit, such as `condition: selection`"));
    }
    let mut joined = Vec::new();
    let mut texts = Vec::new();
    for at in &conditions {
        let text = at.text()?;
        joined.push(condition::parse(text, &selections).map_err(|(problem, fix)| at.fault(problem, fix))?);
        texts.push(text);
    }
    let is_named = |name: &str| texts.iter().any(|text| condition::names(text, name));
    let is_unused = |name: &str| !others.contains(&name) && name != "condition" && !is_named(name);
    if let Some((name, unused)) = map.entries().find(|(name, _)| is_unused(name)) {
        return Err(unused.fault(
            format!("the condition never names the selection `{name}`"),
            "name it in the condition, or take it out",
        ));
    }
    Ok(if joined.len() == 1 { joined.remove(0) } else { Expression::Or(joined) })
}

/// Returns the selections of a detection that was read without a fault, by name.
pub(super) fn named(map: &Map<'_>) -> Vec<(String, Expression)> {
    let selections = map.entries().filter(|(name, _)| *name != "condition");
    // What there is to warn of was warned of when the detection was read.
    selections.filter_map(|(name, at)| Some((name.to_owned(), selection(&at, &mut Vec::new()).ok()?))).collect()
}

/// Reads one selection: a mapping whose lines must all hold, or a list of mappings of which one must.
fn selection(at: &At<'_>, warnings: &mut Vec<Diagnostic>) -> Result<Expression, Diagnostic> {
    match &at.node.value {
        Value::Map(_) => {
            let lines: Vec<Expression> =
                at.any_map()?.entries().map(|(name, at)| line(name, &at, warnings)).collect::<Result<_, _>>()?;
            if lines.is_empty() {
                return Err(at.fault("an empty selection", "name a field and its value"));
            }
            Ok(Expression::And(lines))
        }
        Value::List(items) if !items.is_empty() => {
            let items = at.list()?;
            Ok(Expression::Or(items.iter().map(|item| selection(item, warnings)).collect::<Result<_, _>>()?))
        }
        Value::Scalar { .. } => Err(keyword(at)),
        _ => Err(at.fault("an empty selection", "name a field and its value")),
    }
}

fn keyword(at: &At<'_>) -> Diagnostic {
    at.fault(
        "a keyword without a field",
        "name the field to look in, such as `requestURI|contains: ...`: audit events have fields",
    )
}

/// Reads one line of a selection. A field that no event has settles the line here and now.
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
        return Err(at.fault(
            format!("`{field}` holds no addresses, so no network can hold it"),
            "use `|cidr` with source_ip or sourceIPs",
        ));
    }
    if let Value::Map(_) = at.node.value {
        return Err(
            at.fault("fields do not nest", format!("spell the whole name out, as in `{field_name}.NAME: value`"))
        );
    }
    let values = at.list_or_one()?;
    if values.is_empty() {
        return Err(at.fault("an empty list fits nothing", "name at least one value, or take the line out"));
    }
    if modifiers.is_all() && values.len() < 2 {
        return Err(at.fault("`all` with one value", "give a list of values, or take `|all` away"));
    }
    let mut patterns = patterns(&values, modifiers, warnings)?;
    let Some(field) = field else {
        let fits = !modifiers.is_negated() && fits_missing(&patterns, modifiers.is_all());
        warnings.push(unread(at, field_name, if fits { "always fits" } else { "never fits" }));
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
                warnings.push(unread(value, name, "never fits"));
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
        None => "take the line out, if the rule is to do without it".to_owned(),
    };
    at.fault(format!("no event has a field `{name}` that is read here, so this {effect}"), fix)
}

/// Warns of a text where a field only ever holds numbers or booleans.
fn of_another_kind(at: &At<'_>, field: &Field) -> Diagnostic {
    let (kind, fix) = if field.is_number() {
        ("a number", "write one, such as 403; what was decided stands in annotations.authorization.k8s.io/decision")
    } else {
        ("true or false", "write one of the two")
    };
    at.fault(format!("`{field}` holds {kind}, so this value never fits"), fix)
}
