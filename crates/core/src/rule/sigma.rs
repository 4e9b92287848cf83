//! One Sigma document as its author wrote it: a detection or a correlation, checked but not yet joined.

use super::SourceIpReading;
use super::case::Case;
use super::condition;
use super::detection::{self, Expression};
use super::head::Level;
use crate::diagnostic::Diagnostic;
use crate::field::Field;
use crate::yaml::{At, Map};

/// Keys that both kinds of document may have, beside their own; Sigma rules specification 2.1.
const COMMON_KEYS: &[&str] = &[
    "title",
    "id",
    "name",
    "related",
    "taxonomy",
    "status",
    "description",
    "license",
    "author",
    "references",
    "date",
    "modified",
    "falsepositives",
    "level",
    "tags",
    "scope",
    "fields",
    "stakeout",
];
/// Default time within which a lone detection counts, and for which any rule stays told, in seconds.
const DEDUP_PERIOD_SECONDS: i64 = 3600;
/// Longest timespan or dedup period, in seconds: minutes are kept that long.
const SPAN_SECONDS_MAX: i64 = 7 * 86_400;

/// A document with what both kinds have.
pub(super) struct Document {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) title: String,
    pub(super) name: Option<String>,
    pub(super) id: Option<String>,
    pub(super) description: String,
    pub(super) level: Level,
    pub(super) techniques: Vec<String>,
    pub(super) falsepositives: Vec<String>,
    pub(super) own: Own,
    pub(super) body: Body,
}

/// What stands under `stakeout:`.
pub(super) struct Own {
    pub(super) dedup_period_seconds: i64,
    pub(super) risk_score: u32,
    pub(super) source_ip: SourceIpReading,
    pub(super) cases: Vec<Case>,
}

/// What makes it a detection or a correlation.
pub(super) enum Body {
    Detection(Expression),
    Correlation(Correlation),
}

/// A correlation of type `event_count`.
pub(super) struct Correlation {
    pub(super) rules: Vec<Reference>,
    pub(super) group_by: Vec<Field>,
    pub(super) timespan_seconds: i64,
    pub(super) count: u64,
    pub(super) generate: bool,
}

/// A rule that a correlation names, by name or id.
pub(super) struct Reference {
    pub(super) target: String,
    pub(super) fault: Diagnostic,
}

impl Document {
    /// Returns the name that the rule is shown by.
    pub(super) fn shown_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.title)
    }

    /// Tells whether `reference` names this document.
    pub(super) fn is_named(&self, reference: &str) -> bool {
        self.name.as_deref() == Some(reference) || self.id.as_deref() == Some(reference)
    }
}

/// Reads one document.
pub(super) fn document(top: &At<'_>) -> Result<Document, Diagnostic> {
    let is_correlation = top.any_map()?.get("correlation").is_some();
    let own_keys: &[&str] = if is_correlation { &["correlation"] } else { &["logsource", "detection"] };
    let map = top.map(&[COMMON_KEYS, own_keys].concat())?;
    let title = map.need("title", "say in a few words what the rule finds")?.text()?.to_owned();
    let body = if is_correlation {
        Body::Correlation(correlation(&map.need("correlation", "add it")?)?)
    } else {
        logsource(&map)?;
        Body::Detection(detection(&map.need("detection", "add selections and a condition, or a correlation")?)?)
    };
    let name = map.get("name").map(|at| word(&at)).transpose()?;
    let own = own(&map, name.as_deref().unwrap_or(&title))?;
    Ok(Document {
        file: top.file().to_owned(),
        line: top.line(),
        id: map.get("id").map(|at| id(&at)).transpose()?,
        description: map.get("description").map_or(Ok(""), |at| at.text())?.trim().to_owned(),
        level: map.get("level").map_or(Ok(Level::Informational), |at| level(&at))?,
        techniques: map.get("tags").map_or(Ok(Vec::new()), |at| techniques(&at))?,
        falsepositives: texts(&map, "falsepositives")?,
        title,
        name,
        own,
        body,
    })
}

