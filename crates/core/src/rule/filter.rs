//! Sigma filters: a team excludes requests from rules that it did not write, with an owner, a reason and an expiry date.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::Rules;
use super::detection::Expression;
use super::reference::Reference;
use super::selection;
use crate::diagnostic::Diagnostic;
use crate::time::Second;
use crate::yaml::{At, Map};

/// A filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The name that it is shown by.
    pub name: String,
    /// `stakeout.reason`: why.
    pub reason: String,
    /// `stakeout.owner`: the person or team that is responsible for it.
    pub owner: String,
    /// `stakeout.expires`: from then on the filter has no effect.
    pub expires: Option<Second>,
    /// The rules that it narrows, by the names that they are shown by.
    pub rules: Vec<String>,
    /// What it lets through, as it is joined to their selections.
    pub passing: Expression,
    /// Its file.
    pub file: String,
    /// The line of that file at which it begins.
    pub line: usize,
}

/// The keys under `filter:`, and under `stakeout:` of the same document.
pub(super) struct FilterBody {
    /// The rules that it names; none for `any`.
    pub(super) rules: Vec<Reference>,
    /// The error, if there is no rule to filter.
    pub(super) unmatched: Diagnostic,
    pub(super) reason: String,
    pub(super) owner: String,
    pub(super) expires: Option<Second>,
    condition: Expression,
}

impl FilterBody {
    /// Returns the part of `selection` that passes the filter.
    ///
    /// Sigma joins a filter's condition to that of the rule with `and`, so a filter excludes what it names only
    /// where its condition says `not`: <https://github.com/SigmaHQ/pySigma/pull/226>.
    pub(super) fn narrow(&self, selection: Expression) -> Expression {
        Expression::And(vec![selection, self.passing()])
    }

    /// Returns the condition of requests that pass.
    pub(super) fn passing(&self) -> Expression {
        match self.expires {
            Some(expires) => Expression::Or(vec![Expression::Since(expires), self.condition.clone()]),
            None => self.condition.clone(),
        }
    }
}

impl Rules {
    /// Returns a warning for each filter that has expired at `now`.
    #[must_use]
    pub fn expired(&self, now: Second) -> Vec<Diagnostic> {
        let expired = self.filters.iter().filter_map(|filter| Some((filter, filter.expires.filter(|at| *at <= now)?)));
        expired
            .map(|(filter, expires)| Diagnostic {
                file: filter.file.clone(),
                line: filter.line,
                key: "stakeout.expires".to_owned(),
                problem: format!("the filter `{}` expired at {expires} and has no effect", filter.name),
                fix: format!("remove it, or ask {} for a later date", filter.owner),
            })
            .collect()
    }
}

/// Reads a filter out of its document.
pub(super) fn filter(document: &Map<'_>, warnings: &mut Vec<Diagnostic>) -> Result<FilterBody, Diagnostic> {
    let map = document.need("filter", "add it")?.any_map()?;
    let rules_at = map.need("rules", "name the rules that it filters, or write `rules: any`")?;
    let rules = match rules_at.text() {
        Ok(word) if word.eq_ignore_ascii_case("any") => Vec::new(),
        _ => Reference::list(&rules_at)?,
    };
    let condition = selection::detection(&map, &["rules"], warnings)?;
    if !is_exclusion(&condition) {
        let at = map.need("condition", "write `condition: not selection`")?;
        warnings.push(at.error(
            "this filter keeps what it selects and excludes everything else",
            "write `not selection` to exclude what it selects",
        ));
    }
    let own = document.need("stakeout", "add it, with the `reason` and the `owner` of the filter")?;
    let own = own.map(&["expires", "owner", "reason"])?;
    Ok(FilterBody {
        rules,
        unmatched: rules_at
            .error("there is no rule to filter", "load rules as well, such as `builtin`, or remove the filter"),
        reason: own.need("reason", "write why these requests are not findings")?.text()?.trim().to_owned(),
        owner: own.need("owner", "write who is responsible for the filter")?.text()?.trim().to_owned(),
        expires: own.get("expires").map(|at| expires(&at)).transpose()?,
        condition,
    })
}

/// Returns whether a filter's condition only excludes: it is a `not`, or several of them.
fn is_exclusion(condition: &Expression) -> bool {
    match condition {
        Expression::Not(_) => true,
        Expression::And(parts) => !parts.is_empty() && parts.iter().all(is_exclusion),
        _ => false,
    }
}

/// Reads a day, at whose beginning in UTC the filter ends, or a time.
fn expires(at: &At<'_>) -> Result<Second, Diagnostic> {
    let text = at.text()?;
    let day = || text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    let time = if text.contains(['T', 't', ' ']) { text.parse::<Timestamp>().ok() } else { day() };
    time.map(Second::from).ok_or_else(|| {
        at.error(format!("`{text}` is neither a date nor a time"), "write it as 2027-01-31, or as 2027-01-31T12:00:00Z")
    })
}
