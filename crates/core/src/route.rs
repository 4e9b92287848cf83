//! Routes: which findings and incidents a destination hears of, and why not of the others.

use std::collections::BTreeSet;
use std::fmt;

use glob::Pattern;

use crate::finding::Finding;
use crate::incident::Incident;
use crate::rule::Level;

/// What a destination hears of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subjects {
    /// Findings, each by itself.
    Findings,
    /// Incidents.
    Incidents,
    /// Both.
    Both,
}

/// Which findings and incidents a destination hears of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Whether it hears of findings, of incidents, or of both.
    pub subjects: Subjects,
    /// The lowest level that it hears of.
    pub level_min: Level,
    /// The highest level that it hears of. An incident that rises above it is reported once more, as the last word.
    pub level_max: Level,
    /// Names or patterns, of which one must fit a cluster that was asked; `None` for all. They are judged when there is
    /// something to say, because a log may hold events of clusters that nobody knew before.
    pub clusters: Option<Vec<Pattern>>,
    /// The rules of which one must match; `None` for all.
    pub rules: Option<BTreeSet<String>>,
}

/// What a route judges a finding or an incident by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routed {
    /// The level.
    pub level: Level,
    /// The clusters that were asked.
    pub clusters: BTreeSet<String>,
    /// The rules that matched.
    pub rules: BTreeSet<String>,
}

/// Why a destination does not hear of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwanted {
    /// It hears of the other kind only.
    Subject(Subjects),
    /// The level is below this one.
    BelowMin(Level),
    /// The level is above this one.
    AboveMax(Level),
    /// None of the clusters is named.
    Clusters,
    /// None of the rules is named.
    Rules,
}

impl Routed {
    /// Returns what a route judges the finding by.
    #[must_use]
    pub fn finding(finding: &Finding) -> Routed {
        Routed {
            level: finding.rule.level,
            clusters: finding.clusters.clone(),
            rules: BTreeSet::from([finding.rule.name.clone()]),
        }
    }

    /// Returns what a route judges the incident by.
    #[must_use]
    pub fn incident(incident: &Incident) -> Routed {
        Routed { level: incident.level, clusters: incident.clusters.clone(), rules: incident.rules.clone() }
    }
}

impl Route {
    /// Returns the route of all that is of at least this level.
    #[must_use]
    pub fn from_level(subjects: Subjects, level_min: Level) -> Route {
        Route { subjects, level_min, level_max: Level::Critical, clusters: None, rules: None }
    }

    /// Returns why the destination does not hear of this finding, or `Ok` if it does.
    pub fn judge_finding(&self, finding: &Routed) -> Result<(), Unwanted> {
        self.judge(Subjects::Incidents, finding)
    }

    /// Returns why the destination does not hear of this incident, or `Ok` if it does.
    pub fn judge_incident(&self, incident: &Routed) -> Result<(), Unwanted> {
        self.judge(Subjects::Findings, incident)
    }

    /// Returns whether the destination hears of a notice about the log of `cluster`.
    #[must_use]
    pub fn has_cluster(&self, cluster: &str) -> bool {
        self.clusters.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| fits(pattern, cluster)))
    }

    fn judge(&self, others: Subjects, routed: &Routed) -> Result<(), Unwanted> {
        let is_named = |named: &Option<BTreeSet<String>>, names: &BTreeSet<String>| {
            named.as_ref().is_none_or(|named| !named.is_disjoint(names))
        };
        match routed {
            _ if self.subjects == others => Err(Unwanted::Subject(others)),
            Routed { level, .. } if *level < self.level_min => Err(Unwanted::BelowMin(self.level_min)),
            Routed { level, .. } if *level > self.level_max => Err(Unwanted::AboveMax(self.level_max)),
            Routed { clusters, .. }
                if self.clusters.is_some() && !clusters.iter().any(|name| self.has_cluster(name)) =>
            {
                Err(Unwanted::Clusters)
            }
            Routed { rules, .. } if !is_named(&self.rules, rules) => Err(Unwanted::Rules),
            _ => Ok(()),
        }
    }
}

/// Returns whether a name is the pattern's text or fits it.
#[must_use]
pub fn fits(pattern: &Pattern, name: &str) -> bool {
    pattern.as_str() == name || pattern.matches(name)
}

/// Writes the reason in the words of the config.
impl fmt::Display for Unwanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unwanted::Subject(Subjects::Findings) => f.write_str("`send` is findings"),
            Unwanted::Subject(_) => f.write_str("`send` is incidents"),
            Unwanted::BelowMin(level) => write!(f, "`min_severity` is {level}"),
            Unwanted::AboveMax(level) => write!(f, "`max_severity` is {level}"),
            Unwanted::Clusters => f.write_str("`clusters` names none of its clusters"),
            Unwanted::Rules => f.write_str("`rules` names none of its rules"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_route_says_why_it_does_not_want_something() {
        let route = Route {
            subjects: Subjects::Incidents,
            level_min: Level::Low,
            level_max: Level::High,
            clusters: Some(["prod-eu", "*-us"].map(|text| Pattern::new(text).expect("a pattern")).to_vec()),
            rules: Some(names(&["token-spray"])),
        };
        let of =
            |level, clusters: &[&str], rules: &[&str]| Routed { level, clusters: names(clusters), rules: names(rules) };
        let wanted = of(Level::Low, &["dev", "prod-us"], &["pod-scan", "token-spray"]);
        assert_eq!(route.judge_incident(&wanted), Ok(()));
        assert_eq!(route.judge_finding(&wanted), Err(Unwanted::Subject(Subjects::Incidents)));
        for (unwanted, why) in [
            (of(Level::Informational, &["prod-eu"], &["token-spray"]), Unwanted::BelowMin(Level::Low)),
            (of(Level::Critical, &["prod-eu"], &["token-spray"]), Unwanted::AboveMax(Level::High)),
            (of(Level::Low, &["dev"], &["token-spray"]), Unwanted::Clusters),
            (of(Level::Low, &[], &["token-spray"]), Unwanted::Clusters),
            (of(Level::Low, &["prod-eu"], &["pod-scan"]), Unwanted::Rules),
        ] {
            assert_eq!(route.judge_incident(&unwanted), Err(why), "{why}");
        }
        let all = Route::from_level(Subjects::Both, Level::Informational);
        assert_eq!(all.judge_incident(&of(Level::Critical, &[], &[])), Ok(()));
        assert_eq!(all.judge_finding(&wanted), Ok(()));
        assert!(route.has_cluster("prod-eu") && !route.has_cluster("dev") && all.has_cluster("dev"));
    }
}