fn word(at: &At<'_>) -> Result<String, Diagnostic> {
    let name = at.text()?;
    if name.len() <= 128 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Ok(name.to_owned());
    }
    Err(at.fault(format!("`{name}` is no name"), "use letters, digits, `-`, `_` and `.`, at most 128 of them"))
}

fn id(at: &At<'_>) -> Result<String, Diagnostic> {
    let id = at.text()?;
    let parts: Vec<usize> = id.split('-').map(str::len).collect();
    if parts == [8, 4, 4, 4, 12] && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
        return Ok(id.to_ascii_lowercase());
    }
    Err(at.fault(format!("`{id}` is no UUID"), "make one with `uuidgen`"))
}

fn level(at: &At<'_>) -> Result<Level, Diagnostic> {
    let word = at.text()?;
    let known: Vec<&str> = Level::ALL.iter().map(|level| level.as_str()).collect();
    word.parse().map_err(|()| at.fault(format!("unknown level `{word}`"), crate::diagnostic::suggestion(word, &known)))
}

fn techniques(at: &At<'_>) -> Result<Vec<String>, Diagnostic> {
    let mut techniques = Vec::new();
    for tag in at.list()? {
        let text = tag.text()?;
        let Some(technique) = text.strip_prefix("attack.t") else {
            continue;
        };
        if technique.is_empty() || !technique.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Err(
                tag.fault(format!("`{text}` is no ATT&CK technique"), "write it as attack.t1613 or attack.t1110.003")
            );
        }
        techniques.push(format!("T{technique}"));
    }
    Ok(techniques)
}

fn texts(map: &Map<'_>, key: &str) -> Result<Vec<String>, Diagnostic> {
    let Some(at) = map.get(key) else {
        return Ok(Vec::new());
    };
    at.list_or_one()?.iter().map(|item| item.text().map(|text| text.trim().to_owned())).collect()
}

fn logsource(map: &Map<'_>) -> Result<(), Diagnostic> {
    let at = map.need("logsource", "add `product: kubernetes` and `service: audit`")?;
    let logsource = at.map(&["product", "service", "category", "definition"])?;
    for (key, expected) in [("product", "kubernetes"), ("service", "audit")] {
        let Some(value) = logsource.get(key) else {
            continue;
        };
        if value.text()? != expected {
            return Err(value.fault(
                format!("`{}` is another log", value.text()?),
                format!("Stakeout reads Kubernetes audit logs: write `{key}: {expected}`, or leave this rule out"),
            ));
        }
    }
    logsource.need("product", "add `product: kubernetes`").map(drop)
}

fn detection(at: &At<'_>) -> Result<Expression, Diagnostic> {
    let map = at.any_map()?;
    let mut selections = Vec::new();
    for (name, selection) in map.entries() {
        match name {
            "condition" => {}
            "timeframe" => {
                return Err(selection.fault("`timeframe` is not read", "write a correlation with `timespan`"));
            }
            _ => selections.push((name, detection::selection(&selection)?)),
        }
    }
    let condition_at = map.need("condition", "say which selections must fit, such as `condition: selection`")?;
    let text = condition_at.text()?;
    let expression =
        condition::parse(text, &selections).map_err(|(problem, mend)| condition_at.fault(problem, mend))?;
    match map.entries().find(|(name, _)| *name != "condition" && !condition::names(text, name)) {
        Some((name, unused)) => Err(unused.fault(
            format!("the condition never names the selection `{name}`"),
            "name it in the condition, or take it out",
        )),
        None => Ok(expression),
    }
}

