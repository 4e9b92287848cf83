//! A query as text: in the arguments of the command line, and in the address of a request to the admin page.

use serde::Deserialize;
use stakeout_core::address::{self, SourceIp};
use stakeout_core::finding_query::FindingQuery;
use stakeout_core::rule::Level;
use stakeout_core::time::Second;

/// Most findings of one answer.
const FINDINGS_MAX: usize = 1000;
/// Fewest digits of a shortened uid.
const UID_DIGITS_MIN: usize = 8;
/// The number of findings of an answer whose query names none.
const FINDINGS_USUAL: usize = 100;

/// The parameters of a request for findings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FindingsParams {
    uid: Option<String>,
    /// In RFC 3339.
    since: Option<String>,
    level: Option<String>,
    rule: Option<String>,
    source: Option<String>,
    open: Option<bool>,
    limit: Option<String>,
}

impl FindingsParams {
    /// Returns the query and the most findings of its answer, or what is wrong.
    pub(crate) fn parse(self) -> Result<(FindingQuery, usize), String> {
        let FindingsParams { uid, since, level, rule, source, open, limit } = self;
        let query = FindingQuery {
            uid: parsed("uid", uid, self::uid)?,
            since: parsed("since", since, time)?,
            level_min: parsed("level", level, self::level)?,
            rule,
            source: parsed("source", source, self::source)?,
            is_open: open.unwrap_or(false),
        };
        Ok((query, parsed("limit", limit, number)?.unwrap_or(FINDINGS_USUAL)))
    }
}

/// Returns the parameters that [`FindingsParams::parse`] turns into this query and limit.
pub(crate) fn written(query: &FindingQuery, limit: usize) -> Vec<(&'static str, String)> {
    let FindingQuery { uid, since, level_min, rule, source, is_open } = query;
    let pairs = [
        ("uid", uid.clone()),
        ("since", since.map(|since| since.to_string())),
        ("level", level_min.map(|level| level.to_string())),
        ("rule", rule.clone()),
        ("source", source.map(|source| source.network_address().to_string())),
        ("open", is_open.then(|| "true".to_owned())),
        ("limit", Some(limit.to_string())),
    ];
    pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn parsed<T>(name: &str, text: Option<String>, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    text.map(|text| parse(&text).map_err(|error| format!("{name}: {error}"))).transpose()
}

fn time(text: &str) -> Result<Second, String> {
    text.parse::<jiff::Timestamp>().map(Second::from).map_err(|_| "not a time in RFC 3339".to_owned())
}

/// Parses a level.
pub(crate) fn level(text: &str) -> Result<Level, String> {
    text.parse().map_err(|()| format!("not a level (one of {})", Level::ALL.map(Level::as_str).join(", ")))
}

/// Parses a source address.
pub(crate) fn source(text: &str) -> Result<SourceIp, String> {
    address::parse(text).map(SourceIp::of).ok_or_else(|| "not an address".to_owned())
}

/// Parses the most findings of an answer.
pub(crate) fn number(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=FINDINGS_MAX).contains(number));
    number.ok_or_else(|| format!("not a number from 1 to {FINDINGS_MAX}"))
}

/// Parses a uid or its beginning.
pub(crate) fn uid(text: &str) -> Result<String, String> {
    let is_uid = (UID_DIGITS_MIN..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_uid { Ok(text.to_owned()) } else { Err(format!("not {UID_DIGITS_MIN} to 32 hexadecimal digits")) }
}

#[cfg(test)]
mod tests {
    use axum::extract::Query;

    use super::*;

    #[test]
    fn a_query_round_trips_through_an_address() {
        let query = FindingQuery {
            uid: Some("0123abcd".to_owned()),
            since: Some(Second(1_795_222_200)),
            level_min: Some(Level::Medium),
            rule: Some("a rule & more=1".to_owned()),
            source: Some(source("2001:db8::1").expect("an address")),
            is_open: true,
        };
        for query in [query, FindingQuery::default()] {
            let mut url = stakeout_http::Url::parse("http://127.0.0.1/findings").expect("an address");
            url.query_pairs_mut().extend_pairs(written(&query, 7));
            let uri = url.as_str().parse().expect("an address");
            let Query(params) = Query::<FindingsParams>::try_from_uri(&uri).expect("known names");
            assert_eq!(params.parse(), Ok((query, 7)));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let of = |name: &str, value: &str| {
            let params: FindingsParams = serde_json::from_value(serde_json::json!({ name: value })).expect("known");
            params.parse().expect_err("it is wrong")
        };
        assert_eq!(of("uid", "0123"), "uid: not 8 to 32 hexadecimal digits");
        assert_eq!(of("limit", "1001"), "limit: not a number from 1 to 1000");
        assert_eq!(of("source", "somewhere"), "source: not an address");
        assert!(of("level", "severe").starts_with("level: not a level (one of informational, "));
    }
}
