//! A suggested Sigma filter that excludes a caller from a rule. The user adds the owner and the reason.
//!
//! It always names the source, which no client can choose: an attacker could imitate any other value. Where the caller may
//! itself be an attacker, the document says so.

use std::fmt;

use crate::address::{self, SourceIp};
use crate::rule::Rule;
use crate::text::is_invisible;
use crate::time::Second;

use super::Caller;

/// How long a suggested filter is valid, in days. The user can renew it.
const EXPIRES_AFTER_DAYS: i64 = 90;
/// Longest text in a filter, in characters. Samples keep no more, so a longer text may be cut.
const TEXT_CHARS_MAX: usize = 120;

/// The comment in a filter for a public address, whose sender may have a stolen identity.
const CAUTION: &str = "\
# CAUTION: the address is public, and whoever scans looks like one caller too. Use this filter only
# if you know whose address it is, such as that of your own monitoring.
";

/// A filter that excludes one caller, as a YAML document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusion(String);

/// Why no filter is suggested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoExclusion {
    /// The caller has no findings.
    Quiet,
    /// The rule does not count by source, so there is no address to exclude.
    NoSource,
    /// The source has several user agents or users.
    Several,
    /// The rule takes an address that clients choose.
    Forgeable,
    /// A text is too long or has invisible characters.
    Unclean,
    /// The rule has neither a name nor an id for a filter to name.
    Nameless,
}

impl fmt::Display for NoExclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoExclusion::Quiet => "it raises nothing",
            NoExclusion::NoSource => "the rule does not count by source",
            NoExclusion::Several => "it is several callers: look at them first",
            NoExclusion::Forgeable => "the rule takes addresses that clients choose",
            NoExclusion::Unclean => "its user or agent is too long or holds characters that are not shown",
            NoExclusion::Nameless => "the rule has no `name` or `id` that a filter could name",
        })
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Exclusion {
    /// Returns the filter that excludes `caller` from `rule` for ninety days after `now`.
    ///
    /// # Errors
    ///
    /// The reason why there is none.
    pub fn of(rule: &Rule, caller: &Caller, now: Second) -> Result<Exclusion, NoExclusion> {
        if caller.findings == 0 {
            return Err(NoExclusion::Quiet);
        }
        let source = caller.source_ip.ok_or(NoExclusion::NoSource)?;
        if rule.source_ip != crate::rule::SourceIpMode::Trusted {
            return Err(NoExclusion::Forgeable);
        }
        if !caller.is_one() {
            return Err(NoExclusion::Several);
        }
        let reference = reference_of(rule).ok_or(NoExclusion::Nameless)?;
        let user = line("user.username", caller.users.first())?;
        let agent = if caller.is_anonymous() { line("userAgent", caller.agents.first())? } else { String::new() };
        let address = match source {
            SourceIp::V4(address) => format!("    source_ip: {address}\n"),
            net @ SourceIp::V6Net(_) => format!("    source_ip|cidr: '{net}'\n"),
        };
        let expires = now.plus(EXPIRES_AFTER_DAYS * 86_400).to_string();
        let expires = expires.split('T').next().unwrap_or_default();
        let caution = if address::is_public(source.network_address()) { CAUTION } else { "" };
        Ok(Exclusion(format!(
            "---
{caution}title: Known Caller At {source} In {reference}
logsource: {{product: kubernetes, service: audit}}
filter:
  rules: [{reference}]
  selection:
{address}{user}{agent}  condition: not selection
stakeout:
  reason: 'FILL IN: why these requests are no findings'
  owner: 'FILL IN: who answers for it'
  expires: {expires}
"
        )))
    }
}

/// Returns the name or id of the rule for a filter. The title, which is shown where there is no `name`, is neither.
fn reference_of(rule: &Rule) -> Option<&str> {
    let head = &rule.head;
    let is_word = head.name != head.title && !head.name.is_empty();
    [is_word.then_some(head.name.as_str()), Some(head.id.as_str())].into_iter().flatten().find(|text| !text.is_empty())
}

/// Returns the line of a selection that fits a text exactly, escaped for Sigma and for YAML.
fn line(field: &str, value: Option<&Option<String>>) -> Result<String, NoExclusion> {
    let Some(Some(text)) = value else {
        return Ok(format!("    {field}: null\n"));
    };
    if text.chars().count() > TEXT_CHARS_MAX || text.chars().any(is_invisible) {
        return Err(NoExclusion::Unclean);
    }
    let escaped = text.replace('\\', r"\\").replace('*', r"\*").replace('?', r"\?").replace('\'', "''");
    Ok(format!("    {field}|cased: '{escaped}'\n"))
}
