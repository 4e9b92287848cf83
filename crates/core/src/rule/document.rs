//! One Sigma document: a detection, a correlation or a filter, checked but not yet joined with the rules that it names.

use super::case::Case;
use super::correlation::{self, Correlation};
use super::detection::Expression;
use super::filter::{self, FilterBody};
use super::head::Level;
use super::reference::RuleNames;
use super::selection;
use super::story::Story;
use super::{Origin, SourceIpMode};
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
/// Most keys of a mapping that are not of Sigma: people add a few of their own.
const CUSTOM_KEYS_MAX: usize = 100;
/// Most requests for each distinct value that a rule can allow.
const REPEAT_MAX: u64 = 1_000;
/// Default time for which a finding stays reported, in seconds.
const DEDUP_PERIOD_SECONDS: i64 = 3600;

/// A document.
pub(super) struct Document {
    pub(super) origin: Origin,
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) names: RuleNames,
    pub(super) description: String,
    pub(super) level: Level,
    pub(super) techniques: Vec<String>,
    pub(super) tactics: Vec<String>,
    pub(super) falsepositives: Vec<String>,
    pub(super) own: OwnKeys,
    pub(super) body: Body,
    /// The selections of a detection with their names.
    pub(super) selections: Vec<(String, Expression)>,
}

/// The keys under `stakeout:` of a rule.
pub(super) struct OwnKeys {
    pub(super) dedup_period_seconds: i64,
    pub(super) risk_score: u32,
    pub(super) source_ip: SourceIpMode,
    pub(super) runbook: String,
    pub(super) story: Story,
    /// `follow_up`, with the error for a document that is not a later rule of a `temporal_ordered` correlation.
    pub(super) follow_up: Option<Diagnostic>,
    /// `repeat_max`, with the seconds of `repeat_within` if it is given, and the error for a correlation that has nothing to
    /// count by.
    pub(super) repeat: Option<(u64, Option<i64>, Diagnostic)>,
    /// `new_for` in days, with the error for a correlation whose groups are addresses or of no cluster.
    pub(super) new_for: Option<(i64, Diagnostic)>,
    pub(super) cases: Vec<Case>,
}

impl Default for OwnKeys {
    fn default() -> OwnKeys {
        OwnKeys {
            dedup_period_seconds: DEDUP_PERIOD_SECONDS,
            risk_score: 0,
            source_ip: SourceIpMode::Trusted,
            runbook: String::new(),
            story: Story::default(),
            follow_up: None,
            repeat: None,
            new_for: None,
            cases: Vec::new(),
        }
    }
}

/// The part that makes it a detection, a correlation or a filter.
pub(super) enum Body {
    Detection(Expression),
    Correlation(Correlation),
    Filter(FilterBody),
}

/// Reads one document. What is allowed but probably a mistake goes to `warnings`.
pub(super) fn document(top: &At<'_>, origin: Origin, warnings: &mut Vec<Diagnostic>) -> Result<Document, Diagnostic> {
    let map = top.any_map()?;
    if let Some(action) = map.get("action") {
        return Err(action.error(
            "`action` is not supported: Sigma no longer has collections",
            "write each document in full, after a line with `---`",
        ));
    }
    let kinds = ["detection", "correlation", "filter"];
    let mut present = map.entries().filter(|(name, _)| kinds.contains(name));
    let first = present.next();
    if let (Some((one, _)), Some((other, at))) = (&first, present.next()) {
        return Err(at.error(
            format!("`{one}` and `{other}` in one document"),
            "write two documents, separated by a line with `---`",
        ));
    }
    let kind = first.map_or("detection", |(name, _)| name);
    let own_keys: &[&str] = if kind == "correlation" { &["correlation", "generate"] } else { &["logsource", kind] };
    check_keys(&map, &[COMMON_KEYS, own_keys].concat(), warnings)?;
    let title = map.need("title", "write in a few words what the rule finds")?.text()?.to_owned();
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
        Some(at) if kind != "filter" => own(&at, name.as_deref().unwrap_or(&title), origin, kind == "detection")?,
        _ => OwnKeys::default(),
    };
    let id = map.get("id").map(|at| id(&at)).transpose()?;
    Ok(Document {
        origin,
        file: top.file().to_owned(),
        line: top.line(),
        description: map.get("description").map_or(Ok(""), |at| at.text())?.trim().to_owned(),
        level: map.get("level").map_or(Ok(Level::Informational), |at| level(&at))?,
        techniques: map.get("tags").map_or(Ok(Vec::new()), |at| techniques(&at))?,
        tactics: map.get("tags").map_or(Ok(Vec::new()), |at| tactics(&at))?,
        falsepositives: texts(&map, "falsepositives")?,
        names: RuleNames { title, name, id },
        own,
        body,
        selections,
    })
}

/// Checks the keys of a mapping to which Sigma allows custom keys: a key that resembles a known one is an error, any
/// other unknown key a warning.
fn check_keys(map: &Map<'_>, known: &[&str], warnings: &mut Vec<Diagnostic>) -> Result<(), Diagnostic> {
    for (number, (name, at)) in map.entries().filter(|(name, _)| !known.contains(name)).enumerate() {
        if nearest(name, known).is_some() {
            return Err(at.error("unknown key", suggestion(name, known)));
        }
        if number >= CUSTOM_KEYS_MAX {
            let problem = format!("more than {CUSTOM_KEYS_MAX} keys that are not Sigma keys");
            return Err(at.error(problem, "check that the file is a rule"));
        }
        warnings.push(
            at.error("this key is not a Sigma key and has no effect", "remove it, or move it under a key that is read"),
        );
    }
    Ok(())
}

