//! Audit lines: the recordings, moved and stretched in time, and lines that are made here.

use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use jiff::Timestamp;
use serde_json::{Value, json};

/// Seconds of a minute and of an hour.
pub(crate) const MINUTE: i64 = 60;
pub(crate) const HOUR: i64 = 3600;
/// Midnight of the day on which the tests take place, 2025-03-04, in seconds since 1970.
pub(crate) const DAY: i64 = 1_741_046_400;

/// One line with its time, as a log service would keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// `stageTimestamp` in milliseconds since 1970.
    pub(crate) ms: i64,
    /// The line, without its end.
    pub(crate) text: String,
}

/// Spells seconds since 1970.
pub(crate) fn utc(at: i64) -> String {
    Timestamp::from_second(at).expect("a time").to_string()
}

/// Returns the path of a file in `tests/data`.
pub(crate) fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data").join(path)
}

/// Reads a recording, by the name that `expected.json` gives it.
pub(crate) fn recording(name: &str) -> Vec<Line> {
    let file = std::fs::File::open(data("audit").join(format!("{name}.gz"))).expect("a recording");
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).expect("gzip of UTF-8");
    text.lines().map(|line| Line { ms: micros_of(line, "stageTimestamp") / 1000, text: line.to_owned() }).collect()
}

/// Returns what `expected.json` counted for each recording: (rule, source) to requests.
pub(crate) fn expected() -> Value {
    let text = std::fs::read_to_string(data("audit/expected.json")).expect("expected.json");
    serde_json::from_str(&text).expect("JSON")
}

/// Moves lines so that the earliest comes at `begin`, and the latest `span` seconds after it.
pub(crate) fn stretched(lines: &[Line], begin: i64, span: i64) -> Vec<Line> {
    let times: Vec<i64> = lines.iter().map(|line| micros_of(&line.text, "stageTimestamp")).collect();
    let (first, last) = (times.iter().min().expect("lines"), times.iter().max().expect("lines"));
    let place = |at: i64| {
        let share = i128::from(at - first) * i128::from(span) * 1_000_000 / i128::from((last - first).max(1));
        begin * 1_000_000 + i64::try_from(share).expect("within the span")
    };
    lines.iter().map(|line| retimed(line, &place)).collect()
}

/// Moves lines so that the earliest comes at `begin`, and leaves the time between them.
pub(crate) fn moved(lines: &[Line], begin: i64) -> Vec<Line> {
    let first = lines.iter().map(|line| micros_of(&line.text, "stageTimestamp")).min().expect("lines");
    lines.iter().map(|line| retimed(line, &|at| begin * 1_000_000 + at - first)).collect()
}

/// Rewrites both times of a line in place, so that everything else in it stays as the API server wrote it.
fn retimed(line: &Line, place: &dyn Fn(i64) -> i64) -> Line {
    let mut text = line.text.clone();
    for key in ["requestReceivedTimestamp", "stageTimestamp"] {
        let old = micros_of(&text, key);
        let new = Timestamp::from_microsecond(place(old)).expect("a time");
        let begin = text.rfind(&format!("\"{key}\":\"")).expect("the key") + key.len() + 4;
        let end = begin + text[begin..].find('"').expect("the end of the text");
        text.replace_range(begin..end, &format!("{new:.6}"));
    }
    Line { ms: micros_of(&text, "stageTimestamp").div_euclid(1000), text }
}

/// Reads one of the line's own times; the last one, because bodies hold times as well.
fn micros_of(line: &str, key: &str) -> i64 {
    let begin = line.rfind(&format!("\"{key}\":\"")).expect("the key") + key.len() + 4;
    let text = line[begin..].split('"').next().expect("a text");
    text.parse::<Timestamp>().expect("a time").as_microsecond()
}

/// A request that is made here.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// When its answer was complete, in milliseconds since 1970.
    pub(crate) ms: i64,
    /// Who sent it.
    pub(crate) source: String,
    /// The answer's code.
    pub(crate) code: u16,
    /// The `Audit-ID`, which the client may choose.
    pub(crate) audit_id: String,
    /// The path and query.
    pub(crate) uri: String,
    /// What it called itself.
    pub(crate) agent: String,
    /// Who it was.
    pub(crate) username: String,
}

impl Asked {
    /// Makes an anonymous request for `/version` at `at` seconds and `n` milliseconds; `n` makes it distinct.
    pub(crate) fn new(at: i64, source: &str, code: u16, n: i64) -> Asked {
        Asked {
            ms: at * 1000 + n % 1000,
            source: source.to_owned(),
            code,
            audit_id: format!("00000000-0000-4000-8000-{n:012}"),
            uri: "/version".to_owned(),
            agent: "curl/8.5.0".to_owned(),
            username: "system:anonymous".to_owned(),
        }
    }

    /// Writes the line that the API server would write.
    pub(crate) fn line(&self) -> Line {
        let stage = Timestamp::from_millisecond(self.ms).expect("a time");
        let received = Timestamp::from_millisecond(self.ms - 2).expect("a time");
        let event = json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": self.audit_id,
            "stage": "ResponseComplete", "requestURI": self.uri, "verb": "get",
            "user": {"username": self.username, "groups": ["system:unauthenticated"]},
            "sourceIPs": [self.source], "userAgent": self.agent,
            "responseStatus": {"metadata": {}, "code": self.code},
            "requestReceivedTimestamp": format!("{received:.6}"), "stageTimestamp": format!("{stage:.6}"),
        });
        Line { ms: self.ms, text: event.to_string() }
    }
}

/// Makes `count` refused anonymous requests of one source, `every` seconds apart.
pub(crate) fn refused(source: &str, begin: i64, count: i64, every: i64) -> Vec<Line> {
    (0..count).map(|n| Asked::new(begin + n * every, source, 403, begin % 100_000 + n).line()).collect()
}
