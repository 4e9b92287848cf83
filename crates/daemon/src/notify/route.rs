//! `notify route`: which destinations hear of an incident and of its findings, and why the others do not. Nothing is sent.

use std::collections::BTreeSet;

use clap::Args;
use stakeout_core::diagnostic::suggestion;
use stakeout_core::route::{Routed, Unwanted, fits};
use stakeout_core::rule::Level;
use stakeout_core::text::counted;

use crate::bootstrap::ConfigArgs;
use crate::config::Config;
use crate::config::notify::Destination;
use crate::exit::{Exit, Failure};
use crate::finding_params;
use crate::printed::Printed;
use crate::section::secret::SecretScope;
use crate::sources;
use crate::table::table;

/// The arguments of `notify route`.
#[derive(Args, Debug)]
pub(super) struct RouteArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Level of the incident [default: the highest of its rules]
    #[arg(long, value_name = "LEVEL", value_parser = finding_params::level)]
    severity: Option<Level>,
    /// A cluster of the incident; repeat it for more [default: all of the config]
    #[arg(long, value_name = "NAME")]
    cluster: Vec<String>,
    /// A rule of the incident; repeat it for more [default: all that are in use]
    #[arg(long, value_name = "NAME")]
    rule: Vec<String>,
}

/// Prints a line for each destination.
pub(super) fn run(args: &RouteArgs) -> Result<Exit, Failure> {
    let (config, rules) = args.config.load(SecretScope::NONE)?;
    let heads: Vec<_> = rules.rules.iter().map(|rule| &rule.head).collect();
    let mut notes = Vec::new();
    let clusters = match config.clusters() {
        Some(known) => chosen("source has the cluster", &args.cluster, known.into_iter())?,
        // Only the state knows what a discovery has found.
        None => match sources::known_clusters(&config) {
            Ok(known) => {
                notes.extend(unfitting(&config, &known));
                chosen("cluster was found with the name", &args.cluster, known.iter().map(String::as_str))?
            }
            Err(error) => {
                notes.push(format!("cannot tell which clusters were found: {error}"));
                args.cluster.iter().cloned().collect()
            }
        },
    };
    let names = chosen("active rule has the name", &args.rule, heads.iter().map(|head| head.name.as_str()))?;
    let highest = heads.iter().filter(|head| names.contains(&head.name)).map(|head| head.level).max();
    let level = args.severity.or(highest).unwrap_or(Level::Critical);
    let routed = Routed { level, clusters, rules: names };
    let shown = |judged: Result<(), Unwanted>| judged.map_or_else(|why| format!("no: {why}"), |()| "yes".to_owned());
    let rows: Vec<_> = config
        .notify
        .iter()
        .map(|destination| {
            let route = &destination.route;
            [destination.name.clone(), shown(route.judge_incident(&routed)), shown(route.judge_finding(&routed))]
        })
        .collect();
    let of = |names: &[String], number: usize, noun: &str| match names {
        [] => counted(number, noun),
        names => names.join(", "),
    };
    let head = format!(
        "level {level}; {}; {}\n",
        of(&args.cluster, routed.clusters.len(), "cluster"),
        of(&args.rule, routed.rules.len(), "rule")
    );
    let text = head + &table(["DESTINATION", "INCIDENT", "FINDINGS"], &rows);
    if !rows.iter().any(|[_, incident, finding]| incident == "yes" || finding == "yes") {
        notes.push("no destination hears of it".to_owned());
    }
    Printed { text, notes }.print()
}

/// Returns a note for each name or pattern of a destination that no cluster fits.
fn unfitting(config: &Config, known: &BTreeSet<String>) -> Vec<String> {
    let of = |destination: &Destination| -> Vec<String> {
        let patterns = destination.route.clusters.iter().flatten();
        let unfit = patterns.filter(|pattern| !known.iter().any(|cluster| fits(pattern, cluster)));
        unfit
            .map(|pattern| format!("no cluster was found that fits `{pattern}` of destination {}", destination.name))
            .collect()
    };
    config.notify.iter().flat_map(of).collect()
}

/// Returns the names that were asked for, or all that are known.
fn chosen<'a>(what: &str, asked: &[String], known: impl Iterator<Item = &'a str>) -> Result<BTreeSet<String>, Failure> {
    let known: BTreeSet<&str> = known.collect();
    if let Some(unknown) = asked.iter().find(|name| !known.contains(name.as_str())) {
        let known: Vec<&str> = known.into_iter().collect();
        return Err(Failure::Usage(format!("no {what} `{unknown}`; {}", suggestion(unknown, &known))));
    }
    let names: Vec<&str> =
        if asked.is_empty() { known.into_iter().collect() } else { asked.iter().map(String::as_str).collect() };
    Ok(names.into_iter().map(str::to_owned).collect())
}
