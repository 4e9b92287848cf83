//! One Sigma document as its author wrote it: a detection, a correlation or a filter, checked but not yet joined.

use super::SourceIpMode;
use super::case::Case;
use super::correlation::{self, Correlation};
use super::detection::Expression;
use super::filter::{self, FilterBody};
use super::head::Level;
use super::selection;
use crate::diagnostic::{Diagnostic, nearest, suggestion};
use crate::yaml::{At, Map};

/// Keys that every kind of document may have, beside its own; Sigma rules specification 2.1, and what SigmaHQ keeps of
/// its own tests.
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
    "regression_tests_path",
    "simulation",
    "stakeout",
];
/// Default time within which a lone detection counts, and for which any rule stays told, in seconds.
const DEDUP_PERIOD_SECONDS: i64 = 3600;

/// A document with what all kinds have.
pub(super) struct Document {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) title: String,
    pub(super) name: Option<String>,
    pub(super) id: Option<String>,
    pub(super) description: String,
    pub(super) level: Level,
    pub(super) techniques: Vec<String>,
    pub(super) tactics: Vec<String>,
    pub(super) falsepositives: Vec<String>,
    pub(super) own: Own,
    pub(super) body: Body,
    /// The selections of a detection with their names.
    pub(super) selections: Vec<(String, Expression)>,
}

/// What stands under `stakeout:` of a rule.
pub(super) struct Own {
    pub(super) dedup_period_seconds: i64,
    pub(super) risk_score: u32,
    pub(super) source_ip: SourceIpMode,
    pub(super) runbook: String,
    /// `follow_up`, with what is wrong where the document is no later leg of a `temporal_ordered` correlation.
    pub(super) follow_up: Option<Diagnostic>,
    pub(super) cases: Vec<Case>,
}

impl Default for Own {
    fn default() -> Own {
        Own {
            dedup_period_seconds: DEDUP_PERIOD_SECONDS,
            risk_score: 0,
            source_ip: SourceIpMode::Trusted,
            runbook: String::new(),
            follow_up: None,
            cases: Vec::new(),
        }
    }
}

/// What makes it a detection, a correlation or a filter.
pub(super) enum Body {
    Detection(Expression),
    Correlation(Correlation),
    Filter(FilterBody),
}

/// A rule that a correlation or filter names, by name or id.
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
        self.name.as_deref() == Some(reference)
            || self.id.as_deref().is_some_and(|id| id.eq_ignore_ascii_case(reference))
    }
}

impl Reference {
    /// Reads the rules that a correlation or filter names.
    pub(super) fn list(at: &At<'_>) -> Result<Vec<Reference>, Diagnostic> {
        let mut references: Vec<Reference> = Vec::new();
        for item in at.list_or_one()? {
            let target = item.text()?.to_owned();
            if references.iter().any(|earlier| earlier.target == target) {
                return Err(item.fault(format!("`{target}` stands twice"), "keep one of the two"));
            }
            let fault = item.fault(
                format!("no rule has the name or id `{target}`"),
                "name a rule with a detection that is loaded as well: the `name` or `id` key counts, not the title",
            );
            references.push(Reference { target, fault });
        }
        if references.is_empty() {
            return Err(at.fault("no rule is named here", "give the `name` or `id` of at least one rule"));
        }
        Ok(references)
    }
}

/// Reads one document. What is allowed but hardly meant goes to `warnings`.
pub(super) fn document(top: &At<'_>, warnings: &mut Vec<Diagnostic>) -> Result<Document, Diagnostic> {
    let map = top.any_map()?;
    if let Some(action) = map.get("action") {
        return Err(action.fault(
            "collections with `action` are the old way of Sigma, and are not read",
            "write each document out whole, behind a line with `---`",
        ));
    }
    let kinds = ["detection", "correlation", "filter"];
    let mut present = map.entries().filter(|(name, _)| kinds.contains(name));
    let first = present.next();
    if let (Some((one, _)), Some((other, at))) = (&first, present.next()) {
        return Err(at.fault(
            format!("`{one}` and `{other}` in one document"),
            "give each a document of its own, behind a line with `---`",
        ));
    }
    let kind = first.map_or("detection", |(name, _)| name);
    let own_keys: &[&str] = if kind == "correlation" { &["correlation", "generate"] } else { &["logsource", kind] };
    check_keys(&map, &[COMMON_KEYS, own_keys].concat(), warnings)?;
    let title = map.need("title", "say in a few words what the rule finds")?.text()?.to_owned();
    if kind != "correlation" {
        logsource(&map, warnings)?;
    }
    let mut selections = Vec::new();
    let body = match kind {
        "correlation" => Body::Correlation(correlation::correlation(&map)?),
        "filter" => Body::Filter(filter::filter(&map, warnings)?),
        _ => {
            let detection = map.need("detection", "add selections and a condition, or a correlation")?.any_map()?;
            let expression = selection::detection(&detection, &[], warnings)?;
            selections = selection::named(&detection);
            Body::Detection(expression)
        }
    };
    let name = map.get("name").map(|at| word(&at)).transpose()?;
    let own = match map.get("stakeout") {
        Some(at) if kind != "filter" => own(&at, name.as_deref().unwrap_or(&title), kind == "detection")?,
        _ => Own::default(),
    };
    Ok(Document {
        file: top.file().to_owned(),
        line: top.line(),
        id: map.get("id").map(|at| id(&at)).transpose()?,
        description: map.get("description").map_or(Ok(""), |at| at.text())?.trim().to_owned(),
        level: map.get("level").map_or(Ok(Level::Informational), |at| level(&at))?,
        techniques: map.get("tags").map_or(Ok(Vec::new()), |at| techniques(&at))?,
        tactics: map.get("tags").map_or(Ok(Vec::new()), |at| tactics(&at))?,
        falsepositives: texts(&map, "falsepositives")?,
        title,
        name,
        own,
        body,
        selections,
    })
}

