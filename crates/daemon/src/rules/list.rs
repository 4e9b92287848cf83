//! `rules list`: the active rules, and their origin.

use std::io::{self, BufWriter, Write};

use serde::Serialize;
use stakeout_core::rule::{Level, Origin, Rule, Rules};
use stakeout_core::time::Second;

use crate::clock;
use crate::printed::Format;
use crate::table::table;

/// A row of the list.
#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    title: &'a str,
    id: &'a str,
    level: Level,
    #[serde(rename = "type")]
    counting: &'static str,
    fires_at: String,
    count: u64,
    timespan_seconds: i64,
    group_by: &'a [String],
    techniques: &'a [String],
    tactics: &'a [String],
    cases: usize,
    filters: Vec<&'a str>,
    expired_filters: Vec<&'a str>,
    origin: &'static str,
    file: &'a str,
    line: usize,
}

/// Writes the rules.
pub(super) fn write(rules: &Rules, format: Format) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let now = clock::now().into();
    let listed: Vec<Listed<'_>> = rules.rules.iter().map(|rule| Listed::of(rule, rules, now)).collect();
    match format {
        Format::Text => out.write_all(table_of(&listed).as_bytes())?,
        Format::Json => {
            for rule in &listed {
                writeln!(out, "{}", serde_json::to_string(rule)?)?;
            }
        }
    }
    out.flush()
}

impl<'a> Listed<'a> {
    fn of(rule: &'a Rule, rules: &'a Rules, now: Second) -> Listed<'a> {
        let detections = rules.detections_of(rule);
        let is_part = |name: &str| {
            rule.head.name == name
                || detections.contains(&name)
                || rule.referenced_rules().iter().any(|rule| rule.name == name)
        };
        let filters = rules.filters.iter().filter(|filter| filter.rules.iter().any(|name| is_part(name)));
        let (expired, active): (Vec<_>, Vec<_>) =
            filters.partition(|filter| filter.expires.is_some_and(|expires| expires <= now));
        let head = &rule.head;
        Listed {
            name: &head.name,
            title: &head.title,
            id: &head.id,
            level: head.level,
            counting: rule.counting_type(),
            fires_at: rule.fires_at(),
            count: rule.threshold.count,
            timespan_seconds: rule.threshold.timespan_seconds,
            group_by: &head.group_by,
            techniques: &head.techniques,
            tactics: &head.tactics,
            cases: rules.cases.iter().filter(|case| is_part(&case.rule)).count(),
            filters: active.iter().map(|filter| filter.name.as_str()).collect(),
            expired_filters: expired.iter().map(|filter| filter.name.as_str()).collect(),
            origin: match rule.origin {
                Origin::BuiltIn => "builtin",
                Origin::Own => "own",
            },
            file: &rule.file,
            line: rule.line,
        }
    }

    fn cells(&self) -> [String; 9] {
        let filters = match (self.filters.len(), self.expired_filters.len()) {
            (0, 0) => "-".to_owned(),
            (active, 0) => active.to_string(),
            (active, expired) => format!("{active} +{expired} expired"),
        };
        let origin =
            if self.origin == "builtin" { self.origin.to_owned() } else { format!("{}:{}", self.file, self.line) };
        let or_none = |texts: &[String]| if texts.is_empty() { "-".to_owned() } else { texts.join(",") };
        [
            self.name.to_owned(),
            self.level.to_string(),
            self.counting.to_owned(),
            self.fires_at.clone(),
            or_none(self.group_by),
            or_none(self.techniques),
            self.cases.to_string(),
            filters,
            origin,
        ]
    }
}

fn table_of(listed: &[Listed<'_>]) -> String {
    let headings = ["NAME", "LEVEL", "TYPE", "FIRES AT", "PER", "TECHNIQUES", "CASES", "FILTERS", "ORIGIN"];
    table(headings, &listed.iter().map(Listed::cells).collect::<Vec<_>>())
}