fn correlation(at: &At<'_>) -> Result<Correlation, Diagnostic> {
    let map = at.map(&["type", "rules", "group-by", "timespan", "condition", "generate"])?;
    let kind = map.need("type", "write `type: event_count`")?;
    if kind.text()? != "event_count" {
        return Err(
            kind.fault(format!("the type `{}` is not supported in this version", kind.text()?), "use `event_count`")
        );
    }
    let rules = map.need("rules", "name the rules whose matches are counted")?;
    let rules = rules
        .list_or_one()?
        .iter()
        .map(|item| {
            let target = item.text()?.to_owned();
            let fault = item.fault(
                format!("no rule has the name or id `{target}`"),
                "name a rule with a detection that is loaded as well: the `name` or `id` key counts, not the title",
            );
            Ok(Reference { target, fault })
        })
        .collect::<Result<_, Diagnostic>>()?;
    let group_by = map.need("group-by", "name the fields that it counts by, such as `[source_ip]`")?;
    let group_by = group_by.list_or_one()?.iter().map(group_field).collect::<Result<_, _>>()?;
    let timespan = map.need("timespan", "say how long a span is, such as `30m`")?;
    Ok(Correlation {
        rules,
        group_by,
        timespan_seconds: seconds(&timespan)?,
        count: count(&map.need("condition", "say how many, such as `gte: 10`")?)?,
        generate: map.get("generate").map_or(Ok(false), |at| at.boolean())?,
    })
}

fn group_field(at: &At<'_>) -> Result<Field, Diagnostic> {
    let name = at.text()?;
    let field: Field = name.parse().map_err(|()| {
        at.fault(format!("audit events have no field `{name}`"), crate::diagnostic::suggestion(name, Field::NAMES))
    })?;
    if field.is_array() {
        return Err(at.fault(
            format!("`{name}` is a list, and a group needs one value"),
            "group by `source_ip` or `user.username` instead",
        ));
    }
    Ok(field)
}

fn count(at: &At<'_>) -> Result<u64, Diagnostic> {
    let mut least = None;
    for (operator, value) in at.map(&["gte", "gt", "lte", "lt", "eq", "neq"])?.entries() {
        let extra = match operator {
            "gte" => 0,
            "gt" => 1,
            _ => {
                return Err(value.fault(
                    format!("`{operator}` is not supported for event_count"),
                    "a finding opens when there are enough requests: use `gte` or `gt`",
                ));
            }
        };
        let number = value.integer()?.saturating_add(extra);
        if !(1..=1_000_000).contains(&number) {
            return Err(value.fault("this count can never be, or always is", "use a number from 1 to 1000000"));
        }
        least = least.max(u64::try_from(number).ok());
    }
    least.ok_or_else(|| at.fault("no count", "write `gte: 10`"))
}

fn seconds(at: &At<'_>) -> Result<i64, Diagnostic> {
    let text = at.text()?;
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
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

fn own(map: &Map<'_>, rule: &str) -> Result<Own, Diagnostic> {
    let mut own = Own {
        dedup_period_seconds: DEDUP_PERIOD_SECONDS,
        risk_score: 0,
        source_ip: SourceIpReading::Trusted,
        cases: Vec::new(),
    };
    let Some(at) = map.get("stakeout") else {
        return Ok(own);
    };
    let map = at.map(&["dedup_period", "risk_score", "source_ip", "tests"])?;
    if let Some(period) = map.get("dedup_period") {
        own.dedup_period_seconds = seconds(&period)?;
    }
    if let Some(score) = map.get("risk_score") {
        let number = score.integer()?;
        own.risk_score = u32::try_from(number)
            .ok()
            .filter(|score| *score <= 100)
            .ok_or_else(|| score.fault(format!("{number} is no risk score"), "use a number from 0 to 100"))?;
    }
    if let Some(reading) = map.get("source_ip") {
        own.source_ip = match reading.text()? {
            "trusted" => SourceIpReading::Trusted,
            "first" => SourceIpReading::First,
            "each" => SourceIpReading::Each,
            word => {
                let mend = crate::diagnostic::suggestion(word, &["trusted", "first", "each"]);
                return Err(reading.fault(format!("unknown reading `{word}`"), mend));
            }
        };
    }
    if let Some(tests) = map.get("tests") {
        own.cases = tests.list()?.iter().map(|case| Case::read(case, rule)).collect::<Result<_, _>>()?;
    }
    Ok(own)
}