/// Checks the keys of a mapping that Sigma lets everybody add to: one that resembles a known key is a fault, another
/// one a warning.
fn check_keys(map: &Map<'_>, known: &[&str], warnings: &mut Vec<Diagnostic>) -> Result<(), Diagnostic> {
    for (name, at) in map.entries().filter(|(name, _)| !known.contains(name)) {
        if nearest(name, known).is_some() {
            return Err(at.fault("unknown key", suggestion(name, known)));
        }
        warnings.push(
            at.fault("this key is not Sigma's, and is not read here", "take it out, if something was to come of it"),
        );
    }
    Ok(())
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
    word.parse().map_err(|()| at.fault(format!("unknown level `{word}`"), suggestion(word, &known)))
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

/// Returns the tactics among the tags, as ATT&CK spells them: `credential-access`. Groups and software, which Sigma tags
/// as `attack.g0016` and `attack.s0002`, are none.
fn tactics(at: &At<'_>) -> Result<Vec<String>, Diagnostic> {
    let tags = at.list()?;
    let texts: Vec<&str> = tags.iter().map(At::text).collect::<Result<_, _>>()?;
    let words = texts.iter().filter_map(|text| text.strip_prefix("attack."));
    let tactics = words.filter(|word| word.bytes().all(|byte| byte.is_ascii_lowercase() || b"-_".contains(&byte)));
    Ok(tactics.map(|word| word.replace('_', "-")).collect())
}

fn texts(map: &Map<'_>, key: &str) -> Result<Vec<String>, Diagnostic> {
    let Some(at) = map.get(key) else {
        return Ok(Vec::new());
    };
    at.list_or_one()?.iter().map(|item| item.text().map(|text| text.trim().to_owned())).collect()
}

fn logsource(map: &Map<'_>, warnings: &mut Vec<Diagnostic>) -> Result<(), Diagnostic> {
    let at = map.need("logsource", "add `product: kubernetes` and `service: audit`")?;
    let logsource = at.any_map()?;
    check_keys(&logsource, &["product", "service", "category", "definition"], warnings)?;
    let spellings: [(&str, &[&str]); 3] =
        [("product", &["kubernetes"]), ("service", &["audit"]), ("category", &["application", "audit"])];
    for (key, spellings) in spellings {
        let Some(value) = logsource.get(key) else {
            continue;
        };
        if !spellings.contains(&value.text()?) {
            return Err(value.fault(
                format!("`{}` is another log", value.text()?),
                format!(
                    "Stakeout reads Kubernetes audit logs: write `{key}: {}`, or leave this rule out",
                    spellings[0]
                ),
            ));
        }
    }
    logsource.need("product", "add `product: kubernetes`").map(drop)
}

fn own(at: &At<'_>, rule: &str, is_detection: bool) -> Result<Own, Diagnostic> {
    let mut own = Own::default();
    let keys: &[&str] = &["dedup_period", "risk_score", "runbook", "source_ip", "tests", "follow_up"];
    let map = at.map(if is_detection { keys } else { &keys[..5] })?;
    if let Some(period) = map.get("dedup_period") {
        own.dedup_period_seconds = correlation::seconds(&period)?;
    }
    if let Some(at) = map.get("follow_up").filter(|at| at.boolean() != Ok(false)) {
        at.boolean()?;
        own.follow_up = Some(at.fault(
            "only a later rule of a `temporal_ordered` correlation can be a follow-up",
            "take `follow_up` out, or name the rule behind another one in such a correlation",
        ));
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
            "trusted" => SourceIpMode::Trusted,
            "first" => SourceIpMode::First,
            "each" => SourceIpMode::Each,
            word => {
                let fix = suggestion(word, &["trusted", "first", "each"]);
                return Err(reading.fault(format!("unknown reading `{word}`"), fix));
            }
        };
    }
    if let Some(runbook) = map.get("runbook") {
        runbook.text()?.trim().clone_into(&mut own.runbook);
    }
    if let Some(tests) = map.get("tests") {
        own.cases = tests.list()?.iter().map(|case| Case::read(case, rule)).collect::<Result<_, _>>()?;
    }
    Ok(own)
}
