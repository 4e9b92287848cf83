//! The section `incidents`: when findings of one actor are one incident, and which risk raises its level.

use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::incident::{IncidentOptions, RiskLevels};
use stakeout_core::yaml::{At, Map};

use super::duration;
use crate::section::{self, keys};

/// Shorter, each pause of a slow scan would be a new incident.
const QUIET_SECONDS_MIN: i64 = 3_600;
/// Longer, an incident and all its findings would stay open for weeks.
const QUIET_SECONDS_MAX: i64 = 7 * 24 * 3_600;
/// A rule's score is at most 100, and nobody has ten thousand rules.
const RISK_MAX: u32 = 1_000_000;

/// Reads the section.
pub(super) fn read(top: &Map<'_>) -> Result<IncidentOptions, Diagnostic> {
    let mut options = IncidentOptions::default();
    let Some(at) = top.get("incidents") else {
        return Ok(options);
    };
    let map = keys(&at, &["quiet", "risk"])?;
    if let Some(at) = map.get("quiet") {
        options.quiet_seconds = duration::seconds(&at)?;
        if !(QUIET_SECONDS_MIN..=QUIET_SECONDS_MAX).contains(&options.quiet_seconds) {
            return Err(at.error(format!("`{}` is out of range", at.text()?), "write 1h to 7d, such as 24h"));
        }
    }
    if let Some(at) = map.get("risk") {
        options.risk = risk(&at)?;
    }
    Ok(options)
}

fn risk(at: &At<'_>) -> Result<RiskLevels, Diagnostic> {
    let map = keys(at, &["medium", "high", "critical"])?;
    let of = |name, unless_given| map.get(name).map_or(Ok(unless_given), |at| section::number_within(&at, 1, RISK_MAX));
    let known = RiskLevels::default();
    let risk = RiskLevels {
        medium: of("medium", known.medium)?,
        high: of("high", known.high)?,
        critical: of("critical", known.critical)?,
        ..known
    };
    if risk.medium < risk.high && risk.high < risk.critical {
        return Ok(risk);
    }
    let RiskLevels { medium, high, critical, .. } = risk;
    Err(at.error(
        format!("medium {medium}, high {high} and critical {critical} do not rise"),
        "write a higher number for each higher level, such as medium: 100, high: 250, critical: 500",
    ))
}
