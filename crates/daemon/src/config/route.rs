//! Which findings and incidents a destination hears of: `send`, `min_severity`, `max_severity`, `clusters` and `rules`.

use std::collections::BTreeSet;

use glob::Pattern;
use stakeout_core::diagnostic::{Diagnostic, suggestion};
use stakeout_core::route::{Route, Subjects, fits};
use stakeout_core::rule::{Level, Rules};
use stakeout_core::text::counted;
use stakeout_core::yaml::{At, Map};

use crate::section::SectionReader;

/// The keys that this module reads.
pub(super) const KEYS: [&str; 5] = ["send", "min_severity", "max_severity", "clusters", "rules"];
const SUBJECTS: [(&str, Subjects); 3] =
    [("incidents", Subjects::Incidents), ("findings", Subjects::Findings), ("both", Subjects::Both)];
/// Most names and patterns of a list: as many as there can be sources.
const NAMES_MAX: usize = 1_024;

/// A name or pattern in `rules`, and its error where no active rule has such a name.
#[derive(Clone, Debug)]
pub(crate) struct WantedRule {
    pattern: Pattern,
    error: Diagnostic,
}

/// Reads the keys of a destination. `unless_given` is the route without them. `clusters` are the names of all clusters; `None`
/// where the sources have errors, or a discovery finds more of them.
pub(super) fn read(
    map: &Map<'_>,
    unless_given: Route,
    clusters: Option<&[&str]>,
) -> Result<(Route, Vec<WantedRule>), Diagnostic> {
    let level_of = |key, unless_given| map.get(key).map_or(Ok(unless_given), |at| level(&at));
    let mut route = Route {
        subjects: map.get("send").map_or(Ok(unless_given.subjects), |at| subjects(&at))?,
        level_min: level_of("min_severity", unless_given.level_min)?,
        level_max: level_of("max_severity", unless_given.level_max)?,
        ..unless_given
    };
    if let Some(at) = map.get("max_severity")
        && route.level_max < route.level_min
    {
        let Route { level_min, level_max, .. } = route;
        let fix = format!("write `{level_min}` or higher, or lower `min_severity`");
        return Err(at.error(format!("`{level_max}` is below `min_severity`, which is {level_min}"), fix));
    }
    if let Some(at) = map.get("clusters") {
        for item in names(&at)? {
            let (text, pattern) = (item.text()?, pattern(&item)?);
            if let Some(known) = clusters.filter(|known| matching(&pattern, known).is_empty()) {
                return Err(item.error(format!("no source has the cluster `{text}`"), suggestion(text, known)));
            }
            route.clusters.get_or_insert_default().push(pattern);
        }
    }
    let mut rules = Vec::new();
    if let Some(at) = map.get("rules") {
        for item in names(&at)? {
            rules.push(WantedRule { pattern: pattern(&item)?, error: item.error("", "") });
        }
    }
    Ok((route, rules))
}

/// Completes the route with the rules that it names. Returns an error for each name that no active rule has.
pub(crate) fn name_rules(route: &mut Route, wanted: &[WantedRule], rules: &Rules) -> Vec<Diagnostic> {
    let known: Vec<&str> = rules.rules.iter().map(|rule| rule.head.name.as_str()).collect();
    let mut errors = Vec::new();
    for WantedRule { pattern, error } in wanted {
        let found = matching(pattern, &known);
        if found.is_empty() {
            let text = pattern.as_str();
            let (problem, fix) = (format!("no active rule has the name `{text}`"), suggestion(text, &known));
            errors.push(Diagnostic { problem, fix, ..error.clone() });
        }
        route.rules.get_or_insert_default().extend(found);
    }
    errors
}

/// Warns of clusters that no destination hears of.
pub(super) fn warn_of_unheard(top: &Map<'_>, routes: &[&Route], clusters: &[&str], reader: &mut SectionReader<'_>) {
    let is_heard = |cluster: &str| routes.iter().any(|route| route.has_cluster(cluster));
    let unheard: BTreeSet<&str> = clusters.iter().copied().filter(|cluster| !is_heard(cluster)).collect();
    if let (Some(at), Some(first), false) = (top.get("notify"), unheard.first(), routes.is_empty()) {
        let others = match unheard.len() - 1 {
            0 => String::new(),
            others => format!(" and of {}", counted(others, "other cluster")),
        };
        reader.warn(at.error(
            format!("no destination hears of cluster `{first}`{others}"),
            "add it to the `clusters` of a destination, or a destination without `clusters`",
        ));
    }
}

/// Returns the items of a list that must have some.
fn names<'a>(at: &At<'a>) -> Result<Vec<At<'a>>, Diagnostic> {
    let items = at.list_or_one()?;
    match items.len() {
        0 => Err(at.error("the list names nothing, so nothing is sent", "name some, or remove the key for all")),
        1..=NAMES_MAX => Ok(items),
        more => Err(at.error(format!("{more} names"), format!("write at most {NAMES_MAX}, such as patterns: prod-*"))),
    }
}

fn pattern(at: &At<'_>) -> Result<Pattern, Diagnostic> {
    let text = at.text()?;
    Pattern::new(text).map_err(|error| {
        at.error(format!("`{text}` is not a pattern: {}", error.msg), "write a name, or a pattern such as prod-*")
    })
}

/// Returns the known names that fit the pattern.
fn matching(pattern: &Pattern, known: &[&str]) -> Vec<String> {
    known.iter().filter(|name| fits(pattern, name)).map(|name| (*name).to_owned()).collect()
}

fn subjects(at: &At<'_>) -> Result<Subjects, Diagnostic> {
    let text = at.text()?;
    let named = SUBJECTS.iter().find(|(name, _)| *name == text);
    named.map(|(_, subjects)| *subjects).ok_or_else(|| {
        let fix = suggestion(text, &SUBJECTS.map(|(name, _)| name));
        at.error(format!("`{text}` is not what a destination can receive"), fix)
    })
}

fn level(at: &At<'_>) -> Result<Level, Diagnostic> {
    let text = at.text()?;
    text.parse()
        .map_err(|()| at.error(format!("`{text}` is not a severity"), suggestion(text, &Level::ALL.map(Level::as_str))))
}

#[cfg(test)]
mod tests;
