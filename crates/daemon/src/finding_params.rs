//! A request for findings as text: in the arguments of the command line, and in the address of the admin page.

use ipnet::IpNet;
use serde::Deserialize;
use stakeout_core::finding_query::FindingQuery;
use stakeout_core::rule::Level;
use stakeout_core::silence::Silence;
use stakeout_core::time::Second;

use crate::finding_page::FindingRequest;
use crate::network;
use crate::printed::Format;
use crate::silence_file;

/// Most findings of one answer.
const FINDINGS_MAX: usize = 1000;
/// Fewest digits of a shortened uid.
const UID_DIGITS_MIN: usize = 8;
/// The number of findings of an answer whose query names none.
pub(crate) const FINDINGS_USUAL: usize = 100;
/// Most findings that an ambiguous uid names.
const AMBIGUOUS_MAX: usize = 10;

/// The path of the admin page with findings; that of a single one ends in its uid.
pub(crate) const PATH: &str = "/findings";
/// The path of the admin page with incidents, which are asked for in the same way.
pub(crate) const INCIDENTS_PATH: &str = "/incidents";

/// The parameters of a request for findings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FindingsParams {
    /// In RFC 3339.
    since: Option<String>,
    level: Option<String>,
    rule: Option<String>,
    source: Option<String>,
    open: Option<bool>,
    limit: Option<String>,
    format: Option<Format>,
    /// As an entry of the file with silences.
    silence: Option<String>,
}

impl FindingsParams {
    /// Returns the request, or what is wrong.
    pub(crate) fn parse(self) -> Result<FindingRequest, String> {
        let FindingsParams { since, level, rule, source, open, limit, format, silence } = self;
        let query = FindingQuery {
            uid: None,
            since: parsed("since", since, time)?,
            level_min: parsed("level", level, self::level)?,
            rule,
            source: parsed("source", source, network::parse_argument)?,
            is_open: open.unwrap_or(false),
        };
        let limit = parsed("limit", limit, number)?.unwrap_or(FINDINGS_USUAL);
        let silence = parsed("silence", silence, self::silence)?;
        Ok(FindingRequest { query, limit, format: format.unwrap_or(Format::Json), silence })
    }
}

/// Returns the request for the finding whose uid begins so.
pub(crate) fn single(uid: String, format: Format) -> FindingRequest {
    let query = FindingQuery { uid: Some(uid), ..FindingQuery::default() };
    FindingRequest { query, limit: AMBIGUOUS_MAX, format, silence: None }
}

/// Returns the address below `path`, and the parameters, that mean this request.
pub(crate) fn written(path: &str, request: &FindingRequest) -> (String, Vec<(&'static str, String)>) {
    let FindingRequest { query, limit, format, silence } = request;
    let FindingQuery { uid, since, level_min, rule, source, is_open } = query;
    let format = ("format", format.as_str().to_owned());
    if let Some(uid) = uid {
        return (format!("{path}/{uid}"), vec![format]);
    }
    let pairs = [
        ("since", since.map(|since| since.to_string())),
        ("level", level_min.map(|level| level.to_string())),
        ("rule", rule.clone()),
        ("source", source.map(|network: IpNet| network.to_string())),
        ("open", is_open.then(|| "true".to_owned())),
        ("limit", Some(limit.to_string())),
        ("silence", silence.as_ref().map(silence_file::on_one_line)),
    ];
    let pairs = pairs.into_iter().filter_map(|(name, value)| Some((name, value?)));
    (path.to_owned(), pairs.chain([format]).collect())
}

fn parsed<T>(name: &str, text: Option<String>, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    text.map(|text| parse(&text).map_err(|error| format!("{name}: {error}"))).transpose()
}

fn time(text: &str) -> Result<Second, String> {
    text.parse::<jiff::Timestamp>().map(Second::from).map_err(|_| "not a time in RFC 3339".to_owned())
}

/// Parses a silence. Its end is not limited: the command that asks for it has checked that.
fn silence(text: &str) -> Result<Silence, String> {
    silence_file::parse_entry(text, Second(i64::MAX)).map_err(|error| error.to_string())
}

/// Parses a level.
pub(crate) fn level(text: &str) -> Result<Level, String> {
    text.parse().map_err(|()| format!("not a level (one of {})", Level::ALL.map(Level::as_str).join(", ")))
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

    fn parse(url: &str) -> Result<FindingRequest, String> {
        let Query(params) =
            Query::<FindingsParams>::try_from_uri(&url.parse().expect("an address")).expect("known names");
        params.parse()
    }

    #[test]
    fn a_request_round_trips_through_an_address() {
        let query = FindingQuery {
            uid: None,
            since: Some(Second(1_795_222_200)),
            level_min: Some(Level::Medium),
            rule: Some("a rule & more=1".to_owned()),
            source: Some("2001:db8::/48".parse().expect("a network")),
            is_open: true,
        };
        let silence = Silence {
            id: "pentest-1".to_owned(),
            source: Some("203.0.113.0/24".parse().expect("a network")),
            cluster: Some("prod".to_owned()),
            rule: None,
            user: Some("system:serviceaccount:a, b}".to_owned()),
            reason: "\"no\" & # because".to_owned(),
            owner: "yes".to_owned(),
            until: Second(1_795_222_200),
        };
        let requests = [
            FindingRequest { query, limit: 7, format: Format::Text, silence: Some(silence) },
            FindingRequest { query: FindingQuery::default(), limit: 1, format: Format::Json, silence: None },
        ];
        for request in requests {
            let (path, pairs) = written(PATH, &request);
            let mut url = stakeout_http::Url::parse(&format!("http://127.0.0.1{path}")).expect("an address");
            url.query_pairs_mut().extend_pairs(pairs);
            assert_eq!(parse(url.as_str()), Ok(request));
        }
        let one = single("0123abcd".to_owned(), Format::Text);
        assert_eq!(written(PATH, &one), ("/findings/0123abcd".to_owned(), vec![("format", "text".to_owned())]));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let of = |pair: &str| parse(&format!("http://127.0.0.1/findings?{pair}")).expect_err("it is wrong");
        assert_eq!(of("limit=1001"), "limit: not a number from 1 to 1000");
        assert!(of("source=somewhere").starts_with("source: `somewhere` is neither a network nor an address"));
        assert!(of("level=severe").starts_with("level: not a level (one of informational, "));
        assert_eq!(uid("0123"), Err("not 8 to 32 hexadecimal digits".to_owned()));
    }
}