fn word(at: &At<'_>) -> Result<String, Diagnostic> {
    let name = at.text()?;
    if name.len() <= 128 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Ok(name.to_owned());
    }
    Err(at.error(format!("`{name}` is not a valid name"), "use letters, digits, `-`, `_` and `.`, at most 128 of them"))
}

fn id(at: &At<'_>) -> Result<String, Diagnostic> {
    let id = at.text()?;
    let parts: Vec<usize> = id.split('-').map(str::len).collect();
    if parts == [8, 4, 4, 4, 12] && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
        return Ok(id.to_ascii_lowercase());
    }
    Err(at.error(format!("`{id}` is not a UUID"), "create one with `uuidgen`"))
}

fn level(at: &At<'_>) -> Result<Level, Diagnostic> {
    let word = at.text()?;
    let known: Vec<&str> = Level::ALL.iter().map(|level| level.as_str()).collect();
    word.parse().map_err(|()| at.error(format!("unknown level `{word}`"), suggestion(word, &known)))
}

fn techniques(at: &At<'_>) -> Result<Vec<String>, Diagnostic> {
    let mut techniques = Vec::new();
    for tag in at.list()? {
        let text = tag.text()?;
        let Some(technique) = text.strip_prefix("attack.t") else {
            continue;
        };
        if technique.is_empty() || !technique.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Err(tag.error(
                format!("`{text}` is not an ATT&CK technique"),
                "write it as attack.t1613 or attack.t1110.003",
            ));
        }
        techniques.push(format!("T{technique}"));
    }
    Ok(techniques)
}

/// Returns the tactics among the tags, as ATT&CK spells them: `credential-access`. Groups (`attack.g0016`) and software
/// (`attack.s0002`) are not tactics.
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
            return Err(value.error(
                format!("`{}` is a different log source", value.text()?),
                format!("Stakeout reads Kubernetes audit logs: write `{key}: {}`, or remove this rule", spellings[0]),
            ));
        }
    }
    logsource.need("product", "add `product: kubernetes`").map(drop)
}

/// Reads `repeat_max` and `repeat_within`.
fn repeat(map: &Map<'_>) -> Result<Option<(u64, Option<i64>, Diagnostic)>, Diagnostic> {
    let within = map.get("repeat_within");
    let Some(at) = map.get("repeat_max") else {
        return match within {
            Some(at) => Err(at.error("`repeat_within` without `repeat_max` has no effect", "add `repeat_max: 4`")),
            None => Ok(None),
        };
    };
    let number = at.integer()?;
    let max = u64::try_from(number).ok().filter(|max| (1..=REPEAT_MAX).contains(max));
    let max = max.ok_or_else(|| at.error("number out of range", format!("use a number from 1 to {REPEAT_MAX}")))?;
    let error = at.error(
        "an event count has no distinct values to count the requests of",
        "write `type: value_count`, or remove `repeat_max`",
    );
    Ok(Some((max, within.map(|at| correlation::seconds(&at)).transpose()?, error)))
}

/// Reads `new_for`, in days.
fn new_for(at: &At<'_>) -> Result<(i64, Diagnostic), Diagnostic> {
    let error = at.error(
        "new groups need `cluster` in `group-by`, and no address: anybody can come from a new address",
        "group by `cluster` and `user.username`, or remove `new_for`",
    );
    Ok((correlation::days(at)?, error))
}

fn own(at: &At<'_>, rule: &str, origin: Origin, is_detection: bool) -> Result<OwnKeys, Diagnostic> {
    let mut own = OwnKeys::default();
    let mut keys = vec!["dedup_period", "risk_score", "runbook", "source_ip", "story", "tests"];
    keys.extend(if is_detection { &["follow_up"][..] } else { &["repeat_max", "repeat_within", "new_for"] });
    let map = at.map(&keys)?;
    own.repeat = repeat(&map)?;
    own.new_for = map.get("new_for").map(|at| new_for(&at)).transpose()?;
    if let Some(period) = map.get("dedup_period") {
        own.dedup_period_seconds = correlation::seconds(&period)?;
    }
    if let Some(at) = map.get("follow_up").filter(|at| at.boolean() != Ok(false)) {
        at.boolean()?;
        own.follow_up = Some(at.error(
            "only a later rule of a `temporal_ordered` correlation can be a follow-up",
            "remove `follow_up`, or name the rule after another one in such a correlation",
        ));
    }
    if let Some(score) = map.get("risk_score") {
        let number = score.integer()?;
        own.risk_score = u32::try_from(number)
            .ok()
            .filter(|score| *score <= 100)
            .ok_or_else(|| score.error(format!("{number} is not a risk score"), "use a number from 0 to 100"))?;
    }
    if let Some(mode) = map.get("source_ip") {
        own.source_ip = match mode.text()? {
            "trusted" => SourceIpMode::Trusted,
            "first" => SourceIpMode::First,
            "each" => SourceIpMode::Each,
            word => {
                let fix = suggestion(word, &["trusted", "first", "each"]);
                return Err(mode.error(format!("unknown value `{word}`"), fix));
            }
        };
    }
    if let Some(runbook) = map.get("runbook") {
        runbook.text()?.trim().clone_into(&mut own.runbook);
    }
    if let Some(story) = map.get("story") {
        own.story = Story::parse(story.text()?.trim()).map_err(|bad| story.error(bad.problem, bad.fix))?;
    }
    if let Some(tests) = map.get("tests") {
        own.cases = tests.list()?.iter().map(|case| Case::read(case, rule, origin)).collect::<Result<_, _>>()?;
    }
    Ok(own)
}
